//! One DDS writer: publishes through a segment.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::announcement::Announcement;
use super::inner::Registration;
use super::reachability::Reachability;
use super::writer_handle::WriterHandle;
use super::writer_shared::WriterShared;
use crate::discovery::ShmLocator;
use crate::shm::realtime_ns;
use crate::slots::{Committed, Loan, ReaderSet, SampleInfo, SlotError, SlotIndex, SlotWriter};
use crate::wire::{Guid, KeyHash, StatusInfo};

/// A DDS writer that publishes through a segment. `Send`, not `Sync`: one thread at a time.
#[derive(Debug)]
pub struct ShmWriter {
    /// First, so that others are told before the rest goes.
    registration: Registration,
    slots: SlotWriter,
    shared: Arc<WriterShared>,
    stamp: bool,
    /// Whom the last commit covered: when it changes, somebody came or went.
    covered: Cell<ReaderSet>,
}

impl ShmWriter {
    pub(crate) fn new(
        slots: SlotWriter,
        shared: Arc<WriterShared>,
        stamp: bool,
        registration: Registration,
    ) -> Self {
        Self { slots, shared, stamp, covered: Cell::new(ReaderSet::EMPTY), registration }
    }

    /// Its GUID.
    #[must_use]
    pub fn guid(&self) -> Guid {
        self.shared.guid
    }

    /// Its topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.shared.topic
    }

    /// The segment: head, identity, number of dropped samples.
    #[must_use]
    pub fn slots(&self) -> &SlotWriter {
        &self.slots
    }

    /// A handle for other threads.
    #[must_use]
    pub fn handle(&self) -> WriterHandle {
        WriterHandle::new(Arc::clone(&self.shared))
    }

    /// What to advertise: where the segment is. Changes with
    /// [`SegmentReplaced`](super::TransportEvent::SegmentReplaced).
    #[must_use]
    pub fn locator(&self) -> ShmLocator {
        self.shared.locator()
    }

    /// Says by which other GUID the host's own discovery knows this writer, for a host that learns it
    /// only when it writes first. Readers find it with every sample that is published from now on
    /// ([`ShmSample::origin`](super::ShmSample::origin)).
    ///
    /// # Errors
    /// [`SlotError::Forked`].
    pub fn set_origin(&self, origin: Guid) -> Result<(), SlotError> {
        self.slots.set_origin(origin.to_bytes())
    }

    /// Has the announcement follow the segment, and end with the writer.
    pub(crate) fn announce(&mut self, announcement: Announcement) {
        let announcement = Arc::new(announcement);
        self.shared.announce(&announcement);
        self.registration.announcement = Some(announcement);
    }

    /// Takes a slot to fill in place. Several loans may be out at once, up to `max_loans`, and be
    /// published in any order.
    ///
    /// Blocks up to RELIABILITY `max_blocking_time`, if the QoS waits and no slot is free.
    ///
    /// # Errors
    /// [`SlotError::Timeout`] (DDS TIMEOUT), or [`SlotError::NoFreeSlot`] for a best-effort writer, which
    /// then either gives up ([`SlotWriter::drop_sample`] tells the readers) or sends by network;
    /// [`SlotError::TooManyLoans`] (DDS OUT_OF_RESOURCES).
    #[inline]
    pub fn loan(&self) -> Result<ShmLoan<'_>, SlotError> {
        match self.slots.loan() {
            Ok(loan) => Ok(ShmLoan { loan, writer: self }),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// As [`Self::loan`], and never waits: for a host whose interface waits elsewhere. `None`: no slot is
    /// free now.
    ///
    /// # Errors
    /// [`SlotError::Forked`].
    #[inline]
    pub fn try_loan(&self) -> Result<Option<ShmLoan<'_>>, SlotError> {
        Ok(self.slots.try_loan()?.map(|loan| ShmLoan { loan, writer: self }))
    }

    /// Publishes a copy of `bytes`.
    ///
    /// `Ok(None)`: dropped, and counted as lost by every reader, because a best-effort writer found no
    /// slot. A sample without a source timestamp gets the present time, unless the configuration says
    /// otherwise.
    ///
    /// # Errors
    /// As [`Self::loan`]; [`SlotError::SampleTooLarge`], [`SlotError::TooManyInstances`].
    #[inline]
    pub fn write(&self, bytes: &[u8], info: &SampleInfo) -> Result<Option<Committed>, SlotError> {
        match self.slots.write(bytes, &self.stamped(info)) {
            Ok(Some(committed)) => Ok(Some(self.noted(committed))),
            Ok(None) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Publishes that an instance is disposed of. `key`: its key, serialised or as the samples are;
    /// may be empty.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn dispose(
        &self,
        instance: KeyHash,
        key: &[u8],
        info: &SampleInfo,
    ) -> Result<Option<Committed>, SlotError> {
        self.write_key(instance, key, StatusInfo::DISPOSED, info)
    }

    /// Publishes that this writer no longer writes an instance; with `dispose`, also that it is
    /// disposed of (WRITER_DATA_LIFECYCLE `autodispose_unregistered_instances`): then nothing of the
    /// instance is kept for late joiners.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn unregister(
        &self,
        instance: KeyHash,
        key: &[u8],
        dispose: bool,
        info: &SampleInfo,
    ) -> Result<Option<Committed>, SlotError> {
        let disposed = if dispose { StatusInfo::DISPOSED } else { StatusInfo::NONE };
        self.write_key(instance, key, StatusInfo::UNREGISTERED | disposed, info)
    }

    fn write_key(
        &self,
        instance: KeyHash,
        key: &[u8],
        status: StatusInfo,
        info: &SampleInfo,
    ) -> Result<Option<Committed>, SlotError> {
        let status_info = status.0 as u8;
        let info = SampleInfo { key_hash: instance.0, status_info, key_only: true, ..*info };
        self.write(key, &info)
    }

    /// The readers that get this sample through the segment.
    #[must_use]
    pub fn covered_readers(&self, committed: &Committed) -> Vec<Guid> {
        self.shared.covered_readers(committed)
    }

    /// The matched readers that do not get this sample through the segment: the network's.
    #[must_use]
    pub fn uncovered_readers(&self, committed: &Committed) -> Vec<Guid> {
        self.shared.uncovered_readers(committed)
    }

    /// By which way samples go to a reader, and why not through shared memory.
    #[must_use]
    pub fn reachability(&self, reader: Guid) -> Reachability {
        self.shared.reachability(reader)
    }

    /// Waits until `count` readers are served through the segment, at most `timeout`. How many are.
    pub fn wait_for_readers(&self, count: usize, timeout: Duration) -> usize {
        self.shared.wait_for_readers(count, timeout)
    }

    #[inline]
    fn stamped(&self, info: &SampleInfo) -> SampleInfo {
        if self.stamp && info.source_timestamp == 0 {
            SampleInfo { source_timestamp: realtime_ns(), ..*info }
        } else {
            *info
        }
    }

    #[inline]
    fn noted(&self, committed: Committed) -> Committed {
        if committed.covered != self.covered.get() {
            self.note(committed);
        }
        committed
    }

    /// Somebody came or went: tell it now, not with the next tick.
    #[cold]
    fn note(&self, committed: Committed) {
        self.covered.set(committed.covered);
        self.shared.collect();
    }

    #[cold]
    fn failed(&self, error: SlotError) -> SlotError {
        // Who was waited for in vain may have been found dead.
        self.shared.collect();
        error
    }
}

/// A slot on loan. Dropped unpublished, it is given back.
#[derive(Debug)]
pub struct ShmLoan<'w> {
    loan: Loan<'w>,
    writer: &'w ShmWriter,
}

impl ShmLoan<'_> {
    /// The slot.
    #[inline]
    #[must_use]
    pub fn slot(&self) -> SlotIndex {
        self.loan.slot()
    }

    /// The payload: what an older sample left there, to be overwritten.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.loan.bytes()
    }

    /// The payload, to be filled. Aligned to 64 bytes.
    #[inline]
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.loan.bytes_mut()
    }

    /// Publishes the first `len` bytes.
    ///
    /// # Errors
    /// [`SlotError::SampleTooLarge`], [`SlotError::TooManyInstances`], [`SlotError::Forked`]; the loan
    /// is given back.
    #[inline]
    pub fn publish(self, len: usize, info: &SampleInfo) -> Result<Committed, SlotError> {
        let committed = self.loan.commit(len, &self.writer.stamped(info))?;
        Ok(self.writer.noted(committed))
    }
}
