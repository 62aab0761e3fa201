//! The version of RTPS that a sender speaks.

use std::fmt;

/// Major and minor version of the RTPS protocol, one octet each on the wire.
///
/// A greater major version makes a message unreadable, a greater minor one does not.
/// RTPS 2.5, 8.3.3.1.2 and 8.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProtocolVersion {
    /// Incompatible change.
    pub major: u8,
    /// Compatible change.
    pub minor: u8,
}

impl ProtocolVersion {
    /// RTPS 2.4.
    pub const V2_4: Self = Self { major: 2, minor: 4 };
    /// RTPS 2.5: what this crate implements and sends.
    pub const V2_5: Self = Self { major: 2, minor: 5 };

    /// Whether messages of this version can be read by this crate.
    pub fn is_readable(self) -> bool {
        self.major == Self::V2_5.major
    }

    /// From its two octets.
    pub const fn from_bytes(bytes: [u8; 2]) -> Self {
        Self { major: bytes[0], minor: bytes[1] }
    }

    /// Its two octets.
    pub const fn to_bytes(self) -> [u8; 2] {
        [self.major, self.minor]
    }
}

impl Default for ProtocolVersion {
    fn default() -> Self {
        Self::V2_5
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
