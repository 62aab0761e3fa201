//! What can go wrong in this room.

use super::registry_store::RegistryError;
use super::shm_locator::LocatorError;
use super::sockets::SocketError;
use crate::wire::{Guid, WireError};

/// Why something could not be announced, or discovery could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The participant has no sockets.
    #[error(transparent)]
    Sockets(#[from] SocketError),
    /// The thread that serves the sockets could not be started.
    #[error("cannot start the discovery thread: {0}; raise the limit on threads or processes")]
    Thread(#[source] std::io::Error),
    /// This process is a child made by `fork` of the one that started the participant.
    #[error("this process was forked from the one that started the participant; start its own")]
    ForkedChild,
    /// The endpoint belongs to another participant.
    #[error(
        "{endpoint} is not an endpoint of this participant, whose entities begin with {prefix}"
    )]
    ForeignEndpoint {
        /// The endpoint.
        endpoint: Guid,
        /// What its GUID should begin with.
        prefix: crate::wire::GuidPrefix,
    },
    /// The announcement is larger than any datagram.
    #[error(
        "the announcement of {endpoint} takes {octets} octets, more than {limit}: \
         shorten its user data or its type information"
    )]
    TooLarge {
        /// The endpoint.
        endpoint: Guid,
        /// What it takes.
        octets: usize,
        /// What can be sent.
        limit: usize,
    },
    /// The announcement cannot be written as RTPS wants it.
    #[error("cannot announce: {0}")]
    Wire(#[from] WireError),
    /// The locator cannot be carried.
    #[error(transparent)]
    Locator(#[from] LocatorError),
    /// The registry could not be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}
