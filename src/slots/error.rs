//! What can go wrong with a segment.

use std::path::PathBuf;

use super::{Geometry, Incarnation, ReaderIndex};
use crate::liveness::LivenessError;
use crate::shm::ShmError;
use crate::types::{SegmentFormat, TypeHash};

/// Why an object is not a segment this library can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// What a slot announces as a sample outside of it is none.
    #[error("the slot announces no object, or one that is not its owner's, or too short a one")]
    Outsize,
    /// Another kind of object, or one that its owner has not finished.
    #[error("not a segment of a known format: magic {found:#010x}")]
    Magic {
        /// What stands where the magic should be.
        found: u32,
    },
    /// Another major version of the format.
    #[error(
        "segment has format {major}.{minor}, this build reads 1.x: use the same dds-shm release on both sides"
    )]
    Version {
        /// Major number found.
        major: u16,
        /// Minor number found.
        minor: u16,
    },
    /// The identity was changed after it was written.
    #[error("segment identity is damaged: checksum {stored:#010x} stored, {found:#010x} found")]
    Checksum {
        /// What the identity says.
        stored: u32,
        /// What it is.
        found: u32,
    },
    /// Numbers that do not hang together.
    #[error("segment geometry makes no sense: {geometry:?}")]
    Geometry {
        /// The numbers.
        geometry: Geometry,
    },
    /// Topic, type name or layout are not text of the lengths given.
    #[error("segment strings are damaged")]
    Strings,
    /// Shorter than its identity says.
    #[error("segment object is truncated: {found} bytes, at least {expected} needed")]
    Truncated {
        /// Bytes needed.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// A sample is said to be larger than its slot.
    #[error(
        "slot {slot} says that its sample has {size} bytes, {capacity} fit: the segment is damaged"
    )]
    SampleSize {
        /// The slot.
        slot: usize,
        /// What it says.
        size: u32,
        /// What fits.
        capacity: u32,
    },
    /// The two objects belong to different incarnations.
    #[error("data object of incarnation {dat} beside control object of incarnation {ctl}")]
    Mixed {
        /// Of the data object.
        dat: Incarnation,
        /// Of the control object.
        ctl: Incarnation,
    },
}

/// What a slot operation can answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SlotError {
    /// Every slot is on loan, kept, unread by a reader that is waited for, or in use.
    #[error("no free slot: all {slots} are on loan, unread or in use by readers")]
    NoFreeSlot {
        /// Slots of the segment.
        slots: u32,
    },
    /// No slot became free in time (DDS TIMEOUT).
    #[error("no slot became free within {waited:?}: a reliable reader is behind")]
    Timeout {
        /// How long the writer waited.
        waited: std::time::Duration,
    },
    /// No slot is free, and this writer holds so many itself that waiting might not help (DDS
    /// OUT_OF_RESOURCES).
    #[error(
        "no free slot, and {loans} loans are out: publish or drop one, or plan for more than {most}"
    )]
    TooManyLoans {
        /// Loans that are out.
        loans: u32,
        /// How many the segment was planned for.
        most: u32,
    },
    /// The sample does not fit.
    #[error("sample of {sample} bytes does not fit slots of {capacity} bytes")]
    SampleTooLarge {
        /// Bytes of the sample.
        sample: usize,
        /// Bytes of a slot.
        capacity: usize,
    },
    /// The handle is not a live loan, or its sample has been replaced.
    #[error("stale handle: slot {slot} no longer holds sample {seq}")]
    StaleHandle {
        /// Slot of the handle.
        slot: usize,
        /// Sequence number of the handle, 0 for a loan.
        seq: u64,
    },
    /// The payload of the loan is in somebody's hands.
    #[error(
        "the payload of slot {slot} is still borrowed: drop it before committing or discarding"
    )]
    Borrowed {
        /// Slot of the loan.
        slot: usize,
    },
    /// There is no such reader on this side.
    #[error("reader {reader} is not attached here")]
    WrongReader {
        /// The index given.
        reader: ReaderIndex,
    },
    /// Only the owner of a segment reserves, commits and disconnects.
    #[error("this process is not the owner of the segment")]
    NotOwner,
    /// The reader has as many samples in use as it may.
    #[error("{held} samples are in use, the most this reader may hold: release one first")]
    TooManyHeld {
        /// How many.
        held: usize,
    },
    /// Every entry of the reader table is taken.
    #[error(
        "all {capacity} reader entries of {topic:?} are taken: create the writer with a larger reader capacity"
    )]
    ReaderTableFull {
        /// Entries there are.
        capacity: u32,
        /// The topic.
        topic: String,
    },
    /// The owner will not serve this reader.
    #[error(
        "the writer refused this reader: it cannot watch the reader's node; give both sides the same runtime dir or the default one"
    )]
    Refused,
    /// The owner took this reader for dead and gave its entry away.
    #[error("this reader's entry was taken away: attach again")]
    Evicted,
    /// The writer is gone: closed or dead. Everything it published has been taken.
    #[error("the writer is gone")]
    WriterLost,
    /// The samples have another layout.
    #[error(
        "type mismatch: segment {found} ({found_layout:?}), wanted {expected} ({expected_layout:?})"
    )]
    TypeMismatch {
        /// Hash wanted.
        expected: TypeHash,
        /// Hash of the segment.
        found: TypeHash,
        /// Layout wanted.
        expected_layout: String,
        /// Layout of the segment.
        found_layout: String,
    },
    /// Octets that are no value of the type.
    #[error(transparent)]
    InvalidValue(#[from] crate::types::FlatError),
    /// A sample that is not as in memory.
    #[error(
        "sample with representation {found:#06x} in a segment of flat samples: read it untyped"
    )]
    Representation {
        /// Encapsulation identifier of the sample.
        found: u16,
    },
    /// The slot plan makes no sense.
    #[error("cannot plan the segment: {reason}")]
    Plan {
        /// What is wrong.
        reason: String,
    },
    /// More instances than the writer has room for.
    #[error("instance {known} of {most} known: raise max_instances or unregister some")]
    TooManyInstances {
        /// Instances with kept samples.
        known: usize,
        /// The most there is room for.
        most: usize,
    },
    /// The segment's format cannot do it safely, or at all.
    #[error("a segment of format {format} cannot {what}: {instead}")]
    Unsupported {
        /// The format.
        format: SegmentFormat,
        /// What was asked for.
        what: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// The 32-bit sequence numbers of the format are used up: readers take the next for an old one.
    #[error(
        "the {published} samples that a segment of format ZDS2 can number are published: \
         create a new segment and advertise it"
    )]
    NumbersExhausted {
        /// Samples published.
        published: u32,
    },
    /// A sample went away that the reader had not read: the writer does not wait for its index, so
    /// that what it reads could change while it reads.
    #[error(
        "the writer does not wait for reader {reader}, or another reader has the same index: \
         name the index in the writer's mask of active readers, and give it to one reader"
    )]
    NotWaitedFor {
        /// The reader's index.
        reader: ReaderIndex,
    },
    /// Somebody alive has this segment.
    #[error("{} exists and its owner is alive", path.display())]
    Exists {
        /// The flink.
        path: PathBuf,
    },
    /// A wait set waits at the bell of one node.
    #[error("the reader belongs to another node than the wait set: make a wait set for its node")]
    AnotherNode,
    /// The memory was truncated under the mapping.
    #[error("the segment's memory was taken away (truncated by somebody); attachment given up")]
    Poisoned,
    /// This process is a fork of the one that opened the segment.
    #[error("segments do not survive fork(): open your own in the child")]
    Forked,
    /// Not a segment, or damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The system said no.
    #[error(transparent)]
    Shm(#[from] ShmError),
    /// Nodes, locks, bells.
    #[error(transparent)]
    Liveness(#[from] LivenessError),
    /// A file of the runtime dir.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
