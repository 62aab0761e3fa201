//! Which builtin endpoints a participant has.

use std::fmt;
use std::ops::BitOr;

/// A bit for each builtin endpoint that a participant has. RTPS 2.5, 8.5.3.2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BuiltinEndpointSet(pub u32);

impl BuiltinEndpointSet {
    /// Announces itself (SPDP).
    pub const PARTICIPANT_ANNOUNCER: Self = Self(1 << 0);
    /// Hears of participants (SPDP).
    pub const PARTICIPANT_DETECTOR: Self = Self(1 << 1);
    /// Announces its writers (SEDP).
    pub const PUBLICATIONS_ANNOUNCER: Self = Self(1 << 2);
    /// Hears of writers (SEDP).
    pub const PUBLICATIONS_DETECTOR: Self = Self(1 << 3);
    /// Announces its readers (SEDP).
    pub const SUBSCRIPTIONS_ANNOUNCER: Self = Self(1 << 4);
    /// Hears of readers (SEDP).
    pub const SUBSCRIPTIONS_DETECTOR: Self = Self(1 << 5);
    /// Asserts the liveliness of its writers.
    pub const PARTICIPANT_MESSAGE_WRITER: Self = Self(1 << 10);
    /// Hears of the liveliness of writers.
    pub const PARTICIPANT_MESSAGE_READER: Self = Self(1 << 11);
    /// SPDP, SEDP and writer liveliness, both ways.
    pub const SPDP_SEDP_WLP: Self = Self(0x0000_0c3f);

    /// Whether everything in `other` is in this.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for BuiltinEndpointSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for BuiltinEndpointSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuiltinEndpointSet({:#010x})", self.0)
    }
}
