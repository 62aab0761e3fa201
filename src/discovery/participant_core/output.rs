//! What goes out: announcements, changes of builtin topics, acknowledgements.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::super::builtin_topic::BuiltinTopic;
use super::super::reliable_reader::AckNack;
use super::super::reliable_writer::{Change, Outgoing};
use super::{
    ASSERTION_PERIOD_MIN, ASSERTIONS_PER_LEASE, DATA_OVERHEAD, DATAGRAM_TARGET, Destination,
    MAX_QUEUED, ParticipantCore,
};
use crate::wire::message::{
    AckNack as AckNackSubmessage, DataPayload, Gap, Heartbeat, MessageBuilder, OutgoingData,
};
use crate::wire::qos::LivelinessKind;
use crate::wire::{
    Endianness, EndpointRole, EntityId, Guid, GuidPrefix, InlineQos, ParticipantData,
    ParticipantMessageData, ParticipantMessageKind, SequenceNumberSet, StatusInfo, WireError,
};

/// A submessage of a builtin topic.
enum Piece {
    FromWriter(BuiltinTopic, Outgoing),
    FromReader(BuiltinTopic, AckNack),
}

impl Piece {
    /// Octets that it may take.
    fn size(&self) -> usize {
        match self {
            Self::FromWriter(_, Outgoing::Data { change, .. }) => {
                change.payload.len() + DATA_OVERHEAD
            }
            _ => DATA_OVERHEAD,
        }
    }

    fn add_to(&self, message: &mut MessageBuilder) -> Result<(), WireError> {
        match self {
            Self::FromReader(topic, acknack) => {
                message.ack_nack(&AckNackSubmessage {
                    reader_id: topic.reader_id(),
                    writer_id: topic.writer_id(),
                    reader_sn_state: SequenceNumberSet::with(
                        acknack.base,
                        acknack.missing.iter().copied(),
                    ),
                    count: acknack.count,
                    is_final: acknack.is_final,
                })?;
            }
            Self::FromWriter(topic, outgoing) => {
                let (reader_id, writer_id) = (topic.reader_id(), topic.writer_id());
                match outgoing {
                    Outgoing::Data { number, change } => {
                        message.data(&OutgoingData {
                            reader_id,
                            writer_id,
                            writer_sn: *number,
                            inline_qos: gone_qos(change.instance)
                                .filter(|_| change.disposed)
                                .as_ref(),
                            payload: if change.disposed {
                                DataPayload::Key(&change.payload)
                            } else {
                                DataPayload::Data(&change.payload)
                            },
                        })?;
                    }
                    Outgoing::Gap { start, end } => {
                        let gap_list = SequenceNumberSet::empty(*end);
                        message.gap(&Gap { reader_id, writer_id, gap_start: *start, gap_list })?;
                    }
                    Outgoing::Heartbeat { first, last, count, is_final } => {
                        message.heartbeat(&Heartbeat {
                            reader_id,
                            writer_id,
                            first_sn: *first,
                            last_sn: *last,
                            count: *count,
                            is_final: *is_final,
                            liveliness: false,
                        })?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// What stands with the last word about an instance.
fn gone_qos(instance: Guid) -> Option<InlineQos> {
    Some(InlineQos {
        key_hash: Some(instance.into()),
        status_info: Some(StatusInfo::DISPOSED | StatusInfo::UNREGISTERED),
    })
}

impl ParticipantCore {
    /// Announces this participant.
    pub(super) fn announce_participant(&mut self, to: Destination, only: Option<GuidPrefix>) {
        self.announcements = self.announcements.next();
        let data = OutgoingData {
            reader_id: EntityId::UNKNOWN,
            writer_id: EntityId::SPDP_WRITER,
            writer_sn: self.announcements,
            inline_qos: None,
            payload: DataPayload::Data(&self.announcement),
        };
        let mut message = MessageBuilder::new(self.header);
        let built = match only {
            Some(prefix) => {
                message.info_destination(prefix).and_then(|message| message.data(&data))
            }
            None => message.data(&data),
        };
        if let Err(error) = built {
            tracing::warn!(%error, "cannot announce the participant");
            return;
        }
        if self.transmits.len() < MAX_QUEUED {
            self.transmits.push_back((to, message.finish()));
        }
    }

    /// The announcement that this participant leaves.
    pub(super) fn goodbye(&self) -> Result<Vec<u8>, WireError> {
        let payload = ParticipantData::key_to_pl_cdr(self.data.guid, Endianness::Little)?;
        let mut message = MessageBuilder::new(self.header);
        message.data(&OutgoingData {
            reader_id: EntityId::UNKNOWN,
            writer_id: EntityId::SPDP_WRITER,
            writer_sn: self.announcements,
            inline_qos: gone_qos(self.data.guid).as_ref(),
            payload: DataPayload::Key(&payload),
        })?;
        Ok(message.finish())
    }

    /// Puts what builtin endpoints have to say now into as few datagrams as possible.
    pub(super) fn fill_transmits(&mut self, now: Instant) {
        let mut pieces: BTreeMap<GuidPrefix, Vec<Piece>> = BTreeMap::new();
        for topic in BuiltinTopic::ALL {
            while let Some((reader, outgoing)) = self.writers[topic.index()].transmit(now) {
                let outgoing = outgoing.into_iter().map(|o| Piece::FromWriter(topic, o));
                pieces.entry(reader).or_default().extend(outgoing);
            }
            for (prefix, peer) in &mut self.peers {
                let writer = peer.writers[topic.index()].as_mut();
                if let Some(acknack) = writer.and_then(|writer| writer.transmit(now)) {
                    pieces.entry(*prefix).or_default().push(Piece::FromReader(topic, acknack));
                }
            }
        }
        for (prefix, pieces) in pieces {
            for datagram in self.pack(prefix, &pieces) {
                let addresses = self.peers.get(&prefix).map_or(&[][..], |peer| &peer.metatraffic);
                for address in addresses {
                    self.transmits.push_back((Destination::Address(*address), datagram.clone()));
                }
            }
        }
    }

    fn pack(&self, to: GuidPrefix, pieces: &[Piece]) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        let mut message: Option<MessageBuilder> = None;
        for piece in pieces {
            if message.as_ref().is_some_and(|m| m.len() + piece.size() > DATAGRAM_TARGET) {
                datagrams.extend(message.take().map(MessageBuilder::finish));
            }
            let message = message.get_or_insert_with(|| MessageBuilder::new(self.header));
            let mut add = || {
                if message.has_no_submessage() {
                    message.info_destination(to)?;
                }
                piece.add_to(message)
            };
            if let Err(error) = add() {
                tracing::warn!(%error, %to, "cannot send an announcement");
            }
        }
        datagrams.extend(message.map(MessageBuilder::finish));
        datagrams
    }

    pub(super) fn write_assertion(
        &mut self,
        kind: ParticipantMessageKind,
    ) -> Result<(), WireError> {
        let guid_prefix = self.guid_prefix();
        let message = ParticipantMessageData { guid_prefix, kind, data: Vec::new() };
        let payload = message.to_cdr(Endianness::Little)?;
        let instance = Guid::new(guid_prefix, EntityId(kind.0));
        let change = Change { instance, payload: Arc::from(payload), disposed: false };
        self.writers[BuiltinTopic::ParticipantMessage.index()].write(change);
        Ok(())
    }

    /// Sets when to assert the liveliness of our writers: if one has a lease that ends.
    pub(super) fn schedule_assertion(&mut self, now: Instant) {
        let qos = self.local.values().map(|local| (local.data.role, &local.data.qos.liveliness));
        let leases = qos
            .filter(|(role, liveliness)| {
                *role == EndpointRole::Writer && liveliness.kind == LivelinessKind::Automatic
            })
            .filter_map(|(_, liveliness)| liveliness.lease_duration.to_std());
        let period =
            leases.min().map(|lease| (lease / ASSERTIONS_PER_LEASE).max(ASSERTION_PERIOD_MIN));
        let next = period.and_then(|period| now.checked_add(period));
        self.next_assertion = match (self.next_assertion, next) {
            (Some(before), Some(next)) => Some(before.min(next)),
            (_, next) => next,
        };
    }
}
