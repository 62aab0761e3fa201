//! Byte order of what is read or written.

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
}
