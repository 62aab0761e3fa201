//! What an embedded participant is told before it starts.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;
use std::time::Duration;

use crate::wire::{ParameterId, VendorId};

/// Where to announce oneself beside multicast and the own host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InitialPeer {
    /// The well-known ports of the first participants of a host.
    Host(Ipv4Addr),
    /// One address.
    Address(SocketAddrV4),
}

/// A text that names no peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a peer: write an IPv4 address, or an address and a port as in 10.0.0.7:7410"
)]
pub struct ParsePeerError {
    /// What was given.
    pub text: String,
}

impl FromStr for InitialPeer {
    type Err = ParsePeerError;

    fn from_str(text: &str) -> Result<Self, ParsePeerError> {
        let host = text.parse().map(Self::Host);
        host.or_else(|_| text.parse().map(Self::Address))
            .map_err(|_| ParsePeerError { text: text.to_owned() })
    }
}

/// Which network interfaces a participant uses.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Interfaces {
    /// Every one that is up.
    #[default]
    All,
    /// The loopback interface: nothing leaves the host, and nothing from outside is heard.
    LoopbackOnly,
    /// Those with these names, beside the loopback interface.
    Named(Vec<String>),
}

/// How much a participant remembers of others. What goes beyond is ignored, whoever sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscoveryLimits {
    /// Remote participants.
    pub participants: usize,
    /// Endpoints of one remote participant, publications and subscriptions each.
    pub endpoints_per_participant: usize,
    /// Octets of one announcement.
    pub announcement_octets: usize,
}

impl Default for DiscoveryLimits {
    fn default() -> Self {
        Self { participants: 1024, endpoints_per_participant: 8192, announcement_octets: 64 * 1024 }
    }
}

/// What an embedded participant is told before it starts.
///
/// ```
/// use dds_shm::discovery::{Interfaces, ParticipantConfig};
///
/// let config = ParticipantConfig {
///     interfaces: Interfaces::LoopbackOnly,
///     name: "camera".to_owned(),
///     ..ParticipantConfig::new(7)
/// };
/// assert_eq!(config.domain_id, 7);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantConfig {
    /// DDS domain: 0 to 232, as far as there are ports.
    pub domain_id: u32,
    /// Only participants with the same tag see each other; empty by default.
    pub domain_tag: String,
    /// Who we say we are.
    pub vendor_id: VendorId,
    /// Name for people, announced as PID_ENTITY_NAME; empty for none.
    pub name: String,
    /// How long others believe in us without hearing from us.
    pub lease_duration: Duration,
    /// Distance between two announcements, after the first few; no longer than half the lease.
    pub announce_period: Duration,
    /// Which network interfaces are used.
    pub interfaces: Interfaces,
    /// Whom to greet beside multicast and the own host.
    pub initial_peers: Vec<InitialPeer>,
    /// How many participants are looked for on the own host and on each peer of
    /// [`InitialPeer::Host`]: those with the lowest indexes.
    pub unicast_participants: u32,
    /// The parameter that carries [`ShmLocator`](super::ShmLocator)s.
    pub shm_parameter: ParameterId,
    /// Events kept for a consumer that is slow; then the oldest is dropped.
    pub event_capacity: usize,
    /// How much is remembered of others.
    pub limits: DiscoveryLimits,
}

impl ParticipantConfig {
    /// The defaults: a lease of 10 s, renewed every 3 s, all interfaces, no further peers.
    pub fn new(domain_id: u32) -> Self {
        Self {
            domain_id,
            domain_tag: String::new(),
            vendor_id: VendorId::EMBEDDED,
            name: String::new(),
            lease_duration: Duration::from_secs(10),
            announce_period: Duration::from_secs(3),
            interfaces: Interfaces::All,
            initial_peers: Vec::new(),
            unicast_participants: 10,
            shm_parameter: ParameterId::SHM_LOCATOR,
            event_capacity: 4096,
            limits: DiscoveryLimits::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_a_host_or_an_address() {
        assert_eq!("10.0.0.7".parse(), Ok(InitialPeer::Host(Ipv4Addr::new(10, 0, 0, 7))));
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7410);
        assert_eq!("127.0.0.1:7410".parse(), Ok(InitialPeer::Address(address)));
        for text in ["", "host", "::1", "10.0.0.7:", "10.0.0.7:70000"] {
            assert!(text.parse::<InitialPeer>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_default_lease_survives_two_lost_announcements() {
        let config = ParticipantConfig::new(0);
        assert!(config.announce_period * 3 < config.lease_duration);
    }
}
