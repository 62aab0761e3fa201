//! Where everything is in a ZDS2 object; all numbers in the machine's byte order.
//!
//! ```text
//! 0x00  u32  magic 0x5A445332
//! 0x04  u32  slot_count
//! 0x08  u32  stride, a multiple of 64
//! 0x0c  u32  next sequence number; the first sample has 0
//! 0x10  u32  generation: the futex word
//! 0x14  u32  how many threads sleep on it
//! 0x18       zero
//! 0x20       slots: sequence number u32, size u32 (0: nothing here), reader mask u32, zero u32,
//!            payload, up to the stride
//! ```

use std::sync::atomic::{AtomicU32, AtomicU64, fence};
use std::time::Duration;

use crate::liveness::doorbell::FutexWords;
use crate::shm::Memory;
use crate::shm::futex::{self, FutexWait};
use crate::slots::{FormatError, Geometry, MAX_SLOTS, SlotIndex};
use crate::sync::{Ordering, Words};

const MAGIC: u32 = 0x5A44_5332;
/// Octets in front of the slots.
const HEADER: usize = 0x20;
/// Octets in front of a payload.
const SLOT_HEADER: usize = 16;
/// One bit of the reader mask for each.
pub(super) const READERS: u32 = 32;

/// A shared word of a ZDS2 segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Zds2Word {
    /// The number that the next sample gets (32 bits). Owner.
    NextNumber,
    /// Changes whenever a sample comes or a slot becomes free (32 bits). Everybody, by `fetch_add`.
    Generation,
    /// How many threads sleep on the generation (32 bits). Everybody, by `fetch_add`.
    Sleepers,
    /// Number and size of the sample in this slot, in one word (64 bits). Owner.
    Stamp(SlotIndex),
    /// Bit r: reader r is done with it (32 bits). Owner sets it to 0; readers, by `fetch_or`.
    ReaderMask(SlotIndex),
}

/// The first half of a slot header: one word, so that number and size belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) number: u32,
    /// 0: no sample.
    pub(super) size: u32,
}

impl Stamp {
    pub(super) fn of(word: u64) -> Self {
        let octets = word.to_ne_bytes();
        let half = |at: usize| {
            u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
        };
        Self { number: half(0), size: half(4) }
    }

    pub(super) fn word(self) -> u64 {
        let mut octets = [0; 8];
        octets[..4].copy_from_slice(&self.number.to_ne_bytes());
        octets[4..].copy_from_slice(&self.size.to_ne_bytes());
        u64::from_ne_bytes(octets)
    }
}

/// The numbers of a segment of so many slots for so large payloads.
pub(super) fn plan(slot_count: u32, slot_capacity: u32) -> Result<Geometry, FormatError> {
    let stride = (SLOT_HEADER as u64 + u64::from(slot_capacity)).next_multiple_of(64);
    let geometry = Geometry {
        slot_count,
        slot_capacity,
        slot_stride: stride,
        reader_capacity: READERS,
        slots_offset: HEADER as u64,
    };
    check(&geometry)?;
    Ok(geometry)
}

/// Checks that the numbers hang together; a stride beyond 32 bits cannot be said.
fn check(geometry: &Geometry) -> Result<(), FormatError> {
    let good = (1..=MAX_SLOTS).contains(&geometry.slot_count)
        && u32::try_from(geometry.slot_stride).is_ok()
        && geometry.slot_stride >= 64
        && geometry.slot_stride.is_multiple_of(64);
    if good { Ok(()) } else { Err(FormatError::Geometry { geometry: *geometry }) }
}

/// Octets of the object: not rounded to pages.
pub(super) fn object_len(geometry: &Geometry) -> u64 {
    geometry.slots_offset + geometry.slot_stride * u64::from(geometry.slot_count)
}

/// A ZDS2 object as this process sees it.
///
/// Offsets are computed from the local copy of the geometry, which was checked against the length of
/// the mapping; nothing that is loaded is used as an offset or a length unchecked.
#[derive(Debug)]
pub(super) struct Zds2Memory {
    memory: Memory,
    geometry: Geometry,
}

impl Zds2Memory {
    /// The memory of a segment, if it is writable and as long as `geometry` says.
    fn new(memory: Memory, geometry: Geometry) -> Result<Self, FormatError> {
        check(&geometry)?;
        let (expected, found) = (object_len(&geometry), memory.len() as u64);
        if found < expected || !memory.is_writable() {
            return Err(FormatError::Truncated { expected, found });
        }
        Ok(Self { memory, geometry })
    }

    /// Memory of zeroes becomes a segment; the magic is stored last, with Release.
    pub(super) fn make(memory: Memory, geometry: Geometry) -> Result<Self, FormatError> {
        let made = Self::new(memory, geometry)?;
        made.u32_at(0x04).store(geometry.slot_count, Ordering::Relaxed);
        made.u32_at(0x08).store(geometry.slot_stride as u32, Ordering::Relaxed);
        made.u32_at(0).store(MAGIC, Ordering::Release);
        Ok(made)
    }

    /// Memory that is said to be a segment. Its capacity is what the stride leaves: the format does
    /// not keep what its owner asked for.
    pub(super) fn check(memory: Memory) -> Result<Self, FormatError> {
        let found = memory.len() as u64;
        let too_short = FormatError::Truncated { expected: HEADER as u64, found };
        let word = |at| memory.load_u32(at, Ordering::Acquire);
        let (Some(magic), Some(slot_count), Some(stride)) = (word(0), word(4), word(8)) else {
            return Err(too_short);
        };
        if found < HEADER as u64 {
            return Err(too_short);
        }
        if magic != MAGIC {
            return Err(FormatError::Magic { found: magic });
        }
        let geometry = Geometry {
            slot_count,
            slot_capacity: stride.saturating_sub(SLOT_HEADER as u32),
            slot_stride: stride.into(),
            reader_capacity: READERS,
            slots_offset: HEADER as u64,
        };
        Self::new(memory, geometry)
    }

    pub(super) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.memory.is_poisoned()
    }

    fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset < self.memory.len());
        // SAFETY: callers pass offsets of the header, or of a slot below the slot count; `new` put
        // both inside the mapping.
        unsafe { self.memory.ptr().as_ptr().add(offset) }
    }

    fn slot_at(&self, slot: SlotIndex) -> usize {
        // The minimum makes it true even for an index of another segment.
        let slot = slot.0.min(self.geometry.slot_count - 1) as usize;
        HEADER + slot * self.geometry.slot_stride as usize
    }

    fn u32_at(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: 4-aligned and inside (`at`); every access to these words is atomic, and the mapping
        // lives as long as `self`.
        unsafe { AtomicU32::from_ptr(self.at(offset).cast()) }
    }

    fn u64_at(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: as in `u32_at`; slots begin at multiples of 32.
        unsafe { AtomicU64::from_ptr(self.at(offset).cast()) }
    }

    /// Start of the payload of `slot`: `slot_capacity` octets, 16-aligned.
    pub(super) fn payload(&self, slot: SlotIndex) -> *mut u8 {
        self.at(self.slot_at(slot) + SLOT_HEADER)
    }

    /// Copies the payload of a slot. It says something only if the stamp and the reader's own bit are
    /// found unchanged behind a `fence(Acquire)`.
    pub(super) fn copy_payload(&self, slot: SlotIndex, into: &mut [u8]) {
        let len = into.len().min(self.geometry.slot_capacity as usize);
        let from = self.slot_at(slot) + SLOT_HEADER;
        // Whole words: the stride is a multiple of 64, so the last one is inside the slot.
        let word = |n: usize| self.u64_at(from + 8 * n).load(Ordering::Relaxed).to_ne_bytes();
        let (words, rest) = into[..len].as_chunks_mut();
        let last = words.len();
        for (n, octets) in words.iter_mut().enumerate() {
            *octets = word(n);
        }
        if !rest.is_empty() {
            rest.copy_from_slice(&word(last)[..rest.len()]);
        }
    }

    fn place(&self, word: Zds2Word) -> Place<'_> {
        match word {
            Zds2Word::NextNumber => Place::U32(self.u32_at(0x0c)),
            Zds2Word::Generation => Place::U32(self.u32_at(0x10)),
            Zds2Word::Sleepers => Place::U32(self.u32_at(0x14)),
            Zds2Word::Stamp(slot) => Place::U64(self.u64_at(self.slot_at(slot))),
            Zds2Word::ReaderMask(slot) => Place::U32(self.u32_at(self.slot_at(slot) + 8)),
        }
    }
}

enum Place<'m> {
    U32(&'m AtomicU32),
    U64(&'m AtomicU64),
}

impl Words<Zds2Word> for Zds2Memory {
    fn load(&self, word: Zds2Word, order: Ordering) -> u64 {
        match self.place(word) {
            Place::U32(word) => word.load(order).into(),
            Place::U64(word) => word.load(order),
        }
    }

    fn store(&self, word: Zds2Word, value: u64, order: Ordering) {
        match self.place(word) {
            Place::U32(word) => word.store(value as u32, order),
            Place::U64(word) => word.store(value, order),
        }
    }

    fn swap(&self, word: Zds2Word, value: u64, order: Ordering) -> u64 {
        match self.place(word) {
            Place::U32(word) => word.swap(value as u32, order).into(),
            Place::U64(word) => word.swap(value, order),
        }
    }

    fn fetch_add(&self, word: Zds2Word, value: u64, order: Ordering) -> u64 {
        match self.place(word) {
            Place::U32(word) => word.fetch_add(value as u32, order).into(),
            Place::U64(word) => word.fetch_add(value, order),
        }
    }

    fn fetch_or(&self, word: Zds2Word, bits: u64, order: Ordering) -> u64 {
        match self.place(word) {
            Place::U32(word) => word.fetch_or(bits as u32, order).into(),
            Place::U64(word) => word.fetch_or(bits, order),
        }
    }

    fn fetch_and(&self, word: Zds2Word, bits: u64, order: Ordering) -> u64 {
        match self.place(word) {
            Place::U32(word) => word.fetch_and(bits as u32, order).into(),
            Place::U64(word) => word.fetch_and(bits, order),
        }
    }

    fn compare_exchange(&self, word: Zds2Word, current: u64, new: u64) -> Result<u64, u64> {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        match self.place(word) {
            Place::U32(word) => word
                .compare_exchange(current as u32, new as u32, success, failure)
                .map(u64::from)
                .map_err(u64::from),
            Place::U64(word) => word.compare_exchange(current, new, success, failure),
        }
    }

    fn fence(&self, order: Ordering) {
        fence(order);
    }
}

impl FutexWords<Zds2Word> for Zds2Memory {
    fn futex_wait(&self, word: Zds2Word, expected: u32, timeout: Option<Duration>) -> FutexWait {
        match self.place(word) {
            Place::U32(word) => futex::wait(word, expected, timeout),
            // Nobody sleeps on a stamp.
            Place::U64(_) => FutexWait::Changed,
        }
    }

    fn futex_wake_all(&self, word: Zds2Word) {
        if let Place::U32(word) = self.place(word) {
            futex::wake_all(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(words: [u32; 3], len: usize) -> Memory {
        let memory = Memory::heap(len);
        for (at, word) in (0..).step_by(4).zip(words) {
            let _ = memory.copy_in(at, &word.to_ne_bytes());
        }
        memory
    }

    #[test]
    fn a_segment_is_laid_out_as_zerodds_does() {
        // What ZeroDDS makes of 3 slots for 100 octets.
        let geometry = plan(3, 100).unwrap();
        assert_eq!((geometry.slot_stride, object_len(&geometry)), (128, 416));
        let made = Zds2Memory::make(Memory::heap(416), geometry).unwrap();
        let second = SlotIndex(1);
        assert_eq!(made.slot_at(second), 0x20 + 128);
        assert_eq!(made.payload(second).addr() - made.at(0).addr(), 0x20 + 128 + 16);
        let stamp = Stamp { number: 7, size: 9 };
        made.store(Zds2Word::Stamp(second), stamp.word(), Ordering::Relaxed);
        made.fetch_or(Zds2Word::ReaderMask(second), 0b101, Ordering::Relaxed);
        let mut octets = [0; 16];
        made.memory.copy_out(0x20 + 128, &mut octets).unwrap();
        let words = [7u32, 9, 0b101, 0].map(u32::to_ne_bytes);
        assert_eq!(octets, words.as_flattened());
        assert_eq!(Stamp::of(stamp.word()), stamp);
        let mut start = [0; 12];
        made.memory.copy_out(0, &mut start).unwrap();
        assert_eq!(start, [0x5A44_5332u32, 3, 128].map(u32::to_ne_bytes).as_flattened());
    }

    #[test]
    fn a_forged_header_is_refused() {
        let refused = |words, len| Zds2Memory::check(header(words, len)).unwrap_err();
        assert!(Zds2Memory::check(header([MAGIC, 3, 128], 416)).is_ok());
        assert!(matches!(
            refused([MAGIC, 3, 128], 415),
            FormatError::Truncated { expected: 416, .. }
        ));
        assert!(matches!(refused([MAGIC, 1, 64], 16), FormatError::Truncated { .. }));
        assert!(matches!(refused([MAGIC, 1, 64], 3), FormatError::Truncated { .. }));
        // Of before there was a count of sleepers.
        assert!(matches!(refused([0x5A44_5353, 3, 128], 416), FormatError::Magic { .. }));
        for numbers in [[0, 64], [u32::MAX, 64], [u32::MAX, 0], [1, 0], [1, 16], [1, 65], [1, 32]] {
            let error = refused([MAGIC, numbers[0], numbers[1]], 1 << 16);
            assert!(matches!(error, FormatError::Geometry { .. }), "{error}");
        }
        let error = refused([MAGIC, MAX_SLOTS, u32::MAX - 63], 1 << 16);
        assert!(matches!(error, FormatError::Truncated { .. }), "{error}");
    }

    #[test]
    fn a_stride_beyond_32_bits_is_refused() {
        assert!(plan(1, u32::MAX - 1024).is_ok());
        assert!(matches!(plan(1, u32::MAX), Err(FormatError::Geometry { .. })));
    }
}
