//! The owner's private half of a segment: for the writer's thread, and now and then for others.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, compiler_fence, fence};
use std::thread;
use std::time::Duration;

use crossbeam_utils::Backoff;

use crate::shm::Membarrier;
use crate::sync::turn::{self, TurnWord, TurnWords};

/// How long a thread sleeps that has waited for its turn for longer than is usual.
const NAP: Duration = Duration::from_micros(20);

/// A value that one thread at a time uses, for a few dozen instructions.
///
/// The writer's thread, which shows its [`WriterSide`], comes in by plain stores: an atomic exchange
/// there would wait until the payload that was just written has left the processor, a tenth of what
/// a sample takes. The others pay for it, see [`turn`].
#[derive(Debug)]
pub(crate) struct OwnerCell<T> {
    turn: Turn,
    /// Whether there is a [`WriterSide`]. Changed by guests only.
    has_writer: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the turn gives the value to one thread at a time.
unsafe impl<T: Send> Sync for OwnerCell<T> {}

/// The right to come in as the writer's thread. `Send`, not `Sync`: one thread at a time.
#[derive(Debug)]
pub(crate) struct WriterSide(PhantomData<std::cell::Cell<()>>);

#[derive(Debug)]
struct Turn {
    inside: AtomicU64,
    guest: AtomicU64,
    membarrier: Option<Membarrier>,
}

impl<T> OwnerCell<T> {
    pub(crate) fn new(value: T) -> Self {
        let membarrier = Membarrier::register();
        Self {
            turn: Turn { inside: AtomicU64::new(0), guest: AtomicU64::new(0), membarrier },
            has_writer: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// The writer's side, if nobody has it.
    pub(crate) fn writer_side(&self) -> Option<WriterSide> {
        let _guest = self.lock();
        (!self.has_writer.swap(true, Ordering::Relaxed)).then_some(WriterSide(PhantomData))
    }

    /// Gives the writer's side back.
    pub(crate) fn give_back(&self, _side: WriterSide) {
        let _guest = self.lock();
        self.has_writer.store(false, Ordering::Relaxed);
    }

    /// For the writer's thread, with the side it got from this cell; for any thread without.
    #[inline(always)]
    pub(crate) fn lock_from<'a>(&'a self, side: Option<&'a WriterSide>) -> OwnerGuard<'a, T> {
        let Some(_) = side else { return self.lock() };
        debug_assert_eq!(self.turn.inside.load(Ordering::Relaxed), 0, "one guard at a time");
        let backoff = Backoff::new();
        turn::enter(&self.turn, || pause(&backoff));
        OwnerGuard { cell: self, guest: false, value: PhantomData }
    }

    /// For any thread.
    #[cold]
    pub(crate) fn lock(&self) -> OwnerGuard<'_, T> {
        let backoff = Backoff::new();
        let alone = || !self.has_writer.load(Ordering::Relaxed);
        turn::enter_as_guest(&self.turn, alone, || pause(&backoff));
        OwnerGuard { cell: self, guest: true, value: PhantomData }
    }
}

/// Whoever is in stays for some dozens of instructions, or was interrupted there; and if it has the
/// lower real-time priority, it goes on only when this thread sleeps.
#[cold]
fn pause(backoff: &Backoff) {
    if backoff.is_completed() {
        thread::sleep(NAP);
    } else {
        backoff.snooze();
    }
}

#[derive(Debug)]
pub(crate) struct OwnerGuard<'a, T> {
    cell: &'a OwnerCell<T>,
    guest: bool,
    /// What it gives out; and it stays in its thread, as its side does.
    value: PhantomData<(&'a mut T, *const ())>,
}

impl<T> Deref for OwnerGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: it is this guard's turn.
        unsafe { &*self.cell.value.get() }
    }
}

impl<T> DerefMut for OwnerGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: it is this guard's turn, and it is borrowed exclusively.
        unsafe { &mut *self.cell.value.get() }
    }
}

impl<T> Drop for OwnerGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.guest {
            turn::leave_as_guest(&self.cell.turn);
        } else {
            turn::leave(&self.cell.turn);
        }
    }
}

impl Turn {
    #[inline(always)]
    fn word(&self, word: TurnWord) -> &AtomicU64 {
        match word {
            TurnWord::Inside => &self.inside,
            TurnWord::Guest => &self.guest,
        }
    }
}

impl TurnWords for Turn {
    #[inline(always)]
    fn load(&self, word: TurnWord, order: Ordering) -> u64 {
        self.word(word).load(order)
    }

    #[inline(always)]
    fn store(&self, word: TurnWord, value: u64, order: Ordering) {
        self.word(word).store(value, order);
    }

    #[inline(always)]
    fn swap(&self, word: TurnWord, value: u64, order: Ordering) -> u64 {
        self.word(word).swap(value, order)
    }

    #[inline(always)]
    fn light_fence(&self) {
        if self.membarrier.is_some() {
            compiler_fence(Ordering::SeqCst);
        } else {
            fence(Ordering::SeqCst);
        }
    }

    fn heavy_fence(&self) {
        match self.membarrier {
            Some(membarrier) => membarrier.fence_all(),
            None => fence(Ordering::SeqCst),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const TIMES: u64 = if cfg!(miri) { 100 } else { 200_000 };

    #[test]
    fn the_writer_and_guests_take_turns() {
        let cell = OwnerCell::new(0);
        let side = cell.writer_side().unwrap();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..TIMES / 100).for_each(|_| *cell.lock() += 1));
            }
            (0..TIMES).for_each(|_| *cell.lock_from(Some(&side)) += 1);
        });
        assert_eq!(*cell.lock(), TIMES + 2 * (TIMES / 100));
    }

    #[test]
    fn there_is_one_writer_side() {
        let cell = OwnerCell::new(());
        let side = cell.writer_side().unwrap();
        assert!(cell.writer_side().is_none());
        cell.give_back(side);
        assert!(cell.writer_side().is_some());
    }
}
