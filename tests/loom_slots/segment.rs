//! A segment on loom's atomics, and a way to weaken one ordering of the protocol's code at a time.

use std::cell::RefCell;

use dds_shm::slots::{
    OwnerCore, ReaderCore, ReaderIndex, ReaderSet, SlotIndex, SlotWord, claim_entry,
};
use dds_shm::sync::{Ordering, Words};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU64, fence};

use crate::layout::Layout;

/// Who performs an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Owner,
    Reader,
}

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Load,
    Store,
    /// A store of 0, or bits being cleared.
    Clear,
    Add,
    Exchange,
}

/// What is weaker than in the protocol's code.
#[derive(Clone, Copy)]
pub(crate) enum Weak {
    Nothing,
    /// These accesses are relaxed.
    Relaxed(Who, Kind, fn(SlotWord) -> bool),
    /// These fences are left out.
    NoFence(Who, Ordering),
}

/// The shared words of a segment with one payload word per slot.
pub(crate) struct Segment {
    layout: Layout,
    words: Vec<AtomicU64>,
    payload: Vec<UnsafeCell<u64>>,
    /// What is written to an entry beside its words: who the reader is.
    description: UnsafeCell<u64>,
}

// SAFETY: the cells are what loom checks: it fails a test in which two threads use one at the same
// time, or without one use happening before the other.
unsafe impl Sync for Segment {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Segment {}

impl Segment {
    /// The sample of `slot` is looked at: it must be `seq`.
    pub(crate) fn read(&self, slot: SlotIndex, seq: u64) {
        // SAFETY: see `Sync`.
        self.payload[slot.get()].with(|payload| assert_eq!(unsafe { *payload }, seq, "payload"));
    }

    /// The sample `seq` is written to `slot`.
    pub(crate) fn write(&self, slot: SlotIndex, seq: u64) {
        // SAFETY: see `Sync`.
        self.payload[slot.get()].with_mut(|payload| unsafe { *payload = seq });
    }

    pub(crate) fn describe(&self, who: u64) {
        // SAFETY: see `Sync`.
        self.description.with_mut(|description| unsafe { *description = who });
    }

    pub(crate) fn description(&self) -> u64 {
        // SAFETY: see `Sync`.
        self.description.with(|description| unsafe { *description })
    }

    /// The segment as one thread's code sees it.
    pub(crate) fn seen_by(&self, who: Who, weak: Weak) -> View<'_> {
        View { segment: self, who, weak }
    }
}

/// A segment as the code of one side sees it.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) segment: &'a Segment,
    who: Who,
    weak: Weak,
}

impl View<'_> {
    fn word(&self, word: SlotWord) -> &AtomicU64 {
        &self.segment.words[self.segment.layout.at(word)]
    }

    fn order(&self, kind: Kind, word: SlotWord, order: Ordering) -> Ordering {
        match self.weak {
            Weak::Relaxed(who, what, words) if who == self.who && what == kind && words(word) => {
                Ordering::Relaxed
            }
            _ => order,
        }
    }
}

impl Words<SlotWord> for View<'_> {
    fn load(&self, word: SlotWord, order: Ordering) -> u64 {
        self.word(word).load(self.order(Kind::Load, word, order))
    }

    fn store(&self, word: SlotWord, value: u64, order: Ordering) {
        let kind = if value == 0 { Kind::Clear } else { Kind::Store };
        let order = self.order(kind, word, order);
        if matches!(word, SlotWord::Node(_) | SlotWord::SpaceWaiters) {
            // Others change these by read-modify-write, after which loom misorders a plain store.
            self.word(word).swap(value, order);
        } else {
            self.word(word).store(value, order);
        }
    }

    fn swap(&self, word: SlotWord, value: u64, order: Ordering) -> u64 {
        self.word(word).swap(value, order)
    }

    fn fetch_add(&self, word: SlotWord, value: u64, order: Ordering) -> u64 {
        self.word(word).fetch_add(value, self.order(Kind::Add, word, order))
    }

    fn fetch_or(&self, word: SlotWord, bits: u64, order: Ordering) -> u64 {
        self.word(word).fetch_or(bits, order)
    }

    fn fetch_and(&self, word: SlotWord, bits: u64, order: Ordering) -> u64 {
        self.word(word).fetch_and(bits, self.order(Kind::Clear, word, order))
    }

    fn compare_exchange(&self, word: SlotWord, current: u64, new: u64) -> Result<u64, u64> {
        let [success, failure] = [Ordering::AcqRel, Ordering::Acquire]
            .map(|order| self.order(Kind::Exchange, word, order));
        self.word(word).compare_exchange(current, new, success, failure)
    }

    fn fence(&self, order: Ordering) {
        if !matches!(self.weak, Weak::NoFence(who, what) if who == self.who && what == order) {
            fence(order);
        }
    }
}

/// Where a scenario starts. It is prepared without loom, and copied for each execution.
#[derive(Clone)]
pub(crate) struct Stage {
    layout: Layout,
    values: Vec<u64>,
    payload: Vec<u64>,
    pub(crate) owner: OwnerCore,
    pub(crate) readers: Vec<ReaderCore>,
}

/// Words that only one thread uses.
pub(crate) struct Alone {
    layout: Layout,
    values: RefCell<Vec<u64>>,
}

impl Alone {
    fn change(&self, word: SlotWord, new: impl FnOnce(u64) -> u64) -> u64 {
        let value = &mut self.values.borrow_mut()[self.layout.at(word)];
        std::mem::replace(value, new(*value))
    }
}

impl Words<SlotWord> for Alone {
    fn load(&self, word: SlotWord, _: Ordering) -> u64 {
        self.change(word, |old| old)
    }

    fn store(&self, word: SlotWord, value: u64, _: Ordering) {
        self.change(word, |_| value);
    }

    fn swap(&self, word: SlotWord, value: u64, _: Ordering) -> u64 {
        self.change(word, |_| value)
    }

    fn fetch_add(&self, word: SlotWord, value: u64, _: Ordering) -> u64 {
        self.change(word, |old| old.wrapping_add(value))
    }

    fn fetch_or(&self, word: SlotWord, bits: u64, _: Ordering) -> u64 {
        self.change(word, |old| old | bits)
    }

    fn fetch_and(&self, word: SlotWord, bits: u64, _: Ordering) -> u64 {
        self.change(word, |old| old & bits)
    }

    fn compare_exchange(&self, word: SlotWord, current: u64, new: u64) -> Result<u64, u64> {
        let old = self.change(word, |old| if old == current { new } else { old });
        if old == current { Ok(old) } else { Err(old) }
    }

    fn fence(&self, _: Ordering) {}
}

impl Stage {
    /// A segment of `slots` slots, with one reader for each of `blocking` that is served so.
    pub(crate) fn new(slots: u32, entries: usize, blocking: &[bool]) -> Self {
        let layout = Layout { slots: slots as usize, entries };
        let mut stage = Self {
            layout,
            values: vec![0; layout.words()],
            payload: vec![0; slots as usize],
            owner: OwnerCore::new(slots, entries, 0),
            readers: Vec::new(),
        };
        for (node, blocking) in (1..).zip(blocking) {
            let reader = stage.alone(|words, owner| {
                let reader = claim_entry(words, entries, node, |_| {}).expect("a free entry");
                owner.admit(words, reader.index(), *blocking, false, 0);
                ReaderCore::admitted(words, reader, slots, 2).expect("admitted")
            });
            stage.readers.push(reader);
        }
        stage
    }

    /// Something happens before the scenario begins.
    pub(crate) fn alone<R>(&mut self, what: impl FnOnce(&Alone, &mut OwnerCore) -> R) -> R {
        let values = RefCell::new(std::mem::take(&mut self.values));
        let alone = Alone { layout: self.layout, values };
        let result = what(&alone, &mut self.owner);
        self.values = alone.values.into_inner();
        result
    }

    /// The owner publishes a sample.
    pub(crate) fn publish(mut self) -> Self {
        let (slot, seq) = self.alone(|words, owner| {
            let slot = owner.reserve(words, ReaderSet::ALL).expect("a free slot");
            (slot, owner.commit(words, slot, [0; 16]))
        });
        self.payload[slot.get()] = seq;
        self
    }

    /// The owner takes a slot and gives it back, so that the next sample is not where it is
    /// expected.
    pub(crate) fn skip_a_slot(mut self) -> Self {
        self.alone(|words, owner| {
            let slot = owner.reserve(words, ReaderSet::ALL).expect("a free slot");
            owner.discard(slot);
        });
        self
    }

    /// Reader `index` leaves before the scenario begins; its entry is still its own.
    pub(crate) fn leave(mut self, index: usize) -> Self {
        let mut reader = self.readers.remove(index);
        self.alone(|words, _| reader.leave(words));
        self
    }

    /// The segment on loom's atomics.
    pub(crate) fn build(&self) -> Segment {
        Segment {
            layout: self.layout,
            words: self.values.iter().map(|value| AtomicU64::new(*value)).collect(),
            payload: self.payload.iter().map(|seq| UnsafeCell::new(*seq)).collect(),
            description: UnsafeCell::new(0),
        }
    }

    pub(crate) fn entry(index: usize) -> ReaderIndex {
        ReaderIndex::new(index).expect("few entries")
    }
}
