//! What comes in: announcements, heartbeats, acknowledgements, gaps of builtin endpoints.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::super::builtin_topic::BuiltinTopic;
use super::super::event::{DiscoveryEvent, LossReason, RemoteEndpoint, RemoteParticipant};
use super::super::locator_carrier::{find_locator_in, participant_version, reader_version};
use super::super::peer::{Content, Peer, Sample};
use super::super::reliable_reader::Told;
use super::super::remote_endpoints::Announced;
use super::{Destination, ParticipantCore};
use crate::wire::message::{AckNack, Data, DataPayload, Gap, Heartbeat, ReceiverState};
use crate::wire::{
    EndpointData, EndpointRole, EntityId, Guid, GuidPrefix, InlineQos, ParticipantData,
    SequenceNumber, StatusInfo, VendorId, WireError,
};

/// What a DATA says about its instance, before its content is read.
enum Said<'a> {
    Value(&'a [u8]),
    /// Gone; the key stands in a payload or in the inline QoS.
    GoneByKey(&'a [u8]),
    GoneByHash(Guid),
    Nothing,
}

/// # Errors
/// If a parameter must be understood and is not, or is malformed.
fn said<'a>(data: &Data<'a>) -> Result<Said<'a>, WireError> {
    let qos = data.inline_qos.as_ref().map(InlineQos::from_list).transpose()?.unwrap_or_default();
    let status = qos.status_info.unwrap_or(StatusInfo::NONE);
    let is_gone = status.is_disposed() || status.is_unregistered();
    Ok(match data.payload {
        // Some dispose with a whole value; the key is in it all the same.
        DataPayload::Data(payload) if is_gone => Said::GoneByKey(payload),
        DataPayload::Key(payload) => Said::GoneByKey(payload),
        DataPayload::None if is_gone => {
            qos.key_hash.map_or(Said::Nothing, |hash| Said::GoneByHash(hash.into()))
        }
        DataPayload::Data(payload) => Said::Value(payload),
        DataPayload::None | DataPayload::NonStandard(_) => Said::Nothing,
    })
}

impl ParticipantCore {
    pub(super) fn on_data(
        &mut self,
        now: Instant,
        from: SocketAddr,
        state: &ReceiverState,
        data: &Data<'_>,
        size: usize,
    ) {
        if data.writer_id == EntityId::SPDP_WRITER {
            if matches!(data.reader_id, EntityId::UNKNOWN | EntityId::SPDP_READER) {
                self.on_participant(now, from, state, data, size);
            }
            return;
        }
        let Some(topic) = BuiltinTopic::of_writer(data.writer_id) else { return };
        if data.reader_id == EntityId::UNKNOWN || data.reader_id == topic.reader_id() {
            self.on_builtin_data(now, state, topic, data, size);
        }
    }

    fn on_participant(
        &mut self,
        now: Instant,
        from: SocketAddr,
        state: &ReceiverState,
        data: &Data<'_>,
        size: usize,
    ) {
        let sender = state.source_guid_prefix;
        let result = match said(data) {
            Ok(Said::Value(_)) if size > self.config.limits.announcement_octets => {
                tracing::debug!(%sender, size, "ignoring a participant: announcement too large");
                return;
            }
            Ok(Said::Value(payload)) => ParticipantData::from_pl_cdr(payload),
            Ok(Said::GoneByKey(payload)) => {
                // A participant speaks for itself.
                if ParticipantData::key_from_pl_cdr(payload).is_ok_and(|p| p.prefix == sender) {
                    self.lose(sender, LossReason::Disposed);
                }
                return;
            }
            Ok(Said::GoneByHash(guid)) => {
                if guid.prefix == sender {
                    self.lose(sender, LossReason::Disposed);
                }
                return;
            }
            Ok(Said::Nothing) => return,
            Err(error) => Err(error),
        };
        let data = match result {
            Ok(data) => data,
            Err(error) => {
                tracing::debug!(%error, %sender, "ignoring a participant");
                return;
            }
        };
        let is_ours = data.domain_id.is_none_or(|domain_id| domain_id == self.config.domain_id)
            && data.domain_tag == self.config.domain_tag;
        if !is_ours || data.guid.prefix != sender {
            return;
        }
        let vendor_id = vendor(state, data.vendor_id);
        let shm_version = participant_version(&data);
        let participant = RemoteParticipant { data, vendor_id, shm_version };
        if self.peers.contains_key(&sender) {
            self.on_known_participant(now, from, sender, participant);
        } else if self.peers.len() < self.config.limits.participants {
            self.on_new_participant(now, from, sender, participant);
        } else {
            tracing::warn!(
                %sender,
                limit = self.config.limits.participants,
                "ignoring a participant: there are too many; raise DiscoveryLimits::participants"
            );
        }
    }

    fn on_new_participant(
        &mut self,
        now: Instant,
        from: SocketAddr,
        prefix: GuidPrefix,
        participant: RemoteParticipant,
    ) {
        let participant = Arc::new(participant);
        let peer = Peer::new(now, Arc::clone(&participant), from);
        let addresses = peer.metatraffic.clone();
        self.peers.insert(prefix, peer);
        self.match_builtin_readers(prefix, &participant);
        self.events.push_back(DiscoveryEvent::ParticipantDiscovered(participant));
        // It may have started after our last announcement to everybody.
        for address in addresses {
            self.announce_participant(Destination::Address(address), Some(prefix));
        }
    }

    fn on_known_participant(
        &mut self,
        now: Instant,
        from: SocketAddr,
        prefix: GuidPrefix,
        participant: RemoteParticipant,
    ) {
        let Some(peer) = self.peers.get_mut(&prefix) else { return };
        if *peer.participant == participant {
            peer.update(now, Arc::clone(&peer.participant), from);
            return;
        }
        let reads_otherwise = peer.participant.shm_version != participant.shm_version;
        let participant = Arc::new(participant);
        peer.update(now, Arc::clone(&participant), from);
        let mut changed = Vec::new();
        if reads_otherwise {
            let version = participant.shm_version;
            changed = peer.subscriptions.revise(|reader| {
                reader.shm_version = reader_version(&reader.data).or(version);
            });
        }
        for reader in &changed {
            peer.forget_told(reader.data.guid);
        }
        self.match_builtin_readers(prefix, &participant);
        self.events.push_back(DiscoveryEvent::ParticipantChanged(participant));
        for reader in changed {
            let guid = reader.data.guid;
            self.events.push_back(DiscoveryEvent::SubscriptionChanged(reader));
            self.look_around_theirs(guid);
        }
    }

    fn match_builtin_readers(&mut self, prefix: GuidPrefix, participant: &RemoteParticipant) {
        for topic in BuiltinTopic::ALL {
            let writer = &mut self.writers[topic.index()];
            if topic.is_read_by(participant.data.builtin_endpoint_set) {
                writer.add_reader(prefix);
            } else {
                writer.remove_reader(prefix);
            }
        }
    }

    /// A participant is gone, or seems so.
    pub(super) fn lose(&mut self, prefix: GuidPrefix, reason: LossReason) {
        if self.peers.remove(&prefix).is_none() {
            return;
        }
        self.writers.iter_mut().for_each(|writer| writer.remove_reader(prefix));
        self.reassembler.forget(prefix);
        self.events.push_back(DiscoveryEvent::ParticipantLost { prefix, reason });
    }

    fn on_builtin_data(
        &mut self,
        now: Instant,
        state: &ReceiverState,
        topic: BuiltinTopic,
        data: &Data<'_>,
        size: usize,
    ) {
        let prefix = state.source_guid_prefix;
        let Some(peer) = self.peers.get(&prefix) else { return };
        if peer.writers[topic.index()].is_none() {
            return;
        }
        let content = if size > self.config.limits.announcement_octets {
            tracing::debug!(%prefix, size, "ignoring an announcement: too large");
            Content::Nothing
        } else {
            topic.role().map_or(Content::Nothing, |role| self.read_announcement(role, state, data))
        };
        let number = data.writer_sn;
        let Some(peer) = self.peers.get_mut(&prefix) else { return };
        let Some(writer) = peer.writers[topic.index()].as_mut() else { return };
        if number < writer.next() {
            if let Content::Announced(endpoint) = content
                && peer.endpoints(endpoint.data.role).contradicts(number, &endpoint)
            {
                peer.start_over(now, topic);
            }
            return;
        }
        let samples = writer.on_data(number, Sample { number, content }, size);
        self.on_samples(prefix, topic, samples);
    }

    fn read_announcement(
        &self,
        role: EndpointRole,
        state: &ReceiverState,
        data: &Data<'_>,
    ) -> Content {
        let prefix = state.source_guid_prefix;
        let result = said(data).and_then(|said| {
            Ok(match said {
                Said::Value(payload) => {
                    let data = EndpointData::from_pl_cdr(role, payload)?;
                    Content::Announced(Box::new(self.remote_endpoint(state, data)))
                }
                Said::GoneByKey(payload) => Content::Gone(EndpointData::key_from_pl_cdr(payload)?),
                Said::GoneByHash(guid) => Content::Gone(guid),
                Said::Nothing => Content::Nothing,
            })
        });
        match result {
            // A participant speaks for itself.
            Ok(Content::Announced(endpoint)) if endpoint.data.guid.prefix != prefix => {
                Content::Nothing
            }
            Ok(Content::Gone(guid)) if guid.prefix != prefix => Content::Nothing,
            Ok(content) => content,
            Err(error) => {
                tracing::debug!(%error, %prefix, "ignoring the announcement of an endpoint");
                Content::Nothing
            }
        }
    }

    fn remote_endpoint(&self, state: &ReceiverState, data: EndpointData) -> RemoteEndpoint {
        let vendor_id = vendor(state, data.vendor_id.unwrap_or(VendorId::UNKNOWN));
        let (locator, shm_version) = match data.role {
            EndpointRole::Writer => {
                let found = find_locator_in(&data, vendor_id, self.config.shm_parameter);
                let locator = found.unwrap_or_else(|error| {
                    tracing::warn!(%error, writer = %data.guid, "the writer's locator is unusable");
                    None
                });
                (locator, None)
            }
            EndpointRole::Reader => {
                let of_participant = self.peers.get(&state.source_guid_prefix);
                let of_participant = of_participant.and_then(|p| p.participant.shm_version);
                (None, reader_version(&data).or(of_participant))
            }
        };
        RemoteEndpoint { data, vendor_id, locator, shm_version }
    }

    /// Changes of a builtin topic, in order.
    fn on_samples(&mut self, prefix: GuidPrefix, topic: BuiltinTopic, samples: Vec<Sample>) {
        let Some(role) = topic.role() else { return };
        for sample in samples {
            match sample.content {
                Content::Announced(endpoint) => self.on_endpoint(sample.number, *endpoint),
                Content::Gone(guid) => self.on_endpoint_gone(role, guid),
                Content::Nothing => {}
            }
        }
        let Some(peer) = self.peers.get_mut(&prefix) else { return };
        let writer = peer.writers[topic.index()].as_mut();
        if writer.is_some_and(|writer| writer.has_started_over()) {
            for guid in peer.endpoints(role).sweep() {
                peer.forget_told(guid);
                self.events.push_back(gone(role, guid));
            }
        }
    }

    fn on_endpoint(&mut self, number: SequenceNumber, endpoint: RemoteEndpoint) {
        let (role, guid) = (endpoint.data.role, endpoint.data.guid);
        let Some(peer) = self.peers.get_mut(&guid.prefix) else { return };
        let limit = self.config.limits.endpoints_per_participant;
        let event = match (peer.endpoints(role).announce(number, endpoint, limit), role) {
            (Announced::Nothing, _) => return,
            (Announced::Refused, _) => {
                tracing::warn!(
                    %guid,
                    limit,
                    "ignoring an endpoint: its participant has too many; \
                     raise DiscoveryLimits::endpoints_per_participant"
                );
                return;
            }
            (Announced::New(writer), EndpointRole::Writer) => {
                DiscoveryEvent::PublicationDiscovered(writer)
            }
            (Announced::New(reader), EndpointRole::Reader) => {
                DiscoveryEvent::SubscriptionDiscovered(reader)
            }
            (Announced::Changed(writer), EndpointRole::Writer) => {
                DiscoveryEvent::PublicationChanged(writer)
            }
            (Announced::Changed(reader), EndpointRole::Reader) => {
                DiscoveryEvent::SubscriptionChanged(reader)
            }
        };
        peer.forget_told(guid);
        self.events.push_back(event);
        self.look_around_theirs(guid);
    }

    fn on_endpoint_gone(&mut self, role: EndpointRole, guid: Guid) {
        let Some(peer) = self.peers.get_mut(&guid.prefix) else { return };
        if peer.endpoints(role).remove(guid) {
            peer.forget_told(guid);
            self.events.push_back(gone(role, guid));
        }
    }

    pub(super) fn on_heartbeat(
        &mut self,
        now: Instant,
        state: &ReceiverState,
        heartbeat: &Heartbeat,
    ) {
        let prefix = state.source_guid_prefix;
        let Some(topic) = BuiltinTopic::of_writer(heartbeat.writer_id) else {
            self.on_user_heartbeat(now, prefix, heartbeat);
            return;
        };
        let Some(peer) = self.peers.get_mut(&prefix) else { return };
        let Some(writer) = peer.writers[topic.index()].as_mut() else { return };
        let (samples, told) =
            writer.on_heartbeat(heartbeat.first_sn, heartbeat.last_sn, heartbeat.is_final);
        if told == Told::Backwards {
            peer.start_over(now, topic);
        }
        self.on_samples(prefix, topic, samples);
    }

    pub(super) fn on_acknack(&mut self, now: Instant, state: &ReceiverState, acknack: &AckNack) {
        let prefix = state.source_guid_prefix;
        match BuiltinTopic::of_reader(acknack.reader_id) {
            Some(topic) if acknack.writer_id == topic.writer_id() => {
                let set = &acknack.reader_sn_state;
                let writer = &mut self.writers[topic.index()];
                writer.on_acknack(now, prefix, set.base(), set.iter(), acknack.is_final);
            }
            Some(_) => {}
            None => self.on_user_acknack(now, prefix, acknack),
        }
    }

    pub(super) fn on_gap(&mut self, state: &ReceiverState, gap: &Gap) {
        let prefix = state.source_guid_prefix;
        let Some(topic) = BuiltinTopic::of_writer(gap.writer_id) else { return };
        let Some(peer) = self.peers.get_mut(&prefix) else { return };
        let Some(writer) = peer.writers[topic.index()].as_mut() else { return };
        let samples = writer.on_gap(gap.gap_start, gap.gap_list.base(), gap.gap_list.iter());
        self.on_samples(prefix, topic, samples);
    }
}

fn gone(role: EndpointRole, guid: Guid) -> DiscoveryEvent {
    match role {
        EndpointRole::Writer => DiscoveryEvent::PublicationGone(guid),
        EndpointRole::Reader => DiscoveryEvent::SubscriptionGone(guid),
    }
}

/// The vendor of the message, or what the data says if the message does not.
fn vendor(state: &ReceiverState, of_data: VendorId) -> VendorId {
    if state.source_vendor_id == VendorId::UNKNOWN { of_data } else { state.source_vendor_id }
}
