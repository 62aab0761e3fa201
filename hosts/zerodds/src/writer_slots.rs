//! An owner's segment behind ZeroDDS's slot trait.

use std::time::Duration;

use dds_shm::slots::{Generation, ReaderIndex, ReaderSet};
use dds_shm::types::SegmentFormat;
use dds_shm::{PosixSlotAllocator, SlotBackend as _, SlotError};
use zerodds_flatdata::{
    ReaderMask, SlotBackend, SlotError as ZeroError, SlotHandle as ZeroHandle, SlotHeader,
};

use crate::error::to_zerodds;
use crate::loans::Loans;
use crate::publication::digest;

/// The segment of a `DataWriter`, for its `set_flat_backend`.
///
/// A segment of format 1 knows its readers: they come and go by themselves, and the mask of active
/// readers says nothing to it. In one of format ZDS2 the mask is who is waited for, and a bit stays
/// until [`mark_reader_disconnected`](SlotBackend::mark_reader_disconnected).
///
/// `reserve_slot` waits as the segment's flow policy says, which ZeroDDS's own backends never do.
/// Reading is the other side's: here it is refused with `OutOfBounds`.
#[derive(Debug)]
pub struct WriterSlots {
    segment: PosixSlotAllocator,
    loans: Loans,
}

impl WriterSlots {
    /// Of a segment that this process owns.
    #[must_use]
    pub fn new(segment: PosixSlotAllocator) -> Self {
        Self { segment, loans: Loans::default() }
    }

    /// The segment.
    #[must_use]
    pub fn segment(&self) -> &PosixSlotAllocator {
        &self.segment
    }

    fn wait_for(&self, mask: ReaderMask) -> Result<(), SlotError> {
        if self.segment.format() == SegmentFormat::ZDS2 {
            for reader in ReaderSet::from_bits(mask.into()).iter() {
                self.segment.add_reader_as(reader)?;
            }
        }
        Ok(())
    }
}

impl SlotBackend for WriterSlots {
    fn reserve_slot(&self, active_readers_mask: ReaderMask) -> Result<ZeroHandle, ZeroError> {
        self.wait_for(active_readers_mask).map_err(to_zerodds)?;
        let loan = self.segment.reserve_slot(ReaderSet::ALL).map_err(to_zerodds)?;
        Ok(self.loans.enter(loan))
    }

    fn commit_slot(&self, handle: ZeroHandle, bytes: &[u8]) -> Result<u32, ZeroError> {
        let committed = self.segment.commit_slot(self.loans.get(handle)?, bytes);
        Ok(self.loans.settle(handle, committed)?.seq as u32)
    }

    fn discard_slot(&self, handle: ZeroHandle) -> Result<(), ZeroError> {
        self.loans.settle(handle, self.segment.discard_slot(self.loans.get(handle)?))
    }

    fn slot_data_ptr(&self, handle: ZeroHandle) -> Result<(*mut u8, usize), ZeroError> {
        // The caller's from here on, until it commits or discards; that is ZeroDDS's contract, which
        // no borrow can express.
        let mut bytes = self.segment.slot_data(self.loans.get(handle)?).map_err(to_zerodds)?;
        Ok((bytes.as_mut_ptr(), bytes.len()))
    }

    fn commit_in_place(&self, handle: ZeroHandle, len: usize) -> Result<u32, ZeroError> {
        let committed = self.segment.commit_in_place(self.loans.get(handle)?, len);
        Ok(self.loans.settle(handle, committed)?.seq as u32)
    }

    fn read_slot(&self, _handle: ZeroHandle) -> Result<(SlotHeader, Vec<u8>), ZeroError> {
        Err(ZeroError::OutOfBounds)
    }

    fn mark_read(&self, _handle: ZeroHandle, _reader_index: u8) -> Result<(), ZeroError> {
        Err(ZeroError::OutOfBounds)
    }

    fn mark_reader_disconnected(&self, reader_index: u8) -> Result<(), ZeroError> {
        let reader = ReaderIndex::new(reader_index.into()).ok_or(ZeroError::OutOfBounds)?;
        self.segment.mark_reader_disconnected(reader).map_err(to_zerodds)
    }

    fn slot_count(&self) -> Result<usize, ZeroError> {
        Ok(self.segment.slot_count())
    }

    fn slot_total_size(&self) -> usize {
        self.segment.slot_total_size()
    }

    fn slot_capacity(&self) -> usize {
        self.segment.slot_capacity()
    }

    fn type_hash(&self) -> Option<[u8; 16]> {
        self.segment.type_hash().and_then(digest)
    }

    fn notify_generation(&self) -> u64 {
        self.segment.generation().0
    }

    fn wait_for_change(&self, last: u64, timeout: Duration) {
        self.segment.wait(Generation(last), timeout);
    }
}
