//! The floors: what the machine does at best, with no protocol at all.
//!
//! * A sample is a store to the next line of a ring of 64, which the receiver polls: the cache-line
//!   ping-pong. A ring, because how fast one line travels depends on where its address puts it in the
//!   cache that the processors share.
//! * A written and read sample is also a copy to right behind its line, and a read out of it.
//! * A sleeping receiver waits in `FUTEX_WAIT` for one word.
//!
//! Nothing keeps the sender from overtaking the receiver: good for one sample at a time.

use std::ptr;
use std::slice;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use rustix::fs::Timespec;
use rustix::io::Errno;
use rustix::thread::futex;

use crate::error::{Result, io};
use crate::figures::Figure;
use crate::shared_pages::{LINE, SharedPages};
use crate::transport::{Absence, Place, Plan, Receiver, Sender, Transport};

/// Lines of the ring.
const RING: usize = 64;
/// Line of the word that is slept on.
const BELL: usize = RING;

/// Octets of all slots, unless there would be too few.
const MOST: usize = 4 << 20;

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Bare;

impl Transport for Bare {
    type Sender = BareSender;
    type Receiver = BareReceiver;

    fn start(_: &Place) -> Result<Self> {
        Ok(Self)
    }

    fn absence(figure: Figure) -> Option<Absence> {
        match figure {
            Figure::LatencyUntouched | Figure::LatencyTouched | Figure::Wake => None,
            // In one process, without a transport.
            Figure::Throughput => None,
            Figure::Fanout | Figure::Memory | Figure::Recovery => Some(Absence::NoRow),
        }
    }

    fn sender(&self, plan: &Plan) -> Result<BareSender> {
        let ring = Ring::plan(plan);
        let pages = SharedPages::create(ring.octets())?;
        Ok(BareSender { pages, ring, sent: 0, wakes: plan.sleeps() })
    }

    fn receiver(&self, plan: &Plan, address: &str, _: u32) -> Result<BareReceiver> {
        Ok(BareReceiver {
            pages: SharedPages::open(address)?,
            ring: Ring::plan(plan),
            taken: 0,
            size: if plan.figure == Figure::LatencyUntouched { 0 } else { plan.size as usize },
        })
    }
}

/// Where things are.
#[derive(Clone, Copy, Debug)]
struct Ring {
    places: usize,
    stride: usize,
}

impl Ring {
    fn plan(plan: &Plan) -> Self {
        let payload = if plan.figure == Figure::LatencyUntouched { 0 } else { plan.size as usize };
        let stride = LINE + payload.next_multiple_of(LINE);
        Self { places: (MOST / stride).clamp(4, RING), stride }
    }

    fn octets(self) -> usize {
        LINE + self.places * self.stride
    }

    /// Offset of the line of a sample.
    #[inline(always)]
    fn line(self, number: u64) -> usize {
        LINE + number as usize % self.places * self.stride
    }
}

#[derive(Debug)]
pub(crate) struct BareSender {
    pages: SharedPages,
    ring: Ring,
    sent: u64,
    wakes: bool,
}

impl BareSender {
    #[inline(always)]
    fn publish(&mut self) -> Result<bool> {
        self.sent += 1;
        self.pages.word(self.ring.line(self.sent)).store(self.sent, Release);
        if self.wakes {
            let bell = self.pages.half_word(BELL);
            bell.store(self.sent as u32, Release);
            futex::wake(bell, futex::Flags::empty(), 1).map_err(io("wake the second process"))?;
        }
        Ok(true)
    }
}

impl Sender for BareSender {
    fn address(&self) -> Result<String> {
        Ok(self.pages.address())
    }

    fn is_ready(&mut self, _: u32) -> Result<bool> {
        Ok(true)
    }

    #[inline]
    fn send_untouched(&mut self, _: usize) -> Result<bool> {
        self.publish()
    }

    #[inline]
    fn send_copy(&mut self, bytes: &[u8]) -> Result<bool> {
        let slot = self.pages.octets(self.ring.line(self.sent + 1) + LINE, bytes.len());
        // SAFETY: inside of the mapping (checked); the receiver has read what was there, because there
        // is one sample under way at a time.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), slot, bytes.len()) };
        self.publish()
    }
}

#[derive(Debug)]
pub(crate) struct BareReceiver {
    pages: SharedPages,
    ring: Ring,
    taken: u64,
    size: usize,
}

impl Receiver for BareReceiver {
    #[inline]
    fn take<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        let next = self.taken + 1;
        if self.pages.word(self.ring.line(next)).load(Acquire) != next {
            return Ok(None);
        }
        self.taken = next;
        let slot = self.pages.octets(self.ring.line(next) + LINE, self.size);
        // SAFETY: inside of the mapping (checked); the sender writes there again only after it was
        // answered.
        Ok(Some(read(unsafe { slice::from_raw_parts(slot, self.size) })))
    }

    fn sleep(&mut self, at_most: Duration) -> Result<()> {
        let bell = self.pages.half_word(BELL);
        let seen = bell.load(Relaxed);
        if u64::from(seen) != self.taken {
            return Ok(());
        }
        let timeout =
            Timespec { tv_sec: at_most.as_secs() as i64, tv_nsec: at_most.subsec_nanos().into() };
        match futex::wait(bell, futex::Flags::empty(), seen, Some(&timeout)) {
            Ok(()) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => Ok(()),
            Err(error) => Err(io("sleep")(error)),
        }
    }

    fn hoard(&mut self) -> Result<usize> {
        Ok(0)
    }
}
