//! What can go wrong, here and in ZeroDDS's words.

use dds_shm::SlotError;
use dds_shm::discovery::LocatorError;
use dds_shm::transport::NetworkReason;
use zerodds_flatdata::SlotError as ZeroError;

/// Why an endpoint of ZeroDDS cannot use a segment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A participant made by `create_participant_offline`, or one of its endpoints.
    #[error("the participant is offline: make it with create_participant, which starts discovery")]
    Offline,
    /// The segment could not be made or joined.
    #[error(transparent)]
    Slots(#[from] SlotError),
    /// The segment's path cannot be announced.
    #[error(transparent)]
    Locator(#[from] LocatorError),
    /// The writer's samples go by network.
    #[error("no shared memory to this writer: {0}")]
    Network(#[from] NetworkReason),
    /// A ZDS2 segment gives its readers no index.
    #[error(
        "the writer's segment is of format ZDS2: name the reader index that its mask of active \
         readers has for this reader"
    )]
    IndexNeeded,
    /// The thread that watches leases could not be started.
    #[error("cannot start the thread that watches readers: {0}")]
    Thread(#[from] std::io::Error),
}

/// An error in ZeroDDS's five words; what does not fit into them is logged.
pub(crate) fn to_zerodds(error: SlotError) -> ZeroError {
    match error {
        SlotError::NoFreeSlot { .. }
        | SlotError::Timeout { .. }
        | SlotError::TooManyLoans { .. } => ZeroError::NoFreeSlot,
        SlotError::SampleTooLarge { sample, capacity } => {
            ZeroError::SampleTooLarge { sample, slot_capacity: capacity }
        }
        SlotError::StaleHandle { .. } | SlotError::WrongReader { .. } => ZeroError::OutOfBounds,
        error => {
            tracing::error!(%error, "segment");
            ZeroError::LockPoisoned
        }
    }
}
