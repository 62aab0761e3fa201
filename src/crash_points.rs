//! Numbered points at which a test can have this process killed: in front of every step that others
//! can see.
//!
//! Steps are stores to shared memory, wakes, and names that come, change and go in the file system. A
//! process that dies in front of each of them in turn leaves behind every state that a death at any
//! moment can leave. Points are numbered in the order in which they are passed, so a test that wants
//! all of them kills at 1, 2, 3 and so on, until the operation ends before it is killed.
//!
//! Without the feature `crash-points`, which the tests of this package turn on for themselves, the
//! macro is nothing and this file is not compiled.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Whose points count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Threads {
    /// Those that the thread passes which arms them.
    This = 1,
    /// Those that all others pass: a service thread.
    Others = 2,
    /// All.
    All = 3,
}

const NONE: u8 = 0;

static COUNTED: AtomicU8 = AtomicU8::new(NONE);
static PASSED: AtomicU64 = AtomicU64::new(0);
static FATAL: AtomicU64 = AtomicU64::new(0);
static LAST_WORDS: Mutex<fn(&dyn Debug)> = Mutex::new(|_| {});

thread_local! {
    static HAS_ARMED: Cell<bool> = const { Cell::new(false) };
}

/// From here on the `fatal`th point that one of these `threads` passes is its process's last; with 0
/// they are only counted. `last_words` is told in front of what.
pub fn arm(fatal: u64, threads: Threads, last_words: fn(&dyn Debug)) {
    COUNTED.store(NONE, Ordering::Relaxed);
    *LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner) = last_words;
    HAS_ARMED.set(true);
    PASSED.store(0, Ordering::Relaxed);
    FATAL.store(fatal, Ordering::Relaxed);
    // Release: who counts counts from these values.
    COUNTED.store(threads as u8, Ordering::Release);
}

/// Counts no more; returns how many points were passed.
pub fn disarm() -> u64 {
    COUNTED.store(NONE, Ordering::Relaxed);
    HAS_ARMED.set(false);
    PASSED.load(Ordering::Relaxed)
}

/// A point. Tests have their own, too: half-way through a payload, behind an operation's last step.
#[inline]
pub fn pass(at: &dyn Debug) {
    if COUNTED.load(Ordering::Relaxed) != NONE {
        count(at);
    }
}

#[cold]
fn count(at: &dyn Debug) {
    let wanted = match COUNTED.load(Ordering::Acquire) {
        this if this == Threads::This as u8 => HAS_ARMED.get(),
        others if others == Threads::Others as u8 => !HAS_ARMED.get(),
        all => all == Threads::All as u8,
    };
    if wanted && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == FATAL.load(Ordering::Relaxed) {
        (*LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner))(at);
        let _ = kill(Pid::this(), Signal::SIGKILL);
        // A signal that a process sends to itself is there before the call returns; this is for the
        // compiler.
        std::process::abort();
    }
}

/// See [`crash_points`](self).
macro_rules! crash_point {
    ($at:expr) => {
        $crate::crash_points::pass(&$at)
    };
}
