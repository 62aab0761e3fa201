//! Loans by ZeroDDS's handles.

use std::sync::{Mutex, MutexGuard, PoisonError};

use dds_shm::slots::SlotHandle;
use zerodds_flatdata::{SlotError as ZeroError, SlotHandle as ZeroHandle};

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

    /// The loan of a handle is none any more.
    pub(crate) fn remove(&self, handle: ZeroHandle) {
        self.book().out.retain(|(known, _)| *known != handle);
    }
}
