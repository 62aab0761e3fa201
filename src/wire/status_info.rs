//! What a change says about its instance.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// Whether a change disposes or unregisters its instance, or was filtered.
///
/// Four octets on the wire, in the order of the value's big-endian form whatever the byte order of
/// the list around it. RTPS 2.5, 9.6.4.9 (9.6.3.9 in 2.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct StatusInfo(pub u32);

impl StatusInfo {
    /// An ordinary change of value.
    pub const NONE: Self = Self(0);
    /// The instance is no more.
    pub const DISPOSED: Self = Self(1);
    /// The writer no longer writes this instance.
    pub const UNREGISTERED: Self = Self(2);
    /// The change did not pass the writer's filter.
    pub const FILTERED: Self = Self(4);

    /// Whether the instance is no more.
    pub const fn is_disposed(self) -> bool {
        self.contains(Self::DISPOSED)
    }

    /// Whether the writer no longer writes this instance.
    pub const fn is_unregistered(self) -> bool {
        self.contains(Self::UNREGISTERED)
    }

    /// Whether everything in `other` is in this.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// From its four octets.
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(bytes))
    }

    /// Its four octets.
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

impl BitOr for StatusInfo {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for StatusInfo {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for StatusInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StatusInfo({:#x})", self.0)
    }
}
