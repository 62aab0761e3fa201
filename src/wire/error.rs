//! What can be wrong with bytes from the network, or with values that are to be sent.

use super::{ParameterId, ProtocolVersion, RepresentationId};

/// Why bytes could not be read as what they should be, or a value could not be written.
///
/// Whoever gets one drops what was being read and goes on: all senders on a network are strangers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes end too early.
    #[error("{what} needs {needed} octets at offset {offset}, {available} are left")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where, from the beginning of the buffer that was given.
        offset: usize,
        /// How many octets it takes.
        needed: usize,
        /// How many there are.
        available: usize,
    },
    /// A value is longer than its length field, or a limit, allows.
    #[error("{what} of {length} octets or elements exceeds {limit}: make it shorter")]
    TooLong {
        /// What was being written or read.
        what: &'static str,
        /// Its length.
        length: usize,
        /// The longest possible.
        limit: usize,
    },
    /// A value that the specification does not know or allow.
    #[error("{what} cannot be {value}")]
    InvalidValue {
        /// Field.
        what: &'static str,
        /// Its value.
        value: i64,
    },
    /// A string that is not UTF-8, has no NUL at its end, or has one inside.
    #[error("string at offset {offset} {reason}")]
    InvalidString {
        /// Where its length field stands; 0 when writing.
        offset: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The datagram does not begin with `RTPS`.
    #[error("not an RTPS message: it begins with {found:02x?}")]
    NotRtps {
        /// What it begins with.
        found: [u8; 4],
    },
    /// The sender speaks a protocol whose messages cannot be read.
    #[error("RTPS version {found} cannot be read; only 2.x can")]
    UnsupportedVersion {
        /// The sender's version.
        found: ProtocolVersion,
    },
    /// The payload is encoded in another way than its place demands.
    #[error("representation {found:?} where {expected} is expected")]
    UnexpectedRepresentation {
        /// The payload's.
        found: RepresentationId,
        /// What should be there.
        expected: &'static str,
    },
    /// A parameter's length is not a multiple of four.
    #[error("parameter {id} has a length of {length}, which is no multiple of 4")]
    UnalignedParameter {
        /// Which.
        id: ParameterId,
        /// Its length field.
        length: u16,
    },
    /// A parameter list has no sentinel at its end.
    #[error("parameter list without a sentinel")]
    MissingSentinel,
    /// A parameter that must be understood is not: the whole announcement or sample has to be
    /// ignored (RTPS 2.5, 9.4.2.11.2; an incompatible QoS in the words of 2.3).
    #[error("parameter {id} must be understood, and is not known here: the data is ignored")]
    MustUnderstand {
        /// Which.
        id: ParameterId,
    },
    /// A parameter that may be there only once is there again.
    #[error("parameter {id} is there more than once")]
    DuplicateParameter {
        /// Which.
        id: ParameterId,
    },
    /// A parameter without default is not there.
    #[error("parameter {id} is missing")]
    MissingParameter {
        /// Which.
        id: ParameterId,
    },
}
