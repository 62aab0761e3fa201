//! Times of short things, by the processor's counter: one reading of it each.

use dds_shm::shm::{monotonic_ns, ticks};

/// Takes the times of things that come one behind the other.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    taken: Vec<u64>,
    started: (u64, u64),
    last: u64,
}

impl Stopwatch {
    /// Room for `count` times is taken now.
    pub(crate) fn new(count: u64) -> Self {
        // Written, so that its pages are there.
        let mut taken = vec![1; count as usize];
        taken.clear();
        let now = ticks();
        Self { taken, started: (now, monotonic_ns()), last: now }
    }

    /// Something begins.
    #[inline(always)]
    pub(crate) fn start(&mut self) {
        self.last = ticks();
    }

    /// It ends, and the next begins.
    #[inline(always)]
    pub(crate) fn lap(&mut self) {
        let now = ticks();
        self.taken.push(now.wrapping_sub(self.last));
        self.last = now;
    }

    /// All times, in nanoseconds.
    pub(crate) fn finish(self) -> Vec<f64> {
        let ticks_taken = ticks().wrapping_sub(self.started.0).max(1);
        let ns_taken = monotonic_ns().saturating_sub(self.started.1).max(1);
        let ns_per_tick = ns_taken as f64 / ticks_taken as f64;
        self.taken.iter().map(|taken| *taken as f64 * ns_per_tick).collect()
    }
}
