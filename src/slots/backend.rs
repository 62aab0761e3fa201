//! `SlotBackend`: a segment by handles, for hosts that keep their own books.
//!
//! Names and meaning are those of the slot trait that ZeroDDS has for its flat data. Reading copies;
//! reading in place is [`SlotReader`](super::SlotReader)'s.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::memory::SegmentMemory;
use super::owner_link::OwnerLink;
use super::segment_owner::SegmentOwner;
use super::slot_reader::{Attached, PROBE_EVERY, claim, owner_is_over};
use super::tickets::{TICKET, Tickets};
use super::{
    CLAIM, Claim, Committed, Identity, Incarnation, Located, NotServed, ReaderCore, ReaderIndex,
    ReaderOptions, ReaderSet, SampleHeader, SampleInfo, SlotError, SlotIndex, SlotWord, space_bell,
};
use crate::liveness::{BitLease, Node};
use crate::sync::{Ordering, Words};
use crate::types::TypeHash;

/// A loan, or a sample that was seen in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotHandle {
    pub(super) incarnation: Incarnation,
    pub(super) slot: SlotIndex,
    /// Sequence number of a sample; ticket of a loan, which has bit 63 set.
    pub(super) number: u64,
}

impl SlotHandle {
    /// The slot.
    #[must_use]
    pub fn slot(&self) -> usize {
        self.slot.get()
    }

    /// The sequence number of the sample, `None` for a loan.
    #[must_use]
    pub fn seq(&self) -> Option<u64> {
        (self.number & TICKET == 0).then_some(self.number)
    }

    pub(super) fn stale(&self) -> SlotError {
        SlotError::StaleHandle { slot: self.slot.get(), seq: self.seq().unwrap_or(0) }
    }
}

/// How far a segment has come: a number that changes with every commit, and when a reader on this side
/// that was disconnected is served again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// The payload of a loan, borrowed from its backend. The loan can be committed or given back when
/// this is dropped.
#[derive(Debug)]
pub struct LoanBytes<'b> {
    /// `len` octets of a slot on loan.
    pub(super) payload: *mut u8,
    pub(super) len: usize,
    pub(super) number: u64,
    pub(super) tickets: &'b Tickets,
}

// SAFETY: the exclusive use of a piece of memory that any thread may use, as a `&mut [u8]` is.
unsafe impl Send for LoanBytes<'_> {}
// SAFETY: shared, it gives out `&[u8]`.
unsafe impl Sync for LoanBytes<'_> {}

impl std::ops::Deref for LoanBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `slot_capacity` octets of a slot on loan. The loan stays out, and nobody else gets
        // its payload, while the ticket says that it is borrowed: until this is dropped.
        unsafe { std::slice::from_raw_parts(self.payload, self.len) }
    }
}

impl std::ops::DerefMut for LoanBytes<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.payload, self.len) }
    }
}

impl Drop for LoanBytes<'_> {
    fn drop(&mut self) {
        self.tickets.give_back(self.number);
    }
}

/// A segment of slots: one owner that reserves, fills and commits, readers that find and read.
///
/// All methods may be called from any thread. None blocks but [`wait`](Self::wait), and
/// [`reserve_slot`](Self::reserve_slot) where the segment's flow policy waits for readers.
pub trait SlotBackend: Send + Sync {
    /// Takes a slot for the next sample. Unread samples of reliable readers in `active_readers` are
    /// not replaced.
    ///
    /// # Errors
    /// [`SlotError::NotOwner`], [`SlotError::NoFreeSlot`], [`SlotError::Timeout`].
    fn reserve_slot(&self, active_readers: ReaderSet) -> Result<SlotHandle, SlotError>;

    /// The payload of a loan, to be filled in place: exclusively, so that the loan can be committed
    /// or given back only when what this returns has been dropped.
    ///
    /// # Errors
    /// [`SlotError::StaleHandle`] for anything but a live loan, [`SlotError::Borrowed`] if it is
    /// given out already.
    fn slot_data(&self, handle: SlotHandle) -> Result<LoanBytes<'_>, SlotError>;

    /// Copies `bytes` into a loan and publishes it.
    ///
    /// # Errors
    /// [`SlotError::StaleHandle`], [`SlotError::NotOwner`]; [`SlotError::SampleTooLarge`] and
    /// [`SlotError::Borrowed`] (the loan stays).
    fn commit_slot(&self, handle: SlotHandle, bytes: &[u8]) -> Result<Committed, SlotError>;

    /// Publishes the first `len` bytes of a loan that was filled in place. Never copies.
    ///
    /// # Errors
    /// As [`commit_slot`](Self::commit_slot).
    fn commit_in_place(&self, handle: SlotHandle, len: usize) -> Result<Committed, SlotError>;

    /// Gives a loan back unpublished.
    ///
    /// # Errors
    /// [`SlotError::StaleHandle`], [`SlotError::Borrowed`], [`SlotError::NotOwner`].
    fn discard_slot(&self, handle: SlotHandle) -> Result<(), SlotError>;

    /// A copy of a sample, checked to be whole.
    ///
    /// # Errors
    /// [`SlotError::StaleHandle`] if the slot holds another sample by now.
    fn read_slot(&self, handle: SlotHandle) -> Result<(SampleHeader, Vec<u8>), SlotError>;

    /// The sample with the lowest sequence number that `reader` has not marked.
    ///
    /// # Errors
    /// [`SlotError::WrongReader`], [`SlotError::WriterLost`] once everything is read,
    /// [`SlotError::Refused`], [`SlotError::Evicted`].
    fn next_unread_slot(&self, reader: ReaderIndex) -> Result<Option<SlotHandle>, SlotError>;

    /// The sample that is in `slot` now, if `reader` has not marked it: for who goes through the
    /// slots, at the price of a look at each. [`next_unread_slot`](Self::next_unread_slot) has to be
    /// called before each round: it sees to what went by.
    ///
    /// # Errors
    /// [`SlotError::WrongReader`]; [`SlotError::NotWaitedFor`] where the format cannot protect it.
    fn unread_slot(
        &self,
        slot: usize,
        reader: ReaderIndex,
    ) -> Result<Option<SlotHandle>, SlotError>;

    /// `reader` is done with a sample. In any order; marking one that was replaced meanwhile does
    /// nothing to the new one.
    ///
    /// # Errors
    /// [`SlotError::WrongReader`], [`SlotError::StaleHandle`] for a handle of another incarnation
    /// or of a loan.
    fn mark_read(&self, handle: SlotHandle, reader: ReaderIndex) -> Result<(), SlotError>;

    /// The participant of `reader` is gone (SPDP lease expiry, dispose): it blocks nobody any more.
    ///
    /// # Errors
    /// [`SlotError::NotOwner`], [`SlotError::WrongReader`].
    fn mark_reader_disconnected(&self, reader: ReaderIndex) -> Result<(), SlotError>;

    /// How many slots there are.
    fn slot_count(&self) -> usize;
    /// Bytes from one slot to the next.
    fn slot_total_size(&self) -> usize;
    /// Payload bytes that fit a slot.
    fn slot_capacity(&self) -> usize;
    /// Hash of the samples' layout.
    fn type_hash(&self) -> Option<TypeHash>;

    /// How far the segment has come.
    fn generation(&self) -> Generation;

    /// Waits until the segment has come further than `seen`, or its writer is gone, or `timeout` is
    /// over. Returns how far it has come.
    fn wait(&self, seen: Generation, timeout: Duration) -> Generation;
}

/// What both allocators are made of: the owner's half, the readers' half, or both.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) identity: Identity,
    pub(crate) owner: Option<Arc<SegmentOwner>>,
    tickets: Tickets,
    pub(crate) attached: Option<Attached>,
    readers: Mutex<Vec<MarkingReader>>,
    pub(crate) node: Option<Arc<Node>>,
}

/// How many gaps one look for an unread sample passes over.
const MAX_GAPS: usize = 8;

/// A reader that copies and marks, in any order.
#[derive(Debug)]
struct MarkingReader {
    claim: Claim,
    core: Option<ReaderCore>,
    /// Marked above the cursor.
    done: BTreeSet<u64>,
    /// Its bit of the node's bell, for as long as it is attached.
    _bit: Option<BitLease>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Backend {
    pub(crate) fn new(
        identity: Identity,
        owner: Option<Arc<SegmentOwner>>,
        attached: Option<Attached>,
        node: Option<Arc<Node>>,
    ) -> Self {
        let (tickets, readers) = (Tickets::new(identity.incarnation), Mutex::default());
        Self { identity, owner, tickets, attached, readers, node }
    }

    /// Refuses to go on in a forked child, where the memory is not mapped.
    fn check_process(&self) -> Result<(), SlotError> {
        match &self.node {
            Some(node) if node.check_process().is_err() => Err(SlotError::Forked),
            _ => Ok(()),
        }
    }

    fn memory(&self) -> Result<Arc<SegmentMemory>, SlotError> {
        self.check_process()?;
        match (&self.attached, &self.owner) {
            (Some(attached), _) => Ok(Arc::clone(&attached.memory)),
            (None, Some(owner)) => Ok(owner.memory()),
            (None, None) => Err(SlotError::NotOwner),
        }
    }

    fn owner(&self) -> Result<&Arc<SegmentOwner>, SlotError> {
        self.check_process()?;
        self.owner.as_ref().ok_or(SlotError::NotOwner)
    }

    /// Registers a reader on this side.
    pub(crate) fn add_reader(&self, options: &ReaderOptions) -> Result<ReaderIndex, SlotError> {
        self.check_process()?;
        let attached = self.attached.as_ref().ok_or(SlotError::NotOwner)?;
        let bit = self.node.as_ref().map(|node| node.lease_bit());
        let claim = claim(attached, options, self.node.as_deref(), bit.as_ref())?;
        let done = BTreeSet::new();
        locked(&self.readers).push(MarkingReader { claim, core: None, done, _bit: bit });
        self.ring_owner();
        Ok(claim.index())
    }

    fn ring_owner(&self) {
        if let Some(attached) = &self.attached {
            attached.ring_owner();
        }
    }

    /// Publishes a loan whose ticket was taken; one that is refused is given back.
    fn publish(&self, slot: SlotIndex, len: usize) -> Result<Committed, SlotError> {
        let owner = self.owner()?;
        let committed = owner.commit(None, slot, len, &SampleInfo::default(), false);
        committed.map(|(committed, _)| committed).inspect_err(|_| owner.discard(None, slot))
    }

    fn sample_seq(&self, handle: SlotHandle) -> Result<u64, SlotError> {
        let here = handle.incarnation == self.identity.incarnation;
        handle.seq().filter(|_| here).ok_or_else(|| handle.stale())
    }
}

/// Who has a backend and is one by it.
pub(crate) trait HasBackend: Send + Sync {
    fn backend(&self) -> &dyn SlotBackend;
}

impl<T: HasBackend> SlotBackend for T {
    fn reserve_slot(&self, active_readers: ReaderSet) -> Result<SlotHandle, SlotError> {
        self.backend().reserve_slot(active_readers)
    }

    fn slot_data(&self, handle: SlotHandle) -> Result<LoanBytes<'_>, SlotError> {
        self.backend().slot_data(handle)
    }

    fn commit_slot(&self, handle: SlotHandle, bytes: &[u8]) -> Result<Committed, SlotError> {
        self.backend().commit_slot(handle, bytes)
    }

    fn commit_in_place(&self, handle: SlotHandle, len: usize) -> Result<Committed, SlotError> {
        self.backend().commit_in_place(handle, len)
    }

    fn discard_slot(&self, handle: SlotHandle) -> Result<(), SlotError> {
        self.backend().discard_slot(handle)
    }

    fn read_slot(&self, handle: SlotHandle) -> Result<(SampleHeader, Vec<u8>), SlotError> {
        self.backend().read_slot(handle)
    }

    fn next_unread_slot(&self, reader: ReaderIndex) -> Result<Option<SlotHandle>, SlotError> {
        self.backend().next_unread_slot(reader)
    }

    fn unread_slot(
        &self,
        slot: usize,
        reader: ReaderIndex,
    ) -> Result<Option<SlotHandle>, SlotError> {
        self.backend().unread_slot(slot, reader)
    }

    fn mark_read(&self, handle: SlotHandle, reader: ReaderIndex) -> Result<(), SlotError> {
        self.backend().mark_read(handle, reader)
    }

    fn mark_reader_disconnected(&self, reader: ReaderIndex) -> Result<(), SlotError> {
        self.backend().mark_reader_disconnected(reader)
    }

    fn slot_count(&self) -> usize {
        self.backend().slot_count()
    }

    fn slot_total_size(&self) -> usize {
        self.backend().slot_total_size()
    }

    fn slot_capacity(&self) -> usize {
        self.backend().slot_capacity()
    }

    fn type_hash(&self) -> Option<TypeHash> {
        self.backend().type_hash()
    }

    fn generation(&self) -> Generation {
        self.backend().generation()
    }

    fn wait(&self, seen: Generation, timeout: Duration) -> Generation {
        self.backend().wait(seen, timeout)
    }
}

impl SlotBackend for Backend {
    fn reserve_slot(&self, active_readers: ReaderSet) -> Result<SlotHandle, SlotError> {
        Ok(self.tickets.issue(self.owner()?.reserve(None, 0, active_readers)?))
    }

    fn slot_data(&self, handle: SlotHandle) -> Result<LoanBytes<'_>, SlotError> {
        self.owner()?;
        self.tickets.lend(handle, self.slot_capacity())
    }

    fn commit_slot(&self, handle: SlotHandle, bytes: &[u8]) -> Result<Committed, SlotError> {
        let capacity = self.slot_capacity();
        if bytes.len() > capacity {
            return Err(SlotError::SampleTooLarge { sample: bytes.len(), capacity });
        }
        self.owner()?;
        let reserved = self.tickets.take(handle)?;
        // SAFETY: the slot is this loan's, `bytes` fits its capacity, and no `LoanBytes` is out:
        // `take` refuses then.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), reserved.payload, bytes.len());
        }
        self.publish(reserved.slot, bytes.len())
    }

    fn commit_in_place(&self, handle: SlotHandle, len: usize) -> Result<Committed, SlotError> {
        let capacity = self.slot_capacity();
        if len > capacity {
            return Err(SlotError::SampleTooLarge { sample: len, capacity });
        }
        self.owner()?;
        self.publish(self.tickets.take(handle)?.slot, len)
    }

    fn discard_slot(&self, handle: SlotHandle) -> Result<(), SlotError> {
        self.owner()?.discard(None, self.tickets.take(handle)?.slot);
        Ok(())
    }

    fn read_slot(&self, handle: SlotHandle) -> Result<(SampleHeader, Vec<u8>), SlotError> {
        let seq = self.sample_seq(handle)?;
        let memory = self.memory()?;
        // (Who made the handle has seen the number without claim, and so the payload.)
        let holds = |order| memory.holds(handle.slot, seq, order);
        if !holds(Ordering::Acquire) {
            return Err(handle.stale());
        }
        let header = memory.load_header(handle.slot);
        let mut bytes = vec![0; header.size as usize];
        memory.copy_payload(handle.slot, &mut bytes);
        // The copy happens before the second look: a byte of a newer sample shows in it.
        memory.fence(Ordering::Acquire);
        if holds(Ordering::Relaxed) { Ok((header, bytes)) } else { Err(handle.stale()) }
    }

    fn next_unread_slot(&self, reader: ReaderIndex) -> Result<Option<SlotHandle>, SlotError> {
        let memory = self.memory()?;
        let mut readers = locked(&self.readers);
        let known = readers.iter_mut().find(|known| known.claim.index() == reader);
        let known = known.ok_or(SlotError::WrongReader { reader })?;
        let dead = match &self.attached {
            Some(Attached { owner: Some(owner), .. }) => owner.known_dead(),
            _ => false,
        };
        let over = owner_is_over(&memory, dead);
        let found = known.next_unread(&memory, dead)?;
        if known.asks(&memory) {
            self.ring_owner();
        }
        match found {
            Some((slot, number)) => {
                Ok(Some(SlotHandle { incarnation: self.identity.incarnation, slot, number }))
            }
            None if over => Err(SlotError::WriterLost),
            None => Ok(None),
        }
    }

    fn unread_slot(
        &self,
        slot: usize,
        reader: ReaderIndex,
    ) -> Result<Option<SlotHandle>, SlotError> {
        let memory = self.memory()?;
        let readers = locked(&self.readers);
        let known = readers.iter().find(|known| known.claim.index() == reader);
        let known = known.ok_or(SlotError::WrongReader { reader })?;
        if slot >= self.slot_count() {
            return Ok(None);
        }
        let slot = SlotIndex(slot as u32);
        let number = memory.load(SlotWord::Seq(slot), Ordering::Acquire);
        Ok(known.wants(number).then_some(SlotHandle {
            incarnation: self.identity.incarnation,
            slot,
            number,
        }))
    }

    fn mark_read(&self, handle: SlotHandle, reader: ReaderIndex) -> Result<(), SlotError> {
        let seq = self.sample_seq(handle)?;
        let memory = self.memory()?;
        let mut readers = locked(&self.readers);
        let known = readers.iter_mut().find(|known| known.claim.index() == reader);
        known.ok_or(SlotError::WrongReader { reader })?.mark(&memory, seq);
        Ok(())
    }

    fn mark_reader_disconnected(&self, reader: ReaderIndex) -> Result<(), SlotError> {
        self.owner()?.mark_reader_disconnected(reader)
    }

    fn slot_count(&self) -> usize {
        self.identity.geometry.slot_count as usize
    }

    fn slot_total_size(&self) -> usize {
        self.identity.geometry.slot_stride as usize
    }

    fn slot_capacity(&self) -> usize {
        self.identity.geometry.slot_capacity as usize
    }

    fn type_hash(&self) -> Option<TypeHash> {
        Some(self.identity.type_hash)
    }

    fn generation(&self) -> Generation {
        let Ok(memory) = self.memory() else { return Generation::default() };
        let head = memory.load(SlotWord::Head, Ordering::Acquire);
        // Who returns finds samples that no commit announces any more: the epoch of its entry counts.
        let states = locked(&self.readers)
            .iter()
            .map(|known| memory.load(SlotWord::State(known.claim.index()), Ordering::Acquire))
            .fold(0, u64::wrapping_add);
        Generation(head.wrapping_add(states))
    }

    fn wait(&self, seen: Generation, timeout: Duration) -> Generation {
        let Ok(memory) = self.memory() else { return seen };
        let peer = self.attached.as_ref().and_then(|attached| attached.owner.as_ref());
        let dead = || peer.is_some_and(OwnerLink::known_dead);
        let changed = || self.generation() != seen || owner_is_over(&memory, dead());
        let started = Instant::now();
        while !changed() {
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                break;
            }
            match &self.node {
                Some(node) => {
                    let _ = node.bell().wait(left.min(PROBE_EVERY), changed);
                    // A dead owner rings no bell.
                    peer.map(OwnerLink::is_alive);
                }
                None => std::thread::sleep(Duration::from_micros(100).min(left)),
            }
        }
        self.generation()
    }
}

impl MarkingReader {
    fn next_unread(
        &mut self,
        memory: &SegmentMemory,
        owner_dead: bool,
    ) -> Result<Option<(SlotIndex, u64)>, SlotError> {
        let slots = memory.geometry().slot_count;
        if self.core.is_none() {
            match ReaderCore::admitted(memory, self.claim, slots, 0) {
                Ok(core) => self.core = Some(core),
                Err(NotServed::Refused) => return Err(SlotError::Refused),
                Err(NotServed::Evicted) => return Err(SlotError::Evicted),
                Err(_) => return Ok(None),
            }
        }
        let Some(core) = &mut self.core else { return Ok(None) };
        if core.check_served(memory).is_err()
            && !core.rejoin(memory).map_err(|_| SlotError::Evicted)?
        {
            return Ok(None);
        }
        let mut seq = core.want();
        // Samples that are replaced while they are looked for: not for ever.
        let mut gaps = 0;
        while gaps < MAX_GAPS {
            if self.done.contains(&seq) {
                seq += 1;
                continue;
            }
            match ReaderCore::locate(memory, slots, seq, owner_dead) {
                Located::At(slot) => return Ok(Some((slot, seq))),
                Located::NotYet => return Ok(None),
                Located::Gone { next, .. } => {
                    if seq == core.want() {
                        self.done = self.done.split_off(&next);
                        advance(core, &mut self.done, memory, next);
                    }
                    seq = next;
                    gaps += 1;
                }
            }
        }
        Ok(None)
    }

    /// Whether a slot with this sequence number has a sample that it has not marked.
    fn wants(&self, number: u64) -> bool {
        // A claimed slot has bit 63 set: nothing there for the moment.
        self.core
            .as_ref()
            .is_some_and(|core| number != 0 && number & CLAIM == 0 && number >= core.want())
            && !self.done.contains(&number)
    }

    /// Whether it waits to be served again after a disconnection.
    fn asks(&self, memory: &SegmentMemory) -> bool {
        self.core.as_ref().is_some_and(|core| core.check_served(memory).is_err())
    }

    fn mark(&mut self, memory: &SegmentMemory, seq: u64) {
        let Some(core) = &mut self.core else { return };
        if seq < core.want() {
            return;
        }
        self.done.insert(seq);
        let next = core.want();
        advance(core, &mut self.done, memory, next);
    }
}

/// Everything below `next` is done, and what is marked behind it without a gap.
fn advance(core: &mut ReaderCore, done: &mut BTreeSet<u64>, memory: &SegmentMemory, mut next: u64) {
    while done.remove(&next) {
        next += 1;
    }
    core.advance(memory, next);
    if core.must_ring() {
        space_bell::ring(memory);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // A writer may go on without the handles that were given out here.
        for reserved in self.tickets.drain() {
            if let Some(owner) = &self.owner {
                owner.discard(None, reserved.slot);
            }
        }
        let Ok(memory) = self.memory() else { return };
        let readers = std::mem::take(&mut *locked(&self.readers));
        for mut reader in readers {
            match &mut reader.core {
                Some(core) => {
                    core.leave(&*memory);
                    if core.must_ring() {
                        space_bell::ring(&memory);
                    }
                }
                None => reader.claim.withdraw(&*memory),
            }
        }
        if self.attached.is_some() {
            self.ring_owner();
        }
    }
}
