//! What threads that do not write may do with a writer.

use std::sync::Arc;
use std::time::Duration;

use super::reachability::Reachability;
use super::writer_shared::WriterShared;
use crate::discovery::ShmLocator;
use crate::slots::Committed;
use crate::wire::Guid;

/// What other threads may do with a writer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WriterHandle(Arc<WriterShared>);

impl WriterHandle {
    pub(crate) fn new(shared: Arc<WriterShared>) -> Self {
        Self(shared)
    }

    /// Its GUID.
    #[must_use]
    pub fn guid(&self) -> Guid {
        self.0.guid
    }

    /// What to advertise: where the segment is.
    #[must_use]
    pub fn locator(&self) -> ShmLocator {
        self.0.locator()
    }

    /// By which way samples go to a reader, and why not through shared memory.
    #[must_use]
    pub fn reachability(&self, reader: Guid) -> Reachability {
        self.0.reachability(reader)
    }

    /// The readers that match, and by which way they are reached.
    #[must_use]
    pub fn readers(&self) -> Vec<(Guid, Reachability)> {
        self.0.readers()
    }

    /// The readers that are served through the segment, whether they have been discovered or not.
    #[must_use]
    pub fn attached_readers(&self) -> Vec<Guid> {
        self.0.attached()
    }

    /// The readers that get this sample through the segment.
    #[must_use]
    pub fn covered_readers(&self, committed: &Committed) -> Vec<Guid> {
        self.0.covered_readers(committed)
    }

    /// The matched readers that do not get this sample through the segment: the network's.
    #[must_use]
    pub fn uncovered_readers(&self, committed: &Committed) -> Vec<Guid> {
        self.0.uncovered_readers(committed)
    }

    /// Waits until `count` readers are served through the segment, at most `timeout`. How many are.
    #[must_use]
    pub fn wait_for_readers(&self, count: usize, timeout: Duration) -> usize {
        self.0.wait_for_readers(count, timeout)
    }
}
