//! Loans by ZeroDDS's handles.

use std::sync::{Mutex, MutexGuard, PoisonError};

use dds_shm::SlotError;
use dds_shm::slots::SlotHandle;
use zerodds_flatdata::{SlotError as ZeroError, SlotHandle as ZeroHandle};

use crate::error::to_zerodds;

/// The loans that are out. ZeroDDS's handle has a segment id, which its own backends ignore: here it
/// tells a loan from an earlier one of the same slot.
#[derive(Debug, Default)]
pub(crate) struct Loans(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    last: u64,
    out: Vec<(ZeroHandle, SlotHandle)>,
}

impl Loans {
    fn book(&self) -> MutexGuard<'_, Book> {
        // Every change is one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn enter(&self, loan: SlotHandle) -> ZeroHandle {
        let mut book = self.book();
        book.last += 1;
        // A slot index has 20 bits.
        let handle = ZeroHandle { segment_id: book.last, slot_index: loan.slot() as u32 };
        book.out.push((handle, loan));
        handle
    }

    /// The loan of a handle; it stays.
    pub(crate) fn get(&self, handle: ZeroHandle) -> Result<SlotHandle, ZeroError> {
        let book = self.book();
        let found = book.out.iter().find(|(known, _)| *known == handle);
        found.map(|(_, loan)| *loan).ok_or(ZeroError::OutOfBounds)
    }

    /// Forgets a loan that was committed or discarded, unless the segment refused and it stays out.
    pub(crate) fn settle<R>(
        &self,
        handle: ZeroHandle,
        result: Result<R, SlotError>,
    ) -> Result<R, ZeroError> {
        let stays = matches!(
            &result,
            Err(SlotError::SampleTooLarge { .. }
                | SlotError::Unsupported { .. }
                | SlotError::Borrowed { .. }
                | SlotError::Forked)
        );
        if !stays {
            self.book().out.retain(|(known, _)| *known != handle);
        }
        result.map_err(to_zerodds)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use dds_shm::{InMemorySlotAllocator, SegmentOptions, SlotBackend as _, TypeHash};

    use super::*;

    #[test]
    fn a_loan_that_the_segment_has_taken_back_is_forgotten() {
        let options = SegmentOptions::new("Topic", "Type", TypeHash::UNKNOWN, 8);
        let segment = InMemorySlotAllocator::create(&options).unwrap();
        let loans = Loans::default();
        let handle = loans.enter(segment.reserve_slot(dds_shm::slots::ReaderSet::ALL).unwrap());
        let too_large = segment.commit_slot(loans.get(handle).unwrap(), &[0; 9]);
        loans.settle(handle, too_large).unwrap_err();
        loans.get(handle).unwrap();
        loans.settle::<()>(handle, Err(SlotError::Poisoned)).unwrap_err();
        assert_eq!(loans.get(handle), Err(ZeroError::OutOfBounds));
    }
}
