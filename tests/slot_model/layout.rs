//! Where the words of a segment are in an array: for the exhaustive model and for loom.

use dds_shm::slots::SlotWord;

/// How large a segment is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) slots: usize,
    pub(crate) entries: usize,
}

const GLOBAL: usize = 5;
const PER_ENTRY: usize = 8;
const PER_SLOT: usize = 3;

impl Layout {
    /// How many words there are.
    pub(crate) fn words(&self) -> usize {
        GLOBAL + self.entries * PER_ENTRY + self.slots * PER_SLOT
    }

    pub(crate) fn at(&self, word: SlotWord) -> usize {
        let entry = |reader: usize, field: usize| GLOBAL + reader * PER_ENTRY + field;
        let slots = GLOBAL + self.entries * PER_ENTRY;
        let slot = |slot: usize, field: usize| slots + slot * PER_SLOT + field;
        match word {
            SlotWord::Head => 0,
            SlotWord::OwnerState => 1,
            SlotWord::Requests => 2,
            SlotWord::SpaceGeneration => 3,
            SlotWord::SpaceWaiters => 4,
            SlotWord::Node(r) => entry(r.get(), 0),
            SlotWord::Request(r) => entry(r.get(), 1),
            SlotWord::State(r) => entry(r.get(), 2),
            SlotWord::Start(r) => entry(r.get(), 3),
            // Which bell there is plays no part in the protocol: nobody stores it here.
            SlotWord::StartSn(r) | SlotWord::Rings(r) => entry(r.get(), 4),
            SlotWord::JoinHead(r) => entry(r.get(), 5),
            SlotWord::Cursor(r) => entry(r.get(), 6),
            SlotWord::Reading(r) => entry(r.get(), 7),
            SlotWord::Hold(s) => slot(s.get(), 0),
            SlotWord::Seq(s) => slot(s.get(), 1),
            SlotWord::Dir(s) => slot(s.get(), 2),
        }
    }
}
