//! What threads that do not take may do with a reader.

use std::sync::Arc;

use super::reachability::Reachability;
use super::reader_shared::ReaderShared;
use super::switch::Verdict;
use crate::discovery::RemoteEndpoint;
use crate::wire::Guid;

/// What other threads may do with a reader: ask, and tell it of the network. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ReaderHandle(Arc<ReaderShared>);

impl ReaderHandle {
    pub(crate) fn new(shared: Arc<ReaderShared>) -> Self {
        Self(shared)
    }

    /// Its GUID.
    #[must_use]
    pub fn guid(&self) -> Guid {
        self.0.guid
    }

    /// By which way samples of a writer come, and why not through shared memory.
    #[must_use]
    pub fn reachability(&self, writer: Guid) -> Reachability {
        self.0.reachability(writer)
    }

    /// The writers that match, and by which way their samples come.
    #[must_use]
    pub fn writers(&self) -> Vec<(Guid, Reachability)> {
        self.0.writers()
    }

    /// What is announced of a writer that matches.
    #[must_use]
    pub fn announced(&self, writer: Guid) -> Option<Arc<RemoteEndpoint>> {
        self.0.announced(writer)
    }

    /// A sample of a writer has come by network: is it new to this reader?
    ///
    /// For each sample that comes by network, in the order of their sequence numbers, before it is
    /// given to the application. Of a writer that is not known every sample is new.
    pub fn network_sample(&self, writer: Guid, sn: i64) -> Verdict {
        self.0.network_sample(writer, sn)
    }

    /// No more samples below [`Self::start_sn`] come by network: from now on samples are taken from the
    /// writer's segment. Needed only for a RELIABLE reader with a network path.
    pub fn network_part_complete(&self, writer: Guid) {
        self.0.network_part_complete(writer);
    }

    /// RTPS sequence number of the first sample that comes through the writer's segment, while it
    /// serves this reader.
    #[must_use]
    pub fn start_sn(&self, writer: Guid) -> Option<i64> {
        self.0.start_sn(writer)
    }
}
