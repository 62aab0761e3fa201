//! The first 20 octets of every message.

use crate::wire::cdr::{CdrReader, CdrValue};
use crate::wire::{Endianness, GuidPrefix, ProtocolVersion, VendorId, WireError};

/// Who sent a message, and in which version of the protocol. RTPS 2.5, 9.4.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RtpsHeader {
    /// What the sender speaks.
    pub version: ProtocolVersion,
    /// Who made the sender.
    pub vendor_id: VendorId,
    /// The sender.
    pub guid_prefix: GuidPrefix,
}

impl RtpsHeader {
    /// Its length on the wire.
    pub const LENGTH: usize = 20;
    const MAGIC: [u8; 4] = *b"RTPS";

    /// Reads the header that a datagram begins with.
    ///
    /// # Errors
    ///
    /// If there is none, or its major version is not ours: then nothing of the message can be read.
    pub fn parse(datagram: &[u8]) -> Result<Self, WireError> {
        // The header has no byte order: it is octets only.
        let mut reader = CdrReader::new(datagram, Endianness::Big);
        let found = reader.read_array()?;
        if found != Self::MAGIC {
            return Err(WireError::NotRtps { found });
        }
        let version = ProtocolVersion::read(&mut reader)?;
        if !version.is_readable() {
            return Err(WireError::UnsupportedVersion { found: version });
        }
        Ok(Self {
            version,
            vendor_id: VendorId::read(&mut reader)?,
            guid_prefix: GuidPrefix::read(&mut reader)?,
        })
    }

    /// Its octets.
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..4].copy_from_slice(&Self::MAGIC);
        bytes[4..6].copy_from_slice(&self.version.to_bytes());
        bytes[6..8].copy_from_slice(&self.vendor_id.0);
        bytes[8..].copy_from_slice(&self.guid_prefix.0);
        bytes
    }
}
