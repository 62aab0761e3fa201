//! One remote participant: its lease, where it hears, what has come from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::builtin_topic::BuiltinTopic;
use super::event::{RemoteEndpoint, RemoteParticipant};
use super::lease::Lease;
use super::reliable_reader::WriterProxy;
use super::remote_endpoints::RemoteEndpoints;
use crate::wire::{EndpointRole, Guid, Locator, SequenceNumber};

/// The shortest lease that is believed: a shorter one would expire between any two datagrams.
const LEASE_MIN: Duration = Duration::from_millis(100);
/// Addresses of one participant that are used: a stranger cannot make us send to more.
const MAX_ADDRESSES: usize = 4;
/// A writer is asked for everything again no more often than this.
const START_OVER_PERIOD: Duration = Duration::from_secs(5);

/// A change of a builtin topic, already read.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) number: SequenceNumber,
    pub(crate) content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// An endpoint is announced.
    Announced(Box<RemoteEndpoint>),
    /// An endpoint is gone.
    Gone(Guid),
    /// Nothing that concerns us; only its number counts.
    Nothing,
}

/// A remote participant.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) participant: Arc<RemoteParticipant>,
    pub(crate) lease: Lease,
    /// Where its announcements came from last.
    heard_from: SocketAddr,
    /// Where it hears discovery.
    pub(crate) metatraffic: Vec<SocketAddr>,
    /// Where it hears user traffic.
    user: Vec<SocketAddr>,
    /// Its builtin writers, by topic; `None` where it has none.
    pub(crate) writers: [Option<WriterProxy<Sample>>; BuiltinTopic::ALL.len()],
    last_start_over: Option<Instant>,
    pub(crate) publications: RemoteEndpoints,
    pub(crate) subscriptions: RemoteEndpoints,
    /// Pairs of our endpoint and one of its, of which was told that nothing goes between them.
    pub(crate) told_unreachable: BTreeSet<(Guid, Guid)>,
    /// Pairs of our endpoint and one of its that sends to ours and was not announced, and since when.
    pub(crate) unannounced: BTreeMap<(Guid, Guid), Instant>,
}

impl Peer {
    pub(crate) fn new(
        now: Instant,
        participant: Arc<RemoteParticipant>,
        heard_from: SocketAddr,
    ) -> Self {
        let mut peer = Self {
            lease: Lease::new(now, None),
            participant,
            heard_from,
            metatraffic: Vec::new(),
            user: Vec::new(),
            writers: [None, None, None],
            last_start_over: None,
            publications: RemoteEndpoints::default(),
            subscriptions: RemoteEndpoints::default(),
            told_unreachable: BTreeSet::new(),
            unannounced: BTreeMap::new(),
        };
        peer.refresh(now);
        peer
    }

    /// Takes over what a participant announces now.
    pub(crate) fn update(
        &mut self,
        now: Instant,
        participant: Arc<RemoteParticipant>,
        heard_from: SocketAddr,
    ) {
        self.participant = participant;
        self.heard_from = heard_from;
        self.refresh(now);
    }

    fn refresh(&mut self, now: Instant) {
        let data = &self.participant.data;
        self.lease.renew(now);
        self.lease.set_duration(data.lease_duration.to_std().map(|d| d.max(LEASE_MIN)));
        let choose = |locators: &[&Vec<Locator>]| choose_addresses(locators, self.heard_from);
        self.metatraffic =
            choose(&[&data.metatraffic_unicast_locators, &data.metatraffic_multicast_locators]);
        self.user = choose(&[&data.default_unicast_locators, &data.default_multicast_locators]);
        for topic in BuiltinTopic::ALL {
            let writer = &mut self.writers[topic.index()];
            if !topic.is_written_by(data.builtin_endpoint_set) {
                *writer = None;
            } else if writer.is_none() {
                *writer = Some(WriterProxy::new(now));
            }
        }
    }

    /// Where user traffic for one of its endpoints goes.
    pub(crate) fn user_addresses(&self, endpoint: Guid) -> Vec<SocketAddr> {
        let own = self.endpoint(endpoint).map_or_else(Vec::new, |endpoint| {
            choose_addresses(&[&endpoint.data.unicast_locators], self.heard_from)
        });
        if own.is_empty() { self.user.clone() } else { own }
    }

    pub(crate) fn endpoints(&mut self, role: EndpointRole) -> &mut RemoteEndpoints {
        match role {
            EndpointRole::Writer => &mut self.publications,
            EndpointRole::Reader => &mut self.subscriptions,
        }
    }

    pub(crate) fn endpoint(&self, guid: Guid) -> Option<&Arc<RemoteEndpoint>> {
        self.publications.get(guid).or_else(|| self.subscriptions.get(guid))
    }

    /// Asks a builtin writer for everything again, as it seems to have been restarted.
    pub(crate) fn start_over(&mut self, now: Instant, topic: BuiltinTopic) {
        let too_soon = self
            .last_start_over
            .is_some_and(|last| now.saturating_duration_since(last) < START_OVER_PERIOD);
        let Some(writer) = self.writers[topic.index()].as_mut().filter(|_| !too_soon) else {
            return;
        };
        writer.start_over(now);
        self.last_start_over = Some(now);
        if let Some(role) = topic.role() {
            self.endpoints(role).start_over();
        }
    }

    /// Our endpoint changed, or is gone: what was told of it may be told again.
    pub(crate) fn forget_told_of_ours(&mut self, local: Guid) {
        self.told_unreachable.retain(|(told, _)| *told != local);
        self.unannounced.retain(|(told, _), _| *told != local);
    }

    /// Its endpoint changed, or is gone: what was told of it may be told again.
    pub(crate) fn forget_told(&mut self, remote: Guid) {
        self.told_unreachable.retain(|(_, told)| *told != remote);
        self.unannounced.retain(|(_, unannounced), _| *unannounced != remote);
    }
}

/// The addresses to use of the first list that has any: those of the host that the participant was
/// heard from, for they work; if there are none, all.
fn choose_addresses(lists: &[&Vec<Locator>], heard_from: SocketAddr) -> Vec<SocketAddr> {
    for locators in lists {
        let mut addresses: Vec<SocketAddr> = locators
            .iter()
            .filter_map(|locator| locator.to_socket_addr())
            .filter(|address| address.is_ipv4() && !address.ip().is_unspecified())
            .collect();
        if addresses.iter().any(|address| address.ip() == heard_from.ip()) {
            addresses.retain(|address| address.ip() == heard_from.ip());
        }
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        if !addresses.is_empty() {
            return addresses;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn locators(texts: &[&str]) -> Vec<Locator> {
        texts.iter().map(|text| Locator::from(address(text))).collect()
    }

    #[test]
    fn the_address_that_the_participant_was_heard_from_is_preferred() {
        let list = locators(&["192.0.2.1:7410", "10.0.0.1:7410"]);
        let from = address("10.0.0.1:40000");
        assert_eq!(choose_addresses(&[&list], from), [address("10.0.0.1:7410")]);
        let from = address("127.0.0.1:40000");
        assert_eq!(choose_addresses(&[&list], from).len(), 2);
    }

    #[test]
    fn what_cannot_be_sent_to_is_left_out_and_the_next_list_is_used() {
        let nowhere = locators(&["0.0.0.0:7410", "[::1]:7410", "10.0.0.1:0"]);
        let group = locators(&["239.255.0.1:7400"]);
        let from = address("10.0.0.1:1");
        assert_eq!(choose_addresses(&[&nowhere, &group], from), [address("239.255.0.1:7400")]);
        assert_eq!(choose_addresses(&[&nowhere], from), []);
    }

    #[test]
    fn a_stranger_cannot_name_many_addresses() {
        let many: Vec<_> =
            (1..100).map(|n| Locator::from(address(&format!("10.0.0.{n}:7410")))).collect();
        assert_eq!(choose_addresses(&[&many], address("10.1.0.1:1")).len(), MAX_ADDRESSES);
    }
}
