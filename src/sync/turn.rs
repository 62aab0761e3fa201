//! Whose turn it is, where one party comes a million times a second and the others hardly ever.
//!
//! ```text
//! regular                             guest (one at a time)
//!   inside = 1                          wait until swap(guest, 1) == 0    (Acquire)
//!   light fence                         heavy fence
//!   guest == 0?  in       (Acquire)     wait until inside == 0            (Acquire)
//!   else inside = 0       (Release)
//!        wait until guest == 0, again
//!   leave: inside = 0     (Release)     leave: guest = 0                  (Release)
//! ```
//!
//! The light fence keeps the compiler from moving the load before the store; the heavy one makes
//! every running thread of the process execute a full fence (`membarrier`). Where there is no such
//! system call both are `fence(SeqCst)`, and the argument is the same.
//!
//! *Never both.* Take the moment at which the heavy fence acts on the regular's thread. If the
//! regular's look at `guest` came before it, so did its store to `inside`, and the guest waits for
//! it. If it comes later it sees what the guest stored before the fence: `guest` = 1, or a 0 that a
//! guest left afterwards, with everything that guest did. What one did is seen by the next: each
//! leaves with a Release of the word that the other reads with Acquire before it is in.
//!
//! *Nobody waits for ever* for a guest that comes again and again: the regular looks for a gap
//! between two guests, but guests are rare, and each stays a moment.

use std::mem;

use super::Ordering;

/// The two words of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TurnWord {
    /// The regular is in, or about to be.
    Inside,
    /// A guest is in, or waits for the regular to leave.
    Guest,
}

/// The words of a turn, and its two fences.
pub trait TurnWords {
    /// Loads a word.
    fn load(&self, word: TurnWord, order: Ordering) -> u64;
    /// Stores a word.
    fn store(&self, word: TurnWord, value: u64, order: Ordering);
    /// Replaces a word and returns what was there.
    fn swap(&self, word: TurnWord, value: u64, order: Ordering) -> u64;
    /// Orders a store before a load of this thread, as the heavy fence of another thread sees it.
    fn light_fence(&self);
    /// A full fence, here and in every running thread of the process.
    fn heavy_fence(&self);
}

/// The regular goes in. `pause` is called while a guest is there.
#[inline(always)]
pub fn enter(words: &impl TurnWords, mut pause: impl FnMut()) {
    while !try_enter(words) {
        words.store(TurnWord::Inside, 0, Ordering::Release);
        while words.load(TurnWord::Guest, Ordering::Relaxed) != 0 {
            pause();
        }
    }
}

#[inline(always)]
fn try_enter(words: &impl TurnWords) -> bool {
    words.store(TurnWord::Inside, 1, Ordering::Relaxed);
    words.light_fence();
    words.load(TurnWord::Guest, Ordering::Acquire) == 0
}

/// The regular leaves.
#[inline(always)]
pub fn leave(words: &impl TurnWords) {
    words.store(TurnWord::Inside, 0, Ordering::Release);
}

/// A guest goes in. `pause` is called while somebody else is there. With `alone`, which whoever is
/// in may decide, there is no regular to wait for.
pub fn enter_as_guest(
    words: &impl TurnWords,
    alone: impl FnOnce() -> bool,
    mut pause: impl FnMut(),
) {
    while words.swap(TurnWord::Guest, 1, Ordering::Acquire) != 0 {
        while words.load(TurnWord::Guest, Ordering::Relaxed) != 0 {
            pause();
        }
    }
    if alone() {
        return;
    }
    // If the fence fails, the turn is not to stay taken.
    let leaving = Leaving(words);
    words.heavy_fence();
    while words.load(TurnWord::Inside, Ordering::Acquire) != 0 {
        pause();
    }
    mem::forget(leaving);
}

/// A guest that leaves when it is dropped.
struct Leaving<'a, W: TurnWords>(&'a W);

impl<W: TurnWords> Drop for Leaving<'_, W> {
    fn drop(&mut self) {
        leave_as_guest(self.0);
    }
}

/// A guest leaves.
pub fn leave_as_guest(words: &impl TurnWords) {
    words.store(TurnWord::Guest, 0, Ordering::Release);
}
