//! By which way samples go between two endpoints, and why not through shared memory.

use std::fmt;

use crate::discovery::{LocatorError, PathRefused, UnreachableReason};
use crate::types::{SegmentFormat, TypeHash};
use crate::wire::Guid;
use crate::wire::qos::QosPolicyId;

/// By which way samples go between a local endpoint and another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reachability {
    /// Through a segment. Which samples exactly, each commit says; see
    /// [`ShmWriter::covered_readers`](super::ShmWriter::covered_readers).
    SharedMemory,
    /// By the host's network path, because of this.
    Network(NetworkReason),
}

impl Reachability {
    /// Whether samples go through a segment.
    #[must_use]
    pub fn is_shared_memory(&self) -> bool {
        matches!(self, Self::SharedMemory)
    }
}

impl fmt::Display for Reachability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SharedMemory => f.write_str("shared memory"),
            Self::Network(reason) => write!(f, "network: {reason}"),
        }
    }
}

/// Why samples do not go through shared memory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkReason {
    /// Nobody has told of this endpoint, or it is gone.
    #[error("no such endpoint has been discovered")]
    Unknown,
    /// The endpoints do not match: there is nothing to send.
    #[error("the endpoints do not match")]
    NotMatched,
    /// The endpoints do not match, and somebody should know.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The endpoint was deleted.
    #[error("the endpoint was deleted")]
    Deleted,
    /// The participant has not been heard of for the time of its lease, or has left.
    #[error("the participant is not there: its lease expired, or it left")]
    ParticipantLost,
    /// The writer advertises no segment.
    #[error("the writer advertises no shared-memory segment")]
    NoLocator,
    /// The reader's participant does not say that it reads segments.
    #[error("the reader does not announce that it reads shared-memory segments")]
    NotCapable,
    /// Not attached yet, or not able to: the reader's side knows why.
    #[error("the reader is not attached to the segment; its own side can tell why")]
    NotAttached,
    /// The segment was opened, and its owner has not admitted the reader yet.
    #[error("the reader waits to be admitted by the writer")]
    Joining,
    /// The writer's memory is not here.
    #[error(
        "the writer does not share this host's memory: \
         another boot, another /dev/shm (container), or another machine"
    )]
    OtherHost,
    /// The locator's path may not be opened.
    #[error("the segment at {path} may not be opened: {refused}")]
    PathRefused {
        /// The path.
        path: String,
        /// Why.
        refused: PathRefused,
    },
    /// The segment has a format that is not attached to by itself: a newer one, or ZDS2, where the
    /// writer has to know the reader's index (see [`attach_by_locator`](super::attach_by_locator)).
    #[error(
        "the segment has format {0}, which readers do not attach to by themselves; \
         for ZDS2, agree on a reader index and attach by locator"
    )]
    Format(SegmentFormat),
    /// The path leads to the segment of another writer.
    #[error("{path} leads to a segment of writer {owner}, not of the one that advertised it")]
    OtherWriter {
        /// The path.
        path: String,
        /// Whose segment it is.
        owner: Guid,
    },
    /// The segment could not be opened or used.
    #[error("cannot attach to the segment at {path}: {error}")]
    CannotAttach {
        /// The path.
        path: String,
        /// Why.
        error: String,
    },
    /// The owner refused the reader.
    #[error(
        "the writer refused the reader: it cannot watch the reader's process; \
         give both the same runtime dir, or the default one"
    )]
    Refused,
    /// The reader's lease expired, and it has not come back.
    #[error("the reader's lease expired: it is disconnected until it comes back")]
    Disconnected,
    /// The reader pinned the segment while it lived, and was left behind.
    #[error("the reader pinned the segment for too long and was left behind")]
    LeftBehind,
    /// The writer is gone.
    #[error("the writer closed its segment, or its process is dead")]
    WriterLost,
    /// The memory was damaged.
    #[error("the segment's memory was truncated or damaged; the attachment was given up")]
    Damaged,
    /// The topic is protected by DDS-Security.
    #[error(
        "topic {0:?} is protected by DDS-Security, and shared memory is not; \
         allow it by name if the processes of this host may read it"
    )]
    Secured(String),
    /// The QoS or the sizes make no segment.
    #[error("no segment can be sized: {0}")]
    NotSizable(String),
    /// The embedded participant has no network path, and shared memory is not possible.
    #[error("{0}, and this participant sends and receives no samples by network")]
    NoNetworkPath(UnreachableReason),
    /// The locator cannot be carried by discovery data.
    #[error(transparent)]
    Locator(#[from] LocatorError),
}

/// Why two endpoints of one topic do not match.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The same topic with types of different names.
    #[error("the type is {local:?} here and {remote:?} there")]
    TypeName {
        /// Type name of the local endpoint.
        local: String,
        /// Type name of the remote endpoint.
        remote: String,
    },
    /// The writer offers less than the reader requests.
    #[error("the writer offers less than the reader requests in {}", join(.0))]
    Qos(Vec<QosPolicyId>),
    /// The samples are laid out differently in memory. The network may still carry them.
    #[error(transparent)]
    TypeHash(Box<TypeHashMismatch>),
}

/// Two layouts of what should be one type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the samples have another layout: the segment has {found} ({found_layout:?}), \
     the reader wants {expected} ({expected_layout:?}); build both sides from one definition"
)]
pub struct TypeHashMismatch {
    /// Hash that the reader wants.
    pub expected: TypeHash,
    /// Hash of the segment.
    pub found: TypeHash,
    /// Layout that the reader wants; empty if it did not say.
    pub expected_layout: String,
    /// Layout of the segment; empty if it is not known.
    pub found_layout: String,
}

fn join(policies: &[QosPolicyId]) -> String {
    let names: Vec<&str> = policies.iter().map(|policy| policy.name()).collect();
    names.join(", ")
}
