//! A reader of a ZDS2 segment: which samples it has not marked, and whether it is safe to read them.
//!
//! The mask in a slot is how a reader tells the owner; what it has read itself it keeps in its own
//! memory. So a bit that somebody else sets loses no sample unseen, and a number that comes round again
//! after 2^32 samples is a new one.
//!
//! A slot whose sample this reader has seen and not marked must stay as it is: the owner waits. If it
//! does not, the owner was not told of this reader, or another one uses the same index; then a sample
//! can change while it is copied, and ZeroDDS's owners leave no trace of it. Hence [`Reader::look`]
//! ends in an error for good.

use super::layout::{Stamp, Zds2Memory};
use super::{Zds2Word, bump};
use crate::slots::{FormatError, ReaderIndex, SlotError, SlotIndex};
use crate::sync::{Ordering, Words};

#[derive(Debug)]
pub(super) struct Reader {
    pub(super) index: ReaderIndex,
    slots: Vec<Seen>,
    /// All samples so far, numbered without end: where a 32-bit number belongs.
    reached: u64,
    /// It was not waited for: nothing can be read safely any more.
    not_waited_for: bool,
}

/// What this reader knows of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    /// A new number, and this reader's bit is set. ZeroDDS stores a header in pieces, the mask after the
    /// number: then the bit goes in a moment. If the slot gets another sample first, somebody else set
    /// the bit.
    Marked(u32),
    Unread(u32),
    Done(u32),
}

/// A sample that this reader has not marked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unread {
    pub(super) slot: SlotIndex,
    /// From 1, without end.
    pub(super) seq: u64,
}

impl Reader {
    /// What is there now and has this reader's bit was read by one that had the index before.
    pub(super) fn new(memory: &Zds2Memory, index: ReaderIndex) -> Self {
        let count = memory.geometry().slot_count;
        let mut reader = Self {
            index,
            slots: vec![Seen::Nothing; count as usize],
            reached: memory.load(Zds2Word::NextNumber, Ordering::Acquire),
            not_waited_for: false,
        };
        for slot in (0..count).map(SlotIndex) {
            let stamp = Stamp::of(memory.load(Zds2Word::Stamp(slot), Ordering::Acquire));
            if stamp.size != 0 && reader.has_bit(memory, slot) {
                reader.slots[slot.get()] = Seen::Done(stamp.number);
            }
        }
        reader
    }

    fn has_bit(&self, memory: &Zds2Memory, slot: SlotIndex) -> bool {
        memory.load(Zds2Word::ReaderMask(slot), Ordering::Acquire) & self.index.bit() != 0
    }

    fn not_waited_for(&mut self) -> SlotError {
        self.not_waited_for = true;
        SlotError::NotWaitedFor { reader: self.index }
    }

    /// The sample in `slot`, if it is there and not marked.
    ///
    /// # Errors
    /// [`SlotError::NotWaitedFor`], from the first time on; [`FormatError::SampleSize`].
    pub(super) fn look(
        &mut self,
        memory: &Zds2Memory,
        slot: SlotIndex,
    ) -> Result<Option<Unread>, SlotError> {
        if self.not_waited_for {
            return Err(self.not_waited_for());
        }
        let Some(seen) = self.slots.get(slot.get()).copied() else { return Ok(None) };
        let look = || Stamp::of(memory.load(Zds2Word::Stamp(slot), Ordering::Acquire));
        let stamp = look();
        // After the stamp: an owner of ours sets the mask to 0 before it.
        let marked = self.has_bit(memory, slot);
        if look() != stamp {
            // The mask may be the next sample's, and what was marked would seem not to be.
            return Ok(None);
        }
        let capacity = memory.geometry().slot_capacity;
        if stamp.size > capacity {
            let (slot, size) = (slot.get(), stamp.size);
            return Err(FormatError::SampleSize { slot, size, capacity }.into());
        }
        let here = (stamp.size != 0).then_some(stamp.number);
        match seen {
            Seen::Unread(number) if here != Some(number) || marked => Err(self.not_waited_for()),
            Seen::Unread(number) => Ok(Some(Unread { slot, seq: self.seq(number) })),
            // (Without the bit it was not whole when this reader came.)
            Seen::Done(number) if here == Some(number) && marked => Ok(None),
            Seen::Marked(number) if here != Some(number) => Err(self.not_waited_for()),
            Seen::Nothing | Seen::Marked(_) | Seen::Done(_) => match here {
                None => Ok(None),
                Some(number) if marked => {
                    self.slots[slot.get()] = Seen::Marked(number);
                    Ok(None)
                }
                Some(number) => {
                    self.slots[slot.get()] = Seen::Unread(number);
                    let seq = self.seq(number);
                    self.reached = self.reached.max(seq);
                    Ok(Some(Unread { slot, seq }))
                }
            },
        }
    }

    /// The sample with the lowest number that is not marked.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub(super) fn next(&mut self, memory: &Zds2Memory) -> Result<Option<Unread>, SlotError> {
        let mut next: Option<Unread> = None;
        let mut end = memory.geometry().slot_count;
        // Numbers are given out in order: who sees one sees every sample before it. So slots that were
        // looked at before the sample that was found are looked at again.
        for _ in 0..2 {
            for slot in (0..end).map(SlotIndex) {
                if let Some(unread) = self.look(memory, slot)?
                    && next.is_none_or(|next| unread.seq < next.seq)
                {
                    next = Some(unread);
                }
            }
            end = next.map_or(0, |next| next.slot.0);
        }
        Ok(next)
    }

    /// Where a 32-bit number belongs: within 2^31 of the newest sample so far.
    fn seq(&self, number: u32) -> u64 {
        let ahead = number.wrapping_sub(self.reached as u32) as i32;
        self.reached.saturating_add_signed(ahead.into()).saturating_add(1)
    }

    /// Whether `seq` is unread in `slot`, as far as this reader knows; never once it was not waited for,
    /// since a copy could be torn.
    pub(super) fn has_unread(&self, slot: SlotIndex, seq: u64) -> bool {
        !self.not_waited_for
            && matches!(self.slots.get(slot.get()), Some(Seen::Unread(number)) if self.seq(*number) == seq)
    }

    /// Copies an unread sample out; `None` if it did not stay as it was.
    pub(super) fn copy(&self, memory: &Zds2Memory, slot: SlotIndex, seq: u64) -> Option<Vec<u8>> {
        let stamp = Stamp::of(memory.load(Zds2Word::Stamp(slot), Ordering::Acquire));
        let fits = stamp.size != 0 && stamp.size <= memory.geometry().slot_capacity;
        if !fits || self.seq(stamp.number) != seq {
            return None;
        }
        let mut octets = vec![0; stamp.size as usize];
        memory.copy_payload(slot, &mut octets);
        // The copy happens before the second look.
        memory.fence(Ordering::Acquire);
        let now = Stamp::of(memory.load(Zds2Word::Stamp(slot), Ordering::Relaxed));
        (now == stamp && !self.has_bit(memory, slot)).then_some(octets)
    }

    /// Marks a sample; again, or after it was replaced, does nothing.
    pub(super) fn mark(&mut self, memory: &Zds2Memory, slot: SlotIndex, seq: u64) {
        if !self.has_unread(slot, seq) {
            return;
        }
        let Seen::Unread(number) = self.slots[slot.get()] else { return };
        let stamp = Stamp::of(memory.load(Zds2Word::Stamp(slot), Ordering::Acquire));
        if stamp.number != number {
            // `look` will tell.
            return;
        }
        self.slots[slot.get()] = Seen::Done(number);
        // Release: the copy happens before the owner, which loads the mask, writes the next sample.
        // The sample stays until then, for the owner waits for the bit: no other is marked.
        memory.fetch_or(Zds2Word::ReaderMask(slot), self.index.bit(), Ordering::Release);
        bump(memory);
    }
}
