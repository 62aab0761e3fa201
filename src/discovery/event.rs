//! What discovery tells.

use std::sync::Arc;

use super::shm_locator::ShmLocator;
use crate::wire::{EndpointData, Guid, GuidPrefix, ParticipantData, VendorId};

/// A participant somewhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteParticipant {
    /// What it announces.
    pub data: ParticipantData,
    /// Who made it, by the header of its messages.
    pub vendor_id: VendorId,
    /// The segment format that its readers can read; `None` if it knows nothing of dds-shm.
    pub shm_version: Option<u32>,
}

/// A writer or reader somewhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteEndpoint {
    /// What its participant announces about it.
    pub data: EndpointData,
    /// Who made it, by the header of the messages that announced it.
    pub vendor_id: VendorId,
    /// Where a writer's segment is; `None` if it has none that we know of, and for readers.
    pub locator: Option<ShmLocator>,
    /// The segment format that a reader can read, by its own or its participant's announcement;
    /// `None` if it knows nothing of dds-shm, and for writers.
    pub shm_version: Option<u32>,
}

/// How a participant was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LossReason {
    /// Nothing was heard of it for the time of its lease. It may still be alive, and come back.
    LeaseExpired,
    /// It said that it leaves.
    Disposed,
}

/// Why no sample goes from a writer to a reader although they match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnreachableReason {
    /// The remote writer has no segment that we know of, and this participant receives no samples by
    /// network.
    NoLocator,
    /// The remote reader does not read segments, and this participant sends no samples by network.
    NotCapable,
    /// The remote endpoint sends network traffic for an endpoint of ours, and has not been announced for
    /// seconds.
    Unknown,
}

impl std::fmt::Display for UnreachableReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoLocator => "the writer announces no shared-memory segment",
            Self::NotCapable => "the reader's participant does not announce dds-shm",
            Self::Unknown => "the peer's endpoint sends samples by network and is not announced",
        })
    }
}

/// Something that discovery noticed.
///
/// A participant's endpoints are announced after it and go with it: when it is lost, there is no event
/// for each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiscoveryEvent {
    /// A participant is there.
    ParticipantDiscovered(Arc<RemoteParticipant>),
    /// A participant announces something else than before.
    ParticipantChanged(Arc<RemoteParticipant>),
    /// A participant and all its endpoints are gone, or seem so.
    ParticipantLost {
        /// Whose.
        prefix: GuidPrefix,
        /// How.
        reason: LossReason,
    },
    /// A writer is there.
    PublicationDiscovered(Arc<RemoteEndpoint>),
    /// A writer announces something else than before; perhaps another segment.
    PublicationChanged(Arc<RemoteEndpoint>),
    /// A writer was deleted.
    PublicationGone(Guid),
    /// A reader is there.
    SubscriptionDiscovered(Arc<RemoteEndpoint>),
    /// A reader announces something else than before.
    SubscriptionChanged(Arc<RemoteEndpoint>),
    /// A reader was deleted.
    SubscriptionGone(Guid),
    /// A remote endpoint matches one of ours, and no sample can go between them. Told once for a
    /// pair, until the remote endpoint changes.
    Unreachable {
        /// Our endpoint.
        local: Guid,
        /// The other one.
        remote: Guid,
        /// Why.
        why: UnreachableReason,
    },
}
