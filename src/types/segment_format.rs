//! Which format a segment has.

use std::fmt;

/// The format of a segment, as locators name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentFormat(pub u8);

impl SegmentFormat {
    /// The project's own format, major version 1.
    pub const V1: Self = Self(1);
    /// ZeroDDS's single-object segments.
    pub const ZDS2: Self = Self(0x80);
}

impl fmt::Display for SegmentFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ZDS2 => f.write_str("ZDS2"),
            Self(number) => write!(f, "{number}"),
        }
    }
}
