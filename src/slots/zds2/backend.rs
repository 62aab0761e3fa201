//! A ZDS2 segment as a `SlotBackend`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::files::Zds2Files;
use super::layout::Zds2Memory;
use super::owner::{Zds2Owner, has_bit};
use super::reader::{Reader, Unread};
use super::{Zds2Word, bump, sleep};
use crate::liveness::Node;
use crate::shm::SharedObject;
use crate::slots::owner_link::OwnerLink;
use crate::slots::segment_owner::Reserved;
use crate::slots::tickets::Tickets;
use crate::slots::{
    Committed, Generation, Identity, LoanBytes, ReaderIndex, ReaderSet, SampleHeader, SlotBackend,
    SlotError, SlotHandle, SlotIndex,
};
use crate::sync::{Ordering, Words};
use crate::types::{SegmentFormat, TypeHash};

/// How often a reader looks whether its writer is there, and the longest it sleeps.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// One side of a ZDS2 segment.
#[derive(Debug)]
pub(in crate::slots) struct Zds2Backend {
    pub(in crate::slots) identity: Identity,
    memory: Arc<Zds2Memory>,
    node: Arc<Node>,
    role: Role,
}

#[derive(Debug)]
enum Role {
    Owner { owner: Zds2Owner, tickets: Tickets, files: Option<Zds2Files> },
    Consumer { readers: Mutex<Vec<Reader>>, writer: Mutex<Writer> },
}

/// What a consumer knows of the writer.
#[derive(Debug)]
pub(super) struct Writer {
    /// Of a segment that this library made.
    pub(super) link: Option<OwnerLink>,
    /// ZeroDDS's owner removes the name when it goes, and that is all that shows it.
    pub(super) object: SharedObject,
    pub(super) looked: Instant,
    pub(super) gone: bool,
}

impl Writer {
    /// Whether the writer was gone when this looked last; it looks once in a while.
    fn is_gone(&mut self) -> bool {
        if !self.gone && self.looked.elapsed() >= PROBE_EVERY {
            self.look();
        }
        self.gone
    }

    fn look(&mut self) {
        self.looked = Instant::now();
        let dead = self.link.as_ref().is_some_and(|link| !link.is_alive());
        // What cannot be asked is taken to be there.
        self.gone |= dead || self.object.is_linked().is_ok_and(|linked| !linked);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Zds2Backend {
    pub(super) fn owner(
        identity: Identity,
        memory: Arc<Zds2Memory>,
        node: Arc<Node>,
        owner: Zds2Owner,
        files: Zds2Files,
    ) -> Self {
        let (tickets, files) = (Tickets::new(identity.incarnation), Some(files));
        Self { identity, memory, node, role: Role::Owner { owner, tickets, files } }
    }

    pub(super) fn consumer(
        identity: Identity,
        memory: Arc<Zds2Memory>,
        node: Arc<Node>,
        writer: Writer,
    ) -> Self {
        let (readers, writer) = (Mutex::default(), Mutex::new(writer));
        Self { identity, memory, node, role: Role::Consumer { readers, writer } }
    }

    /// On the owner's side: `reader` is waited for. On the other: it reads here.
    pub(in crate::slots) fn add_reader_as(&self, reader: ReaderIndex) -> Result<(), SlotError> {
        self.check_process()?;
        if !has_bit(reader) {
            return Err(SlotError::WrongReader { reader });
        }
        match &self.role {
            Role::Owner { owner, .. } => owner.add_reader(reader),
            Role::Consumer { readers, .. } => {
                let mut readers = locked(readers);
                // One that has the index already starts again.
                readers.retain(|known| known.index != reader);
                readers.push(Reader::new(&self.memory, reader));
            }
        }
        Ok(())
    }

    /// In a forked child the memory is not mapped.
    fn check_process(&self) -> Result<(), SlotError> {
        self.node.check_process().map_err(|_| SlotError::Forked)
    }

    fn as_owner(&self) -> Result<(&Zds2Owner, &Tickets), SlotError> {
        self.check_process()?;
        match &self.role {
            Role::Owner { owner, tickets, .. } => Ok((owner, tickets)),
            Role::Consumer { .. } => Err(SlotError::NotOwner),
        }
    }

    /// The readers here; there are none on the owner's side.
    fn readers(&self) -> Result<MutexGuard<'_, Vec<Reader>>, SlotError> {
        self.check_process()?;
        if self.memory.is_poisoned() {
            return Err(SlotError::Poisoned);
        }
        match &self.role {
            Role::Owner { .. } => Err(SlotError::NotOwner),
            Role::Consumer { readers, .. } => Ok(locked(readers)),
        }
    }

    fn with_reader<T>(
        &self,
        reader: ReaderIndex,
        work: impl FnOnce(&mut Reader) -> Result<T, SlotError>,
    ) -> Result<T, SlotError> {
        let mut readers = self.readers()?;
        let known = readers.iter_mut().find(|known| known.index == reader);
        work(known.ok_or(SlotError::WrongReader { reader })?)
    }

    fn handle(&self, unread: Unread) -> SlotHandle {
        let incarnation = self.identity.incarnation;
        SlotHandle { incarnation, slot: unread.slot, number: unread.seq }
    }

    fn sample(&self, handle: SlotHandle) -> Result<u64, SlotError> {
        let here = handle.incarnation == self.identity.incarnation;
        handle.seq().filter(|_| here).ok_or_else(|| handle.stale())
    }

    fn writer_is_gone(&self) -> bool {
        match &self.role {
            Role::Owner { .. } => false,
            Role::Consumer { writer, .. } => locked(writer).is_gone(),
        }
    }

    /// Takes a loan back whose first `len` octets are to be published, if the format can have them.
    fn take_loan(
        &self,
        tickets: &Tickets,
        handle: SlotHandle,
        len: usize,
    ) -> Result<Reserved, SlotError> {
        let capacity = self.slot_capacity();
        if len > capacity {
            return Err(SlotError::SampleTooLarge { sample: len, capacity });
        }
        tickets.check(handle)?;
        if len == 0 {
            return Err(SlotError::Unsupported {
                format: SegmentFormat::ZDS2,
                what: "carry a sample of no octets",
                instead: "size 0 stands for a slot without sample there; send it by network",
            });
        }
        tickets.take(handle)
    }

    fn publish(
        &self,
        owner: &Zds2Owner,
        slot: SlotIndex,
        len: usize,
    ) -> Result<Committed, SlotError> {
        // It fits a slot, whose stride is a 32-bit number.
        owner.commit(slot, len as u32).inspect_err(|_| owner.discard(slot))
    }
}

impl SlotBackend for Zds2Backend {
    fn reserve_slot(&self, _active_readers: ReaderSet) -> Result<SlotHandle, SlotError> {
        let (owner, tickets) = self.as_owner()?;
        // All readers are waited for, named or not: the format cannot take a sample from one that may
        // be copying it.
        Ok(tickets.issue(owner.reserve()?))
    }

    fn slot_data(&self, handle: SlotHandle) -> Result<LoanBytes<'_>, SlotError> {
        let (_, tickets) = self.as_owner()?;
        tickets.lend(handle, self.slot_capacity())
    }

    fn commit_slot(&self, handle: SlotHandle, bytes: &[u8]) -> Result<Committed, SlotError> {
        let (owner, tickets) = self.as_owner()?;
        let reserved = self.take_loan(tickets, handle, bytes.len())?;
        // SAFETY: the slot is this loan's, `bytes` fits its capacity, and no `LoanBytes` is out:
        // `take_loan` refuses then.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), reserved.payload, bytes.len());
        }
        self.publish(owner, reserved.slot, bytes.len())
    }

    fn commit_in_place(&self, handle: SlotHandle, len: usize) -> Result<Committed, SlotError> {
        let (owner, tickets) = self.as_owner()?;
        self.publish(owner, self.take_loan(tickets, handle, len)?.slot, len)
    }

    fn discard_slot(&self, handle: SlotHandle) -> Result<(), SlotError> {
        let (owner, tickets) = self.as_owner()?;
        owner.discard(tickets.take(handle)?.slot);
        Ok(())
    }

    fn read_slot(&self, handle: SlotHandle) -> Result<(SampleHeader, Vec<u8>), SlotError> {
        let seq = self.sample(handle)?;
        let readers = self.readers()?;
        // Only what the bit of a reader here protects is read; the owner may have disconnected one of
        // them and still wait for another.
        let octets = (readers.iter())
            .filter(|reader| reader.has_unread(handle.slot, seq))
            .find_map(|reader| reader.copy(&self.memory, handle.slot, seq))
            .ok_or_else(|| handle.stale())?;
        let size = octets.len() as u32;
        // The format has no more metadata; the RTPS sequence number is not known.
        let header =
            SampleHeader { size, representation: SampleHeader::RAW, ..SampleHeader::default() };
        Ok((header, octets))
    }

    fn next_unread_slot(&self, reader: ReaderIndex) -> Result<Option<SlotHandle>, SlotError> {
        // Before the look: what a writer published before it went is found.
        let gone = self.writer_is_gone();
        match self.with_reader(reader, |known| known.next(&self.memory))? {
            Some(unread) => Ok(Some(self.handle(unread))),
            None if gone => Err(SlotError::WriterLost),
            None => Ok(None),
        }
    }

    fn unread_slot(
        &self,
        slot: usize,
        reader: ReaderIndex,
    ) -> Result<Option<SlotHandle>, SlotError> {
        if slot >= self.slot_count() {
            return Ok(None);
        }
        let slot = SlotIndex(slot as u32);
        let unread = self.with_reader(reader, |known| known.look(&self.memory, slot))?;
        Ok(unread.map(|unread| self.handle(unread)))
    }

    fn mark_read(&self, handle: SlotHandle, reader: ReaderIndex) -> Result<(), SlotError> {
        let seq = self.sample(handle)?;
        self.with_reader(reader, |known| {
            known.mark(&self.memory, handle.slot, seq);
            Ok(())
        })
    }

    fn mark_reader_disconnected(&self, reader: ReaderIndex) -> Result<(), SlotError> {
        self.as_owner()?.0.disconnect(reader)
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
        Some(self.identity.type_hash).filter(|hash| *hash != TypeHash::UNKNOWN)
    }

    fn generation(&self) -> Generation {
        match self.check_process() {
            Ok(()) => Generation(self.memory.load(Zds2Word::Generation, Ordering::Acquire)),
            Err(_) => Generation::default(),
        }
    }

    fn wait(&self, seen: Generation, timeout: Duration) -> Generation {
        let started = Instant::now();
        while self.check_process().is_ok() && self.generation() == seen && !self.writer_is_gone() {
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                break;
            }
            sleep(&*self.memory, seen.0 as u32, left.min(PROBE_EVERY));
        }
        self.generation()
    }
}

impl Drop for Zds2Backend {
    fn drop(&mut self) {
        let here = self.check_process().is_ok();
        if let Role::Owner { files, .. } = &mut self.role {
            if here {
                // The names first: who is woken and looks for them (once in `PROBE_EVERY`) finds none.
                drop(files.take());
                bump(&*self.memory);
            } else {
                // They are the parent's.
                std::mem::forget(files.take());
            }
        }
    }
}
