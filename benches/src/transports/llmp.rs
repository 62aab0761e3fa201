//! LLMP: one page of 256 MiB, its sender and its receivers, without a broker, which would copy.
//!
//! Messages are appended to pages that are not used a second time until they are full. A program that has
//! run for a while writes to pages that were written before; so the first page is made present in both
//! processes before anything is measured, as far as it will be used.

use std::ffi::c_void;

use libafl_core::ClientId;
use ll_mp::{LlmpClient, LlmpDescription, LlmpMsg, LlmpReceiver, Tag};
use rustix::mm::{Advice, madvise};
use shmem_providers::{ShMemProvider as _, StdShMem, StdShMemProvider};

use crate::error::{Result, failed, io};
use crate::figures::Figure;
use crate::transport::{Absence, Place, Plan, Receiver, Sender, Transport};

/// What the messages are tagged with.
const TAG: Tag = Tag(0xdd5);
/// Octets of a page of LLMP.
const PAGE: u64 = 256 << 20;
/// Octets of a page of the system.
const SYSTEM_PAGE: usize = 4096;
/// Octets of a message beside its payload, before it is padded to lines.
const HEADER: u64 = 40;

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Llmp;

fn provider() -> Result<StdShMemProvider> {
    StdShMemProvider::new().map_err(failed("shared memory of LLMP"))
}

/// How much of the first page will be used.
fn used(plan: &Plan) -> usize {
    let message = (HEADER + u64::from(plan.size)).next_multiple_of(64);
    let messages = plan.messages + u64::from(4 * plan.depth) + 64;
    (message * messages).min(PAGE) as usize
}

/// How much is to be made present.
fn to_populate(plan: &Plan) -> Option<usize> {
    (plan.figure != Figure::Memory).then(|| used(plan))
}

/// Makes memory present from the system page of `first` on: the first message is on the first one.
fn populate(first: *const u8, len: usize) -> Result<()> {
    let start = first.map_addr(|address| address / SYSTEM_PAGE * SYSTEM_PAGE);
    // SAFETY: the mapping of a page of LLMP starts here and is longer; populating changes no octet of it.
    unsafe { madvise(start.cast::<c_void>().cast_mut(), len, Advice::LinuxPopulateWrite) }
        .map_err(io("populate a page of LLMP"))
}

impl Transport for Llmp {
    type Sender = LlmpSending;
    type Receiver = LlmpReceiving;

    fn start(_: &Place) -> Result<Self> {
        Ok(Self)
    }

    fn absence(figure: Figure) -> Option<Absence> {
        match figure {
            Figure::Wake => Some(Absence::Cannot("cannot sleep: receivers spin")),
            Figure::Recovery => Some(Absence::Cannot(
                "never waits for readers: unread samples are lost, or the sender panics",
            )),
            _ => None,
        }
    }

    fn sender(&self, plan: &Plan) -> Result<LlmpSending> {
        let mut client =
            LlmpClient::new_p2p(provider()?, ClientId(1)).map_err(failed("LLMP sender"))?;
        for _ in 0..plan.readers {
            // SAFETY: each receiver maps the page before the sender lets go of it: `Ends` waits.
            unsafe { client.mark_safe_to_unmap() };
        }
        Ok(LlmpSending { client, to_populate: to_populate(plan) })
    }

    fn receiver(&self, plan: &Plan, address: &str, _: u32) -> Result<LlmpReceiving> {
        let description: LlmpDescription =
            serde_json::from_str(address).map_err(failed("address of an LLMP page"))?;
        let receiver = LlmpReceiver::on_existing_from_description(provider()?, &description)
            .map_err(failed("LLMP receiver"))?;
        Ok(LlmpReceiving { receiver, to_populate: to_populate(plan) })
    }
}

pub(crate) struct LlmpSending {
    client: LlmpClient<StdShMem, StdShMemProvider>,
    /// Octets, until it is done.
    to_populate: Option<usize>,
}

impl LlmpSending {
    #[inline(always)]
    fn publish(&mut self, len: usize, fill: impl FnOnce(*mut u8)) -> Result<bool> {
        // SAFETY: the message is sent before the next is allocated.
        let message: *mut LlmpMsg =
            unsafe { self.client.alloc_next(len) }.map_err(failed("LLMP alloc_next"))?;
        if let Some(octets) = self.to_populate.take() {
            populate(message.cast(), octets)?;
        }
        // SAFETY: `alloc_next` returned a message of this client with room for `len` octets, which
        // nobody reads before it is sent.
        unsafe {
            (*message).tag = TAG;
            fill((&raw mut (*message).buf).cast());
            self.client.send(message).map_err(failed("LLMP send"))?;
        }
        Ok(true)
    }
}

impl Sender for LlmpSending {
    fn address(&self) -> Result<String> {
        let description = self.client.sender().describe().map_err(failed("LLMP describe"))?;
        serde_json::to_string(&description).map_err(failed("address of an LLMP page"))
    }

    fn is_ready(&mut self, _: u32) -> Result<bool> {
        Ok(true)
    }

    #[inline]
    fn send_untouched(&mut self, len: usize) -> Result<bool> {
        self.publish(len, |_| {})
    }

    #[inline]
    fn send_copy(&mut self, bytes: &[u8]) -> Result<bool> {
        self.publish(bytes.len(), |payload| {
            // SAFETY: there is room for `bytes`, and both do not overlap.
            unsafe { bytes.as_ptr().copy_to_nonoverlapping(payload, bytes.len()) }
        })
    }
}

pub(crate) struct LlmpReceiving {
    receiver: LlmpReceiver<StdShMem, StdShMemProvider>,
    /// Octets, until it is done.
    to_populate: Option<usize>,
}

impl Receiver for LlmpReceiving {
    #[inline]
    fn take<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        let message = self.receiver.recv_buf().map_err(failed("LLMP receive"))?;
        let Some((_, _, payload)) = message else { return Ok(None) };
        if let Some(octets) = self.to_populate.take() {
            populate(payload.as_ptr(), octets)?;
        }
        Ok(Some(read(payload)))
    }

    fn hoard(&mut self) -> Result<usize> {
        Ok(0)
    }
}
