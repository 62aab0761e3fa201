//! Writing to a segment: loans in place, copies.

use std::cell::Cell;
use std::sync::Arc;

use super::owner_cell::WriterSide;
use super::segment_owner::{Reserved, SegmentOwner, Side};
use super::{
    EntryStatus, Identity, Incarnation, InstanceKey, OwnerEvent, OwnerHandle, ReaderEntry,
    ReaderIndex, ReaderSet, SlotError, SlotIndex,
};

/// What a sample is published with. The default is a sample of a topic without key, numbered by
/// the segment, without timestamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleInfo {
    /// RTPS sequence number; `None`: one more than the last.
    pub sn: Option<i64>,
    /// Source timestamp, nanoseconds since 1970, 0 for none.
    pub source_timestamp: i64,
    /// Key hash of the instance.
    pub key_hash: InstanceKey,
    /// Status info octet: 1 disposed, 2 unregistered.
    pub status_info: u8,
    /// The payload holds the key alone.
    pub key_only: bool,
    /// The payload is an [`Announcement`](super::Announcement) of where the sample is.
    pub outsize: bool,
    /// CDR encapsulation identifier; `None`: the sample as it is in memory.
    pub encapsulation: Option<u16>,
}

/// What became of a published sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its number in the segment.
    pub seq: u64,
    /// Its RTPS sequence number.
    pub sn: i64,
    /// Exactly the readers that get it through the segment. The rest is the network's.
    pub covered: ReaderSet,
}

/// The one handle through which a segment is written. `Send`, not `Sync`: one thread at a time.
#[derive(Debug)]
pub struct SlotWriter {
    owner: Arc<SegmentOwner>,
    /// `None` for one more writer of the same segment on the heap, which then pays more.
    side: Option<WriterSide>,
    /// The next loan, if it could be had at the last commit. Not `Sync`: one thread at a time.
    ahead: Cell<Option<Reserved>>,
    /// How many loans are out.
    loans: Cell<u32>,
    capacity: usize,
}

// SAFETY: the payload pointer of a loan leads into memory that any thread may use.
unsafe impl Send for SlotWriter {}

impl SlotWriter {
    pub(crate) fn new(owner: Arc<SegmentOwner>) -> Self {
        let capacity = owner.identity().geometry.slot_capacity as usize;
        let side = owner.hot.writer_side();
        Self { owner, side, ahead: Cell::new(None), loans: Cell::new(0), capacity }
    }

    #[inline(always)]
    fn side(&self) -> Side<'_> {
        self.side.as_ref()
    }

    /// Takes a slot to fill in place. Several loans may be out at once and be published in any
    /// order.
    ///
    /// Blocks up to `max_blocking_time` if the writer's QoS waits and no slot is free.
    ///
    /// # Errors
    /// [`SlotError::Timeout`], or [`SlotError::NoFreeSlot`] for a writer that never waits (then
    /// [`Self::drop_sample`] tells the readers); [`SlotError::TooManyLoans`]; [`SlotError::Poisoned`], [`SlotError::Forked`].
    #[inline]
    pub fn loan(&self) -> Result<Loan<'_>, SlotError> {
        let Reserved { slot, payload } = match self.ahead.take() {
            Some(reserved) => {
                self.owner.check_process()?;
                reserved
            }
            None => self.owner.reserve(self.side(), self.loans.get(), ReaderSet::ALL)?,
        };
        self.loans.set(self.loans.get() + 1);
        Ok(Loan { writer: self, slot, payload })
    }

    /// As [`Self::loan`], and never waits: for a host whose interface waits elsewhere. `None`: no slot is
    /// free now.
    ///
    /// # Errors
    /// [`SlotError::Forked`].
    #[inline]
    pub fn try_loan(&self) -> Result<Option<Loan<'_>>, SlotError> {
        self.owner.check_process()?;
        let reserved = self.ahead.take();
        let reserved = reserved.or_else(|| self.owner.try_reserve(self.side(), ReaderSet::ALL));
        Ok(reserved.map(|Reserved { slot, payload }| {
            self.loans.set(self.loans.get() + 1);
            Loan { writer: self, slot, payload }
        }))
    }

    /// Publishes a copy of `bytes`.
    ///
    /// A sample that finds no slot is dropped if the writer's QoS never waits: it takes a number,
    /// so that every reader counts it, and `Ok(None)` says so.
    ///
    /// # Errors
    /// As [`Self::loan`]; [`SlotError::SampleTooLarge`], [`SlotError::TooManyInstances`].
    pub fn write(&self, bytes: &[u8], info: &SampleInfo) -> Result<Option<Committed>, SlotError> {
        let capacity = self.capacity();
        if bytes.len() > capacity {
            return Err(SlotError::SampleTooLarge { sample: bytes.len(), capacity });
        }
        let mut loan = match self.loan() {
            Ok(loan) => loan,
            Err(SlotError::NoFreeSlot { .. }) => {
                self.drop_sample(info.sn)?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        loan.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        loan.commit(bytes.len(), info).map(Some)
    }

    /// Gives a sequence number to a sample that was not published, so that readers count it lost.
    ///
    /// # Errors
    /// [`SlotError::Forked`].
    pub fn drop_sample(&self, sn: Option<i64>) -> Result<Committed, SlotError> {
        self.owner.drop_sample(self.side(), sn)
    }

    /// How many samples were dropped for want of a slot.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.owner.dropped(self.side())
    }

    /// Says by which other GUID the host's own discovery knows this writer, for a host that learns it
    /// only when it writes first. Every sample that is published from now on is found with it
    /// ([`HeldSample::origin`](super::HeldSample::origin)).
    ///
    /// # Errors
    /// [`SlotError::Forked`].
    pub fn set_origin(&self, origin: [u8; 16]) -> Result<(), SlotError> {
        self.owner.check_process()?;
        self.owner.set_origin(origin);
        Ok(())
    }

    /// Payload bytes that fit a slot.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// What the segment is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.owner.identity()
    }

    /// Which making of the segment is written to: another one than [`Self::identity`] says after
    /// [`OwnerEvent::SegmentReplaced`].
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.owner.hot.lock_from(self.side()).incarnation
    }

    /// Highest sequence number published.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.owner.head(self.side())
    }

    /// What other threads may do.
    #[must_use]
    pub fn handle(&self) -> OwnerHandle {
        OwnerHandle::new(&self.owner)
    }

    /// Readers that are known: index, status, and what they say of themselves.
    #[must_use]
    pub fn readers(&self) -> Vec<(ReaderIndex, EntryStatus, ReaderEntry)> {
        self.owner.readers()
    }

    /// What happened to readers since the last call, oldest first.
    #[must_use]
    pub fn take_events(&self) -> Vec<OwnerEvent> {
        self.owner.take_events()
    }

    /// Admits who asks, and with `probe` lets go of who is dead. The node's service thread does so
    /// by itself; this is for who cannot wait for it.
    pub fn serve(&self, probe: bool) {
        self.owner.serve_now(probe);
    }

    /// The reader's participant is gone (lease expiry, dispose): it blocks nobody any more.
    /// Reversible: a reader that was only paused is served again when it comes back.
    ///
    /// # Errors
    /// [`SlotError::WrongReader`] if there is none with this index.
    pub fn mark_reader_disconnected(&self, reader: ReaderIndex) -> Result<(), SlotError> {
        self.owner.mark_reader_disconnected(reader)
    }
}

/// A slot on loan. Dropped unpublished, it is given back.
#[derive(Debug)]
pub struct Loan<'w> {
    writer: &'w SlotWriter,
    slot: SlotIndex,
    payload: *mut u8,
}

impl Loan<'_> {
    /// The slot.
    #[must_use]
    pub fn slot(&self) -> SlotIndex {
        self.slot
    }

    /// The payload: what an older sample left there, to be overwritten.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `slot_capacity` octets of the slot, which is this loan's: the owner gives it to
        // nobody else, and no reader that follows the protocol looks at it. The segment's memory
        // is not replaced while a loan is out.
        unsafe { std::slice::from_raw_parts(self.payload, self.writer.capacity) }
    }

    /// The payload, to be filled. Aligned to 64 bytes.
    #[inline]
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; the loan is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.payload, self.writer.capacity) }
    }

    /// Publishes the first `len` bytes. Wait-free but for the wake of sleeping readers.
    ///
    /// # Errors
    /// [`SlotError::SampleTooLarge`], [`SlotError::TooManyInstances`], [`SlotError::Poisoned`],
    /// [`SlotError::Forked`]; the loan is given back.
    #[inline(always)]
    pub fn commit(self, len: usize, info: &SampleInfo) -> Result<Committed, SlotError> {
        let capacity = self.writer.capacity;
        if len > capacity {
            return Err(SlotError::SampleTooLarge { sample: len, capacity });
        }
        let SlotWriter { owner, ahead, .. } = self.writer;
        let wants_ahead = ahead.get().is_none();
        let (committed, next) =
            owner.commit(self.writer.side(), self.slot, len, info, wants_ahead)?;
        if wants_ahead {
            ahead.set(next);
        }
        self.writer.loans.set(self.writer.loans.get() - 1);
        std::mem::forget(self);
        Ok(committed)
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.writer.loans.set(self.writer.loans.get() - 1);
        self.writer.owner.discard(self.writer.side(), self.slot);
    }
}

impl Drop for SlotWriter {
    fn drop(&mut self) {
        if self.owner.check_process().is_err() {
            return;
        }
        if let Some(reserved) = self.ahead.take() {
            self.owner.discard(self.side(), reserved.slot);
        }
        if let Some(side) = self.side.take() {
            self.owner.hot.give_back(side);
        }
        // Not when the last handle is gone: the node's service thread may have one just now, and the
        // next writer wants the same names. (Of a segment on the heap there may be other writers.)
        if self.owner.home.is_some() {
            self.owner.end();
        }
    }
}
