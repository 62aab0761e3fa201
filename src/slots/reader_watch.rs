//! What other threads than the reader's may know of an attachment.

use std::sync::Arc;

use super::memory::SegmentMemory;
use super::{EntryStatus, OwnerState, ReaderIndex, SlotWord};
use crate::liveness::{LivenessError, Node, NodeId};
use crate::shm::ProcessStamp;
use crate::sync::{Ordering, Words};

/// A view of a reader's attachment for threads that do not take: whether it is served, and whether
/// its writer lives.
///
/// It keeps the memory mapped. When the reader has followed its writer to another incarnation, take
/// another watch: this one shows how the old one ended.
#[derive(Clone, Debug)]
pub struct ReaderWatch {
    memory: Arc<SegmentMemory>,
    /// `None` if the attachment is over.
    index: Option<ReaderIndex>,
    /// User that the data object belongs to; `None` for a segment on the heap, whose owner is here.
    owner_uid: Option<u32>,
    /// In a forked child there is no memory behind this.
    stamp: ProcessStamp,
}

impl ReaderWatch {
    pub(super) fn new(
        memory: Arc<SegmentMemory>,
        index: Option<ReaderIndex>,
        owner_uid: Option<u32>,
    ) -> Self {
        Self { memory, index, owner_uid, stamp: ProcessStamp::current() }
    }

    /// How the owner serves the reader; `None` if the attachment is over, or the entry damaged, or in a
    /// forked child.
    #[must_use]
    pub fn status(&self) -> Option<EntryStatus> {
        let index = self.index.filter(|_| self.stamp.is_current())?;
        let state = self.memory.load(SlotWord::State(index), Ordering::Acquire);
        [
            EntryStatus::Vacant,
            EntryStatus::Admitted,
            EntryStatus::Disconnected,
            EntryStatus::Refused,
        ]
        .into_iter()
        .find(|status| *status as u64 == state & 0xff)
    }

    /// While the reader is admitted: its epoch, which is another one after each return, and the RTPS
    /// sequence number from which on the owner serves it through the segment.
    #[must_use]
    pub fn served(&self) -> Option<(u64, i64)> {
        let index = self.index.filter(|_| self.status() == Some(EntryStatus::Admitted))?;
        let epoch = self.memory.load(SlotWord::State(index), Ordering::Acquire) >> 8;
        Some((epoch, self.memory.load(SlotWord::StartSn(index), Ordering::Relaxed) as i64))
    }

    /// Which owner of the segment serves: each adoption starts the next epoch.
    #[must_use]
    pub fn owner_epoch(&self) -> u32 {
        if !self.stamp.is_current() {
            return 0;
        }
        (self.memory.load(SlotWord::OwnerState, Ordering::Acquire) >> 8) as u32
    }

    /// Highest sequence number published; 0 in a forked child.
    #[must_use]
    pub fn head(&self) -> u64 {
        if !self.stamp.is_current() {
            return 0;
        }
        self.memory.load(SlotWord::Head, Ordering::Acquire)
    }

    /// The writer's GUID as the segment says it; unknown (zero) in a forked child.
    #[must_use]
    pub fn writer_guid(&self) -> [u8; 16] {
        if !self.stamp.is_current() {
            return [0; 16];
        }
        self.memory.load_owner().1
    }

    /// Whether the owner said that nothing more comes through this memory: closed, or replaced.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        if !self.stamp.is_current() {
            return false;
        }
        let state = OwnerState::of(self.memory.load(SlotWord::OwnerState, Ordering::Acquire));
        matches!(state, Some(OwnerState::Closed | OwnerState::Replaced))
    }

    /// Whether the owner's node lives, as `node` can tell (one or a few system calls). An owner that
    /// cannot be judged counts as alive.
    #[must_use]
    pub fn writer_is_alive(&self, node: &Node) -> bool {
        let Some(uid) = self.owner_uid.filter(|_| self.stamp.is_current()) else { return true };
        let Some(owner) = NodeId::new(self.memory.load_owner().0) else { return true };
        match node.peer(owner, uid) {
            Ok(peer) => peer.is_alive(),
            Err(LivenessError::NoTrace { .. }) => false,
            Err(_) => true,
        }
    }
}
