//! What can go wrong with a transport and its endpoints.

use super::reachability::NetworkReason;
use crate::discovery::DiscoveryError;
use crate::liveness::LivenessError;
use crate::slots::SlotError;
use crate::wire::Guid;

/// Why a transport or an endpoint of it cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The endpoint is possible, but not through shared memory: the host uses its network path.
    #[error("not through shared memory: {0}")]
    Network(#[from] NetworkReason),
    /// There is an endpoint with this GUID.
    #[error("this transport has an endpoint {0} already; choose another entity id")]
    Duplicate(Guid),
    /// The segment could not be made.
    #[error(transparent)]
    Slots(#[from] SlotError),
    /// The node could not be made.
    #[error(transparent)]
    Liveness(#[from] LivenessError),
    /// Discovery could not be started, or an endpoint not be announced.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// A thread could not be started.
    #[error("cannot start the thread that follows discovery: {0}; raise the limit on threads")]
    Thread(#[source] std::io::Error),
}
