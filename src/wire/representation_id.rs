//! How a serialised payload is encoded.

use std::fmt;

use super::Endianness;

/// The first two octets of a serialised payload, read in big-endian order.
///
/// RTPS 2.5, 10.5; XTypes 1.3, Table 60.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepresentationId(pub u16);

impl RepresentationId {
    /// Plain CDR (XCDR1), big-endian.
    pub const CDR_BE: Self = Self(0x0000);
    /// Plain CDR (XCDR1), little-endian.
    pub const CDR_LE: Self = Self(0x0001);
    /// Parameter list (XCDR1, mutable types and discovery data), big-endian.
    pub const PL_CDR_BE: Self = Self(0x0002);
    /// Parameter list (XCDR1, mutable types and discovery data), little-endian.
    pub const PL_CDR_LE: Self = Self(0x0003);
    /// XML.
    pub const XML: Self = Self(0x0004);
    /// Plain CDR of XCDR2 (final types), big-endian.
    pub const CDR2_BE: Self = Self(0x0006);
    /// Plain CDR of XCDR2 (final types), little-endian.
    pub const CDR2_LE: Self = Self(0x0007);
    /// Delimited CDR of XCDR2 (appendable types), big-endian.
    pub const D_CDR2_BE: Self = Self(0x0008);
    /// Delimited CDR of XCDR2 (appendable types), little-endian.
    pub const D_CDR2_LE: Self = Self(0x0009);
    /// Parameter list of XCDR2 (mutable types), big-endian.
    pub const PL_CDR2_BE: Self = Self(0x000a);
    /// Parameter list of XCDR2 (mutable types), little-endian.
    pub const PL_CDR2_LE: Self = Self(0x000b);

    /// Plain CDR in this byte order.
    pub const fn cdr(endianness: Endianness) -> Self {
        match endianness {
            Endianness::Little => Self::CDR_LE,
            Endianness::Big => Self::CDR_BE,
        }
    }

    /// A parameter list in this byte order: what discovery data is.
    pub const fn pl_cdr(endianness: Endianness) -> Self {
        match endianness {
            Endianness::Little => Self::PL_CDR_LE,
            Endianness::Big => Self::PL_CDR_BE,
        }
    }

    /// The byte order of what follows; `None` if the representation is unknown or has none.
    pub const fn endianness(self) -> Option<Endianness> {
        match self.0 {
            0x0000 | 0x0002 | 0x0006 | 0x0008 | 0x000a => Some(Endianness::Big),
            0x0001 | 0x0003 | 0x0007 | 0x0009 | 0x000b => Some(Endianness::Little),
            _ => None,
        }
    }
}

impl fmt::Debug for RepresentationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RepresentationId({:#06x})", self.0)
    }
}
