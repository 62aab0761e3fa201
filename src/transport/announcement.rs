//! An endpoint's entry in a directory, which ends with the endpoint.

use std::fmt;
use std::sync::Arc;

use crate::discovery::{DiscoveryError, EndpointDirectory, ShmLocator};
use crate::wire::EndpointData;

/// An announcement, withdrawn when this is dropped.
pub(crate) struct Announcement {
    directory: Arc<dyn EndpointDirectory>,
    endpoint: EndpointData,
}

impl Announcement {
    pub(crate) fn make(
        directory: Arc<dyn EndpointDirectory>,
        endpoint: EndpointData,
        locator: Option<ShmLocator>,
    ) -> Result<Self, DiscoveryError> {
        directory.announce(endpoint.clone(), locator)?;
        Ok(Self { directory, endpoint })
    }

    /// Announces another locator.
    pub(crate) fn renew(&self, locator: Option<ShmLocator>) -> Result<(), DiscoveryError> {
        self.directory.announce(self.endpoint.clone(), locator)
    }
}

impl fmt::Debug for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Announcement").field(&self.endpoint.guid).finish()
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        if let Err(error) = self.directory.withdraw(self.endpoint.guid) {
            tracing::warn!(%error, endpoint = %self.endpoint.guid, "not withdrawn");
        }
    }
}
