//! What a message is made of.

use std::fmt;

use super::{AckNack, Data, DataFrag, Gap, Heartbeat};

/// The first octet of a submessage. RTPS 2.5, 9.4.5.1.1; 0x80 and above are vendors' own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubmessageKind(pub u8);

#[expect(missing_docs, reason = "the specification's names")]
impl SubmessageKind {
    pub const HEADER_EXTENSION: Self = Self(0x00);
    pub const PAD: Self = Self(0x01);
    pub const ACKNACK: Self = Self(0x06);
    pub const HEARTBEAT: Self = Self(0x07);
    pub const GAP: Self = Self(0x08);
    pub const INFO_TS: Self = Self(0x09);
    pub const INFO_SRC: Self = Self(0x0c);
    pub const INFO_DST: Self = Self(0x0e);
    pub const DATA: Self = Self(0x15);
    pub const DATA_FRAG: Self = Self(0x16);
}

impl fmt::Debug for SubmessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubmessageKind({:#04x})", self.0)
    }
}

/// A submessage that says something to an endpoint. Those that change how others are understood
/// (INFO_*) are found in the [`ReceiverState`](super::ReceiverState) beside it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each one is documented at its type")]
pub enum Submessage<'a> {
    Data(Data<'a>),
    DataFrag(DataFrag<'a>),
    Heartbeat(Heartbeat),
    AckNack(AckNack),
    Gap(Gap),
}
