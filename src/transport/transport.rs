//! The plugin: endpoints of a participant, and what its host tells of others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use super::announcement::Announcement;
use super::attachment::Attachment;
use super::builder::ShmTransportBuilder;
use super::config::{ReaderConfig, WriterConfig};
use super::error::TransportError;
use super::event::{EventSink, TransportEvent, TransportEvents};
use super::link::Link;
use super::matching::{Change, LocalEndpoint, Matching, Parting, Relation, Step};
use super::reachability::{Mismatch, NetworkReason, Reachability, TypeHashMismatch};
use super::reader::{ReaderHandle, ShmReader, lifespan_ns};
use super::reader_shared::ReaderShared;
use super::segment_plan::plan_segment;
use super::writer::{ShmWriter, WriterHandle};
use super::writer_shared::{LocatorParts, WriterShared};
use crate::discovery::{
    DiscoveryError, DiscoveryEvent, EndpointDirectory, HostIdentity, HostNames, LocatorPolicy,
    LossReason, RemoteEndpoint, SHM_VERSION, SegmentFormat, ShmLocator, announce_reader_version,
    qos_digest,
};
use crate::liveness::{Node, Serve, Serviced};
use crate::shm::ProcessStamp;
use crate::slots::{Incarnation, PosixSlotAllocator, ReaderOptions, SlotError, SlotReader};
use crate::wire::qos::Durability;
use crate::wire::{EndpointData, EndpointRole, EntityId, Guid, GuidPrefix, VendorId};

/// The endpoints that one participant of a host has in shared memory.
///
/// Cheap to clone; clones are one transport. Methods may be called from any thread. Those that tell of
/// remote endpoints open and map segments, which takes up to some milliseconds; none waits for
/// another process.
///
/// ```
/// use dds_shm::transport::{ReaderConfig, ShmTransport, WriterConfig};
/// use dds_shm::wire::GuidPrefix;
/// # use dds_shm::liveness::{Node, NodeOptions, RuntimeDir};
/// # use dds_shm::FlatStruct;
/// # let temp = tempfile::tempdir()?;
/// # let node = Node::new(&RuntimeDir::create(&temp.path().join("shm"))?, NodeOptions::default())?;
///
/// #[derive(Clone, Copy, FlatStruct)]
/// #[repr(C)]
/// struct Pose { x: f64, y: f64, z: f64 }
///
/// let transport = ShmTransport::builder(0, GuidPrefix([7; 12])).node(node).match_own(true).build()?;
/// let reader = transport.create_reader(ReaderConfig::of::<Pose>("Pose"))?;
/// let writer = transport.create_writer(WriterConfig::of::<Pose>("Pose"))?;
/// assert_eq!(writer.wait_for_readers(1, std::time::Duration::from_secs(5)), 1);
///
/// let committed = writer.write(&[0; 24], &Default::default())?.expect("there is a free slot");
/// assert_eq!(writer.covered_readers(&committed), [reader.guid()]);
/// let sample = reader.take()?.expect("just published");
/// assert_eq!(sample.writer(), writer.guid());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ShmTransport(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    domain_id: u32,
    prefix: GuidPrefix,
    node: Arc<Node>,
    policy: LocatorPolicy,
    host: HostIdentity,
    hostname_hash: u32,
    options: ShmTransportBuilder,
    events: EventSink,
    told: Arc<AtomicU64>,
    next_entity: AtomicU32,
    /// What the node's service thread looks after: kept here, known there.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    matching: Matching,
    writers: BTreeMap<Guid, Arc<WriterShared>>,
    readers: BTreeMap<Guid, Arc<ReaderShared>>,
}

impl State {
    fn disconnect(&self, is_gone: impl Fn(Guid) -> bool) {
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
    /// Withdrawn first: others are not to be told of what is not there.
    pub(crate) announcement: Option<Arc<Announcement>>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if !self.stamp.is_current() {
            // In a forked child: the endpoint is the parent's, and so may be the locks.
            std::mem::forget(self.announcement.take());
            return;
        }
        self.announcement = None;
        if let Some(inner) = self.transport.upgrade() {
            inner.remove(self.guid);
        }
    }
}

impl ShmTransport {
    /// A transport for the participant whose GUIDs begin with `prefix`.
    pub fn builder(domain_id: u32, prefix: GuidPrefix) -> ShmTransportBuilder {
        ShmTransportBuilder::new(domain_id, prefix)
    }

    pub(super) fn start(
        options: ShmTransportBuilder,
        node: Arc<Node>,
        policy: LocatorPolicy,
    ) -> Result<Self, TransportError> {
        let inner = Arc::new(Inner {
            domain_id: options.domain_id,
            prefix: options.prefix,
            node: Arc::clone(&node),
            policy,
            host: HostIdentity::of_this_process(),
            hostname_hash: HostNames::of_this_process().advertised(),
            events: EventSink::new(options.event_capacity),
            told: Arc::default(),
            options,
            next_entity: AtomicU32::new(1),
            state: Mutex::default(),
        });
        let serviced: Weak<Inner> = Arc::downgrade(&inner);
        node.register(serviced)?;
        Ok(Self(inner))
    }

    /// DDS domain of the participant.
    #[must_use]
    pub fn domain_id(&self) -> u32 {
        self.0.domain_id
    }

    /// What the GUIDs of the participant begin with.
    #[must_use]
    pub fn guid_prefix(&self) -> GuidPrefix {
        self.0.prefix
    }

    /// The node it uses.
    #[must_use]
    pub fn node(&self) -> &Arc<Node> {
        &self.0.node
    }

    /// What happens to its endpoints. All receivers share the events.
    #[must_use]
    pub fn events(&self) -> TransportEvents {
        self.0.events.events(&self.0.told)
    }

    /// Makes the segment of a writer.
    ///
    /// # Errors
    /// [`TransportError::Network`] if its QoS or sizes make no segment, or its topic is protected: then
    /// it is the network's. [`TransportError::Slots`] if the segment cannot be made,
    /// [`TransportError::Duplicate`].
    pub fn create_writer(&self, config: WriterConfig) -> Result<ShmWriter, TransportError> {
        let inner = &self.0;
        inner.check_secured(&config.topic, config.secured)?;
        let guid = inner.guid(config.entity_id, EndpointRole::Writer, config.keyed);
        let options = plan_segment(guid, &config, &inner.options.plan)?;
        // Held until the writer is entered, so that its GUID is still free then.
        let mut state = inner.state();
        if state.writers.contains_key(&guid) {
            return Err(TransportError::Duplicate(guid));
        }
        let segment = PosixSlotAllocator::create(&inner.node, &options)?;
        let (path, identity) = (segment.flink_path().to_owned(), segment.identity().clone());
        let slots = segment.into_writer()?;
        let parts = LocatorParts {
            path,
            geometry: identity.geometry,
            type_hash: identity.type_hash,
            hostname_hash: inner.hostname_hash,
            host: inner.host,
            incarnation: slots.incarnation(),
        };
        let events = inner.events.clone();
        let shared = WriterShared::new(guid, config.topic.clone(), slots.handle(), events, parts)
            .map_err(NetworkReason::from)?;
        let shared = Arc::new(shared);
        // Behind the segment, which was registered when it was made: see `WriterShared::serve`.
        let serviced: Weak<WriterShared> = Arc::downgrade(&shared);
        inner.node.register(serviced)?;
        state.writers.insert(guid, Arc::clone(&shared));
        let local = LocalEndpoint {
            guid,
            role: EndpointRole::Writer,
            topic: config.topic,
            type_name: config.type_name,
            qos: config.qos,
        };
        inner.enter(&mut state, local, Some(shared.locator()));
        drop(state);
        Ok(ShmWriter::new(slots, shared, config.stamp, inner.registration(guid, self)))
    }

    /// Makes a reader. It is attached to the segments of the writers that match.
    ///
    /// # Errors
    /// [`TransportError::Network`] if its topic is protected, [`TransportError::Duplicate`].
    pub fn create_reader(&self, config: ReaderConfig) -> Result<ShmReader, TransportError> {
        let inner = &self.0;
        inner.check_secured(&config.topic, config.secured)?;
        let guid = inner.guid(config.entity_id, EndpointRole::Reader, config.keyed);
        let mut state = inner.state();
        if state.readers.contains_key(&guid) {
            return Err(TransportError::Duplicate(guid));
        }
        let options = ReaderOptions {
            guid: guid.to_bytes(),
            reliable: config.qos.reliability.is_reliable(),
            wants_history: config.qos.durability >= Durability::TransientLocal,
            qos_digest: qos_digest(EndpointRole::Reader, &config.qos)
                .map_err(DiscoveryError::from)?,
            max_held: config.max_held,
            trust_other_users: config.trust_other_users,
        };
        let shared = Arc::new(ReaderShared::new(
            guid,
            config.topic.clone(),
            config.expected,
            options,
            config.network_path,
            inner.events.clone(),
            Arc::clone(&inner.node),
        ));
        state.readers.insert(guid, Arc::clone(&shared));
        let local = LocalEndpoint {
            guid,
            role: EndpointRole::Reader,
            topic: config.topic,
            type_name: config.type_name,
            qos: config.qos,
        };
        inner.enter(&mut state, local, None);
        drop(state);
        Ok(ShmReader::new(shared, inner.registration(guid, self)))
    }

    /// A local endpoint as others are to see it: what to advertise. The locator of a writer is for one
    /// of the carriers ([`LocatorCarrier`](crate::discovery::LocatorCarrier)).
    #[must_use]
    pub fn describe(&self, guid: Guid) -> Option<RemoteEndpoint> {
        let state = self.0.state();
        let local = state.matching.local(guid)?;
        let locator = state.writers.get(&guid).map(|writer| writer.locator());
        Some(as_remote(local, locator))
    }

    /// A handle to a writer of this transport.
    #[must_use]
    pub fn writer(&self, guid: Guid) -> Option<WriterHandle> {
        self.0.state().writers.get(&guid).map(Arc::clone).map(WriterHandle::new)
    }

    /// A handle to a reader of this transport.
    #[must_use]
    pub fn reader(&self, guid: Guid) -> Option<ReaderHandle> {
        self.0.state().readers.get(&guid).map(Arc::clone).map(ReaderHandle::new)
    }

    /// The host has discovered a writer elsewhere, or it announces something else than before.
    pub fn publication_discovered(&self, publication: impl Into<Arc<RemoteEndpoint>>) {
        self.0.announced(publication.into());
    }

    /// A writer elsewhere announces something else than before: QoS, or another segment.
    pub fn publication_changed(&self, publication: impl Into<Arc<RemoteEndpoint>>) {
        self.0.announced(publication.into());
    }

    /// A writer elsewhere was deleted.
    pub fn publication_gone(&self, writer: Guid) {
        self.0.gone(writer);
    }

    /// The host has discovered a reader elsewhere.
    pub fn subscription_discovered(&self, subscription: impl Into<Arc<RemoteEndpoint>>) {
        self.0.announced(subscription.into());
    }

    /// A reader elsewhere announces something else than before.
    pub fn subscription_changed(&self, subscription: impl Into<Arc<RemoteEndpoint>>) {
        self.0.announced(subscription.into());
    }

    /// A reader elsewhere was deleted: no writer waits for it any more.
    pub fn subscription_gone(&self, reader: Guid) {
        self.0.gone(reader);
    }

    /// A participant has left, or has not been heard of for the time of its lease: no writer waits for its
    /// readers any more, and what is left of its writers can still be taken.
    pub fn participant_lost(&self, prefix: GuidPrefix, reason: LossReason) {
        let mut state = self.0.state();
        state.disconnect(|reader| reader.prefix == prefix);
        let steps = state.matching.participant_lost(prefix, reason);
        self.0.apply(&state, steps);
    }

    /// A participant whose lease had expired is heard of again, with the endpoints it had. Not needed
    /// if the host discovers its endpoints anew.
    pub fn participant_alive(&self, prefix: GuidPrefix) {
        let mut state = self.0.state();
        let steps = state.matching.participant_alive(prefix);
        self.0.apply(&state, steps);
    }

    /// Does what an event of discovery says: the methods above, for a host that uses
    /// [`discovery`](crate::discovery), or its registry.
    pub fn apply(&self, event: DiscoveryEvent) {
        match event {
            DiscoveryEvent::PublicationDiscovered(remote)
            | DiscoveryEvent::PublicationChanged(remote)
            | DiscoveryEvent::SubscriptionDiscovered(remote)
            | DiscoveryEvent::SubscriptionChanged(remote) => self.0.announced(remote),
            DiscoveryEvent::PublicationGone(guid) | DiscoveryEvent::SubscriptionGone(guid) => {
                self.0.gone(guid);
            }
            DiscoveryEvent::ParticipantLost { prefix, reason } => {
                self.participant_lost(prefix, reason);
            }
            DiscoveryEvent::Unreachable { local, remote, why } => {
                let known = self.reader(local).map(|reader| reader.reachability(remote));
                if known == Some(Reachability::Network(NetworkReason::NoLocator)) {
                    // Told when it was matched.
                    return;
                }
                let reason = NetworkReason::NoNetworkPath(why);
                self.0.events.tell(TransportEvent::Unreachable { local, remote, reason });
            }
            DiscoveryEvent::ParticipantDiscovered(participant)
            | DiscoveryEvent::ParticipantChanged(participant) => {
                self.participant_alive(participant.data.guid.prefix);
            }
        }
    }
}

impl ShmTransport {
    /// Asks a directory for what there is, after events of it were dropped.
    pub(super) fn resync(&self, directory: &dyn EndpointDirectory) {
        let topics = self.0.state().matching.topics();
        for topic in topics {
            let found = directory.publications(&topic).into_iter();
            let found: Vec<_> = found.chain(directory.subscriptions(&topic)).collect();
            let mut state = self.0.state();
            let own = self.0.prefix;
            for guid in state.matching.remotes_of(&topic) {
                let is_there = found.iter().any(|remote| remote.data.guid == guid);
                if !is_there && guid.prefix != own {
                    state.disconnect(|reader| reader == guid);
                    let steps = state.matching.gone(guid);
                    self.0.apply(&state, steps);
                }
            }
            for remote in found {
                let steps = state.matching.announce(remote);
                self.0.apply(&state, steps);
            }
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn guid(&self, entity_id: Option<EntityId>, role: EndpointRole, keyed: bool) -> Guid {
        let entity_id = entity_id.unwrap_or_else(|| {
            let key = self.next_entity.fetch_add(1, Ordering::Relaxed);
            match role {
                EndpointRole::Writer => EntityId::user_writer(key, keyed),
                EndpointRole::Reader => EntityId::user_reader(key, keyed),
            }
        });
        Guid::new(self.prefix, entity_id)
    }

    fn registration(&self, guid: Guid, transport: &ShmTransport) -> Registration {
        let stamp = ProcessStamp::current();
        Registration { guid, transport: Arc::downgrade(&transport.0), stamp, announcement: None }
    }

    fn check_secured(&self, topic: &str, secured: bool) -> Result<(), NetworkReason> {
        if secured && !self.options.secured_topics.contains(topic) {
            Err(NetworkReason::Secured(topic.to_owned()))
        } else {
            Ok(())
        }
    }

    /// Enters a local endpoint; matches it with what is known.
    fn enter(&self, state: &mut State, local: LocalEndpoint, locator: Option<ShmLocator>) {
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

    fn announced(&self, remote: Arc<RemoteEndpoint>) {
        let mut state = self.state();
        let steps = state.matching.announce(remote);
        self.apply(&state, steps);
    }

    fn gone(&self, guid: Guid) {
        let mut state = self.state();
        state.disconnect(|reader| reader == guid);
        let steps = state.matching.gone(guid);
        self.apply(&state, steps);
    }

    /// Does what matching found.
    fn apply(&self, state: &State, steps: Vec<Step>) {
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
        let hints = locator.segment.as_ref().ok_or(NetworkReason::Format(SegmentFormat::ZDS2.0))?;
        if hints.format != SegmentFormat::V1 {
            return Err(NetworkReason::Format(hints.format.0));
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
        PosixSlotAllocator::open_reader(&self.node, path, expected, reader.options).map_err(
            |error| match error {
                SlotError::TypeMismatch { expected, found, expected_layout, found_layout } => {
                    Mismatch::TypeHash(Box::new(TypeHashMismatch {
                        expected,
                        found,
                        expected_layout,
                        found_layout,
                    }))
                    .into()
                }
                SlotError::WriterLost => NetworkReason::WriterLost,
                error => NetworkReason::CannotAttach {
                    path: locator.path.as_str().to_owned(),
                    error: error.to_string(),
                },
            },
        )
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
fn as_remote(local: &LocalEndpoint, locator: Option<ShmLocator>) -> RemoteEndpoint {
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
