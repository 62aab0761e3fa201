//! Which samples a late joiner gets: the last ones of each instance.
//!
//! A late joiner starts at the oldest sample that the owner keeps. Behind it the ring still has samples
//! that newer ones of their instance have replaced; the owner's book, which tells them apart, is not in
//! the segment. The reader draws the same line from the headers: among the samples published before
//! it was admitted, the last `depth` of each instance are the kept ones.

use std::collections::{BTreeMap, BTreeSet};

use super::memory::SegmentMemory;
use super::{CLAIM, InstanceKey, ReaderIndex, SampleHeader, SlotIndex, SlotWord};
use crate::sync::{Ordering, Words};

/// Status info of an instance that its writer has disposed of and unregistered: nothing of it is kept.
const FORGOTTEN: u8 = 3;

/// The history that was there when a reader was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptHistory {
    /// The last sequence number before the reader was admitted.
    through: u64,
    kept: BTreeSet<u64>,
}

impl KeptHistory {
    /// Looks through the headers of a segment for the reader at `index`; `None` if it was admitted
    /// without history.
    pub(super) fn of(memory: &SegmentMemory, index: ReaderIndex, depth: usize) -> Option<Self> {
        let start = memory.load(SlotWord::Start(index), Ordering::Relaxed);
        let through = memory.load(SlotWord::JoinHead(index), Ordering::Relaxed);
        if start > through {
            return None;
        }
        let slots = (0..memory.geometry().slot_count).map(SlotIndex);
        let samples = slots.filter_map(|slot| {
            let seq = memory.load(SlotWord::Seq(slot), Ordering::Acquire) & !CLAIM;
            let header = (start..=through).contains(&seq).then(|| memory.load_header(slot))?;
            // A header that is replaced meanwhile belongs to a sample that is not kept any more.
            memory.fence(Ordering::Acquire);
            let again = memory.load(SlotWord::Seq(slot), Ordering::Relaxed) & !CLAIM;
            (again == seq).then_some((seq, header))
        });
        Some(Self { through, kept: last_of_each(samples, depth) })
    }

    /// Whether this is past: nothing from `seq` on is history.
    pub(crate) fn is_over(&self, seq: u64) -> bool {
        seq > self.through
    }

    /// Whether the sample is for a late joiner.
    pub(crate) fn has(&self, seq: u64) -> bool {
        self.kept.contains(&seq)
    }
}

/// The last `depth` samples of each instance.
fn last_of_each(samples: impl Iterator<Item = (u64, SampleHeader)>, depth: usize) -> BTreeSet<u64> {
    let mut instances: BTreeMap<InstanceKey, BTreeMap<u64, u8>> = BTreeMap::new();
    for (seq, header) in samples {
        instances.entry(header.key_hash).or_default().insert(seq, header.status_info);
    }
    instances
        .values()
        .filter(|samples| {
            samples.last_key_value().is_some_and(|(_, status)| status & FORGOTTEN != FORGOTTEN)
        })
        .flat_map(|samples| samples.keys().rev().take(depth).copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seq: u64, instance: u8, status_info: u8) -> (u64, SampleHeader) {
        (seq, SampleHeader { key_hash: [instance; 16], status_info, ..SampleHeader::default() })
    }

    #[test]
    fn the_last_of_each_instance_are_kept_and_nothing_of_one_that_is_forgotten() {
        let samples = [
            sample(9, 3, 3),
            sample(2, 1, 0),
            sample(4, 2, 0),
            sample(3, 1, 0),
            sample(8, 3, 0),
            sample(7, 2, 1),
            sample(1, 1, 0),
        ];
        let kept = last_of_each(samples.into_iter(), 2);
        assert!(kept.into_iter().eq([2, 3, 4, 7]));
    }
}
