//! One interface for everything that knows who is there: SEDP, and the registry.

use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::error::DiscoveryError;
use super::event::{DiscoveryEvent, RemoteEndpoint};
use super::shm_locator::ShmLocator;
use crate::wire::{EndpointData, Guid};

/// Tells others of the endpoints here, and tells of the endpoints elsewhere.
///
/// Implemented by the embedded [`Participant`](super::Participant), which speaks SPDP and SEDP, and by
/// the [`Registry`](super::Registry), which is for hosts that tell a plugin nothing of remote
/// endpoints. Endpoints of different directories never see each other.
///
/// Methods may be called from any thread; none waits for another process for longer than five seconds.
pub trait EndpointDirectory: Send + Sync {
    /// Announces an endpoint, or what changed about it. A writer's segment goes with it.
    ///
    /// # Errors
    /// If the announcement cannot be made: see [`DiscoveryError`].
    fn announce(
        &self,
        endpoint: EndpointData,
        locator: Option<ShmLocator>,
    ) -> Result<(), DiscoveryError>;

    /// Takes an announcement back. One that was never made is taken back already.
    ///
    /// # Errors
    /// If others cannot be told: see [`DiscoveryError`].
    fn withdraw(&self, endpoint: Guid) -> Result<(), DiscoveryError>;

    /// The writers of a topic elsewhere, of whatever type.
    fn publications(&self, topic_name: &str) -> Vec<Arc<RemoteEndpoint>>;

    /// The readers of a topic elsewhere, of whatever type.
    fn subscriptions(&self, topic_name: &str) -> Vec<Arc<RemoteEndpoint>>;

    /// What happens elsewhere, from the start of the directory on. There is one queue: each event
    /// goes to one receiver only.
    fn events(&self) -> Receiver<DiscoveryEvent>;

    /// How many events were dropped because nobody received them in time. When it grows, ask
    /// [`publications`](Self::publications) and [`subscriptions`](Self::subscriptions).
    fn dropped_events(&self) -> u64;
}
