//! How long round trips took.

use dds_shm::shm::{monotonic_ns, ticks};
use hdrhistogram::Histogram;

use super::CliError;

/// Takes the time of round trips, one reading of the processor's counter each.
#[derive(Debug)]
pub(super) struct RoundTrips {
    taken: Vec<u64>,
    started: (u64, u64),
    last: u64,
}

impl RoundTrips {
    /// Starts the clock. Room for `count` round trips is taken now.
    pub(super) fn start(count: usize) -> Self {
        // Written, so that its pages are there.
        let mut taken = vec![1; count];
        taken.clear();
        let now = ticks();
        Self { taken, started: (now, monotonic_ns()), last: now }
    }

    /// A round trip ended, and the next begins.
    #[inline(always)]
    pub(super) fn lap(&mut self) {
        let now = ticks();
        self.taken.push(now.wrapping_sub(self.last));
        self.last = now;
    }

    /// Stops the clock. The first `warm_up` round trips do not count.
    pub(super) fn stop(self, warm_up: usize) -> Result<OneWay, CliError> {
        let ticks_taken = ticks().wrapping_sub(self.started.0).max(1);
        let ns_taken = monotonic_ns().saturating_sub(self.started.1).max(1);
        let ns_per_tick = ns_taken as f64 / ticks_taken as f64;
        // Tenths of nanoseconds up to 100 s, three digits.
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 1_000_000_000_000, 3)
            .map_err(|error| CliError::Usage(error.to_string()))?;
        for taken in self.taken.iter().skip(warm_up) {
            histogram.saturating_record((*taken as f64 * ns_per_tick * 10.0).round() as u64);
        }
        let half = |quantile| histogram.value_at_quantile(quantile) as f64 / 20.0;
        Ok(OneWay { p50: half(0.5), p99: half(0.99) })
    }
}

/// Half of a round trip, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OneWay {
    pub(super) p50: f64,
    pub(super) p99: f64,
}
