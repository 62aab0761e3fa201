//! The flag that keeps a node's service thread out of a running reserve or commit.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_utils::Backoff;

/// A value that one thread at a time uses, for a few dozen instructions: cheaper than a mutex
/// while nobody else is there, which is nearly always.
#[derive(Debug)]
pub(crate) struct OwnerCell<T> {
    busy: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `busy` gives the value to one thread at a time.
unsafe impl<T: Send> Sync for OwnerCell<T> {}

impl<T> OwnerCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { busy: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    #[inline]
    pub(crate) fn lock(&self) -> OwnerGuard<'_, T> {
        // Acquire and Release on `busy`: what one thread did with the value happens before the
        // next thread's use.
        if self.busy.swap(true, Ordering::Acquire) {
            self.lock_slow();
        }
        OwnerGuard { cell: self, value: PhantomData }
    }

    #[cold]
    fn lock_slow(&self) {
        let backoff = Backoff::new();
        while self.busy.swap(true, Ordering::Acquire) {
            backoff.snooze();
        }
    }
}

pub(crate) struct OwnerGuard<'a, T> {
    cell: &'a OwnerCell<T>,
    /// What it gives out, for `Send` and `Sync`.
    value: PhantomData<&'a mut T>,
}

impl<T> Deref for OwnerGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard has the flag.
        unsafe { &*self.cell.value.get() }
    }
}

impl<T> DerefMut for OwnerGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard has the flag, and is borrowed exclusively.
        unsafe { &mut *self.cell.value.get() }
    }
}

impl<T> Drop for OwnerGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.cell.busy.store(false, Ordering::Release);
    }
}
