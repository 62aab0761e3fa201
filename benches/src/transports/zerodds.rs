//! ZeroDDS flatdata: a POSIX segment, used through its `SlotBackend`.
//!
//! Reserve, fill in place, `commit_in_place`; find, read in place, `mark_read`. (Its `DataWriter` and
//! `DataReader` copy each sample in and out on top of that, and send it by UDP as well.)

use std::slice;
use std::time::Duration;

use zerodds_flatdata::{PosixSlotAllocator, SlotBackend as _, SlotError};

use crate::error::{Result, failed};
use crate::transport::{Place, Plan, Receiver, Sender, Transport};

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Zerodds {
    place: Place,
}

impl Transport for Zerodds {
    type Sender = ZeroddsSender;
    type Receiver = ZeroddsReceiver;

    fn start(place: &Place) -> Result<Self> {
        Ok(Self { place: place.clone() })
    }

    fn sender(&self, plan: &Plan) -> Result<ZeroddsSender> {
        let flink = self.place.dir.join(format!("{}.zerodds", plan.name));
        let address = flink.to_string_lossy().into_owned();
        // Both sides look through all slots for each sample: no more of them than are needed.
        let slots = plan.depth as usize + 1;
        let segment = PosixSlotAllocator::create(flink, slots, plan.size as usize)
            .map_err(failed("ZeroDDS segment"))?;
        let readers = u32::MAX.checked_shr(u32::BITS - plan.readers).unwrap_or(0);
        Ok(ZeroddsSender { segment, address, readers })
    }

    fn receiver(&self, _: &Plan, address: &str, index: u32) -> Result<ZeroddsReceiver> {
        let segment =
            PosixSlotAllocator::attach(address).map_err(failed("attaching to ZeroDDS"))?;
        let reader = u8::try_from(index).map_err(failed("reader index of ZeroDDS"))?;
        Ok(ZeroddsReceiver { segment, reader })
    }
}

pub(crate) struct ZeroddsSender {
    segment: PosixSlotAllocator,
    address: String,
    /// A bit for each reader.
    readers: u32,
}

impl Sender for ZeroddsSender {
    fn address(&self) -> Result<String> {
        Ok(self.address.clone())
    }

    fn is_ready(&mut self, _: u32) -> Result<bool> {
        Ok(true)
    }

    #[inline]
    fn send_untouched(&mut self, len: usize) -> Result<bool> {
        let slot = match self.segment.reserve_slot(self.readers) {
            Ok(slot) => slot,
            Err(SlotError::NoFreeSlot) => return Ok(false),
            Err(error) => return Err(failed("ZeroDDS reserve_slot")(error)),
        };
        self.segment.slot_data_ptr(slot).map_err(failed("ZeroDDS slot_data_ptr"))?;
        self.segment.commit_in_place(slot, len).map_err(failed("ZeroDDS commit_in_place"))?;
        Ok(true)
    }

    /// The backend's own copy: that spares it a look at the loans.
    #[inline]
    fn send_copy(&mut self, bytes: &[u8]) -> Result<bool> {
        let slot = match self.segment.reserve_slot(self.readers) {
            Ok(slot) => slot,
            Err(SlotError::NoFreeSlot) => return Ok(false),
            Err(error) => return Err(failed("ZeroDDS reserve_slot")(error)),
        };
        self.segment.commit_slot(slot, bytes).map_err(failed("ZeroDDS commit_slot"))?;
        Ok(true)
    }
}

pub(crate) struct ZeroddsReceiver {
    segment: PosixSlotAllocator,
    reader: u8,
}

impl Receiver for ZeroddsReceiver {
    #[inline]
    fn take<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        let next = self.segment.next_unread_slot(self.reader);
        let Some(slot) = next.map_err(failed("ZeroDDS next_unread_slot"))? else { return Ok(None) };
        let (payload, len) =
            self.segment.slot_read_ptr(slot).map_err(failed("ZeroDDS slot_read_ptr"))?;
        // SAFETY: the slot holds a sample that this reader has not marked as read, so that the owner,
        // which counts on this reader, does not reserve it.
        let result = read(unsafe { slice::from_raw_parts(payload, len) });
        self.segment.mark_read(slot, self.reader).map_err(failed("ZeroDDS mark_read"))?;
        Ok(Some(result))
    }

    fn sleep(&mut self, at_most: Duration) -> Result<()> {
        let generation = self.segment.notify_generation();
        let next = self.segment.next_unread_slot(self.reader);
        if next.map_err(failed("ZeroDDS next_unread_slot"))?.is_none() {
            self.segment.wait_for_change(generation, at_most);
        }
        Ok(())
    }

    fn hoard(&mut self) -> Result<usize> {
        // What it has not marked as read is its own.
        self.segment.slot_count().map_err(failed("ZeroDDS slot_count"))
    }
}
