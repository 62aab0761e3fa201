//! What other threads than the writer's may do with a segment they own.

use std::sync::{Arc, Weak};

use super::segment_owner::SegmentOwner;
use super::{EntryStatus, Incarnation, OwnerEvent, ReaderEntry, ReaderIndex, SlotError};

/// A handle to a writer's segment for threads that do not write: discovery, supervision.
///
/// It does not keep the segment: after the [`SlotWriter`](super::SlotWriter) is dropped there are no
/// readers and no events any more. Each call takes the lock of the segment's service for a moment,
/// and none of them is waited for by a sample.
#[derive(Clone, Debug)]
pub struct OwnerHandle(Weak<SegmentOwner>);

impl OwnerHandle {
    pub(super) fn new(owner: &Arc<SegmentOwner>) -> Self {
        Self(Arc::downgrade(owner))
    }

    /// Readers that are known: index, status, and what they say of themselves.
    #[must_use]
    pub fn readers(&self) -> Vec<(ReaderIndex, EntryStatus, ReaderEntry)> {
        self.0.upgrade().map(|owner| owner.readers()).unwrap_or_default()
    }

    /// What happened to readers since the last call, oldest first.
    #[must_use]
    pub fn take_events(&self) -> Vec<OwnerEvent> {
        self.0.upgrade().map(|owner| owner.take_events()).unwrap_or_default()
    }

    /// Which making of the segment is written to; `None` when the writer is gone.
    #[must_use]
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.0.upgrade().map(|owner| owner.hot.lock().incarnation)
    }

    /// As [`SlotWriter::serve`](super::SlotWriter::serve).
    pub fn serve(&self, probe: bool) {
        if let Some(owner) = self.0.upgrade() {
            owner.serve_now(probe);
        }
    }

    /// As [`SlotWriter::mark_reader_disconnected`](super::SlotWriter::mark_reader_disconnected).
    ///
    /// # Errors
    /// [`SlotError::WrongReader`] if there is none with this index.
    pub fn mark_reader_disconnected(&self, reader: ReaderIndex) -> Result<(), SlotError> {
        let owner = self.0.upgrade().ok_or(SlotError::WrongReader { reader })?;
        owner.mark_reader_disconnected(reader)
    }
}
