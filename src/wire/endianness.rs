//! Byte order of what is read or written.

use byteorder::{BigEndian, ByteOrder, LittleEndian};

/// The byte order of one submessage, one encapsulated payload or one parameter list.
///
/// RTPS lets the sender choose, and choose again for every submessage, so that the order is a
/// value here and not a type parameter. RTPS 2.5, 9.4.5.1.2 (flag E) and 10.5 (encapsulation).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Endianness {
    /// Least significant octet first; what this crate sends.
    #[default]
    Little,
    /// Most significant octet first.
    Big,
}

impl Endianness {
    /// The order that flag E (bit 0) of a submessage header announces.
    pub fn from_flag(set: bool) -> Self {
        if set { Self::Little } else { Self::Big }
    }

    /// What flag E is for this order: 1 for little-endian.
    pub fn flag(self) -> u8 {
        match self {
            Self::Little => 1,
            Self::Big => 0,
        }
    }

    pub(crate) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => LittleEndian::read_u16(&bytes),
            Self::Big => BigEndian::read_u16(&bytes),
        }
    }

    pub(crate) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => LittleEndian::read_u32(&bytes),
            Self::Big => BigEndian::read_u32(&bytes),
        }
    }

    pub(crate) fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Little => LittleEndian::read_u64(&bytes),
            Self::Big => BigEndian::read_u64(&bytes),
        }
    }

    pub(crate) fn u16_bytes(self, value: u16) -> [u8; 2] {
        let mut bytes = [0; 2];
        match self {
            Self::Little => LittleEndian::write_u16(&mut bytes, value),
            Self::Big => BigEndian::write_u16(&mut bytes, value),
        }
        bytes
    }

    pub(crate) fn u32_bytes(self, value: u32) -> [u8; 4] {
        let mut bytes = [0; 4];
        match self {
            Self::Little => LittleEndian::write_u32(&mut bytes, value),
            Self::Big => BigEndian::write_u32(&mut bytes, value),
        }
        bytes
    }

    pub(crate) fn u64_bytes(self, value: u64) -> [u8; 8] {
        let mut bytes = [0; 8];
        match self {
            Self::Little => LittleEndian::write_u64(&mut bytes, value),
            Self::Big => BigEndian::write_u64(&mut bytes, value),
        }
        bytes
    }
}
