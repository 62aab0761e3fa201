//! Which samples the ring may not replace: the last n of each instance.

use std::collections::{BTreeMap, VecDeque};

use super::SlotIndex;

/// Key hash of an instance (RTPS 9.6.4.8); all zero for a topic without key.
pub type InstanceKey = [u8; 16];

/// The owner's book of kept samples. Private to the owner; nothing of it is shared.
///
/// With a depth of 0 nothing is kept and every call returns at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct History {
    depth: usize,
    /// Whether the sample in this slot is one of the last `depth` of its instance.
    pub(super) kept: Vec<bool>,
    /// The slots of the last samples of each instance, oldest first; at most `depth` each.
    instances: BTreeMap<InstanceKey, VecDeque<SlotIndex>>,
}

impl History {
    pub(crate) fn new(slots: u32, depth: usize) -> Self {
        Self { depth, kept: vec![false; slots as usize], instances: BTreeMap::new() }
    }

    /// Whether the sample in `slot` must stay.
    #[inline]
    pub(crate) fn keeps(&self, slot: SlotIndex) -> bool {
        self.kept[slot.get()]
    }

    /// The slots whose samples are kept.
    pub(crate) fn slots(&self) -> impl Iterator<Item = SlotIndex> {
        (0u32..).zip(&self.kept).filter(|(_, kept)| **kept).map(|(slot, _)| SlotIndex(slot))
    }

    /// How many instances have kept samples.
    pub(crate) fn instances(&self) -> usize {
        self.instances.len()
    }

    /// Whether `key` has kept samples.
    pub(crate) fn knows(&self, key: &InstanceKey) -> bool {
        self.instances.contains_key(key)
    }

    /// Enters the newest sample of an instance; the oldest beyond the depth may go.
    #[inline]
    pub(crate) fn enter(&mut self, key: InstanceKey, slot: SlotIndex) {
        if self.depth != 0 {
            self.enter_kept(key, slot);
        }
    }

    #[inline(never)]
    fn enter_kept(&mut self, key: InstanceKey, slot: SlotIndex) {
        let depth = self.depth;
        let last = self.instances.entry(key).or_insert_with(|| VecDeque::with_capacity(depth + 1));
        last.push_back(slot);
        self.kept[slot.get()] = true;
        if last.len() > depth
            && let Some(oldest) = last.pop_front()
        {
            self.kept[oldest.get()] = false;
        }
    }

    /// Lets go of an instance that nobody will ask for again.
    pub(crate) fn forget(&mut self, key: &InstanceKey) {
        for slot in self.instances.remove(key).into_iter().flatten() {
            self.kept[slot.get()] = false;
        }
    }
}
