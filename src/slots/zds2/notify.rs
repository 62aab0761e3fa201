//! Sleeping and waking in ZDS2: one word for everything, as ZeroDDS does it.
//!
//! ```text
//! who changed something                    who sleeps
//!   generation += 1      (SeqCst)            look: nothing there, generation was g
//!   fence(SeqCst)                            sleepers += 1        (SeqCst)
//!   if sleepers > 0                          fence(SeqCst)
//!     FUTEX_WAKE(generation, all)            FUTEX_WAIT(generation, g)
//!                                            sleepers -= 1        (SeqCst)
//! ```
//!
//! *Nothing is lost*: if the waker's fence is first, the kernel finds the generation changed; else the
//! waker sees the sleeper. *Deaths*: a sleeper that is killed stays counted, and every change costs a
//! system call from then on, for as long as the segment lives; a waker that is killed before it wakes
//! leaves the sleeper to its timeout. The format has no better way.

use std::time::Duration;

use super::Zds2Word;
use crate::liveness::doorbell::FutexWords;
use crate::sync::Ordering;

/// Says that something has changed.
pub fn bump(words: &impl FutexWords<Zds2Word>) {
    words.fetch_add(Zds2Word::Generation, 1, Ordering::SeqCst);
    words.fence(Ordering::SeqCst);
    if words.load(Zds2Word::Sleepers, Ordering::SeqCst) > 0 {
        words.futex_wake_all(Zds2Word::Generation);
    }
}

/// Sleeps once, unless something has changed since the generation was `seen`; may return early.
pub fn sleep(words: &impl FutexWords<Zds2Word>, seen: u32, timeout: Duration) {
    words.fetch_add(Zds2Word::Sleepers, 1, Ordering::SeqCst);
    words.fence(Ordering::SeqCst);
    let _ = words.futex_wait(Zds2Word::Generation, seen, Some(timeout));
    // Minus one, at 32 bits.
    words.fetch_add(Zds2Word::Sleepers, u64::from(u32::MAX), Ordering::SeqCst);
}
