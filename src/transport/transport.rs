//! The plugin: endpoints of a participant, and what its host tells of others.

use std::sync::{Arc, Weak};

use super::builder::ShmTransportBuilder;
use super::config::{ReaderConfig, WriterConfig};
use super::error::TransportError;
use super::event::{TransportEvent, TransportEvents};
use super::inner::{Inner, as_remote};
use super::matching::LocalEndpoint;
use super::reachability::{NetworkReason, Reachability};
use super::reader::ShmReader;
use super::reader_handle::ReaderHandle;
use super::reader_shared::ReaderShared;
use super::segment_locator::LocatorParts;
use super::segment_plan::plan_segment;
use super::writer::ShmWriter;
use super::writer_handle::WriterHandle;
use super::writer_shared::WriterShared;
use crate::discovery::{
    DiscoveryError, DiscoveryEvent, EndpointDirectory, LocatorPolicy, LossReason, RemoteEndpoint,
    qos_digest,
};
use crate::liveness::Node;
use crate::slots::{PosixSlotAllocator, ReaderOptions};
use crate::types::SegmentFormat;
use crate::wire::qos::Durability;
use crate::wire::{EndpointRole, Guid, GuidPrefix};

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
        let inner = Arc::new(Inner::new(options, Arc::clone(&node), policy));
        let serviced: Weak<Inner> = Arc::downgrade(&inner);
        node.register(serviced)?;
        Ok(Self(inner))
    }

    /// DDS domain of the participant.
    #[must_use]
    pub fn domain_id(&self) -> u32 {
        self.0.options.domain_id
    }

    /// What the GUIDs of the participant begin with.
    #[must_use]
    pub fn guid_prefix(&self) -> GuidPrefix {
        self.0.options.prefix
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
            format: SegmentFormat::V1,
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
        Ok(ShmWriter::new(slots, shared, config.stamp, inner.registration(guid)))
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
        Ok(ShmReader::new(shared, inner.registration(guid)))
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
    pub fn resync(&self, directory: &dyn EndpointDirectory) {
        let topics = self.0.state().matching.topics();
        for topic in topics {
            let found = directory.publications(&topic).into_iter();
            let found: Vec<_> = found.chain(directory.subscriptions(&topic)).collect();
            let mut state = self.0.state();
            let own = self.0.options.prefix;
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
