//! The bell at which the owner of a full segment sleeps.

use std::time::Duration;

use super::SlotWord;
use super::memory::SegmentMemory;
use crate::liveness::doorbell::{self, Doorbell};
use crate::sync::{Ordering, Words};

/// The two words of the space bell.
pub(crate) const SPACE: Doorbell<SlotWord> =
    Doorbell { generation: SlotWord::SpaceGeneration, waiters: SlotWord::SpaceWaiters };

/// Sleeps until `ready`, at most for `timeout`.
pub(crate) fn wait(memory: &SegmentMemory, timeout: Duration, ready: impl FnMut() -> bool) -> bool {
    doorbell::wait(memory, SPACE, timeout, timeout, ready)
}

/// Wakes the owner if it sleeps.
#[cold]
pub(crate) fn ring(memory: &SegmentMemory) {
    memory.fence(Ordering::SeqCst);
    doorbell::ring(memory, SPACE, || {});
}
