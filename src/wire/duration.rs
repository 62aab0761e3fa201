//! Spans of time on the wire.

use std::fmt;
use std::time::Duration as StdDuration;

use super::fraction;

/// A span of time: seconds, and a fraction in units of 2⁻³² s.
///
/// Everything with `seconds` at its maximum is [`Duration::INFINITE`], whatever the fraction:
/// implementations that count nanoseconds write 0x7fffffff there. RTPS 2.5, 9.3.2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Duration {
    seconds: i32,
    fraction: u32,
}

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self { seconds: 0, fraction: 0 };
    /// For ever.
    pub const INFINITE: Self = Self { seconds: i32::MAX, fraction: u32::MAX };

    /// From what is on the wire; `seconds` of [`i32::MAX`] is infinite with any fraction.
    pub const fn new(seconds: i32, fraction: u32) -> Self {
        if seconds == i32::MAX { Self::INFINITE } else { Self { seconds, fraction } }
    }

    /// So many seconds.
    pub const fn from_secs(seconds: i32) -> Self {
        Self::new(seconds, 0)
    }

    /// So many milliseconds.
    pub fn from_millis(milliseconds: u64) -> Self {
        StdDuration::from_millis(milliseconds).into()
    }

    /// Whole seconds, rounded down.
    pub const fn seconds(self) -> i32 {
        self.seconds
    }

    /// What is beyond the whole seconds, in units of 2⁻³² s.
    pub const fn fraction(self) -> u32 {
        self.fraction
    }

    /// Whether this never ends.
    pub const fn is_infinite(self) -> bool {
        self.seconds == i32::MAX
    }

    /// The same span as the standard library counts it, to the nanosecond; `None` if it is
    /// infinite. A negative span, which nobody means, is zero.
    pub fn to_std(self) -> Option<StdDuration> {
        if self.is_infinite() {
            return None;
        }
        Some(match u64::try_from(self.seconds) {
            Ok(seconds) => {
                StdDuration::from_secs(seconds)
                    + StdDuration::from_nanos(fraction::to_nanos(self.fraction))
            }
            Err(_) => StdDuration::ZERO,
        })
    }
}

impl From<StdDuration> for Duration {
    /// Rounds down to the unit of 2⁻³² s; what is too long to be sent is infinite.
    fn from(span: StdDuration) -> Self {
        match i32::try_from(span.as_secs()) {
            Ok(seconds) => Self::new(seconds, fraction::from_nanos(span.subsec_nanos())),
            Err(_) => Self::INFINITE,
        }
    }
}

impl From<Option<StdDuration>> for Duration {
    /// `None` is infinite: the inverse of [`Duration::to_std`].
    fn from(span: Option<StdDuration>) -> Self {
        span.map_or(Self::INFINITE, Self::from)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_std() {
            Some(span) => write!(f, "{span:?}"),
            None => f.write_str("infinite"),
        }
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Duration({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hundred_milliseconds_are_what_other_implementations_send() {
        let span = Duration::from_millis(100);
        assert_eq!((span.seconds(), span.fraction()), (0, 0x1999_9999));
        assert_eq!(span.to_std(), Some(StdDuration::from_millis(100)));
    }

    #[test]
    fn infinity_has_one_form() {
        assert_eq!(Duration::new(i32::MAX, 0x7fff_ffff), Duration::INFINITE);
        assert_eq!(Duration::from(StdDuration::MAX), Duration::INFINITE);
        assert_eq!(Duration::INFINITE.to_std(), None);
        assert!(Duration::from_secs(i32::MAX - 1) < Duration::INFINITE);
    }

    proptest! {
        #[test]
        fn nanoseconds_survive_the_wire(seconds in 0..i32::MAX as u64, nanos in 0..1_000_000_000u32) {
            let span = StdDuration::new(seconds, nanos);
            prop_assert_eq!(Duration::from(span).to_std(), Some(span));
        }

        #[test]
        fn no_span_of_the_wire_overflows(seconds: i32, fraction: u32) {
            let _ = Duration::new(seconds, fraction).to_std();
        }
    }
}
