//! The embedded participant without its sockets: SPDP, SEDP and writer liveliness.
//!
//! Datagrams and instants go in; datagrams and events come out. Nothing here reads a clock, blocks or
//! does I/O, so that tests run it under simulated time and over a simulated network.
//!
//! ```text
//! handle_datagram ─┐                                   ┌─ poll_transmit
//! handle_timeout  ─┤ peers: lease, writer proxies      ├─ poll_timeout
//! announce, ...   ─┘ writers: changes, reader proxies  └─ poll_event
//! ```
//!
//! It has no user data on the network. What foreign peers send to its endpoints is answered so that
//! they do not wait for what never comes, and told once as [`DiscoveryEvent::Unreachable`].
//!
//! Everything that is remembered of others is bounded by [`DiscoveryLimits`](super::DiscoveryLimits).

mod input;
mod output;
mod user_traffic;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::builtin_topic::BuiltinTopic;
use super::config::ParticipantConfig;
use super::error::DiscoveryError;
use super::event::{DiscoveryEvent, LossReason, RemoteEndpoint, RemoteParticipant};
use super::locator_carrier::announce_version;
use super::peer::Peer;
use super::reassembly::Reassembler;
use super::reliable_writer::{Change, ReliableWriter};
use super::spdp::Announcer;
use crate::wire::message::{Data, DataPayload, MessageReader, RtpsHeader, Submessage};
use crate::wire::{
    BuiltinEndpointSet, Endianness, EndpointData, EntityId, Guid, GuidPrefix, Locator,
    ParticipantData, ParticipantMessageKind, ProtocolVersion, SequenceNumber,
};

/// Submessages are put together up to this size, so that IP does not fragment them.
const DATAGRAM_TARGET: usize = 1400;
/// The largest announcement: it has to fit into one UDP datagram, with what is around it.
const MAX_ANNOUNCEMENT: usize = 60_000;
/// Room for the submessage headers, inline QoS and padding around a payload.
const DATA_OVERHEAD: usize = 96;
/// Datagrams that wait to be sent in answer to others; beyond it answers are left out, and asked for
/// again.
const MAX_QUEUED: usize = 4096;
/// Announcements are no closer than this.
const ANNOUNCE_PERIOD_MIN: Duration = Duration::from_millis(10);
/// Liveliness is asserted this many times in the shortest lease of our writers.
const ASSERTIONS_PER_LEASE: u32 = 3;
const ASSERTION_PERIOD_MIN: Duration = Duration::from_millis(10);

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// Everywhere where a participant may be: the multicast group on every interface, and the
    /// initial peers.
    Everybody,
    /// One address.
    Address(SocketAddr),
}

/// Where a participant hears.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParticipantLocators {
    /// Discovery.
    pub metatraffic_unicast: Vec<Locator>,
    /// Announcements to all.
    pub metatraffic_multicast: Vec<Locator>,
    /// User traffic.
    pub default_unicast: Vec<Locator>,
}

/// An endpoint of this participant.
#[derive(Debug)]
struct LocalEndpoint {
    data: EndpointData,
    /// Of the ACKNACKs (reader) or HEARTBEATs (writer) that were sent for it.
    count: i32,
}

/// SPDP, SEDP and writer liveliness of one participant, without I/O.
#[derive(Debug)]
pub struct ParticipantCore {
    config: ParticipantConfig,
    header: RtpsHeader,
    /// What SPDP announces, and the payload that says so.
    data: ParticipantData,
    announcement: Vec<u8>,
    announcements: SequenceNumber,
    announcer: Announcer,
    writers: [ReliableWriter; BuiltinTopic::ALL.len()],
    peers: BTreeMap<GuidPrefix, Peer>,
    local: BTreeMap<Guid, LocalEndpoint>,
    reassembler: Reassembler,
    /// When the liveliness of our writers is to be asserted next.
    next_assertion: Option<Instant>,
    transmits: VecDeque<(Destination, Vec<u8>)>,
    events: VecDeque<DiscoveryEvent>,
    is_closed: bool,
}

impl ParticipantCore {
    /// A participant that announces itself from now on.
    ///
    /// # Errors
    /// [`DiscoveryError::Wire`] if the name or the domain tag cannot be announced.
    pub fn new(
        now: Instant,
        config: ParticipantConfig,
        guid_prefix: GuidPrefix,
        locators: ParticipantLocators,
    ) -> Result<Self, DiscoveryError> {
        let guid = Guid::new(guid_prefix, EntityId::PARTICIPANT);
        let mut data = ParticipantData {
            domain_id: Some(config.domain_id),
            domain_tag: config.domain_tag.clone(),
            builtin_endpoint_set: BuiltinEndpointSet::SPDP_SEDP_WLP,
            metatraffic_unicast_locators: locators.metatraffic_unicast,
            metatraffic_multicast_locators: locators.metatraffic_multicast,
            default_unicast_locators: locators.default_unicast,
            lease_duration: config.lease_duration.into(),
            entity_name: config.name.clone(),
            ..ParticipantData::new(guid, config.vendor_id)
        };
        announce_version(&mut data);
        let announcement = data.to_pl_cdr(Endianness::Little)?;
        let header =
            RtpsHeader { version: ProtocolVersion::V2_5, vendor_id: config.vendor_id, guid_prefix };
        // Others must hear from us before our lease ends, whatever the configuration says.
        let period = config.announce_period.min(config.lease_duration / 2).max(ANNOUNCE_PERIOD_MIN);
        if period != config.announce_period {
            tracing::warn!(
                asked_for = ?config.announce_period, ?period, lease = ?config.lease_duration,
                "the announce period does not fit the lease and was changed"
            );
        }
        Ok(Self {
            announcer: Announcer::new(now, period),
            config,
            header,
            data,
            announcement,
            announcements: SequenceNumber::ZERO,
            writers: Default::default(),
            peers: BTreeMap::new(),
            local: BTreeMap::new(),
            reassembler: Reassembler::default(),
            next_assertion: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            is_closed: false,
        })
    }

    /// What all GUIDs of this participant begin with.
    pub fn guid_prefix(&self) -> GuidPrefix {
        self.header.guid_prefix
    }

    /// What is announced about this participant.
    pub fn data(&self) -> &ParticipantData {
        &self.data
    }

    /// Announces an endpoint, or what changed about it.
    ///
    /// # Errors
    /// If it is not an endpoint of this participant, or its announcement cannot be made.
    pub fn announce(&mut self, now: Instant, endpoint: EndpointData) -> Result<(), DiscoveryError> {
        let guid = endpoint.guid;
        if guid.prefix != self.guid_prefix() {
            let prefix = self.guid_prefix();
            return Err(DiscoveryError::ForeignEndpoint { endpoint: guid, prefix });
        }
        let payload = endpoint.to_pl_cdr(Endianness::Little)?;
        if payload.len() > MAX_ANNOUNCEMENT {
            return Err(DiscoveryError::TooLarge {
                endpoint: guid,
                octets: payload.len(),
                limit: MAX_ANNOUNCEMENT,
            });
        }
        let topic = BuiltinTopic::announcing(endpoint.role);
        if self.local.get(&guid).is_some_and(|known| known.data == endpoint) {
            return Ok(());
        }
        let change = Change { instance: guid, payload: payload.into(), disposed: false };
        self.writers[topic.index()].write(change);
        let count = self.local.get(&guid).map_or(0, |known| known.count);
        self.local.insert(guid, LocalEndpoint { data: endpoint, count });
        for peer in self.peers.values_mut() {
            peer.forget_told_of_ours(guid);
        }
        self.look_around_ours(guid);
        self.schedule_assertion(now);
        Ok(())
    }

    /// Takes an announcement back. One that was never made is taken back already.
    ///
    /// # Errors
    /// None in practice: a GUID can always be written.
    pub fn withdraw(&mut self, now: Instant, endpoint: Guid) -> Result<(), DiscoveryError> {
        let payload = EndpointData::key_to_pl_cdr(endpoint, Endianness::Little)?;
        let Some(local) = self.local.remove(&endpoint) else { return Ok(()) };
        let topic = BuiltinTopic::announcing(local.data.role);
        let change = Change { instance: endpoint, payload: payload.into(), disposed: true };
        self.writers[topic.index()].write(change);
        for peer in self.peers.values_mut() {
            peer.forget_told_of_ours(endpoint);
        }
        self.schedule_assertion(now);
        Ok(())
    }

    /// Asserts the liveliness of the writers whose liveliness is MANUAL_BY_PARTICIPANT.
    ///
    /// # Errors
    /// None in practice: the assertion can always be written.
    pub fn assert_liveliness(&mut self) -> Result<(), DiscoveryError> {
        Ok(self.write_assertion(ParticipantMessageKind::MANUAL_LIVELINESS_UPDATE)?)
    }

    /// Leaves: takes everything back, and says good-bye. What is to be sent then is the last.
    pub fn close(&mut self, now: Instant) {
        if self.is_closed {
            return;
        }
        let endpoints: Vec<Guid> = self.local.keys().copied().collect();
        for endpoint in endpoints {
            if let Err(error) = self.withdraw(now, endpoint) {
                tracing::warn!(%error, %endpoint, "cannot take an announcement back");
            }
        }
        self.fill_transmits(now);
        self.is_closed = true;
        self.announcements = self.announcements.next();
        match self.goodbye() {
            Ok(datagram) => {
                let peers = self.peers.values().flat_map(|peer| &peer.metatraffic);
                let peers = peers.map(|address| Destination::Address(*address));
                for destination in peers.chain([Destination::Everybody]) {
                    self.transmits.push_back((destination, datagram.clone()));
                }
            }
            Err(error) => tracing::warn!(%error, "cannot say good-bye"),
        }
        self.peers.clear();
    }

    /// The participants that are there.
    pub fn participants(&self) -> impl Iterator<Item = &Arc<RemoteParticipant>> {
        self.peers.values().map(|peer| &peer.participant)
    }

    /// The writers that are there.
    pub fn publications(&self) -> impl Iterator<Item = &Arc<RemoteEndpoint>> {
        self.peers.values().flat_map(|peer| peer.publications.iter())
    }

    /// The readers that are there.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Arc<RemoteEndpoint>> {
        self.peers.values().flat_map(|peer| peer.subscriptions.iter())
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<DiscoveryEvent> {
        self.events.pop_front()
    }

    /// The next datagram to send now.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(Destination, Vec<u8>)> {
        if self.transmits.is_empty() && !self.is_closed {
            self.fill_transmits(now);
        }
        self.transmits.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called if nothing arrives before; not
    /// in the past of the last call. `None` after [`close`](Self::close).
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        if self.is_closed {
            return None;
        }
        let writers = self.writers.iter().filter_map(|writer| writer.poll_timeout(now));
        let leases = self.peers.values().filter_map(|peer| peer.lease.expires_at());
        let readers = self
            .peers
            .values()
            .flat_map(|peer| peer.writers.iter().flatten())
            .filter_map(|writer| writer.poll_timeout(now));
        let timers = [Some(self.announcer.due_at()), self.next_assertion];
        timers.into_iter().flatten().chain(writers).chain(leases).chain(readers).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_closed {
            return;
        }
        if let Some(announce) = self.announcer.take_due(now) {
            if announce.remind {
                self.writers.iter_mut().for_each(ReliableWriter::remind);
            }
            self.announce_participant(Destination::Everybody, None);
        }
        let expired: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.lease.is_expired(now))
            .map(|(prefix, _)| *prefix)
            .collect();
        for prefix in expired {
            self.lose(prefix, LossReason::LeaseExpired);
        }
        if self.next_assertion.is_some_and(|at| at <= now) {
            let kind = ParticipantMessageKind::AUTOMATIC_LIVELINESS_UPDATE;
            if let Err(error) = self.write_assertion(kind) {
                tracing::warn!(%error, "cannot assert liveliness");
            }
            self.next_assertion = None;
            self.schedule_assertion(now);
        }
    }

    /// Takes a datagram. Anything may be in it.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        if self.is_closed {
            return;
        }
        let message = match MessageReader::new(datagram) {
            Ok(message) => message,
            Err(error) => {
                tracing::trace!(%error, %from, "ignoring a datagram");
                return;
            }
        };
        if message.header().guid_prefix == self.guid_prefix() {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&message.header().guid_prefix) {
            peer.lease.renew(now);
        }
        for received in message {
            let received = match received {
                Ok(received) => received,
                Err(error) => {
                    tracing::debug!(%error, %from, "ignoring the rest of a datagram");
                    return;
                }
            };
            let state = &received.state;
            if !state.is_for(self.guid_prefix()) || state.source_guid_prefix == self.guid_prefix() {
                continue;
            }
            match received.submessage {
                Submessage::Data(data) => {
                    self.on_data(now, from, state, &data, data.payload.bytes().len());
                }
                Submessage::DataFrag(fragment) => {
                    let writer_id = fragment.writer_id;
                    let is_known = self.peers.contains_key(&state.source_guid_prefix);
                    let concerns_us = writer_id == EntityId::SPDP_WRITER
                        || (is_known && BuiltinTopic::of_writer(writer_id).is_some());
                    if !concerns_us {
                        continue;
                    }
                    let whole = self.reassembler.add(state.source_guid_prefix, &fragment);
                    let Some(whole) = whole else { continue };
                    let payload = if fragment.is_key {
                        DataPayload::Key(&whole)
                    } else {
                        DataPayload::Data(&whole)
                    };
                    let data = Data {
                        reader_id: fragment.reader_id,
                        writer_id,
                        writer_sn: fragment.writer_sn,
                        inline_qos: fragment.inline_qos,
                        payload,
                    };
                    self.on_data(now, from, state, &data, whole.len());
                }
                Submessage::Heartbeat(heartbeat) => self.on_heartbeat(now, state, &heartbeat),
                Submessage::AckNack(acknack) => self.on_acknack(now, state, &acknack),
                Submessage::Gap(gap) => self.on_gap(state, &gap),
            }
        }
    }
}
