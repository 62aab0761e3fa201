//! A sample that a reader has taken, in place, and what keeps it there.

use std::cell::Ref;
use std::ops::Deref;
use std::sync::Arc;

use super::memory::SegmentMemory;
use super::reader::Looked;
use super::{SampleHeader, SlotError, SlotReader};
use crate::sync::{Ordering, Words};

/// What a sample keeps its reader by.
///
/// Only for pointers that lead to the same reader, and keep it, for as long as they exist: samples
/// rely on that for the memory they point to.
pub trait ReaderRef: Deref<Target = SlotReader> + sealed::Sealed {}

impl ReaderRef for &SlotReader {}
impl ReaderRef for Ref<'_, SlotReader> {}

mod sealed {
    use std::cell::Ref;

    use super::SlotReader;

    pub trait Sealed {}

    impl Sealed for &SlotReader {}
    impl Sealed for Ref<'_, SlotReader> {}
}

/// A sample under its reader's protection.
#[derive(Debug)]
pub(super) struct Protected {
    memory: *const SegmentMemory,
    looked: Looked,
    payload: *const u8,
    header: SampleHeader,
}

impl Protected {
    #[inline]
    pub(super) fn new(memory: &Arc<SegmentMemory>, looked: Looked) -> Self {
        Self {
            memory: Arc::as_ptr(memory),
            looked,
            payload: memory.payload(looked.slot),
            header: memory.load_header(looked.slot),
        }
    }
}

/// A sample in the segment, protected until it is dropped.
#[derive(Debug)]
pub struct HeldSample<R: ReaderRef> {
    reader: R,
    protected: Protected,
}

/// A sample in the segment, protected until it is dropped.
pub type RawSample<'r> = HeldSample<&'r SlotReader>;

impl<R: ReaderRef> HeldSample<R> {
    #[inline]
    pub(super) fn new(reader: R, protected: Protected) -> Self {
        Self { reader, protected }
    }

    /// Its number in the segment.
    #[inline]
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.protected.looked.seq
    }

    /// Its metadata.
    #[inline]
    #[must_use]
    pub fn header(&self) -> &SampleHeader {
        &self.protected.header
    }

    /// The payload in place.
    ///
    /// Among peers that follow the protocol it does not change while this exists. A process of
    /// the same user could change it all the same: take no decision twice on a value read twice.
    /// A forked child does not have this memory: there, looking at it ends the process.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let len = self.protected.header.size as usize;
        // SAFETY: `size` is at most the slot's capacity (`load_header`), the mapping lives as long
        // as the reader or its list of former incarnations, which this keeps (`ReaderRef`), and the
        // hazard or hold of this sample keeps the owner from writing to the slot.
        unsafe { std::slice::from_raw_parts(self.protected.payload, len) }
    }

    /// Whether the reader may take another sample while it has this one, and all others that it has, in
    /// use. If not, a reader that is to go on copies this one and lets go of it.
    #[inline]
    #[must_use]
    pub fn leaves_room(&self) -> bool {
        self.reader.has_room()
    }

    /// By which GUID the host's own discovery knows the writer, if that is another than the segment's
    /// and the writer said so ([`SlotWriter::set_origin`](super::SlotWriter::set_origin)).
    ///
    /// # Errors
    /// [`SlotError::Forked`].
    #[inline]
    pub fn origin(&self) -> Result<Option<[u8; 16]>, SlotError> {
        self.reader.check_process()?;
        // SAFETY: as in `bytes`.
        let memory = unsafe { &*self.protected.memory };
        Ok(Some(memory.load_origin()).filter(|origin| *origin != [0; 16]))
    }

    /// Copies the payload out with accesses that may race, and checks that the slot still holds
    /// the sample: for a writer whose other readers this process does not trust.
    ///
    /// # Errors
    /// [`SlotError::StaleHandle`] if it was rewritten meanwhile, [`SlotError::Forked`].
    pub fn copy_checked(&self, into: &mut Vec<u8>) -> Result<(), SlotError> {
        self.reader.check_process()?;
        let looked = self.protected.looked;
        into.resize(self.protected.header.size as usize, 0);
        // SAFETY: as in `bytes`.
        let memory = unsafe { &*self.protected.memory };
        memory.copy_payload(looked.slot, into);
        memory.fence(Ordering::Acquire);
        if memory.holds(looked.slot, looked.seq, Ordering::Relaxed) {
            Ok(())
        } else {
            Err(SlotError::StaleHandle { slot: looked.slot.get(), seq: looked.seq })
        }
    }
}

impl<R: ReaderRef> Drop for HeldSample<R> {
    #[inline]
    fn drop(&mut self) {
        self.reader.release(self.protected.looked, self.protected.memory);
    }
}
