//! One DDS reader: takes from the segments of many writers.

use std::cell::{Cell, Ref, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::announcement::Announcement;
use super::attachment::{Attachment, Phase};
use super::event::TransportEvent;
use super::inner::Registration;
use super::link::LinkState;
use super::reachability::{NetworkReason, Reachability};
use super::reader_handle::ReaderHandle;
use super::reader_shared::ReaderShared;
use super::sample::{Payload, ShmSample};
use super::stable_vec::StableVec;
use super::switch::Verdict;
use crate::discovery::RemoteEndpoint;
use crate::liveness::{BellBit, Node};
use crate::shm::realtime_ns;
use crate::slots::{
    EntryStatus, ExpectedType, HeldSample, Losses, SlotError, SlotReader, Waitable,
};
use crate::wire::Guid;

/// How long a waiting reader spins before it goes to sleep.
const SPIN: Duration = Duration::from_micros(20);
/// How many samples are passed over (doubles, expired ones) before the next writer has its turn.
const MAX_PASSED_OVER: usize = 4096;
/// How long it sleeps at most without looking by itself.
const LOOK_EVERY: Duration = Duration::from_secs(1);

type AttachmentCell = RefCell<Option<Attachment>>;

/// A DDS reader that takes samples from the segments of its matched writers. `Send`, not `Sync`: one
/// thread at a time.
///
/// Samples of one writer come in the order of their sequence numbers; writers take turns. What is not
/// reachable through shared memory is told by [`Self::reachability`] and by events.
#[derive(Debug)]
pub struct ShmReader {
    /// First, so that others are told before the rest goes.
    registration: Registration,
    cells: StableVec<AttachmentCell>,
    /// Which cell is asked first.
    next: Cell<usize>,
    /// Losses of attachments that are over.
    past_losses: Cell<Losses>,
    /// Samples whose LIFESPAN was over.
    expired: Cell<u64>,
    /// Attachments are over and could not be removed, because samples of them are in use.
    has_ruins: Cell<bool>,
    shared: Arc<ReaderShared>,
}

impl ShmReader {
    pub(crate) fn new(shared: Arc<ReaderShared>, registration: Registration) -> Self {
        Self {
            cells: StableVec::new(),
            next: Cell::new(0),
            past_losses: Cell::new(Losses::default()),
            expired: Cell::new(0),
            has_ruins: Cell::new(false),
            shared,
            registration,
        }
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

    /// What it can read.
    pub(crate) fn expected(&self) -> &ExpectedType {
        &self.shared.expected
    }

    /// A typed view passes over a sample.
    #[cold]
    pub(crate) fn tell_unreadable(&self, sample: &ShmSample<'_>) {
        self.shared.events.tell(TransportEvent::Unreadable {
            reader: self.shared.guid,
            writer: sample.writer(),
            sn: sample.header().sn,
            representation: sample.representation(),
        });
    }

    /// A handle for other threads.
    #[must_use]
    pub fn handle(&self) -> ReaderHandle {
        ReaderHandle::new(Arc::clone(&self.shared))
    }

    /// By which way samples of a writer come, and why not through shared memory.
    #[must_use]
    pub fn reachability(&self, writer: Guid) -> Reachability {
        self.shared.reachability(writer)
    }

    /// Has the announcement end with the reader.
    pub(crate) fn announce(&mut self, announcement: Announcement) {
        self.registration.announcement = Some(Arc::new(announcement));
    }

    /// Takes the next sample. `Ok(None)`: nothing new now. Never blocks.
    ///
    /// Several samples can be in use at once, up to `max_held` of each writer, and be dropped in any
    /// order.
    ///
    /// # Errors
    /// [`SlotError::TooManyHeld`] if as many samples of a writer are in use as may be, and no other writer
    /// has one; [`SlotError::Forked`].
    #[inline]
    pub fn take(&self) -> Result<Option<ShmSample<'_>>, SlotError> {
        if self.shared.has_changed() {
            self.apply_changes();
        }
        let count = self.cells.len();
        let mut index = self.next.get();
        let mut held = None;
        for _ in 0..count {
            if index >= count {
                index = 0;
            }
            let Some(cell) = self.cells.get(index) else { break };
            index += 1;
            match self.take_from(cell) {
                Ok(Some(sample)) => {
                    self.next.set(index);
                    return Ok(Some(sample));
                }
                Ok(None) => {}
                Err(error @ SlotError::TooManyHeld { .. }) => held = Some(error),
                Err(error) => return Err(error),
            }
        }
        if self.has_ruins.get() {
            self.clear_ruins();
        }
        held.map_or(Ok(None), Err)
    }

    #[inline]
    fn take_from<'r>(
        &'r self,
        cell: &'r AttachmentCell,
    ) -> Result<Option<ShmSample<'r>>, SlotError> {
        let Ok(attachment) = Ref::filter_map(cell.borrow(), Option::as_ref) else {
            return Ok(None);
        };
        for _ in 0..MAX_PASSED_OVER {
            if attachment.phase.get() != Phase::Settled && !self.may_take(&attachment) {
                return Ok(None);
            }
            let slots = Ref::map(Ref::clone(&attachment), |attachment| &attachment.slots);
            let sample = match SlotReader::take_by(slots) {
                Ok(Some(sample)) => sample,
                Ok(None) if self.found_nothing(&attachment) => continue,
                Ok(None) => return Ok(self.nothing_more(cell, attachment)),
                Err(error @ (SlotError::TooManyHeld { .. } | SlotError::Forked)) => {
                    return Err(error);
                }
                Err(error) => {
                    self.end(&attachment, &error);
                    return Ok(self.nothing_more(cell, attachment));
                }
            };
            let (seq, header) = (sample.seq(), sample.header());
            let is_plain = attachment.phase.get() == Phase::Settled
                && seq == attachment.link.last_seq().wrapping_add(1)
                && header.owner_epoch == attachment.epoch.get()
                && attachment.lifespan.get().is_none()
                && attachment.drain_through.get().is_none();
            if !is_plain && !self.is_to_be_delivered(&attachment, &sample) {
                if attachment.phase.get() == Phase::Over {
                    drop(sample);
                    return Ok(self.nothing_more(cell, attachment));
                }
                continue;
            }
            attachment.link.took(seq, header.sn);
            let writer = attachment.writer.get();
            if attachment.in_place {
                return Ok(Some(ShmSample { writer, payload: Payload::InPlace(sample) }));
            }
            if let Some(payload) = self.copy_out(&attachment, &sample) {
                return Ok(Some(ShmSample { writer, payload }));
            }
        }
        // More than there are in any segment went by: let others have their turn.
        Ok(None)
    }

    /// An attachment has nothing to give; if it is over, it goes.
    fn nothing_more<T>(&self, cell: &AttachmentCell, attachment: Ref<'_, Attachment>) -> Option<T> {
        let is_over = attachment.phase.get() == Phase::Over;
        drop(attachment);
        if is_over {
            self.clear(cell);
        }
        None
    }

    /// Copies a sample of another user's writer; `None` if it was rewritten meanwhile.
    #[cold]
    fn copy_out(
        &self,
        attachment: &Attachment,
        sample: &HeldSample<Ref<'_, SlotReader>>,
    ) -> Option<Payload<'static>> {
        let mut bytes = Vec::new();
        if sample.copy_checked(&mut bytes).is_ok() {
            let (seq, header) = (sample.seq(), *sample.header());
            let origin = sample.origin().ok().flatten();
            return Some(Payload::Copied { seq, header, origin, bytes: bytes.into() });
        }
        // Another reader of the segment broke the protocol; this sample is lost.
        let losses = Losses { lost: 1, replaced: 0 };
        self.count_past(losses);
        attachment.link.lose(self.shared.guid, losses, &self.shared.events);
        None
    }

    /// Everything but "the next sample of a writer that is settled".
    #[cold]
    fn is_to_be_delivered(
        &self,
        attachment: &Attachment,
        sample: &HeldSample<Ref<'_, SlotReader>>,
    ) -> bool {
        let header = sample.header();
        if sample.seq() <= attachment.skip_through {
            return false;
        }
        if attachment.drain_through.get().is_some_and(|last| sample.seq() > last)
            && self.retire(attachment)
        {
            return false;
        }
        attachment.history.borrow_mut().take_if(|history| history.is_over(sample.seq()));
        if let Some(history) = &*attachment.history.borrow()
            && !history.has(sample.seq())
        {
            return false;
        }
        if header.owner_epoch != attachment.epoch.get() {
            self.meet_epoch(attachment, header.owner_epoch);
        }
        if attachment.phase.get() != Phase::Settled {
            let (verdict, is_settled) =
                self.shared.judge(&attachment.link, header.owner_epoch, header.sn);
            if is_settled && attachment.history.borrow().is_none() {
                attachment.phase.set(Phase::Settled);
            }
            if verdict == Verdict::Double {
                return false;
            }
        }
        self.note_losses(attachment);
        attachment.pardons.set(false);
        if let Some(lifespan) = attachment.lifespan.get()
            && header.source_timestamp != 0
            && realtime_ns().saturating_sub(header.source_timestamp) > lifespan
        {
            self.expired.set(self.expired.get() + 1);
            attachment.link.took(sample.seq(), header.sn);
            return false;
        }
        true
    }

    /// A sample of another owner than the last one's.
    fn meet_epoch(&self, attachment: &Attachment, epoch: u32) {
        if epoch > attachment.epoch.get() {
            // Adopted while it was read: the new owner says who it is.
            attachment.epoch.set(epoch);
            attachment.writer.set(Guid::from_bytes(attachment.slots.writer_guid()));
        } else if !attachment.told_former.replace(true) {
            self.shared.events.tell(TransportEvent::FormerIncarnation {
                reader: self.shared.guid,
                writer: attachment.writer.get(),
                owner_epoch: epoch,
            });
        }
    }

    /// Whether samples may be taken from an attachment that is not settled.
    #[cold]
    fn may_take(&self, attachment: &Attachment) -> bool {
        match attachment.phase.get() {
            Phase::Switching | Phase::Settled => true,
            Phase::Over => false,
            // The writer is gone: what is there is all there will be.
            Phase::Waiting if attachment.link.state() == LinkState::Retiring => {
                attachment.phase.set(Phase::Switching);
                true
            }
            Phase::Waiting => false,
            Phase::Joining => {
                if attachment.link.watch().status() == Some(EntryStatus::Admitted) {
                    *attachment.history.borrow_mut() = attachment.slots.kept_history();
                    self.enter(attachment);
                    return attachment.phase.get() != Phase::Waiting;
                }
                // Refused, or its writer is gone: the take says so.
                true
            }
        }
    }

    /// The owner serves the attachment, for the first time or again.
    fn enter(&self, attachment: &Attachment) {
        let standing = self.shared.sync(&attachment.link);
        if !standing.is_served {
            return;
        }
        attachment.epoch.set(attachment.link.watch().owner_epoch());
        attachment.phase.set(if standing.waits_for_network {
            Phase::Waiting
        } else if standing.is_settled && attachment.history.borrow().is_none() {
            Phase::Settled
        } else {
            Phase::Switching
        });
    }

    /// There is no sample. True: look again.
    fn found_nothing(&self, attachment: &Attachment) -> bool {
        let disconnections = attachment.slots.disconnections();
        if attachment.disconnections.replace(disconnections) != disconnections {
            // What went by meanwhile, the host sends again, if it can.
            attachment.pardons.set(self.shared.network_path);
            self.enter(attachment);
            return attachment.phase.get() != Phase::Waiting;
        }
        self.note_losses(attachment);
        // This look began after the writer was known to leave, and so saw all that it published.
        if attachment.drain_through.get().is_some() {
            self.retire(attachment);
        }
        false
    }

    /// Everything was taken of a writer that is gone, or seems so. False if it has come back.
    fn retire(&self, attachment: &Attachment) -> bool {
        let is_over = attachment.link.change(LinkState::Retiring, LinkState::Over);
        if is_over {
            self.end(attachment, &SlotError::WriterLost);
        } else {
            attachment.drain_through.set(None);
        }
        is_over
    }

    /// Counts what went by since the last look.
    fn note_losses(&self, attachment: &Attachment) {
        let now = attachment.slots.losses();
        let before = attachment.losses.replace(now);
        if now == before {
            return;
        }
        let losses =
            Losses { lost: now.lost - before.lost, replaced: now.replaced - before.replaced };
        if attachment.pardons.get() {
            return;
        }
        self.count_past(losses);
        attachment.link.lose(self.shared.guid, losses, &self.shared.events);
    }

    fn count_past(&self, losses: Losses) {
        let past = self.past_losses.get();
        self.past_losses.set(Losses {
            lost: past.lost + losses.lost,
            replaced: past.replaced + losses.replaced,
        });
    }

    /// Gives an attachment up.
    #[cold]
    fn end(&self, attachment: &Attachment, error: &SlotError) {
        self.note_losses(attachment);
        let path = || attachment.link.path.clone();
        // Whether the writer can still be there, so that another attempt makes sense.
        let (reason, again) = match error {
            SlotError::WriterLost => (NetworkReason::WriterLost, true),
            SlotError::Evicted => {
                let error = error.to_string();
                (NetworkReason::CannotAttach { path: path(), error }, true)
            }
            SlotError::Refused => (NetworkReason::Refused, false),
            SlotError::Poisoned => (NetworkReason::Damaged, false),
            error => {
                let error = error.to_string();
                (NetworkReason::CannotAttach { path: path(), error }, false)
            }
        };
        attachment.phase.set(Phase::Over);
        self.shared.ended(&attachment.link, &reason, again);
    }

    /// Removes an attachment that is over, unless samples of it are in use: then later.
    fn clear(&self, cell: &AttachmentCell) {
        match cell.try_borrow_mut() {
            Ok(mut attachment) => *attachment = None,
            Err(_) => self.has_ruins.set(true),
        }
    }

    /// Removes attachments that were over when samples of them were still in use.
    #[cold]
    fn clear_ruins(&self) {
        self.has_ruins.set(false);
        for cell in self.cells.iter() {
            let is_over = |attachment: &Attachment| attachment.phase.get() == Phase::Over;
            if cell.borrow().as_ref().is_some_and(is_over) {
                self.clear(cell);
            }
        }
    }

    /// Does what other threads left to this one.
    #[cold]
    fn apply_changes(&self) {
        for attachment in self.shared.take_inbox() {
            self.place(attachment);
        }
        for cell in self.cells.iter() {
            if let Some(attachment) = &*cell.borrow() {
                self.apply_changes_to(attachment);
            }
        }
    }

    fn apply_changes_to(&self, attachment: &Attachment) {
        let link = &attachment.link;
        if link.is_orphan.swap(false, Ordering::AcqRel) {
            attachment.slots.probe_writer();
        }
        if link.is_stale.load(Ordering::Acquire) {
            let incarnation = attachment.slots.identity().incarnation;
            if incarnation != link.incarnation() {
                link.renew(incarnation, attachment.slots.watch());
                link.is_stale.store(false, Ordering::Release);
            }
        }
        let is_draining = link.state() == LinkState::Retiring;
        if !is_draining {
            attachment.drain_through.set(None);
        } else if attachment.drain_through.get().is_none() {
            // What a writer that only seems to be gone publishes from now on is not taken.
            attachment.drain_through.set(Some(link.watch().head()));
        }
        attachment.writer.set(link.writer());
        if let Some(remote) = self.shared.announced(link.writer()) {
            attachment.lifespan.set(lifespan_ns(&remote));
        }
        if attachment.phase.get() == Phase::Waiting {
            self.enter(attachment);
        }
    }

    fn place(&self, attachment: Attachment) {
        let free = self
            .cells
            .iter()
            .find(|cell| cell.try_borrow().is_ok_and(|attachment| attachment.is_none()));
        match free.or_else(|| self.cells.push_default()) {
            Some(cell) => *cell.borrow_mut() = Some(attachment),
            None => tracing::error!(reader = %self.shared.guid, "too many writers"),
        }
    }

    /// Waits until a take may have something to say, at most `timeout`. True if it may.
    ///
    /// Spins for some microseconds, then sleeps on the node's bell.
    pub fn wait(&self, timeout: Duration) -> bool {
        let started = Instant::now();
        let spin = SPIN.min(timeout);
        loop {
            for _ in 0..32 {
                if self.is_ready() {
                    return true;
                }
                std::hint::spin_loop();
            }
            if started.elapsed() >= spin {
                break;
            }
        }
        let mut longest = LOOK_EVERY;
        for cell in self.cells.iter() {
            if let Some(attachment) = &*cell.borrow() {
                attachment.slots.settle();
                longest = longest.min(attachment.slots.sleep_at_most());
            }
        }
        loop {
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                return self.is_ready();
            }
            match self.shared.node.bell().wait(left.min(longest), || self.is_ready()) {
                Ok(true) => return true,
                Ok(false) => {}
                // Forked: the take says so.
                Err(_) => return true,
            }
        }
    }

    /// Whether a take may have something to say.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.shared.has_changed()
            || self.cells.iter().any(|cell| match &*cell.borrow() {
                Some(attachment) => {
                    !matches!(attachment.phase.get(), Phase::Waiting | Phase::Over)
                        && attachment.slots.is_ready()
                }
                None => false,
            })
    }

    /// Takes the next sample, waiting up to `timeout` for one. `Ok(None)`: none came.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_within(&self, timeout: Duration) -> Result<Option<ShmSample<'_>>, SlotError> {
        let started = Instant::now();
        loop {
            if let Some(sample) = self.take()? {
                return Ok(Some(sample));
            }
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() || !self.wait(left) {
                return self.take();
            }
        }
    }

    /// What went by this reader since it was made, of all writers together.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.past_losses.get()
    }

    /// How many samples were dropped because their LIFESPAN was over.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.expired.get()
    }
}

/// LIFESPAN of a writer in nanoseconds, if it is finite.
pub(crate) fn lifespan_ns(remote: &RemoteEndpoint) -> Option<i64> {
    let lifespan = remote.data.qos.lifespan.duration.to_std()?;
    Some(i64::try_from(lifespan.as_nanos()).unwrap_or(i64::MAX))
}

impl Waitable for ShmReader {
    fn is_ready(&self) -> bool {
        Self::is_ready(self)
    }

    fn is_rung_by(&self, bit: BellBit) -> bool {
        let rung = |attachment: &Attachment| attachment.slots.is_rung_by(bit);
        // A change of who writes rings too, with no reader's bit.
        self.shared.has_changed()
            || self.cells.iter().any(|cell| cell.borrow().as_ref().is_some_and(rung))
    }

    fn prepare_to_sleep(&self) -> Duration {
        let attachments = self.cells.iter();
        let longest = attachments
            .filter_map(|cell| {
                cell.borrow().as_ref().map(|attachment| attachment.slots.prepare_to_sleep())
            })
            .min();
        longest.map_or(LOOK_EVERY, |longest| longest.min(LOOK_EVERY))
    }

    /// The transport's service looks whether writers live.
    fn look_after(&self) {}

    fn node(&self) -> Option<&Arc<Node>> {
        Some(&self.shared.node)
    }
}
