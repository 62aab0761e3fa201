//! Numbers of the changes of one writer.

use std::fmt;

/// The number of a change among those of one writer: from 1, growing.
///
/// A signed 64-bit number, sent as its high half (signed) and then its low half.
/// RTPS 2.5, 8.3.5.4 and 9.3.2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SequenceNumber(pub i64);

impl SequenceNumber {
    /// SEQUENCENUMBER_UNKNOWN: high half −1, low half 0.
    pub const UNKNOWN: Self = Self(-1 << 32);
    /// Before the first.
    pub const ZERO: Self = Self(0);
    /// A writer's first change.
    pub const FIRST: Self = Self(1);

    /// From the two halves of the wire.
    pub const fn from_halves(high: i32, low: u32) -> Self {
        Self((high as i64) << 32 | low as i64)
    }

    /// The half that is sent first.
    pub const fn high(self) -> i32 {
        (self.0 >> 32) as i32
    }

    /// The half that is sent second.
    pub const fn low(self) -> u32 {
        self.0 as u32
    }

    /// The number of a change can be this: it is 1 or more.
    pub const fn is_valid(self) -> bool {
        self.0 >= 1
    }

    /// The next number; stays where it is at the end of all numbers.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number before; stays where it is at the beginning of all numbers.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl From<i64> for SequenceNumber {
    fn from(value: i64) -> Self {
        Self(value)
    }
}

impl From<SequenceNumber> for i64 {
    fn from(number: SequenceNumber) -> Self {
        number.0
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SequenceNumber({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_make_the_number_again() {
        for value in [0, 1, -1, 0xffff_ffff, 0x1_0000_0000, i64::MAX, i64::MIN] {
            let number = SequenceNumber(value);
            assert_eq!(SequenceNumber::from_halves(number.high(), number.low()), number);
        }
        assert_eq!(SequenceNumber::UNKNOWN.high(), -1);
        assert_eq!(SequenceNumber::UNKNOWN.low(), 0);
    }
}
