//! The half of a writer that all threads share: who reads it, and by which way.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::announcement::Announcement;
use super::event::{EventSink, ReaderLoss, TransportEvent};
use super::reachability::{Mismatch, NetworkReason, Reachability};
use super::segment_locator::LocatorParts;
use crate::discovery::{LocatorError, RemoteEndpoint, ShmLocator};
use crate::liveness::{Serve, Serviced};
use crate::slots::{Committed, Incarnation, OwnerEvent, OwnerHandle, ReaderIndex};
use crate::wire::Guid;

/// How many readers that had an entry one after the other are remembered, for commits that are asked
/// about late.
const MAX_ADMISSIONS: usize = 4;

/// The shared half of a writer.
#[derive(Debug)]
pub(crate) struct WriterShared {
    pub(crate) guid: Guid,
    pub(crate) topic: String,
    pub(crate) handle: OwnerHandle,
    pub(crate) events: EventSink,
    parts: LocatorParts,
    locator: Mutex<ShmLocator>,
    book: Mutex<Book>,
    /// Somebody was admitted or lost.
    changed: Condvar,
    /// Tells others where the segment is, when that changes.
    announcement: Mutex<Weak<Announcement>>,
}

#[derive(Debug, Default)]
struct Book {
    readers: BTreeMap<Guid, Reader>,
    /// Who had which entry of the reader table, the latest last.
    admissions: BTreeMap<ReaderIndex, Vec<Admission>>,
}

#[derive(Clone, Copy, Debug)]
struct Admission {
    guid: Guid,
    /// The first sequence number whose commit covers it.
    covered_from: u64,
}

/// How the writer stands to one reader.
#[derive(Debug, Default)]
struct Reader {
    /// What is announced of it, while it matches.
    matched: Option<Arc<RemoteEndpoint>>,
    mismatch: Option<Mismatch>,
    attached: Option<ReaderIndex>,
    /// Why it is not attached any more.
    lost: Option<NetworkReason>,
}

impl WriterShared {
    pub(crate) fn new(
        guid: Guid,
        topic: String,
        handle: OwnerHandle,
        events: EventSink,
        parts: LocatorParts,
    ) -> Result<Self, LocatorError> {
        let locator = Mutex::new(parts.locator(parts.incarnation)?);
        Ok(Self {
            guid,
            topic,
            handle,
            events,
            parts,
            locator,
            book: Mutex::default(),
            changed: Condvar::new(),
            announcement: Mutex::default(),
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Each change is whole before anything can panic.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn locator(&self) -> ShmLocator {
        self.locator.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The announcement that is to say where the segment is.
    pub(crate) fn announce(&self, announcement: &Arc<Announcement>) {
        let announcement = Arc::downgrade(announcement);
        *self.announcement.lock().unwrap_or_else(PoisonError::into_inner) = announcement;
    }

    /// Enters what happened to readers, and tells it.
    pub(crate) fn collect(&self) {
        let mut replaced = None;
        {
            // Under the lock, so that two threads do not enter events out of order.
            let mut book = self.book();
            let events = self.handle.take_events();
            if events.is_empty() {
                return;
            }
            for event in events {
                self.enter(&mut book, event, &mut replaced);
            }
            self.changed.notify_all();
        }
        if let Some(incarnation) = replaced {
            self.relocate(incarnation);
        }
    }

    fn enter(&self, book: &mut Book, event: OwnerEvent, replaced: &mut Option<Incarnation>) {
        let writer = self.guid;
        let told = match event {
            OwnerEvent::ReaderAttached { reader: index, guid, start_sn, covered_from, .. } => {
                let reader = Guid::from(guid);
                let admissions = book.admissions.entry(index).or_default();
                if admissions.len() == MAX_ADMISSIONS {
                    admissions.remove(0);
                }
                admissions.push(Admission { guid: reader, covered_from });
                book.attach(reader, index);
                TransportEvent::ReaderAttached { writer, reader, start_sn }
            }
            OwnerEvent::ReaderReturned { reader: index, guid, start_sn } => {
                let reader = Guid::from(guid);
                book.attach(reader, index);
                TransportEvent::ReaderReturned { writer, reader, start_sn }
            }
            OwnerEvent::ReaderLost { guid, why, resend_from, .. } => {
                let reader = Guid::from(guid);
                book.detach(reader, why);
                TransportEvent::ReaderLost { writer, reader, why, resend_from }
            }
            OwnerEvent::ReaderRefused { guid, uid } => {
                let reader = Guid::from(guid);
                book.readers.entry(reader).or_default().lost = Some(NetworkReason::Refused);
                book.prune(reader);
                TransportEvent::ReaderRefused { writer, reader, uid }
            }
            OwnerEvent::SegmentReplaced { incarnation } => {
                *replaced = Some(incarnation);
                return;
            }
        };
        self.events.tell(told);
    }

    /// The segment has a new incarnation: others are to know.
    fn relocate(&self, incarnation: Incarnation) {
        let locator = match self.parts.locator(incarnation) {
            Ok(locator) => locator,
            // Not possible: it could be made before, from the same parts.
            Err(error) => {
                tracing::error!(%error, writer = %self.guid, "no locator");
                return;
            }
        };
        *self.locator.lock().unwrap_or_else(PoisonError::into_inner) = locator.clone();
        let announcement =
            self.announcement.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(announcement) = announcement
            && let Err(error) = announcement.renew(Some(locator.clone()))
        {
            tracing::warn!(%error, writer = %self.guid, "the new segment is not announced");
        }
        let locator = Box::new(locator);
        self.events.tell(TransportEvent::SegmentReplaced { writer: self.guid, locator });
    }

    /// A reader matches, or announces something else than before.
    pub(crate) fn matched(&self, remote: &Arc<RemoteEndpoint>) {
        let mut book = self.book();
        let reader = book.readers.entry(remote.data.guid).or_default();
        reader.matched = Some(Arc::clone(remote));
        reader.mismatch = None;
    }

    /// A reader does not match, and somebody should know.
    pub(crate) fn mismatched(&self, reader: Guid, reason: Mismatch) {
        self.book().readers.entry(reader).or_default().mismatch = Some(reason);
    }

    /// A reader that did not match is gone.
    pub(crate) fn forgotten(&self, guid: Guid) {
        let mut book = self.book();
        if let Some(reader) = book.readers.get_mut(&guid) {
            reader.mismatch = None;
        }
        book.prune(guid);
    }

    /// A reader matches no longer.
    pub(crate) fn unmatched(&self, guid: Guid, reason: &NetworkReason) {
        let mut book = self.book();
        let Some(reader) = book.readers.get_mut(&guid) else { return };
        reader.matched = None;
        reader.mismatch = None;
        reader.lost = Some(reason.clone());
        book.prune(guid);
    }

    /// Readers are gone, or seem so: those that are attached are waited for no more, whether they had
    /// been discovered or not.
    pub(crate) fn disconnect(&self, is_gone: impl Fn(Guid) -> bool) {
        self.collect();
        let attached: Vec<ReaderIndex> = {
            let book = self.book();
            let gone = book.readers.iter().filter(|(guid, _)| is_gone(**guid));
            gone.filter_map(|(_, reader)| reader.attached).collect()
        };
        for index in attached {
            if let Err(error) = self.handle.mark_reader_disconnected(index) {
                // It left at the same moment.
                tracing::debug!(%error, writer = %self.guid, %index, "not disconnected");
            }
        }
        self.collect();
    }

    /// The readers that a commit covered.
    pub(crate) fn covered_readers(&self, committed: &Committed) -> Vec<Guid> {
        self.collect();
        let book = self.book();
        committed
            .covered
            .iter()
            .filter_map(|index| {
                let admissions = book.admissions.get(&index)?;
                let reader = admissions
                    .iter()
                    .rev()
                    .find(|admission| admission.covered_from <= committed.seq)?;
                Some(reader.guid)
            })
            .collect()
    }

    /// The matched readers that a commit did not cover.
    pub(crate) fn uncovered_readers(&self, committed: &Committed) -> Vec<Guid> {
        let covered = self.covered_readers(committed);
        let book = self.book();
        let matched = book.readers.iter().filter(|(_, reader)| reader.matched.is_some());
        matched.map(|(guid, _)| *guid).filter(|guid| !covered.contains(guid)).collect()
    }

    pub(crate) fn reachability(&self, guid: Guid) -> Reachability {
        self.collect();
        let book = self.book();
        book.readers.get(&guid).map_or(Reachability::Network(NetworkReason::Unknown), Reader::way)
    }

    /// The readers that match, and by which way they are reached.
    pub(crate) fn readers(&self) -> Vec<(Guid, Reachability)> {
        self.collect();
        let book = self.book();
        let matched = book.readers.iter().filter(|(_, reader)| reader.matched.is_some());
        matched.map(|(guid, reader)| (*guid, reader.way())).collect()
    }

    /// Readers that are served through the segment, whether they are discovered yet or not.
    pub(crate) fn attached(&self) -> Vec<Guid> {
        self.collect();
        let book = self.book();
        let attached = book.readers.iter().filter(|(_, reader)| reader.attached.is_some());
        attached.map(|(guid, _)| *guid).collect()
    }

    /// Waits until so many readers are served, at most `timeout`. How many are.
    pub(crate) fn wait_for_readers(&self, count: usize, timeout: Duration) -> usize {
        let started = Instant::now();
        self.collect();
        let mut book = self.book();
        loop {
            let attached = book.readers.values().filter(|reader| reader.attached.is_some()).count();
            let left = timeout.saturating_sub(started.elapsed());
            if attached >= count || left.is_zero() {
                return attached;
            }
            // The service thread admits, collects, and wakes us.
            (book, _) =
                self.changed.wait_timeout(book, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Book {
    fn attach(&mut self, guid: Guid, index: ReaderIndex) {
        let reader = self.readers.entry(guid).or_default();
        reader.attached = Some(index);
        reader.lost = None;
    }

    fn detach(&mut self, guid: Guid, why: ReaderLoss) {
        let reader = self.readers.entry(guid).or_default();
        reader.attached = None;
        reader.lost = Some(match why {
            ReaderLoss::Left => NetworkReason::NotAttached,
            ReaderLoss::Died => NetworkReason::ParticipantLost,
            ReaderLoss::Disconnected => NetworkReason::Disconnected,
            ReaderLoss::Misbehaved => NetworkReason::LeftBehind,
        });
        self.prune(guid);
    }

    /// Forgets a reader of which there is nothing to tell.
    fn prune(&mut self, guid: Guid) {
        let is_idle = |reader: &Reader| {
            reader.matched.is_none() && reader.mismatch.is_none() && reader.attached.is_none()
        };
        if self.readers.get(&guid).is_some_and(is_idle) {
            self.readers.remove(&guid);
        }
    }
}

impl Reader {
    fn way(&self) -> Reachability {
        if self.attached.is_some() {
            return Reachability::SharedMemory;
        }
        if let Some(mismatch) = &self.mismatch {
            return Reachability::Network(mismatch.clone().into());
        }
        Reachability::Network(match (&self.lost, &self.matched) {
            (Some(reason), _) => reason.clone(),
            (None, Some(remote)) if remote.shm_version.is_none() => NetworkReason::NotCapable,
            (None, Some(_)) => NetworkReason::NotAttached,
            (None, None) => NetworkReason::NotMatched,
        })
    }
}

impl Serviced for WriterShared {
    /// Registered after the segment: what that did in this round is told at once.
    fn serve(&self, _now: Instant, _why: Serve) {
        self.collect();
    }
}
