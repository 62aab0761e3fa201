//! The memory of a segment: its shared words, headers and payloads, mapped or on the heap.
//!
//! Everything that touches the two objects goes through here. Offsets are computed from the local
//! copy of the geometry, which was checked against the length of the objects; nothing that is
//! loaded is ever used as an offset.

use std::sync::atomic::{AtomicU32, AtomicU64, fence};
use std::time::Duration;

use super::geometry::{SLOT_HEADER, ctl, dat};
use super::identity_words::{IdentityWord, IdentityWords, publish_identity};
use super::reader_entry::ReaderEntry;
use super::{CLAIM, Geometry, Identity, ReaderIndex, SampleHeader, SlotIndex, SlotWord};
use crate::liveness::doorbell::FutexWords;
use crate::shm::futex::{self, FutexWait};
use crate::shm::{self, Memory};
use crate::sync::{Ordering, Words};

/// Octets of a cache line.
const LINE: usize = 64;
/// How much of a payload is handed over: more takes the writer longer than it saves its readers.
const HAND_OVER: usize = 1024;

/// The two objects of one segment as this process sees them.
#[derive(Debug)]
pub(crate) struct SegmentMemory {
    dat: Memory,
    ctl: Memory,
    geometry: Geometry,
    /// Where the slots are, and the number of the last: what is computed anew for every word is most of
    /// what a sample costs.
    slots: *mut u8,
    last: u32,
    stride: usize,
}

// SAFETY: all access is by atomic operations on shared words, or to a payload whose exclusive
// writer or protected readers the slot protocol determines; neither depends on the thread.
unsafe impl Send for SegmentMemory {}
// SAFETY: as for `Send`.
unsafe impl Sync for SegmentMemory {}

enum Place {
    U64(*mut u8),
    U32(*mut u8),
}

impl SegmentMemory {
    /// The memory of a segment, if both objects are as long as `geometry` says.
    pub(crate) fn new(dat: Memory, ctl: Memory, geometry: Geometry) -> Option<Self> {
        let long_enough =
            dat.len() as u64 >= geometry.dat_len() && ctl.len() as u64 >= geometry.ctl_len();
        (long_enough && geometry.check().is_ok()).then(|| Self {
            // In range: `dat_len` counts the slots behind it.
            slots: dat.ptr().as_ptr().wrapping_add(geometry.slots_offset as usize),
            last: geometry.slot_count - 1,
            stride: geometry.slot_stride as usize,
            dat,
            ctl,
            geometry,
        })
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Whether a SIGBUS replaced the memory by zero pages.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.dat.is_poisoned() || self.ctl.is_poisoned()
    }

    #[inline(always)]
    fn dat_at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset < self.dat.len());
        // SAFETY: callers pass offsets that `Geometry::check` and `new` put inside the object.
        unsafe { self.dat.ptr().as_ptr().add(offset) }
    }

    #[inline(always)]
    fn ctl_at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset < self.ctl.len());
        // SAFETY: as in `dat_at`.
        unsafe { self.ctl.ptr().as_ptr().add(offset) }
    }

    #[inline(always)]
    fn slot_at(&self, slot: SlotIndex) -> *mut u8 {
        // A `SlotIndex` is made from a number below the slot count; the minimum makes it true even
        // for one of another segment.
        // SAFETY: `new` found all slots inside the object.
        unsafe { self.slots.add(slot.0.min(self.last) as usize * self.stride) }
    }

    #[inline(always)]
    fn place(&self, word: SlotWord) -> Place {
        let owners = |reader: ReaderIndex, at: usize| {
            Place::U64(self.dat_at(dat::TABLE + reader.get() * dat::TABLE_ENTRY + at))
        };
        let readers = |reader: ReaderIndex, at: usize| {
            Place::U64(self.ctl_at(ctl::TABLE + reader.get() * ctl::TABLE_ENTRY + at))
        };
        match word {
            SlotWord::Head => Place::U64(self.dat_at(dat::HEAD)),
            SlotWord::OwnerState => Place::U64(self.dat_at(dat::OWNER_LINE)),
            SlotWord::Requests => Place::U64(self.ctl_at(ctl::REQUESTS)),
            SlotWord::SpaceGeneration => Place::U32(self.ctl_at(ctl::SPACE_BELL)),
            SlotWord::SpaceWaiters => Place::U32(self.ctl_at(ctl::SPACE_BELL + 4)),
            SlotWord::State(reader) => owners(reader, 0),
            SlotWord::Start(reader) => owners(reader, 8),
            SlotWord::StartSn(reader) => owners(reader, 16),
            SlotWord::JoinHead(reader) => owners(reader, 24),
            SlotWord::Rings(reader) => owners(reader, 32),
            SlotWord::Cursor(reader) => readers(reader, 0),
            SlotWord::Reading(reader) => readers(reader, 8),
            SlotWord::Node(reader) => readers(reader, 64),
            SlotWord::Request(reader) => readers(reader, 72),
            SlotWord::Hold(slot) => {
                Place::U64(self.ctl_at(ctl::HOLDS + 8 * slot.0.min(self.last) as usize))
            }
            SlotWord::Seq(slot) => Place::U64(self.slot_at(slot)),
            // SAFETY: a slot header is 64 octets.
            SlotWord::Dir(slot) => Place::U32(unsafe { self.slot_at(slot).add(12) }),
        }
    }

    /// The header of `slot` without its sequence number and directory entry.
    #[inline]
    pub(crate) fn store_header(&self, slot: SlotIndex, header: &SampleHeader) {
        crash_point!("a header");
        let base = self.slot_at(slot);
        let words = header.to_words();
        // The size shares a word with the directory entry of another sample: its own half only.
        as_u32(base, 8).store(header.size, Ordering::Relaxed);
        for (at, word) in (16..).step_by(8).zip(&words[1..]) {
            as_u64(base, at).store(*word, Ordering::Relaxed);
        }
    }

    /// The header of `slot`. It says something only while the slot is protected or its sequence
    /// number is found unchanged afterwards.
    #[inline]
    pub(crate) fn load_header(&self, slot: SlotIndex) -> SampleHeader {
        let base = self.slot_at(slot);
        let mut words = [u64::from(as_u32(base, 8).load(Ordering::Relaxed)); 6];
        for (at, word) in (16..).step_by(8).zip(&mut words[1..]) {
            *word = as_u64(base, at).load(Ordering::Relaxed);
        }
        let mut header = SampleHeader::from_words(words);
        header.size = header.size.min(self.geometry.slot_capacity);
        header
    }

    /// Start of the payload of `slot`: `slot_capacity` octets.
    #[inline]
    pub(crate) fn payload(&self, slot: SlotIndex) -> *mut u8 {
        // SAFETY: the stride has room for the header.
        unsafe { self.slot_at(slot).add(SLOT_HEADER) }
    }

    /// Copies the payload of a slot that may be rewritten meanwhile. What was copied says something
    /// only if the sequence number is found unchanged behind a `fence(Acquire)`.
    pub(crate) fn copy_payload(&self, slot: SlotIndex, into: &mut [u8]) {
        let len = into.len().min(self.geometry.slot_capacity as usize);
        let from = self.payload(slot);
        let word = |n: usize| {
            // SAFETY: the stride is a multiple of 64, so the word that holds the last octets of the
            // payload is inside the slot. Atomic, because the owner may be writing: a racing copy
            // is garbage that the second look at the sequence number discards, not undefined.
            as_u64(unsafe { from.add(8 * n) }, 0).load(Ordering::Relaxed).to_ne_bytes()
        };
        let (words, rest) = into[..len].as_chunks_mut();
        let last = words.len();
        for (n, octets) in words.iter_mut().enumerate() {
            *octets = word(n);
        }
        if !rest.is_empty() {
            rest.copy_from_slice(&word(last)[..rest.len()]);
        }
    }

    /// Whether `slot` holds sample `seq`, also while its owner asks who uses it: nothing of it is rewritten
    /// before the number becomes 0.
    pub(crate) fn holds(&self, slot: SlotIndex, seq: u64, order: Ordering) -> bool {
        self.load(SlotWord::Seq(slot), order) & !CLAIM == seq
    }

    /// Asks for the first lines of a slot as the owner's own, before they are written.
    #[inline]
    pub(crate) fn prefetch(&self, slot: SlotIndex) {
        shm::prefetch_write(self.slot_at(slot));
        shm::prefetch_write(self.payload(slot));
    }

    /// Hands the first lines of a payload of `len` octets on to who reads it next: they then come
    /// from the shared cache, not from the writer's.
    #[inline]
    pub(crate) fn hand_over(&self, slot: SlotIndex, len: usize) {
        let payload = self.payload(slot);
        for at in (0..len.min(HAND_OVER)).step_by(LINE) {
            shm::demote(payload.wrapping_add(at));
        }
    }

    /// Writes who the reader of an entry is. Its claimer does, before it asks to join.
    pub(crate) fn store_entry(&self, reader: ReaderIndex, entry: &ReaderEntry) {
        crash_point!("a reader's entry");
        let base = self.ctl_at(ctl::TABLE + reader.get() * ctl::TABLE_ENTRY);
        for (at, word) in (80..128).step_by(8).zip(entry.to_words()) {
            as_u64(base, at).store(word, Ordering::Relaxed);
        }
    }

    /// A private copy of who the reader of an entry says it is.
    pub(crate) fn load_entry(&self, reader: ReaderIndex) -> ReaderEntry {
        let base = self.ctl_at(ctl::TABLE + reader.get() * ctl::TABLE_ENTRY);
        ReaderEntry::from_words(std::array::from_fn(|n| {
            as_u64(base, 80 + 8 * n).load(Ordering::Relaxed)
        }))
    }

    /// The owner line behind its state word: node, GUID, owner epoch is in the state.
    pub(crate) fn store_owner(&self, node: u64, guid: [u8; 16]) {
        let base = self.dat_at(dat::OWNER_LINE);
        let guid = u128::from_le_bytes(guid);
        for (at, word) in [(8, node), (16, guid as u64), (24, (guid >> 64) as u64)] {
            crash_point!("the owner line");
            as_u64(base, at).store(word, Ordering::Relaxed);
        }
    }

    /// By which other GUID the host's own discovery knows the writer; zero for none.
    pub(crate) fn store_origin(&self, origin: [u8; 16]) {
        let base = self.dat_at(dat::OWNER_LINE);
        let origin = u128::from_le_bytes(origin);
        for (at, word) in [(32, origin as u64), (40, (origin >> 64) as u64)] {
            as_u64(base, at).store(word, Ordering::Relaxed);
        }
    }

    /// See [`Self::store_origin`]. Found with every sample that was published after it was stored.
    #[inline]
    pub(crate) fn load_origin(&self) -> [u8; 16] {
        let base = self.dat_at(dat::OWNER_LINE);
        let word = |at| as_u64(base, at).load(Ordering::Relaxed);
        (u128::from(word(32)) | u128::from(word(40)) << 64).to_le_bytes()
    }

    /// The owner's node and the writer's GUID.
    pub(crate) fn load_owner(&self) -> (u64, [u8; 16]) {
        let base = self.dat_at(dat::OWNER_LINE);
        let word = |at| as_u64(base, at).load(Ordering::Relaxed);
        let guid = u128::from(word(16)) | u128::from(word(24)) << 64;
        (word(8), guid.to_le_bytes())
    }

    /// Writes the identity: from now on others attach.
    pub(crate) fn write_identity(&self, identity: &Identity) {
        publish_identity(&Openings { dat: &self.dat, ctl: &self.ctl }, identity);
    }
}

/// The beginning of two mapped objects.
#[derive(Debug)]
pub(crate) struct Openings<'a> {
    pub(crate) dat: &'a Memory,
    pub(crate) ctl: &'a Memory,
}

impl Openings<'_> {
    /// The word, if its object is so long.
    fn word(&self, word: IdentityWord) -> Option<&AtomicU64> {
        let (object, number) = match word {
            IdentityWord::Dat(number) => (self.dat, number),
            IdentityWord::Ctl(number) => (self.ctl, number),
        };
        (number < object.len() / 8).then(|| as_u64(object.ptr().as_ptr(), 8 * number))
    }
}

impl IdentityWords for Openings<'_> {
    fn load(&self, word: IdentityWord) -> u64 {
        // Relaxed, because the mapping may be read-only.
        self.word(word).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn store(&self, word: IdentityWord, value: u64, order: Ordering) {
        if let Some(word) = self.word(word) {
            word.store(value, order);
        }
    }

    fn acquire(&self) {
        fence(Ordering::Acquire);
    }
}

#[inline(always)]
fn as_u64<'a>(base: *mut u8, at: usize) -> &'a AtomicU64 {
    // SAFETY: callers pass 8-aligned places inside a mapping that outlives the use; all access to
    // these words is atomic.
    unsafe { AtomicU64::from_ptr(base.add(at).cast()) }
}

#[inline(always)]
fn as_u32<'a>(base: *mut u8, at: usize) -> &'a AtomicU32 {
    // SAFETY: as in `as_u64`, 4-aligned.
    unsafe { AtomicU32::from_ptr(base.add(at).cast()) }
}

impl Words<SlotWord> for SegmentMemory {
    #[inline(always)]
    fn load(&self, word: SlotWord, order: Ordering) -> u64 {
        // A reader's mapping of `.dat` is read-only, where nothing but relaxed loads is defined: the
        // fence makes it an acquiring one. It costs nothing on x86. (ThreadSanitizer knows no fences,
        // and does not mind.)
        let at_once = if cfg!(dds_shm_tsan) { order } else { Ordering::Relaxed };
        let value = match self.place(word) {
            Place::U64(at) => as_u64(at, 0).load(at_once),
            Place::U32(at) => as_u32(at, 0).load(at_once).into(),
        };
        if order != Ordering::Relaxed {
            fence(Ordering::Acquire);
        }
        value
    }

    #[inline(always)]
    fn store(&self, word: SlotWord, value: u64, order: Ordering) {
        crash_point!(word);
        match self.place(word) {
            Place::U64(at) => as_u64(at, 0).store(value, order),
            Place::U32(at) => as_u32(at, 0).store(value as u32, order),
        }
    }

    #[inline(always)]
    fn swap(&self, word: SlotWord, value: u64, order: Ordering) -> u64 {
        crash_point!(word);
        match self.place(word) {
            Place::U64(at) => as_u64(at, 0).swap(value, order),
            Place::U32(at) => as_u32(at, 0).swap(value as u32, order).into(),
        }
    }

    #[inline(always)]
    fn fetch_add(&self, word: SlotWord, value: u64, order: Ordering) -> u64 {
        crash_point!(word);
        match self.place(word) {
            Place::U64(at) => as_u64(at, 0).fetch_add(value, order),
            Place::U32(at) => as_u32(at, 0).fetch_add(value as u32, order).into(),
        }
    }

    #[inline(always)]
    fn fetch_or(&self, word: SlotWord, bits: u64, order: Ordering) -> u64 {
        crash_point!(word);
        match self.place(word) {
            Place::U64(at) => as_u64(at, 0).fetch_or(bits, order),
            Place::U32(at) => as_u32(at, 0).fetch_or(bits as u32, order).into(),
        }
    }

    #[inline(always)]
    fn fetch_and(&self, word: SlotWord, bits: u64, order: Ordering) -> u64 {
        crash_point!(word);
        match self.place(word) {
            Place::U64(at) => as_u64(at, 0).fetch_and(bits, order),
            Place::U32(at) => as_u32(at, 0).fetch_and(bits as u32, order).into(),
        }
    }

    #[inline(always)]
    fn compare_exchange(&self, word: SlotWord, current: u64, new: u64) -> Result<u64, u64> {
        crash_point!(word);
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        match self.place(word) {
            Place::U64(at) => as_u64(at, 0).compare_exchange(current, new, success, failure),
            Place::U32(at) => as_u32(at, 0)
                .compare_exchange(current as u32, new as u32, success, failure)
                .map(u64::from)
                .map_err(u64::from),
        }
    }

    #[inline(always)]
    fn fence(&self, order: Ordering) {
        fence(order);
    }

    #[inline(always)]
    fn expect_read(&self, word: SlotWord) {
        if let SlotWord::Seq(slot) = word {
            shm::prefetch_read(self.payload(slot));
        }
    }
}

impl FutexWords<SlotWord> for SegmentMemory {
    fn futex_wait(&self, word: SlotWord, expected: u32, timeout: Option<Duration>) -> FutexWait {
        match self.place(word) {
            Place::U32(at) => futex::wait(as_u32(at, 0), expected, timeout),
            // No bell has a 64-bit word.
            Place::U64(_) => FutexWait::Changed,
        }
    }

    fn futex_wake_all(&self, word: SlotWord) {
        if let Place::U32(at) = self.place(word) {
            futex::wake_all(as_u32(at, 0));
        }
    }
}
