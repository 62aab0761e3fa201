//! Sleeping until another process has something for us: the algorithm, over two shared words.
//!
//! ```text
//! sleeper                                  waker
//!   g = generation      (Acquire)            publish
//!   waiters = 1                              fence(SeqCst)             ... the caller's
//!   fence(SeqCst)                            if waiters != 0           ... relaxed: the usual end
//!   look again: there? then no sleep           (mark what rang)
//!   FUTEX_WAIT(generation, g)                  if swap(waiters, 0) != 0
//!                                                generation += 1       (Release)
//!                                                FUTEX_WAKE(generation, all)
//! ```
//!
//! *Nothing is lost.* The two fences are in one order. If the sleeper's is first, the waker sees its
//! `waiters`; else the sleeper sees what was published. A waker that sees `waiters` either takes it,
//! and then changes the generation and wakes; or finds that another took it after our sleeper set
//! it, who then does so. The generation changes *after* `waiters` is taken: a sleeper that reads the
//! new generation sets `waiters` later than that (its Acquire load, the Release of the change), so
//! its flag is still there; one that read the old one is in the queue and is woken, or finds the word
//! changed.
//!
//! *Several sleepers* may share a bell: all set the one flag, and all are woken. Nobody but a waker
//! clears the flag, or one sleeper would clear another's; a flag that is left set costs the next
//! publish one system call.
//!
//! *Deaths.* A sleeper that is killed leaves the flag, at the same price. A waker that is killed
//! between taking the flag and waking leaves the sleeper asleep: so every sleep is cut short after a
//! while ([`wait`]'s `slice`), to look again.

use std::time::{Duration, Instant};

use crate::shm::futex::FutexWait;
use crate::sync::{Ordering, Words};

/// Shared words on which one can sleep.
pub trait FutexWords<W: Copy>: Words<W> {
    /// Sleeps while the (32-bit) word is `expected`, until [`futex_wake_all`](Self::futex_wake_all) or
    /// the timeout; may return early.
    fn futex_wait(&self, word: W, expected: u32, timeout: Option<Duration>) -> FutexWait;
    /// Wakes everybody who sleeps on the word.
    fn futex_wake_all(&self, word: W);
}

/// Which two words make a bell.
#[derive(Clone, Copy, Debug)]
pub struct Doorbell<W> {
    /// The futex word: changes with every ring that wakes.
    pub generation: W,
    /// Whether somebody sleeps: set by sleepers, taken by wakers.
    pub waiters: W,
}

/// How one sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slept {
    /// What was waited for is there.
    Ready,
    /// Somebody rang, or something looked like it: look again.
    Woken,
    /// The time is up.
    TimedOut,
}

/// Whether somebody sleeps who must be rung: one relaxed load.
///
/// Means something only after a `fence(SeqCst)` that comes after what was published; one fence
/// serves any number of bells.
#[inline]
pub fn is_awaited<W: Copy>(words: &impl Words<W>, bell: Doorbell<W>) -> bool {
    words.load(bell.waiters, Ordering::Relaxed) != 0
}

/// Rings: wakes everybody who sleeps on the bell, if somebody does; says whether it did.
///
/// The caller has published and then executed a `fence(SeqCst)`. `mark` is called if somebody sleeps,
/// before the waking, to leave word of what rang.
pub fn ring<W: Copy>(words: &impl FutexWords<W>, bell: Doorbell<W>, mark: impl FnOnce()) -> bool {
    if !is_awaited(words, bell) {
        return false;
    }
    mark();
    // Release: the mark comes first for whoever sees the flag gone. Acquire: the change below stays
    // behind it.
    if words.swap(bell.waiters, 0, Ordering::AcqRel) == 0 {
        return false;
    }
    words.fetch_add(bell.generation, 1, Ordering::AcqRel);
    words.futex_wake_all(bell.generation);
    true
}

/// Announces a sleep, looks again, and sleeps once.
pub fn sleep_once<W: Copy>(
    words: &impl FutexWords<W>,
    bell: Doorbell<W>,
    timeout: Option<Duration>,
    ready: &mut impl FnMut() -> bool,
) -> Slept {
    // Acquire: see the head of the file. The word has 32 bits.
    let generation = words.load(bell.generation, Ordering::Acquire) as u32;
    words.store(bell.waiters, 1, Ordering::Relaxed);
    words.fence(Ordering::SeqCst);
    if ready() {
        return Slept::Ready;
    }
    match words.futex_wait(bell.generation, generation, timeout) {
        FutexWait::TimedOut => Slept::TimedOut,
        FutexWait::Woken | FutexWait::Changed | FutexWait::Interrupted => Slept::Woken,
    }
}

/// Sleeps until `ready` says so, or for `timeout`; says whether it was ready.
///
/// `ready` is called at once, after every ring, at least once per `slice` (in case that whoever
/// should ring has died), and once more at the end. It can be called when nothing has happened.
pub fn wait<W: Copy>(
    words: &impl FutexWords<W>,
    bell: Doorbell<W>,
    timeout: Duration,
    slice: Duration,
    mut ready: impl FnMut() -> bool,
) -> bool {
    if ready() {
        return true;
    }
    let start = Instant::now();
    loop {
        let left = timeout.saturating_sub(start.elapsed());
        if left.is_zero() {
            return ready();
        }
        match sleep_once(words, bell, Some(left.min(slice)), &mut ready) {
            Slept::Ready => return true,
            // Before the next sleep is announced, which who rings would take for one.
            Slept::Woken if ready() => return true,
            Slept::Woken | Slept::TimedOut => {}
        }
    }
}
