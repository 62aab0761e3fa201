//! When a participant announces itself (RTPS 2.5, 8.5.3).

use std::time::{Duration, Instant};

/// Announcements that follow each other quickly, for peers that start at the same time.
const FIRST_FEW: u32 = 5;
const FIRST_PERIOD: Duration = Duration::from_secs(1);
/// Every so many announcements readers are reminded of what there is; see
/// [`ReliableWriter::remind`](super::reliable_writer::ReliableWriter::remind).
const REMIND_EVERY: u32 = 10;

/// The schedule of announcements: at once, a few at short distance, then one in each period.
#[derive(Debug)]
pub(crate) struct Announcer {
    period: Duration,
    next: Instant,
    count: u32,
}

impl Announcer {
    pub(crate) fn new(now: Instant, period: Duration) -> Self {
        Self { period, next: now, count: 0 }
    }

    /// When the next announcement is due.
    pub(crate) fn due_at(&self) -> Instant {
        self.next
    }

    /// Takes the announcement that is due, if one is. Those that were slept through are not made up
    /// for.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Announce> {
        if now < self.next {
            return None;
        }
        self.count = self.count.wrapping_add(1);
        let distance =
            if self.count < FIRST_FEW { self.period.min(FIRST_PERIOD) } else { self.period };
        self.next = now + distance;
        Some(Announce { remind: self.count.is_multiple_of(REMIND_EVERY) })
    }
}

/// An announcement that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announce {
    /// Readers are to be reminded with it.
    pub(crate) remind: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_come_quickly_and_then_one_in_each_period() {
        let start = Instant::now();
        let period = Duration::from_secs(3);
        let mut announcer = Announcer::new(start, period);
        let mut distances = Vec::new();
        let mut now = start;
        for _ in 0..7 {
            assert!(announcer.take_due(now).is_some());
            assert!(announcer.take_due(now).is_none());
            distances.push((announcer.due_at() - now).as_secs());
            now = announcer.due_at();
        }
        assert_eq!(distances, [1, 1, 1, 1, 3, 3, 3]);
    }

    #[test]
    fn a_short_period_holds_from_the_start_and_missed_ones_are_not_made_up_for() {
        let start = Instant::now();
        let period = Duration::from_millis(100);
        let mut announcer = Announcer::new(start, period);
        announcer.take_due(start);
        assert_eq!(announcer.due_at(), start + period);
        let late = start + Duration::from_secs(60);
        assert!(announcer.take_due(late).is_some());
        assert_eq!(announcer.due_at(), late + period);
    }
}
