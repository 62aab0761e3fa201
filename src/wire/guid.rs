//! Globally unique identifiers of RTPS entities.

use std::fmt;
use std::str::FromStr;

use super::{EntityId, VendorId};

/// What all entities of one participant have in common: the first 12 octets of their [`Guid`]s.
///
/// The first two octets are the vendor id of the implementation that made it. RTPS 2.5, 9.3.1.1
/// and 9.3.1.5.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct GuidPrefix(pub [u8; 12]);

impl GuidPrefix {
    /// No participant in particular; as a destination: everyone.
    pub const UNKNOWN: Self = Self([0; 12]);

    /// The vendor that the first two octets name.
    pub const fn vendor_id(self) -> VendorId {
        VendorId([self.0[0], self.0[1]])
    }
}

impl fmt::Display for GuidPrefix {
    /// 24 lowercase hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for GuidPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuidPrefix({self})")
    }
}

/// An entity, in all the world: its participant's [`GuidPrefix`] and its [`EntityId`].
///
/// Written `prefix.entity` in lowercase hexadecimal; ordered and hashed as its 16 octets.
/// RTPS 2.5, 8.2.4 and 9.3.1.
///
/// ```
/// use dds_shm::wire::{EntityId, Guid, GuidPrefix};
///
/// let guid = Guid::new(GuidPrefix([1; 12]), EntityId::PARTICIPANT);
/// assert_eq!(guid.to_string(), "010101010101010101010101.000001c1");
/// assert_eq!(guid.to_hex().parse::<Guid>()?, guid);
/// # Ok::<(), dds_shm::wire::ParseGuidError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guid {
    /// The participant.
    pub prefix: GuidPrefix,
    /// The entity within it.
    pub entity_id: EntityId,
}

impl Guid {
    /// No entity in particular.
    pub const UNKNOWN: Self = Self::new(GuidPrefix::UNKNOWN, EntityId::UNKNOWN);

    /// The entity `entity_id` of the participant `prefix`.
    pub const fn new(prefix: GuidPrefix, entity_id: EntityId) -> Self {
        Self { prefix, entity_id }
    }

    /// The GUID of the participant that this entity belongs to.
    pub const fn participant(self) -> Self {
        Self::new(self.prefix, EntityId::PARTICIPANT)
    }

    /// From its 16 octets, in the order of the wire.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let mut prefix = [0; 12];
        let mut entity_id = [0; 4];
        prefix.copy_from_slice(&bytes[..12]);
        entity_id.copy_from_slice(&bytes[12..]);
        Self::new(GuidPrefix(prefix), EntityId(entity_id))
    }

    /// Its 16 octets, in the order of the wire.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..12].copy_from_slice(&self.prefix.0);
        bytes[12..].copy_from_slice(&self.entity_id.0);
        bytes
    }

    /// 32 lowercase hexadecimal digits without a dot: for names of files.
    pub fn to_hex(self) -> String {
        format!("{}{}", self.prefix, self.entity_id)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.prefix, self.entity_id)
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guid({self})")
    }
}

impl From<Guid> for [u8; 16] {
    fn from(guid: Guid) -> Self {
        guid.to_bytes()
    }
}

impl From<[u8; 16]> for Guid {
    fn from(bytes: [u8; 16]) -> Self {
        Self::from_bytes(bytes)
    }
}

/// A text that is not a GUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a GUID: write 32 hexadecimal digits, with or without a dot after the first 24"
)]
pub struct ParseGuidError {
    /// What was given.
    pub text: String,
}

impl FromStr for Guid {
    type Err = ParseGuidError;

    /// Reads 32 hexadecimal digits of either case, with or without the dot after the 24th.
    fn from_str(text: &str) -> Result<Self, ParseGuidError> {
        let error = || ParseGuidError { text: text.to_owned() };
        let digits = match text.split_once('.') {
            Some((prefix, entity)) if prefix.len() == 24 => format!("{prefix}{entity}"),
            Some(_) => return Err(error()),
            None => text.to_owned(),
        };
        if digits.len() != 32 {
            return Err(error());
        }
        let mut bytes = [0; 16];
        for (octet, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let high = (pair[0] as char).to_digit(16).ok_or_else(error)?;
            let low = (pair[1] as char).to_digit(16).ok_or_else(error)?;
            *octet = (high << 4 | low) as u8;
        }
        Ok(Self::from_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_reads_back_what_it_writes() {
        let guid = Guid::from_bytes(std::array::from_fn(|i| (i * 17) as u8));
        assert_eq!(guid.to_string(), "00112233445566778899aabb.ccddeeff");
        assert_eq!(guid.to_string().parse(), Ok(guid));
        assert_eq!(guid.to_hex().to_uppercase().parse(), Ok(guid));
        assert_eq!(Guid::from_bytes(guid.to_bytes()), guid);
    }

    #[test]
    fn what_is_no_guid_is_refused() {
        for text in
            ["", "00", "00112233445566778899aa.bbccddeeff", "+0112233445566778899aabbccddeeff"]
        {
            assert!(text.parse::<Guid>().is_err(), "{text}");
        }
        assert!("é0112233445566778899aabbccddeef".parse::<Guid>().is_err());
    }

    #[test]
    fn guids_are_ordered_as_their_octets() {
        let low = Guid::from_bytes([1; 16]);
        let mut bytes = [1; 16];
        bytes[15] = 2;
        assert!(low < Guid::from_bytes(bytes));
    }
}
