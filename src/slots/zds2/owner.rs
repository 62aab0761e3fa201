//! The owner of a ZDS2 segment.
//!
//! What it knows of its slots is in its own memory; of the segment it loads nothing but reader masks.
//! A slot goes through: free, on loan, published, and free again when every reader that the owner was
//! told of has set its bit. The slots are taken in ring order, so that a sample stays as long as it
//! can for who was not told of.
//!
//! ZeroDDS leaves the old header in place while it writes the next payload. Here the size becomes 0
//! first: a reader that comes meanwhile sees no sample instead of half of one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::layout::{READERS, Stamp, Zds2Memory};
use super::{Zds2Word, bump, sleep};
use crate::slots::segment_owner::Reserved;
use crate::slots::{Committed, FlowPolicy, ReaderIndex, ReaderSet, SlotError, SlotIndex};
use crate::sync::{Ordering, Words};

/// Every sleep is cut: who should wake us may have died.
const CUT: Duration = Duration::from_millis(50);
/// ZeroDDS's readers take the last number for "none yet", and a number after it for an old one.
const LAST_NUMBER: u32 = u32::MAX - 1;

#[derive(Debug)]
pub(super) struct Zds2Owner {
    memory: Arc<Zds2Memory>,
    flow: FlowPolicy,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    slots: Vec<Slot>,
    /// Where the search for a free slot begins.
    next: SlotIndex,
    /// The number of the next sample: how many there were.
    published: u32,
    /// Who the owner was told of.
    known: ReaderSet,
    /// Of these, who is waited for.
    connected: ReaderSet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Free,
    OnLoan,
    Published,
}

impl Zds2Owner {
    pub(super) fn new(memory: Arc<Zds2Memory>, flow: FlowPolicy) -> Self {
        let slots = vec![Slot::Free; memory.geometry().slot_count as usize];
        let (known, connected) = (ReaderSet::EMPTY, ReaderSet::EMPTY);
        let book = Book { slots, next: SlotIndex(0), published: 0, known, connected };
        Self { memory, flow, book: Mutex::new(book) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Every change is one step.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_memory(&self) -> Result<(), SlotError> {
        if self.memory.is_poisoned() { Err(SlotError::Poisoned) } else { Ok(()) }
    }

    /// From now on `reader` is waited for.
    pub(super) fn add_reader(&self, reader: ReaderIndex) {
        let mut book = self.book();
        book.known.insert(reader);
        book.connected.insert(reader);
    }

    /// `reader` is not waited for any more. Its bits are set, as ZeroDDS does, so that it sees that
    /// nothing protects it.
    pub(super) fn disconnect(&self, reader: ReaderIndex) -> Result<(), SlotError> {
        let mut book = self.book();
        if !book.known.contains(reader) {
            return Err(SlotError::WrongReader { reader });
        }
        book.connected.remove(reader);
        for slot in (0..book.slots.len() as u32).map(SlotIndex) {
            self.memory.fetch_or(Zds2Word::ReaderMask(slot), reader.bit(), Ordering::Relaxed);
        }
        drop(book);
        bump(&*self.memory);
        Ok(())
    }

    /// Takes a slot; waits for one as the flow policy says.
    pub(super) fn reserve(&self) -> Result<Reserved, SlotError> {
        let started = Instant::now();
        loop {
            self.check_memory()?;
            // Before the look: what changes after it ends the sleep.
            let seen = self.memory.load(Zds2Word::Generation, Ordering::SeqCst) as u32;
            if let Some(reserved) = self.try_reserve() {
                return Ok(reserved);
            }
            let Some(most) = self.flow.max_blocking_time else {
                return Err(SlotError::NoFreeSlot { slots: self.memory.geometry().slot_count });
            };
            let waited = started.elapsed();
            let left = most.saturating_sub(waited);
            if left.is_zero() {
                return Err(SlotError::Timeout { waited });
            }
            sleep(&*self.memory, seen, left.min(CUT));
        }
    }

    fn try_reserve(&self) -> Option<Reserved> {
        let mut book = self.book();
        let waited_for = book.connected.bits();
        let count = book.slots.len() as u32;
        for _ in 0..count {
            let slot = book.next;
            book.next = slot.next(count);
            let free = match book.slots[slot.get()] {
                Slot::Free => true,
                Slot::OnLoan => false,
                // Acquire: what a reader did with the sample happens before it is replaced.
                Slot::Published => {
                    let mask = self.memory.load(Zds2Word::ReaderMask(slot), Ordering::Acquire);
                    mask & waited_for == waited_for
                }
            };
            if free {
                book.slots[slot.get()] = Slot::OnLoan;
                let none = Stamp { number: book.published, size: 0 };
                self.memory.store(Zds2Word::Stamp(slot), none.word(), Ordering::Relaxed);
                // Who copies an octet of the next sample finds the last one's stamp gone.
                self.memory.fence(Ordering::SeqCst);
                return Some(Reserved { slot, payload: self.memory.payload(slot) });
            }
        }
        None
    }

    /// Publishes a loan whose first `len` octets are written.
    pub(super) fn commit(&self, slot: SlotIndex, len: u32) -> Result<Committed, SlotError> {
        self.check_memory()?;
        let mut book = self.book();
        let number = book.published;
        if number > LAST_NUMBER {
            return Err(SlotError::NumbersExhausted { published: number });
        }
        book.published = number + 1;
        book.slots[slot.get()] = Slot::Published;
        // Before the stamp: who finds it finds a mask of its own, and a next number above it.
        self.memory.store(Zds2Word::ReaderMask(slot), 0, Ordering::Relaxed);
        self.memory.store(Zds2Word::NextNumber, u64::from(number) + 1, Ordering::Relaxed);
        let stamp = Stamp { number, size: len };
        // Release: payload and mask are there for who finds the stamp.
        self.memory.store(Zds2Word::Stamp(slot), stamp.word(), Ordering::Release);
        let covered = book.connected;
        drop(book);
        bump(&*self.memory);
        let seq = u64::from(number) + 1;
        Ok(Committed { seq, sn: seq as i64, covered })
    }

    /// Gives a loan back.
    pub(super) fn discard(&self, slot: SlotIndex) {
        self.book().slots[slot.get()] = Slot::Free;
        bump(&*self.memory);
    }
}

/// Whether the format has a bit for this reader.
pub(super) fn has_bit(reader: ReaderIndex) -> bool {
    reader.get() < READERS as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::Memory;
    use crate::slots::zds2::layout::{object_len, plan};
    use crate::slots::zds2::reader::Reader;

    fn segment(slots: u32) -> (Zds2Owner, Arc<Zds2Memory>) {
        let geometry = plan(slots, 48).unwrap();
        let heap = Memory::heap(object_len(&geometry) as usize);
        let memory = Arc::new(Zds2Memory::make(heap, geometry).unwrap());
        (Zds2Owner::new(Arc::clone(&memory), FlowPolicy::best_effort()), memory)
    }

    fn publish(owner: &Zds2Owner, octet: u8) -> Result<u64, SlotError> {
        let reserved = owner.reserve()?;
        // SAFETY: a slot on loan, 48 octets.
        unsafe { reserved.payload.write_bytes(octet, 8) };
        let committed = owner.commit(reserved.slot, 8);
        committed.map(|committed| committed.seq).inspect_err(|_| owner.discard(reserved.slot))
    }

    #[test]
    fn the_numbers_end_before_a_reader_of_zerodds_goes_blind() {
        let (owner, memory) = segment(2);
        owner.book().published = LAST_NUMBER;
        assert_eq!(publish(&owner, 1).unwrap(), u64::from(LAST_NUMBER) + 1);
        let full = publish(&owner, 2).unwrap_err();
        assert!(matches!(full, SlotError::NumbersExhausted { published: u32::MAX }), "{full}");
        // Nothing is lost by asking again.
        assert!(matches!(publish(&owner, 2), Err(SlotError::NumbersExhausted { .. })));
        assert_eq!(memory.load(Zds2Word::NextNumber, Ordering::Relaxed), u64::from(u32::MAX));
    }

    #[test]
    fn a_reader_goes_on_when_the_numbers_of_a_foreign_owner_come_round() {
        let (owner, memory) = segment(4);
        let index = ReaderIndex::new(3).unwrap();
        owner.add_reader(index);
        // ZeroDDS's owners do not stop.
        let stamp = |slot, number| {
            let word = Stamp { number, size: 8 }.word();
            memory.store(Zds2Word::ReaderMask(SlotIndex(slot)), 0, Ordering::Relaxed);
            memory.store(Zds2Word::NextNumber, u64::from(number) + 1, Ordering::Relaxed);
            memory.store(Zds2Word::Stamp(SlotIndex(slot)), word, Ordering::Release);
        };
        memory.store(Zds2Word::NextNumber, u64::from(u32::MAX - 1), Ordering::Relaxed);
        let mut reader = Reader::new(&memory, index);
        (0..4).zip([u32::MAX - 1, u32::MAX, 0, 1]).for_each(|(slot, number)| stamp(slot, number));
        let first = u64::from(u32::MAX);
        for seq in first..first + 4 {
            let unread = reader.next(&memory).unwrap().unwrap();
            assert_eq!(unread.seq, seq);
            assert_eq!(reader.copy(&memory, unread.slot, seq).unwrap().len(), 8);
            reader.mark(&memory, unread.slot, seq);
        }
        assert!(reader.next(&memory).unwrap().is_none());
    }

    #[test]
    fn a_reader_that_is_not_waited_for_is_told_and_reads_no_more() {
        let (owner, memory) = segment(2);
        let index = ReaderIndex::new(0).unwrap();
        let mut reader = Reader::new(&memory, index);
        publish(&owner, 1).unwrap();
        let unread = reader.next(&memory).unwrap().unwrap();
        // Nobody told the owner: it goes round.
        (2..=3).for_each(|octet| {
            publish(&owner, octet).unwrap();
        });
        assert!(reader.copy(&memory, unread.slot, unread.seq).is_none());
        for _ in 0..2 {
            let error = reader.next(&memory).unwrap_err();
            assert!(matches!(error, SlotError::NotWaitedFor { reader } if reader == index));
        }
        // Told of it, and read by it from then on.
        owner.add_reader(index);
        let mut again = Reader::new(&memory, index);
        assert_eq!(again.next(&memory).unwrap().unwrap().seq, 2);
        assert!(matches!(publish(&owner, 4), Err(SlotError::NoFreeSlot { slots: 2 })));
    }

    #[test]
    fn two_readers_with_one_index_are_told() {
        let (owner, memory) = segment(2);
        let index = ReaderIndex::new(5).unwrap();
        owner.add_reader(index);
        let [mut one, mut other] = [(); 2].map(|()| Reader::new(&memory, index));
        publish(&owner, 1).unwrap();
        let unread = one.next(&memory).unwrap().unwrap();
        one.mark(&memory, unread.slot, unread.seq);
        assert!(other.next(&memory).unwrap().is_none());
        // Gone before it could be this one's.
        (2..=3).for_each(|octet| {
            publish(&owner, octet).unwrap();
        });
        assert!(matches!(other.next(&memory), Err(SlotError::NotWaitedFor { .. })));
    }

    #[test]
    fn a_header_that_is_stored_in_pieces_is_a_sample_when_it_is_whole() {
        let (owner, memory) = segment(1);
        let index = ReaderIndex::new(1).unwrap();
        owner.add_reader(index);
        let mut reader = Reader::new(&memory, index);
        publish(&owner, 1).unwrap();
        let first = reader.next(&memory).unwrap().unwrap();
        reader.mark(&memory, first.slot, first.seq);
        // As ZeroDDS's owner does it: number and size are there, the mask is still the old one.
        let word = Stamp { number: 1, size: 8 }.word();
        memory.store(Zds2Word::Stamp(first.slot), word, Ordering::Relaxed);
        let mut joins = Reader::new(&memory, index);
        for reader in [&mut reader, &mut joins] {
            assert!(reader.next(&memory).unwrap().is_none());
        }
        memory.store(Zds2Word::ReaderMask(first.slot), 0, Ordering::Relaxed);
        for reader in [&mut reader, &mut joins] {
            let second = reader.next(&memory).unwrap().unwrap();
            assert_eq!(reader.copy(&memory, second.slot, second.seq).unwrap().len(), 8);
        }
    }

    #[test]
    fn a_size_beyond_the_slot_is_damage() {
        let (owner, memory) = segment(1);
        let index = ReaderIndex::new(0).unwrap();
        owner.add_reader(index);
        publish(&owner, 1).unwrap();
        let mut reader = Reader::new(&memory, index);
        for size in [49, u32::MAX] {
            let word = Stamp { number: 0, size }.word();
            memory.store(Zds2Word::Stamp(SlotIndex(0)), word, Ordering::Relaxed);
            let error = reader.next(&memory).unwrap_err();
            assert!(matches!(
                error,
                SlotError::Format(crate::slots::FormatError::SampleSize { capacity: 48, .. })
            ));
        }
    }
}
