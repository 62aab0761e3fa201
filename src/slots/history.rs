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
    /// They are kept only while a reader that may block has not read them.
    until_read: bool,
    /// Whether the sample in this slot is one of the last `depth` of its instance.
    pub(super) kept: Vec<bool>,
    /// The slots of the last samples of each instance, oldest first; at most `depth` each.
    instances: BTreeMap<InstanceKey, VecDeque<SlotIndex>>,
    /// The instance of the sample in each slot, for those that are kept until they are read.
    keys: Vec<InstanceKey>,
}

impl History {
    pub(crate) fn new(slots: u32, depth: usize) -> Self {
        let kept = vec![false; slots as usize];
        Self { depth, until_read: false, kept, instances: BTreeMap::new(), keys: Vec::new() }
    }

    /// A book of the last samples of any number of instances, each kept until it is read.
    pub(crate) fn until_read(slots: u32, depth: usize) -> Self {
        let keys = vec![InstanceKey::default(); slots as usize];
        Self { until_read: true, keys, ..Self::new(slots, depth) }
    }

    /// Another book of the same kind, with nothing in it.
    pub(crate) fn empty(&self, slots: u32, depth: usize) -> Self {
        if self.until_read { Self::until_read(slots, self.depth) } else { Self::new(slots, depth) }
    }

    /// Whether the sample in `slot` must stay, whoever has read it.
    #[inline]
    pub(crate) fn keeps(&self, slot: SlotIndex) -> bool {
        self.kept[slot.get()] && !self.until_read
    }

    /// Whether the sample in `slot` must stay until every reader that may block has read it.
    #[inline]
    pub(crate) fn keeps_until_read(&self, slot: SlotIndex) -> bool {
        self.until_read && self.kept[slot.get()]
    }

    /// The slot is another sample's from now on: everybody has read the one that it had.
    #[inline]
    pub(crate) fn was_read(&mut self, slot: SlotIndex) {
        if self.keeps_until_read(slot) {
            self.let_go(slot);
        }
    }

    #[inline(never)]
    fn let_go(&mut self, slot: SlotIndex) {
        let key = self.keys[slot.get()];
        self.kept[slot.get()] = false;
        if let Some(last) = self.instances.get_mut(&key) {
            last.retain(|other| *other != slot);
            if last.is_empty() {
                self.instances.remove(&key);
            }
        }
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
        if self.until_read {
            self.keys[slot.get()] = key;
        }
        if last.len() > depth
            && let Some(oldest) = last.pop_front()
        {
            self.kept[oldest.get()] = false;
        }
    }

    /// Lets go of an instance that nobody will ask for again. Not of what is kept until it is read: readers
    /// are yet to learn how the instance ended.
    pub(crate) fn forget(&mut self, key: &InstanceKey) {
        if self.until_read {
            return;
        }
        for slot in self.instances.remove(key).into_iter().flatten() {
            self.kept[slot.get()] = false;
        }
    }
}
