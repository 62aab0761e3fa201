//! The two clocks, as plain numbers of nanoseconds.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since 1970 on the system's clock, as DDS source timestamps count them; negative
/// before that, and cut at the ends of the range (year 2262).
#[must_use]
pub fn realtime_ns() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

/// Nanoseconds on the monotonic clock, which is the same for all processes of a host; 0 if it
/// cannot be read.
#[must_use]
pub fn monotonic_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        seconds * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_move_forward() {
        let before = monotonic_ns();
        assert!(monotonic_ns() >= before && before > 0);
        assert!(realtime_ns() > 1_600_000_000_000_000_000);
    }
}
