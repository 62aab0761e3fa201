//! The loans that are out, for [`SlotBackend`](super::SlotBackend)s: which handle is a live one.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::backend::{LoanBytes, SlotHandle};
use super::segment_owner::Reserved;
use super::{Incarnation, SlotError};

/// Bit 63 of a handle's number: it is a loan's.
pub(super) const TICKET: u64 = 1 << 63;

/// The loans of one segment that are out.
#[derive(Debug)]
pub(crate) struct Tickets {
    incarnation: Incarnation,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
pub(super) struct Book {
    /// Counts every loan there ever was: no number is given twice.
    last: u64,
    out: Vec<Ticket>,
}

#[derive(Debug)]
struct Ticket {
    number: u64,
    reserved: Reserved,
    /// A [`LoanBytes`] of it is out.
    borrowed: bool,
}

// SAFETY: the payload pointer of a loan leads into memory that any thread may use.
unsafe impl Send for Ticket {}

impl Tickets {
    pub(crate) fn new(incarnation: Incarnation) -> Self {
        Self { incarnation, book: Mutex::default() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Every change is one step.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives out a slot that was reserved.
    pub(crate) fn issue(&self, reserved: Reserved) -> SlotHandle {
        let mut book = self.book();
        book.last += 1;
        let number = book.last | TICKET;
        book.out.push(Ticket { number, reserved, borrowed: false });
        SlotHandle { incarnation: self.incarnation, slot: reserved.slot, number }
    }

    /// Takes a loan back, to be published or discarded.
    ///
    /// # Errors
    /// [`SlotError::StaleHandle`] for anything but a live loan, [`SlotError::Borrowed`].
    pub(crate) fn take(&self, handle: SlotHandle) -> Result<Reserved, SlotError> {
        let mut book = self.book();
        let at = self.find(&book, handle)?;
        if book.out[at].borrowed {
            return Err(SlotError::Borrowed { slot: handle.slot() });
        }
        Ok(book.out.swap_remove(at).reserved)
    }

    /// Whether [`take`](Self::take) would give it.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(crate) fn check(&self, handle: SlotHandle) -> Result<(), SlotError> {
        let book = self.book();
        match book.out[self.find(&book, handle)?].borrowed {
            true => Err(SlotError::Borrowed { slot: handle.slot() }),
            false => Ok(()),
        }
    }

    /// The payload of a loan, `len` octets, for one user at a time.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(crate) fn lend(&self, handle: SlotHandle, len: usize) -> Result<LoanBytes<'_>, SlotError> {
        let mut book = self.book();
        let at = self.find(&book, handle)?;
        let ticket = &mut book.out[at];
        if std::mem::replace(&mut ticket.borrowed, true) {
            return Err(SlotError::Borrowed { slot: handle.slot() });
        }
        let (payload, number) = (ticket.reserved.payload, ticket.number);
        Ok(LoanBytes { payload, len, number, tickets: self })
    }

    /// What [`lend`](Self::lend) gave is not used any more.
    pub(super) fn give_back(&self, number: u64) {
        let mut book = self.book();
        if let Some(ticket) = book.out.iter_mut().find(|ticket| ticket.number == number) {
            ticket.borrowed = false;
        }
    }

    /// All that are out: they are none any more.
    pub(crate) fn drain(&self) -> Vec<Reserved> {
        let out = std::mem::take(&mut self.book().out);
        out.into_iter().map(|ticket| ticket.reserved).collect()
    }

    fn find(&self, book: &Book, handle: SlotHandle) -> Result<usize, SlotError> {
        let here = handle.incarnation == self.incarnation;
        (book.out.iter())
            .position(|ticket| {
                here && ticket.number == handle.number && ticket.reserved.slot == handle.slot
            })
            .ok_or_else(|| handle.stale())
    }
}
