//! A lease: alive until nothing has been heard for its duration.
//!
//! The clock is the caller's. A lease that is not renewed expires at `renewed + duration`, and not a
//! moment earlier; one with an infinite duration never does.

use std::time::{Duration, Instant};

/// A lease that any sign of life renews.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    renewed: Instant,
    /// `None`: infinite, or too far away for the clock to tell.
    duration: Option<Duration>,
}

impl Lease {
    /// A lease granted at `now`; no duration means that it never expires.
    pub fn new(now: Instant, duration: Option<Duration>) -> Self {
        Self { renewed: now, duration }
    }

    /// A sign of life. Instants may come out of order: the latest counts.
    pub fn renew(&mut self, now: Instant) {
        self.renewed = self.renewed.max(now);
    }

    /// Changes the duration, counted from the last sign of life.
    pub fn set_duration(&mut self, duration: Option<Duration>) {
        self.duration = duration;
    }

    /// The length of the lease; `None` if it never expires.
    pub fn duration(&self) -> Option<Duration> {
        self.duration
    }

    /// When the lease expires if nothing more is heard; `None` if never.
    pub fn expires_at(&self) -> Option<Instant> {
        self.renewed.checked_add(self.duration?)
    }

    /// Whether the lease has run out at `now`.
    pub fn is_expired(&self, now: Instant) -> bool {
        self.expires_at().is_some_and(|at| now >= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Option<Duration> = Some(Duration::from_secs(10));

    #[test]
    fn a_lease_expires_exactly_at_its_end() {
        let start = Instant::now();
        let lease = Lease::new(start, TEN);
        assert!(!lease.is_expired(start + Duration::from_millis(9_999)));
        assert!(lease.is_expired(start + Duration::from_secs(10)));
    }

    #[test]
    fn a_sign_of_life_renews_it_and_a_late_one_does_not_shorten_it() {
        let start = Instant::now();
        let mut lease = Lease::new(start, TEN);
        lease.renew(start + Duration::from_secs(5));
        lease.renew(start + Duration::from_secs(2));
        assert_eq!(lease.expires_at(), Some(start + Duration::from_secs(15)));
    }

    #[test]
    fn an_infinite_or_immeasurable_lease_never_expires() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1 << 30);
        assert!(!Lease::new(start, None).is_expired(later));
        assert!(!Lease::new(start, Some(Duration::MAX)).is_expired(later));
    }

    #[test]
    fn a_new_duration_counts_from_the_last_sign_of_life() {
        let start = Instant::now();
        let mut lease = Lease::new(start, TEN);
        lease.renew(start + Duration::from_secs(4));
        lease.set_duration(Some(Duration::from_secs(1)));
        assert_eq!(lease.expires_at(), Some(start + Duration::from_secs(5)));
    }
}
