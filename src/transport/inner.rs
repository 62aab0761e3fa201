//! What the clones of a transport share: its endpoints, and what is done when others come and go.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use super::announcement::Announcement;
use super::attachment::Attachment;
use super::builder::ShmTransportBuilder;
use super::event::{EventSink, TransportEvent};
use super::link::Link;
use super::matching::{Change, LocalEndpoint, Matching, Parting, Relation, Step};
use super::reachability::NetworkReason;
use super::reader::lifespan_ns;
use super::reader_shared::ReaderShared;
use super::segment_locator::cannot_attach;
use super::writer_shared::WriterShared;
use crate::discovery::{
    HostIdentity, HostNames, LocatorPolicy, LossReason, RemoteEndpoint, SHM_VERSION, SegmentFormat,
    ShmLocator, announce_reader_version,
};
use crate::liveness::{Node, Serve, Serviced};
use crate::shm::ProcessStamp;
use crate::slots::{Incarnation, PosixSlotAllocator, SlotReader};
use crate::wire::{EndpointData, EndpointRole, EntityId, Guid, VendorId};

/// What the clones of a transport share.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) node: Arc<Node>,
    pub(super) host: HostIdentity,
    pub(super) hostname_hash: u32,
    pub(super) options: ShmTransportBuilder,
    pub(super) events: EventSink,
    /// How many dropped events have been told.
    pub(super) told: Arc<AtomicU64>,
    policy: LocatorPolicy,
    next_entity: AtomicU32,
    /// Held while segments are opened, never on the path of a sample.
    state: Mutex<State>,
}

/// The endpoints, and who matches whom.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) matching: Matching,
    pub(super) writers: BTreeMap<Guid, Arc<WriterShared>>,
    pub(super) readers: BTreeMap<Guid, Arc<ReaderShared>>,
}

impl State {
    /// Readers are gone, or seem so: no writer waits for them any more.
    pub(super) fn disconnect(&self, is_gone: impl Fn(Guid) -> bool) {
        for writer in self.writers.values() {
            writer.disconnect(&is_gone);
        }
    }
}

/// An endpoint's place in its transport, given up when this is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    guid: Guid,
    transport: Weak<Inner>,
    stamp: ProcessStamp,
    /// Withdrawn while the segment is still there: others are not to be told of what is not there.
    pub(crate) announcement: Option<Arc<Announcement>>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if !self.stamp.is_current() {
            // In a forked child: the endpoint is the parent's, and so may be the locks.
            std::mem::forget(self.announcement.take());
            return;
        }
        // First here: a registry that sees nobody of the topic any more says that they are gone, and a
        // writer would disconnect readers that have not taken everything yet.
        if let Some(inner) = self.transport.upgrade() {
            inner.remove(self.guid);
        }
        self.announcement = None;
    }
}

impl Inner {
    pub(super) fn new(
        options: ShmTransportBuilder,
        node: Arc<Node>,
        policy: LocatorPolicy,
    ) -> Self {
        Self {
            node,
            host: HostIdentity::of_this_process(),
            hostname_hash: HostNames::of_this_process().advertised(),
            events: EventSink::new(options.event_capacity),
            told: Arc::default(),
            options,
            policy,
            next_entity: AtomicU32::new(1),
            state: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Each change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn guid(
        &self,
        entity_id: Option<EntityId>,
        role: EndpointRole,
        keyed: bool,
    ) -> Guid {
        let entity_id = entity_id.unwrap_or_else(|| {
            let key = self.next_entity.fetch_add(1, Ordering::Relaxed);
            match role {
                EndpointRole::Writer => EntityId::user_writer(key, keyed),
                EndpointRole::Reader => EntityId::user_reader(key, keyed),
            }
        });
        Guid::new(self.options.prefix, entity_id)
    }

    pub(super) fn registration(self: &Arc<Self>, guid: Guid) -> Registration {
        let stamp = ProcessStamp::current();
        Registration { guid, transport: Arc::downgrade(self), stamp, announcement: None }
    }

    pub(super) fn check_secured(&self, topic: &str, secured: bool) -> Result<(), NetworkReason> {
        if secured && !self.options.secured_topics.contains(topic) {
            Err(NetworkReason::Secured(topic.to_owned()))
        } else {
            Ok(())
        }
    }

    /// Enters a local endpoint; matches it with what is known.
    pub(super) fn enter(
        &self,
        state: &mut State,
        local: LocalEndpoint,
        locator: Option<ShmLocator>,
    ) {
        let own = self.options.match_own.then(|| as_remote(&local, locator));
        let steps = state.matching.add_local(local);
        self.apply(state, steps);
        if let Some(own) = own {
            let steps = state.matching.announce(Arc::new(own));
            self.apply(state, steps);
        }
    }

    /// Forgets a local endpoint.
    fn remove(&self, guid: Guid) {
        let mut state = self.state();
        // Nobody is told of its matches any more, and the readers of a writer take what is left.
        state.matching.remove_local(guid);
        state.writers.remove(&guid);
        state.readers.remove(&guid);
        if self.options.match_own {
            let steps = state.matching.gone(guid);
            self.apply(&state, steps);
        }
    }

    pub(super) fn announced(&self, remote: Arc<RemoteEndpoint>) {
        let mut state = self.state();
        let steps = state.matching.announce(remote);
        self.apply(&state, steps);
    }

    pub(super) fn gone(&self, guid: Guid) {
        let mut state = self.state();
        state.disconnect(|reader| reader == guid);
        let steps = state.matching.gone(guid);
        self.apply(&state, steps);
    }

    /// Does what matching found.
    pub(super) fn apply(&self, state: &State, steps: Vec<Step>) {
        for Step { local, remote, change } in steps {
            if let Some(writer) = state.writers.get(&local) {
                self.apply_to_writer(writer, remote, change);
            } else if let Some(reader) = state.readers.get(&local) {
                self.apply_to_reader(reader, remote, change);
            }
        }
    }

    fn apply_to_writer(&self, writer: &Arc<WriterShared>, remote: Guid, change: Change) {
        let local = writer.guid;
        match change {
            Change::Matched { remote: data, duties } => {
                writer.matched(&data);
                self.events.tell(TransportEvent::Matched { local, remote, duties });
            }
            Change::Updated { remote: data } => writer.matched(&data),
            Change::Unmatched { why } => {
                if why == Parting::Changed {
                    writer.disconnect(|reader| reader == remote);
                }
                writer.unmatched(remote, &reason_of(why));
                self.events.tell(TransportEvent::Unmatched { local, remote });
            }
            Change::Mismatched(reason) => {
                writer.mismatched(remote, reason.clone());
                self.events.tell(TransportEvent::Mismatch { local, remote, reason });
            }
            Change::Forgotten => writer.forgotten(remote),
        }
    }

    fn apply_to_reader(&self, reader: &Arc<ReaderShared>, remote: Guid, change: Change) {
        let local = reader.guid;
        match change {
            Change::Matched { remote: data, duties } => {
                self.events.tell(TransportEvent::Matched { local, remote, duties });
                if reader.matched(&data) {
                    self.attach(reader, &data);
                }
            }
            Change::Updated { remote: data } => {
                if reader.matched(&data) {
                    self.attach(reader, &data);
                }
            }
            Change::Unmatched { why } => {
                let forget = why != Parting::Lost(LossReason::LeaseExpired);
                reader.unmatched(remote, reason_of(why), forget);
                self.events.tell(TransportEvent::Unmatched { local, remote });
            }
            Change::Mismatched(reason) => {
                reader.mismatched(remote, reason.clone());
                self.events.tell(TransportEvent::Mismatch { local, remote, reason });
            }
            Change::Forgotten => reader.forgotten(remote),
        }
    }

    /// Attaches a reader to a writer's segment, or says why not.
    fn attach(&self, reader: &Arc<ReaderShared>, remote: &Arc<RemoteEndpoint>) {
        let guid = remote.data.guid;
        match self.try_attach(reader, remote) {
            Ok(Some(attachment)) => {
                reader.attach(attachment);
                // The service thread looks after it once a second from now on.
                self.node.kick();
            }
            Ok(None) => {}
            Err(reason) => {
                let (local, remote) = (reader.guid, guid);
                reader.cannot_attach(guid, reason.clone());
                self.events.tell(match reason {
                    NetworkReason::Mismatch(reason) => {
                        TransportEvent::Mismatch { local, remote, reason }
                    }
                    reason => TransportEvent::Unreachable { local, remote, reason },
                });
            }
        }
    }

    /// `Ok(None)`: an attachment that is there serves.
    fn try_attach(
        &self,
        reader: &ReaderShared,
        remote: &RemoteEndpoint,
    ) -> Result<Option<Attachment>, NetworkReason> {
        let guid = remote.data.guid;
        let locator = remote.locator.as_ref().ok_or(NetworkReason::NoLocator)?;
        let path = locator.path.as_str();
        let refused = |refused| NetworkReason::PathRefused { path: path.to_owned(), refused };
        self.policy.check(path).map_err(refused)?;
        let hints = locator.segment.as_ref().ok_or(NetworkReason::Format(SegmentFormat::ZDS2))?;
        if hints.format != SegmentFormat::V1 {
            return Err(NetworkReason::Format(hints.format));
        }
        if !self.host.may_share_memory_with(&hints.host) {
            return Err(NetworkReason::OtherHost);
        }
        let expected = Incarnation(hints.incarnation);
        if reader.take_over(guid, expected) {
            return Ok(None);
        }
        let slots = self.open(reader, locator)?;
        let found = slots.identity().incarnation;
        // A segment that was replaced has a new incarnation, and the same writer.
        let owner = Guid::from_bytes(slots.writer_guid());
        if owner != guid {
            return Err(NetworkReason::OtherWriter { path: path.to_owned(), owner });
        }
        let skip_through = reader.finished(found);
        let link = Link::new(path.to_owned(), guid, found, slots.watch());
        Ok(Some(Attachment::new(slots, Arc::new(link), lifespan_ns(remote), skip_through)))
    }

    fn open(
        &self,
        reader: &ReaderShared,
        locator: &ShmLocator,
    ) -> Result<SlotReader, NetworkReason> {
        let path = locator.path.as_path();
        let expected = Some(&reader.expected);
        PosixSlotAllocator::open_reader(&self.node, path, expected, reader.options)
            .map_err(|error| cannot_attach(locator.path.as_str(), error))
    }

    fn tick(&self) {
        let readers: Vec<Arc<ReaderShared>> = self.state().readers.values().cloned().collect();
        for reader in readers {
            reader.tick();
        }
    }

    /// Attaches readers anew that lost an attachment although the writer is there.
    fn attach_again(&self) {
        let state = self.state();
        for reader in state.readers.values() {
            for remote in reader.take_wanting() {
                let guid = remote.data.guid;
                if state.matching.relation(reader.guid, guid) == Some(&Relation::Matched) {
                    self.attach(reader, &remote);
                }
            }
        }
    }
}

impl Serviced for Inner {
    fn serve(&self, _now: Instant, why: Serve) {
        if why == Serve::Tick {
            self.tick();
            self.attach_again();
        }
    }

    fn wants_tick(&self) -> bool {
        self.state().readers.values().any(|reader| reader.wants_tick())
    }
}

fn reason_of(why: Parting) -> NetworkReason {
    match why {
        Parting::Changed => NetworkReason::NotMatched,
        Parting::Deleted => NetworkReason::Deleted,
        Parting::Lost(_) => NetworkReason::ParticipantLost,
    }
}

/// A local endpoint as others see it.
pub(super) fn as_remote(local: &LocalEndpoint, locator: Option<ShmLocator>) -> RemoteEndpoint {
    let mut data =
        EndpointData::new(local.role, local.guid, local.topic.as_str(), local.type_name.as_str());
    data.qos = local.qos.clone();
    if local.role == EndpointRole::Reader {
        announce_reader_version(&mut data);
    }
    RemoteEndpoint {
        data,
        vendor_id: VendorId::EMBEDDED,
        locator,
        shm_version: (local.role == EndpointRole::Reader).then_some(SHM_VERSION),
    }
}
