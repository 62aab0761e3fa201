//! How late this machine lets a process run that has slept enough.
//!
//! Promises of time hold on a machine that has time for everybody. A thread that only sleeps, a few
//! milliseconds at a time, sees how far it is from that while something else is measured.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::sync::{Mutex, Once};
use std::thread;
use std::time::{Duration, Instant};

const NAP: Duration = Duration::from_millis(5);
/// Naps that ended later than this are remembered, the last so many of them.
const WORTH_NOTING: Duration = Duration::from_millis(5);
const MOST: usize = 100_000;

/// From when to when something was late.
static STALLS: Mutex<VecDeque<(Instant, Instant)>> = Mutex::new(VecDeque::new());
static START: Once = Once::new();

/// Begins to watch, if nobody has.
pub(crate) fn watch() {
    START.call_once(|| {
        thread::spawn(|| {
            loop {
                let due = Instant::now() + NAP;
                thread::sleep(NAP);
                let now = Instant::now();
                if now.duration_since(due) > WORTH_NOTING {
                    let mut stalls = STALLS.lock().unwrap();
                    stalls.push_back((due, now));
                    if stalls.len() > MOST {
                        stalls.pop_front();
                    }
                }
            }
        });
    });
}

/// How long altogether somebody who had something to do in this time may have had to wait for a
/// processor.
pub(crate) fn between(from: Instant, to: Instant) -> Duration {
    // One that is not over yet is noted when it is.
    thread::sleep(2 * NAP);
    let stalls = STALLS.lock().unwrap();
    let touches = stalls.iter().filter(|(due, end)| *due < to && *end > from);
    touches.map(|(due, end)| *end - *due).sum()
}
