//! What an owner is told of its readers.

use super::{Incarnation, ReaderIndex};

/// What happened to a reader of a segment, for its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerEvent {
    /// Admitted: it gets the samples from sequence number `start` on.
    ReaderAttached {
        /// Its entry.
        reader: ReaderIndex,
        /// Its GUID.
        guid: [u8; 16],
        /// First sequence number for it.
        start: u64,
        /// RTPS sequence number that goes with `start`.
        start_sn: i64,
        /// The first sequence number whose commit covers it; what is between `start` and this is
        /// history.
        covered_from: u64,
    },
    /// A disconnected reader is covered again.
    ReaderReturned {
        /// Its entry.
        reader: ReaderIndex,
        /// Its GUID.
        guid: [u8; 16],
        /// RTPS sequence number from which on it is served through the segment.
        start_sn: i64,
    },
    /// No longer covered.
    ReaderLost {
        /// Its entry.
        reader: ReaderIndex,
        /// Its GUID.
        guid: [u8; 16],
        /// Why.
        why: ReaderLoss,
        /// First RTPS sequence number that it did not get, for who resends by network.
        resend_from: i64,
    },
    /// Readers that pinned the segment were left behind with the old memory; the locator to
    /// advertise has a new incarnation.
    SegmentReplaced {
        /// The new one.
        incarnation: Incarnation,
    },
    /// Not admitted: its node cannot be watched.
    ReaderRefused {
        /// Its GUID.
        guid: [u8; 16],
        /// User it says it runs as.
        uid: u32,
    },
}

/// Why a reader is no longer covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderLoss {
    /// It detached.
    Left,
    /// Its process is dead.
    Died,
    /// [`SlotWriter::mark_reader_disconnected`](super::SlotWriter::mark_reader_disconnected).
    Disconnected,
    /// It pinned the segment while alive and was left behind with the old memory.
    Misbehaved,
}
