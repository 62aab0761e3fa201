//! Points in time on the wire.

use std::fmt;
use std::time::{Duration as StdDuration, SystemTime, UNIX_EPOCH};

use super::fraction;

/// A point in time: seconds since 1970-01-01 UTC, and a fraction in units of 2⁻³² s.
///
/// RTPS 2.5, 9.3.2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Time {
    /// Whole seconds since the epoch.
    pub seconds: u32,
    /// The rest, in units of 2⁻³² s.
    pub fraction: u32,
}

impl Time {
    /// The epoch.
    pub const ZERO: Self = Self { seconds: 0, fraction: 0 };
    /// No time: TIME_INVALID.
    pub const INVALID: Self = Self { seconds: u32::MAX, fraction: u32::MAX };
    /// Never: TIME_INFINITE.
    pub const INFINITE: Self = Self { seconds: u32::MAX, fraction: u32::MAX - 1 };

    /// Nanoseconds since the epoch; `None` for [`Time::INVALID`] and [`Time::INFINITE`].
    pub fn to_unix_nanos(self) -> Option<i64> {
        if self == Self::INVALID || self == Self::INFINITE {
            return None;
        }
        // 2³² s are 4.3e18 ns: no overflow.
        Some(i64::from(self.seconds) * 1_000_000_000 + fraction::to_nanos(self.fraction) as i64)
    }

    /// From nanoseconds since the epoch; `None` if it cannot be sent (before 1970, or after 2106).
    pub fn from_unix_nanos(nanos: i64) -> Option<Self> {
        let seconds = u32::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
        let nanos = nanos.rem_euclid(1_000_000_000) as u32;
        Some(Self { seconds, fraction: fraction::from_nanos(nanos) })
    }

    /// The same point as the standard library counts it; `None` for [`Time::INVALID`] and
    /// [`Time::INFINITE`].
    pub fn to_system_time(self) -> Option<SystemTime> {
        let nanos = u64::try_from(self.to_unix_nanos()?).ok()?;
        UNIX_EPOCH.checked_add(StdDuration::from_nanos(nanos))
    }

    /// From what the standard library counts; `None` if it cannot be sent (before 1970, or after
    /// 2106).
    pub fn from_system_time(time: SystemTime) -> Option<Self> {
        let span = time.duration_since(UNIX_EPOCH).ok()?;
        let seconds = u32::try_from(span.as_secs()).ok()?;
        Some(Self { seconds, fraction: fraction::from_nanos(span.subsec_nanos()) })
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::INVALID => f.write_str("Time(invalid)"),
            Self::INFINITE => f.write_str("Time(infinite)"),
            Self { seconds, fraction } => {
                write!(f, "Time({seconds} s + {} ns)", fraction::to_nanos(fraction))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_time_has_no_nanoseconds() {
        assert_eq!(Time::INVALID.to_unix_nanos(), None);
        assert_eq!(Time::INFINITE.to_system_time(), None);
        assert_eq!(Time::from_unix_nanos(-1), None);
    }

    proptest! {
        #[test]
        fn nanoseconds_survive_the_wire(nanos in 0..=i64::from(u32::MAX) * 1_000_000_000) {
            let time = Time::from_unix_nanos(nanos).unwrap();
            prop_assert_eq!(time.to_unix_nanos(), Some(nanos));
            prop_assert_eq!(Time::from_system_time(time.to_system_time().unwrap()), Some(time));
        }
    }
}
