//! Foreign endpoints that match ours and cannot reach them.
//!
//! Samples go through shared memory or not at all: this participant has no user data on the network. A
//! foreign writer that waits for acknowledgements gets them for everything it has; a foreign reader
//! that asks for samples is told that there are none. So neither stalls, and both are told as
//! [`DiscoveryEvent::Unreachable`].

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::event::{DiscoveryEvent, RemoteEndpoint, UnreachableReason};
use super::super::matching::match_each_other;
use super::{Destination, MAX_QUEUED, ParticipantCore};
use crate::wire::message::{AckNack, Gap, Heartbeat, MessageBuilder};
use crate::wire::{
    EndpointData, EndpointRole, EntityId, Guid, GuidPrefix, SequenceNumber, SequenceNumberSet,
    WireError,
};

/// User traffic often overtakes the announcement of its endpoint; one that takes longer than this is
/// none.
const ANNOUNCEMENT_DELAY: Duration = Duration::from_secs(3);

/// Why no sample can go between this endpoint and one of ours that matches it.
fn obstacle(remote: &RemoteEndpoint) -> Option<UnreachableReason> {
    match remote.data.role {
        EndpointRole::Writer => remote.locator.is_none().then_some(UnreachableReason::NoLocator),
        EndpointRole::Reader => {
            remote.shm_version.is_none().then_some(UnreachableReason::NotCapable)
        }
    }
}

fn tell_if_unreachable(
    events: &mut VecDeque<DiscoveryEvent>,
    told: &mut BTreeSet<(Guid, Guid)>,
    ours: &EndpointData,
    theirs: &RemoteEndpoint,
) {
    let (local, remote) = (ours.guid, theirs.data.guid);
    if let Some(why) = obstacle(theirs)
        && match_each_other(ours, &theirs.data)
        && told.insert((local, remote))
    {
        events.push_back(DiscoveryEvent::Unreachable { local, remote, why });
    }
}

impl ParticipantCore {
    /// Tells of remote endpoints that match this one of ours, and that nothing can reach.
    pub(super) fn look_around_ours(&mut self, local: Guid) {
        let Some(ours) = self.local.get(&local).map(|ours| &ours.data) else { return };
        for peer in self.peers.values_mut() {
            let theirs = match ours.role {
                EndpointRole::Writer => &peer.subscriptions,
                EndpointRole::Reader => &peer.publications,
            };
            for theirs in theirs.iter() {
                tell_if_unreachable(&mut self.events, &mut peer.told_unreachable, ours, theirs);
            }
        }
    }

    /// Tells of endpoints of ours that match this remote one, and that nothing can reach.
    pub(super) fn look_around_theirs(&mut self, remote: Guid) {
        let Some(peer) = self.peers.get_mut(&remote.prefix) else { return };
        let Some(theirs) = peer.endpoint(remote).map(Arc::clone) else { return };
        for ours in self.local.values() {
            let told = &mut peer.told_unreachable;
            tell_if_unreachable(&mut self.events, told, &ours.data, &theirs);
        }
    }

    /// A writer has samples for our readers: they count as received.
    pub(super) fn on_user_heartbeat(
        &mut self,
        now: Instant,
        prefix: GuidPrefix,
        heartbeat: &Heartbeat,
    ) {
        let writer = Guid::new(prefix, heartbeat.writer_id);
        let Some(peer) = self.peers.get(&prefix) else { return };
        let known = peer.publications.get(writer).map(Arc::clone);
        let own_prefix = self.guid_prefix();
        let readers: Vec<Guid> = if heartbeat.reader_id == EntityId::UNKNOWN {
            let Some(known) = &known else { return };
            let ours = self.local.values().map(|ours| &ours.data);
            ours.filter(|ours| match_each_other(ours, &known.data)).map(|ours| ours.guid).collect()
        } else {
            vec![Guid::new(own_prefix, heartbeat.reader_id)]
        };
        for reader in readers {
            let Some(ours) = self.local.get_mut(&reader) else { continue };
            if ours.data.role != EndpointRole::Reader || !ours.data.qos.reliability.is_reliable() {
                continue;
            }
            ours.count = ours.count.wrapping_add(1);
            let acknack = AckNack {
                reader_id: reader.entity_id,
                writer_id: heartbeat.writer_id,
                reader_sn_state: SequenceNumberSet::empty(heartbeat.last_sn.next()),
                count: ours.count,
                is_final: true,
            };
            if !heartbeat.is_final {
                self.answer(writer, |message| message.ack_nack(&acknack).map(|_| ()));
            }
            self.tell_of_traffic(now, reader, writer, known.as_deref());
        }
    }

    /// A reader asks for samples of our writers: there are none.
    pub(super) fn on_user_acknack(&mut self, now: Instant, prefix: GuidPrefix, acknack: &AckNack) {
        let reader = Guid::new(prefix, acknack.reader_id);
        let writer = Guid::new(self.guid_prefix(), acknack.writer_id);
        let Some(peer) = self.peers.get(&prefix) else { return };
        let known = peer.subscriptions.get(reader).map(Arc::clone);
        let Some(ours) = self.local.get_mut(&writer) else { return };
        if ours.data.role != EndpointRole::Writer {
            return;
        }
        let set = &acknack.reader_sn_state;
        let base = set.base().max(SequenceNumber::FIRST);
        let last_asked = set.iter().max();
        let end = last_asked.map_or(base, |last| last.next().max(base));
        ours.count = ours.count.wrapping_add(1);
        let gap = Gap {
            reader_id: acknack.reader_id,
            writer_id: acknack.writer_id,
            gap_start: base,
            gap_list: SequenceNumberSet::empty(end),
        };
        // Nothing is there, and nothing was before `end`.
        let heartbeat = Heartbeat {
            reader_id: acknack.reader_id,
            writer_id: acknack.writer_id,
            first_sn: end,
            last_sn: end.previous(),
            count: ours.count,
            is_final: true,
            liveliness: false,
        };
        if last_asked.is_some() || !acknack.is_final {
            self.answer(reader, |message| {
                if last_asked.is_some() {
                    message.gap(&gap)?;
                }
                message.heartbeat(&heartbeat).map(|_| ())
            });
        }
        self.tell_of_traffic(now, writer, reader, known.as_deref());
    }

    fn tell_of_traffic(
        &mut self,
        now: Instant,
        local: Guid,
        remote: Guid,
        known: Option<&RemoteEndpoint>,
    ) {
        let limit = self.config.limits.endpoints_per_participant;
        let Some(peer) = self.peers.get_mut(&remote.prefix) else { return };
        let pair = (local, remote);
        let why = match known {
            Some(known) => obstacle(known),
            // What strangers claim to have is bounded like what they announce.
            None if peer.unannounced.len() >= limit => None,
            None => {
                let since = *peer.unannounced.entry(pair).or_insert(now);
                let is_late = now.saturating_duration_since(since) >= ANNOUNCEMENT_DELAY;
                is_late.then_some(UnreachableReason::Unknown)
            }
        };
        let Some(why) = why else { return };
        if peer.told_unreachable.insert(pair) {
            self.events.push_back(DiscoveryEvent::Unreachable { local, remote, why });
        }
    }

    /// Sends a message to where a remote endpoint hears user traffic.
    fn answer(&mut self, to: Guid, build: impl Fn(&mut MessageBuilder) -> Result<(), WireError>) {
        let Some(peer) = self.peers.get(&to.prefix) else { return };
        let mut message = MessageBuilder::new(self.header);
        let built =
            message.info_destination(to.prefix).map(|_| ()).and_then(|()| build(&mut message));
        if let Err(error) = built {
            tracing::debug!(%error, %to, "cannot answer user traffic");
            return;
        }
        let datagram = message.finish();
        for address in peer.user_addresses(to) {
            if self.transmits.len() < MAX_QUEUED {
                self.transmits.push_back((Destination::Address(address), datagram.clone()));
            }
        }
    }
}
