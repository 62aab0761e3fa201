//! Which instance of a keyed topic a sample is about.

use std::fmt;

use super::Guid;

/// 16 octets that name an instance of a keyed topic.
///
/// The big-endian CDR of the key members, zero-padded, if it never exceeds 16 octets for the type;
/// else the MD5 of it. RTPS 2.5, 9.6.4.8 (9.6.3.8 in 2.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct KeyHash(pub [u8; 16]);

/// What DDS calls an instance's handle; here always its key hash.
pub type InstanceHandle = KeyHash;

impl KeyHash {
    /// HANDLE_NIL; also the only instance of a topic without key.
    pub const NIL: Self = Self([0; 16]);
}

impl From<[u8; 16]> for KeyHash {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl From<Guid> for KeyHash {
    /// The key of discovery data is a GUID, and its hash that GUID's octets.
    fn from(guid: Guid) -> Self {
        Self(guid.to_bytes())
    }
}

impl From<KeyHash> for Guid {
    fn from(hash: KeyHash) -> Self {
        Self::from_bytes(hash.0)
    }
}

impl fmt::Display for KeyHash {
    /// 32 lowercase hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({self})")
    }
}
