//! The half of a reader that all threads share: whom it reads, by which way, and why not.
//!
//! The application's thread owns the attachments and takes without any lock. Discovery, the network
//! path and the node's service thread come here; what concerns the attachments is left for the
//! application's thread, with a flag that it looks at.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::attachment::Attachment;
use super::event::{EventSink, TransportEvent};
use super::link::{Link, LinkState};
use super::reachability::{Mismatch, NetworkReason, Reachability};
use super::switch::{Switch, Verdict};
use crate::discovery::RemoteEndpoint;
use crate::liveness::{BitLease, Node};
use crate::slots::{EntryStatus, ExpectedType, Incarnation, ReaderOptions};
use crate::wire::Guid;

/// How many segments are remembered that were read and left.
const MAX_FINISHED: usize = 64;
/// The first RTPS sequence number there is.
const FIRST_SN: i64 = 1;

/// The shared half of a reader.
#[derive(Debug)]
pub(crate) struct ReaderShared {
    pub(crate) guid: Guid,
    pub(crate) topic: String,
    pub(crate) expected: ExpectedType,
    pub(crate) options: ReaderOptions,
    pub(crate) network_path: bool,
    pub(crate) events: EventSink,
    pub(crate) node: Arc<Node>,
    bit: BitLease,
    /// Something is in the inbox or has changed in a link.
    changed: AtomicBool,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    inbox: Vec<Attachment>,
    writers: BTreeMap<Guid, Writer>,
    /// Segments that were left, and the last sample that was taken from each.
    finished: Vec<(Incarnation, u64)>,
}

/// How the reader stands to one writer.
#[derive(Debug)]
struct Writer {
    switch: Switch,
    way: Reachability,
    /// What is announced of it, while it matches.
    matched: Option<Arc<RemoteEndpoint>>,
    link: Option<Arc<Link>>,
    /// The attachment ended although the writer is there: try again.
    wants_attach: bool,
    /// The state word under which the link was last seen served.
    served_as: Option<u64>,
    /// Highest RTPS sequence number that came through segments before the link.
    last_sn: i64,
}

impl Writer {
    fn last_sn(&self) -> i64 {
        self.link.as_ref().map_or(0, |link| link.last_sn()).max(self.last_sn)
    }

    fn unlink(&mut self) {
        self.last_sn = self.last_sn();
        self.link = None;
        self.served_as = None;
        self.switch.detached(self.last_sn);
    }
}

/// What a reader's thread needs to know before it takes from an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) is_served: bool,
    pub(crate) waits_for_network: bool,
    pub(crate) is_settled: bool,
}

impl ReaderShared {
    pub(crate) fn new(
        guid: Guid,
        topic: String,
        expected: ExpectedType,
        options: ReaderOptions,
        network_path: bool,
        events: EventSink,
        node: Arc<Node>,
    ) -> Self {
        let bit = node.lease_bit();
        Self {
            guid,
            topic,
            expected,
            options,
            network_path,
            events,
            node,
            bit,
            changed: AtomicBool::new(false),
            book: Mutex::default(),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Each change is whole before anything can panic.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the application's thread look, also if it sleeps.
    pub(crate) fn wake(&self) {
        self.changed.store(true, Ordering::Release);
        self.node.bell().ring_data(self.bit.bit());
    }

    #[inline]
    pub(crate) fn has_changed(&self) -> bool {
        self.changed.load(Ordering::Relaxed)
    }

    /// What came for the application's thread. The flag is lowered first.
    pub(crate) fn take_inbox(&self) -> Vec<Attachment> {
        self.changed.swap(false, Ordering::AcqRel);
        std::mem::take(&mut self.book().inbox)
    }

    fn new_writer(&self, way: Reachability) -> Writer {
        Writer {
            switch: Switch::new(self.network_path, self.options.reliable),
            way,
            matched: None,
            link: None,
            wants_attach: false,
            served_as: None,
            last_sn: 0,
        }
    }

    /// The writer matches, or announces something else than before. True if there is no attachment to
    /// it, so that one is to be tried.
    pub(crate) fn matched(&self, remote: &Arc<RemoteEndpoint>) -> bool {
        let guid = remote.data.guid;
        let mut book = self.book();
        let fresh = || self.new_writer(Reachability::Network(NetworkReason::NotAttached));
        let writer = book.writers.entry(guid).or_insert_with(fresh);
        writer.matched = Some(Arc::clone(remote));
        writer.wants_attach = false;
        let path = remote.locator.as_ref().map(|locator| locator.path.as_str());
        let Some(link) = &writer.link else { return true };
        let is_same = path == Some(&link.path);
        if is_same && link.change(LinkState::Retiring, LinkState::Live) {
            // Back before the reader's thread had taken everything.
            writer.served_as = None;
            drop(book);
            self.wake();
            return false;
        }
        if is_same && link.state() == LinkState::Live {
            // It may have another LIFESPAN.
            drop(book);
            self.wake();
            return false;
        }
        link.change(LinkState::Live, LinkState::Retiring);
        writer.unlink();
        drop(book);
        self.wake();
        true
    }

    /// The writer does not match, and somebody should know.
    pub(crate) fn mismatched(&self, writer: Guid, reason: Mismatch) {
        let way = Reachability::Network(NetworkReason::Mismatch(reason));
        let mut book = self.book();
        match book.writers.get_mut(&writer) {
            Some(entry) => entry.way = way,
            None => {
                book.writers.insert(writer, self.new_writer(way));
            }
        }
    }

    /// A writer that did not match is gone.
    pub(crate) fn forgotten(&self, writer: Guid) {
        let mut book = self.book();
        if book.writers.get(&writer).is_some_and(|entry| entry.link.is_none()) {
            book.writers.remove(&writer);
        }
    }

    /// The writer matches no longer. What is in its segment can still be taken.
    pub(crate) fn unmatched(&self, writer: Guid, reason: NetworkReason, forget: bool) {
        let mut book = self.book();
        let Some(entry) = book.writers.get_mut(&writer) else { return };
        entry.matched = None;
        entry.wants_attach = false;
        let was_linked = entry.link.as_ref().is_some_and(|link| {
            link.change(LinkState::Live, LinkState::Retiring);
            link.state() != LinkState::Over
        });
        let before = std::mem::replace(&mut entry.way, Reachability::Network(reason.clone()));
        if forget {
            book.writers.remove(&writer);
        }
        drop(book);
        if was_linked && before != Reachability::Network(NetworkReason::WriterLost) {
            self.events.tell(TransportEvent::WriterLost { reader: self.guid, writer, reason });
        }
        if was_linked {
            self.wake();
        }
    }

    /// An attachment to the segment `incarnation` that can be used for `writer`, because the segment
    /// is the same: its owner was restarted and adopted it. True if there is one.
    pub(crate) fn take_over(&self, writer: Guid, incarnation: Incarnation) -> bool {
        let mut book = self.book();
        let found = book.writers.iter().find_map(|(guid, entry)| {
            let link = entry.link.as_ref().filter(|_| *guid != writer)?;
            let is_it = link.incarnation() == incarnation
                && Guid::from_bytes(link.watch().writer_guid()) == writer;
            is_it.then(|| (*guid, Arc::clone(link)))
        });
        let Some((former, link)) = found else { return false };
        let is_usable =
            link.state() == LinkState::Live || link.change(LinkState::Retiring, LinkState::Live);
        if !is_usable {
            return false;
        }
        if let Some(entry) = book.writers.get_mut(&former) {
            entry.unlink();
            entry.way = Reachability::Network(NetworkReason::WriterLost);
        }
        link.inherit(writer);
        let Some(entry) = book.writers.get_mut(&writer) else { return false };
        entry.way = Reachability::Network(NetworkReason::Joining);
        entry.link = Some(link);
        entry.served_as = None;
        drop(book);
        self.wake();
        true
    }

    /// An attachment was opened for the writer. False if the writer is gone meanwhile.
    pub(crate) fn attach(&self, attachment: Attachment) -> bool {
        let mut book = self.book();
        let writer = attachment.link.writer();
        let Some(entry) = book.writers.get_mut(&writer).filter(|entry| entry.matched.is_some())
        else {
            return false;
        };
        entry.link = Some(Arc::clone(&attachment.link));
        entry.served_as = None;
        entry.way = Reachability::Network(NetworkReason::Joining);
        book.inbox.push(attachment);
        drop(book);
        self.wake();
        true
    }

    /// No attachment is possible.
    pub(crate) fn cannot_attach(&self, writer: Guid, reason: NetworkReason) {
        if let Some(entry) = self.book().writers.get_mut(&writer) {
            entry.way = Reachability::Network(reason);
        }
    }

    /// The last sample that was taken from a segment that this reader has left; 0 if it never read it.
    pub(crate) fn finished(&self, incarnation: Incarnation) -> u64 {
        let book = self.book();
        let found = book.finished.iter().rev().find(|(known, _)| *known == incarnation);
        found.map_or(0, |(_, seq)| *seq)
    }

    /// Brings the switch up to what the owner says of the link, and tells how the reader stands.
    pub(crate) fn sync(&self, link: &Arc<Link>) -> Standing {
        let mut book = self.book();
        let writer = link.writer();
        let Some(entry) = book
            .writers
            .get_mut(&writer)
            .filter(|entry| entry.link.as_ref().is_some_and(|known| Arc::ptr_eq(known, link)))
        else {
            // Unmatched: what is left is taken as it comes.
            let is_served = true;
            return Standing { is_served, waits_for_network: false, is_settled: false };
        };
        self.sync_entry(writer, entry);
        Standing {
            is_served: entry.served_as.is_some(),
            waits_for_network: entry.switch.waits_for_network(),
            is_settled: entry.switch.is_settled(),
        }
    }

    fn sync_entry(&self, writer: Guid, entry: &mut Writer) {
        let Some(link) = &entry.link else { return };
        if link.state() != LinkState::Live {
            return;
        }
        let watch = link.watch();
        let reader = self.guid;
        match watch.served() {
            Some((state, start_sn)) if entry.served_as != Some(state) => {
                entry.served_as = Some(state);
                let last = entry.last_sn();
                let start_sn = if link.is_inherited(state) { FIRST_SN } else { start_sn };
                entry.switch.attached(watch.owner_epoch(), start_sn, last);
                entry.way = Reachability::SharedMemory;
                self.events.tell(TransportEvent::WriterAttached { reader, writer, start_sn });
            }
            None if watch.status() == Some(EntryStatus::Refused)
                && entry.way == Reachability::Network(NetworkReason::Joining) =>
            {
                let reason = NetworkReason::Refused;
                entry.way = Reachability::Network(reason.clone());
                let (local, remote) = (self.guid, writer);
                self.events.tell(TransportEvent::Unreachable { local, remote, reason });
            }
            None if watch.status() == Some(EntryStatus::Disconnected)
                && entry.served_as.is_some() =>
            {
                entry.served_as = None;
                let last = entry.last_sn();
                entry.switch.detached(last);
                entry.way = Reachability::Network(NetworkReason::Disconnected);
            }
            _ => {}
        }
    }

    /// The verdict on a sample that the application's thread took.
    pub(crate) fn judge(&self, link: &Arc<Link>, epoch: u32, sn: i64) -> (Verdict, bool) {
        let mut book = self.book();
        let writer = link.writer();
        match book.writers.get_mut(&writer) {
            Some(entry) => (entry.switch.shared_sample(epoch, sn), entry.switch.is_settled()),
            None => (Verdict::Deliver, false),
        }
    }

    /// The application's thread gives an attachment up.
    pub(crate) fn ended(&self, link: &Arc<Link>, reason: &NetworkReason, again: bool) {
        let was_live = link.state() == LinkState::Live;
        link.tell_losses(self.guid, &self.events);
        let writer = link.writer();
        let mut book = self.book();
        if book.finished.len() == MAX_FINISHED {
            book.finished.remove(0);
        }
        book.finished.push((link.incarnation(), link.last_seq()));
        link.end();
        let Some(entry) = book.writers.get_mut(&writer) else { return };
        if !entry.link.as_ref().is_some_and(|known| Arc::ptr_eq(known, link)) {
            return;
        }
        entry.unlink();
        if !was_live {
            // Its end has been told.
            return;
        }
        let before = std::mem::replace(&mut entry.way, Reachability::Network(reason.clone()));
        entry.wants_attach = again && entry.matched.is_some();
        let wants_attach = entry.wants_attach;
        drop(book);
        let (reader, local, reason) = (self.guid, self.guid, reason.clone());
        match before {
            // Told before.
            Reachability::Network(NetworkReason::WriterLost | NetworkReason::Refused) => {}
            Reachability::Network(NetworkReason::Joining) => {
                self.events.tell(TransportEvent::Unreachable { local, remote: writer, reason });
            }
            _ => self.events.tell(TransportEvent::WriterLost { reader, writer, reason }),
        }
        if wants_attach {
            self.node.kick();
        }
    }

    /// Writers whose attachment ended although they are there.
    pub(crate) fn take_wanting(&self) -> Vec<Arc<RemoteEndpoint>> {
        let mut book = self.book();
        let wanting = book.writers.values_mut().filter(|entry| entry.wants_attach);
        wanting
            .filter_map(|entry| {
                entry.wants_attach = false;
                entry.matched.clone()
            })
            .collect()
    }

    /// Whether there is anything to look after once a second.
    pub(crate) fn wants_tick(&self) -> bool {
        self.book().writers.values().any(|entry| entry.link.is_some() || entry.wants_attach)
    }

    /// Once a second: who was admitted, whose owner died, what was lost.
    pub(crate) fn tick(&self) {
        let mut wake = false;
        let mut book = self.book();
        for (writer, entry) in &mut book.writers {
            self.sync_entry(*writer, entry);
            let Some(link) = &entry.link else { continue };
            link.tick(self.guid, &self.events);
            let watch = link.watch();
            if watch.is_closed() {
                wake |= !link.is_stale.swap(true, Ordering::AcqRel);
            } else if !watch.writer_is_alive(&self.node) {
                wake |= !link.is_orphan.swap(true, Ordering::AcqRel);
                if entry.way == Reachability::SharedMemory {
                    let reason = NetworkReason::WriterLost;
                    entry.way = Reachability::Network(reason.clone());
                    let (reader, writer) = (self.guid, *writer);
                    self.events.tell(TransportEvent::WriterLost { reader, writer, reason });
                }
            }
        }
        drop(book);
        if wake {
            self.wake();
        }
    }

    pub(crate) fn reachability(&self, writer: Guid) -> Reachability {
        let mut book = self.book();
        let Some(entry) = book.writers.get_mut(&writer) else {
            return Reachability::Network(NetworkReason::Unknown);
        };
        self.sync_entry(writer, entry);
        entry.way.clone()
    }

    /// The writers that match, and by which way their samples come.
    pub(crate) fn writers(&self) -> Vec<(Guid, Reachability)> {
        let mut book = self.book();
        let matched = book.writers.iter_mut().filter(|(_, entry)| entry.matched.is_some());
        matched
            .map(|(guid, entry)| {
                self.sync_entry(*guid, entry);
                (*guid, entry.way.clone())
            })
            .collect()
    }

    /// What is announced of a writer that matches.
    pub(crate) fn announced(&self, writer: Guid) -> Option<Arc<RemoteEndpoint>> {
        self.book().writers.get(&writer)?.matched.clone()
    }

    pub(crate) fn network_sample(&self, writer: Guid, sn: i64) -> Verdict {
        let mut book = self.book();
        let Some(entry) = book.writers.get_mut(&writer) else { return Verdict::Deliver };
        self.sync_entry(writer, entry);
        entry.switch.network_sample(sn)
    }

    pub(crate) fn network_part_complete(&self, writer: Guid) {
        let mut book = self.book();
        let Some(entry) = book.writers.get_mut(&writer) else { return };
        self.sync_entry(writer, entry);
        entry.switch.network_part_complete();
        drop(book);
        self.wake();
    }

    pub(crate) fn start_sn(&self, writer: Guid) -> Option<i64> {
        let mut book = self.book();
        let entry = book.writers.get_mut(&writer)?;
        self.sync_entry(writer, entry);
        entry.switch.start()
    }
}
