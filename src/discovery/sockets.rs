//! The sockets of one participant: metatraffic unicast, user unicast, metatraffic multicast.
//!
//! The unicast ports are taken without SO_REUSEADDR: an index is free exactly when both of its ports
//! can be bound. The multicast port is shared by all participants of the host, and its socket is
//! bound to the group, so that it hears nothing else.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::config::{InitialPeer, Interfaces, ParticipantConfig};
use super::ports;
use crate::wire::Locator;

/// Where participants are announced (RTPS 2.5, 9.6.2.3).
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 0, 1);
/// Room for a burst of announcements from many participants at once.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Longer than any UDP datagram over IPv4.
pub(crate) const MAX_DATAGRAM: usize = 65_536;

/// Why a participant has no sockets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The domain id leads to ports beyond 65535.
    #[error("domain {domain_id} has no UDP ports; use a domain id up to 232")]
    NoPorts {
        /// The domain.
        domain_id: u32,
    },
    /// All participant indexes of the domain are in use on this host.
    #[error(
        "all {} participant indexes of domain {domain_id} are in use on this host; \
         stop some participants or use another domain",
        ports::MAX_PARTICIPANTS
    )]
    NoFreeIndex {
        /// The domain.
        domain_id: u32,
    },
    /// An interface that was asked for is not there, not up, or has no IPv4 address.
    #[error("network interface {name:?} is not up with an IPv4 address; see `ip addr`")]
    InterfaceDown {
        /// Its name.
        name: String,
    },
    /// None of the interfaces is up.
    #[error("no network interface to use is up; bring one up (`ip link set lo up`)")]
    NoInterface,
    /// The system refused something else.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

fn io_error(action: &'static str) -> impl FnOnce(io::Error) -> SocketError {
    move |source| SocketError::Io { action, source }
}

/// The sockets of one participant.
#[derive(Debug)]
pub(crate) struct Sockets {
    metatraffic: UdpSocket,
    user: UdpSocket,
    /// `None` if no interface could be joined: unicast to the own host still works.
    multicast: Option<UdpSocket>,
    /// Addresses of the interfaces in use.
    addresses: Vec<Ipv4Addr>,
    loopback_only: bool,
    domain_id: u32,
    index: u32,
    group: SocketAddrV4,
    /// Where announcements go beside the group.
    peers: Vec<SocketAddrV4>,
}

impl Sockets {
    /// Takes the first free index of the domain and joins the group on every interface in use.
    pub(crate) fn open(config: &ParticipantConfig) -> Result<Self, SocketError> {
        let domain_id = config.domain_id;
        let no_ports = SocketError::NoPorts { domain_id };
        let multicast_port = ports::metatraffic_multicast(domain_id).ok_or(no_ports)?;
        let group = SocketAddrV4::new(GROUP, multicast_port);
        let loopback_only = config.interfaces == Interfaces::LoopbackOnly;
        let addresses = interface_addresses(&config.interfaces)?;
        let bind_to = if loopback_only { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let (index, metatraffic, user) = bind_index(domain_id, bind_to)?;
        let multicast = match join(group, &addresses) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, %group, "no multicast: peers are found by unicast only");
                None
            }
        };
        let mut sockets = Self {
            metatraffic,
            user,
            multicast,
            addresses,
            loopback_only,
            domain_id,
            index,
            group,
            peers: Vec::new(),
        };
        sockets.peers = sockets.expand_peers(config);
        Ok(sockets)
    }

    /// The participant's index on this host.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// Where discovery reaches this participant.
    pub(crate) fn metatraffic_locators(&self) -> Vec<Locator> {
        self.locators(ports::metatraffic_unicast(self.domain_id, self.index))
    }

    /// Where user traffic reaches this participant.
    pub(crate) fn user_locators(&self) -> Vec<Locator> {
        self.locators(ports::user_unicast(self.domain_id, self.index))
    }

    /// The group.
    pub(crate) fn multicast_locators(&self) -> Vec<Locator> {
        self.multicast
            .iter()
            .map(|_| Locator::udp_v4(*self.group.ip(), self.group.port()))
            .collect()
    }

    /// Everything that can be waited on.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.all().map(AsFd::as_fd)
    }

    /// Receives a datagram from whichever socket has one; `None` if none has.
    pub(crate) fn receive<'a>(&self, buffer: &'a mut [u8]) -> Option<(SocketAddr, &'a [u8])> {
        let received = self.all().find_map(|socket| match socket.recv_from(buffer) {
            Ok((length, from)) => Some((length, from)),
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    tracing::debug!(%error, "cannot receive");
                }
                None
            }
        });
        received.and_then(|(length, from)| Some((from, buffer.get(..length)?)))
    }

    /// Sends an announcement to the group on every interface, and to the initial peers.
    pub(crate) fn announce(&self, datagram: &[u8]) {
        if self.multicast.is_some() {
            for address in &self.addresses {
                let sent = SockRef::from(&self.metatraffic)
                    .set_multicast_if_v4(address)
                    .and_then(|()| self.metatraffic.send_to(datagram, self.group));
                if let Err(error) = sent {
                    tracing::debug!(%error, %address, "cannot announce by multicast");
                }
            }
        }
        for &peer in &self.peers {
            self.send(datagram, peer.into());
        }
    }

    /// Sends a datagram; one that cannot be sent is lost, as any datagram may be.
    pub(crate) fn send(&self, datagram: &[u8], to: SocketAddr) {
        if self.loopback_only && !to.ip().is_loopback() {
            return;
        }
        // IPv6 locators of peers are of no use for IPv4 sockets.
        if to.is_ipv4()
            && let Err(error) = self.metatraffic.send_to(datagram, to)
        {
            tracing::debug!(%error, %to, octets = datagram.len(), "cannot send");
        }
    }

    fn all(&self) -> impl Iterator<Item = &UdpSocket> {
        [&self.metatraffic, &self.user].into_iter().chain(&self.multicast)
    }

    fn locators(&self, port: Option<u16>) -> Vec<Locator> {
        // A loopback address would be somebody else's on another host: it is announced only when
        // there is nothing else.
        let outside: Vec<_> = self.addresses.iter().filter(|a| !a.is_loopback()).collect();
        let announced = if outside.is_empty() { self.addresses.iter().collect() } else { outside };
        port.into_iter()
            .flat_map(|port| announced.iter().map(move |&&address| Locator::udp_v4(address, port)))
            .collect()
    }

    fn expand_peers(&self, config: &ParticipantConfig) -> Vec<SocketAddrV4> {
        let host = |address: Ipv4Addr, participants: u32| {
            (0..participants.min(ports::MAX_PARTICIPANTS))
                .filter_map(|index| ports::metatraffic_unicast(self.domain_id, index))
                .map(move |port| SocketAddrV4::new(address, port))
        };
        // At least all lower indexes: of any two participants one then greets the other.
        let local = host(Ipv4Addr::LOCALHOST, config.unicast_participants.max(self.index));
        let own = ports::metatraffic_unicast(self.domain_id, self.index);
        let local = local.filter(|peer| Some(peer.port()) != own);
        let others = config.initial_peers.iter().flat_map(|peer| match *peer {
            InitialPeer::Host(address) => host(address, config.unicast_participants).collect(),
            InitialPeer::Address(address) => vec![address],
        });
        local.chain(others).collect()
    }
}

fn udp_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn bind(address: Ipv4Addr, port: u16) -> io::Result<UdpSocket> {
    let socket = udp_socket()?;
    // As much as the system grants: more only makes losses rarer.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.bind(&SocketAddrV4::new(address, port).into())?;
    Ok(socket.into())
}

fn bind_index(
    domain_id: u32,
    address: Ipv4Addr,
) -> Result<(u32, UdpSocket, UdpSocket), SocketError> {
    for index in 0..ports::MAX_PARTICIPANTS {
        let ports =
            ports::metatraffic_unicast(domain_id, index).zip(ports::user_unicast(domain_id, index));
        let Some((metatraffic, user)) = ports else { break };
        let both = bind(address, metatraffic)
            .and_then(|metatraffic| bind(address, user).map(|user| (metatraffic, user)));
        match both {
            Ok((metatraffic, user)) => return Ok((index, metatraffic, user)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(io_error("bind the participant's UDP ports")(error)),
        }
    }
    Err(SocketError::NoFreeIndex { domain_id })
}

fn join(group: SocketAddrV4, addresses: &[Ipv4Addr]) -> io::Result<UdpSocket> {
    let socket = udp_socket()?;
    socket.set_reuse_address(true)?;
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER); // as above
    // Only what comes over an interface that was joined here, not over those others joined.
    socket.set_multicast_all_v4(false)?;
    socket.bind(&group.into())?;
    let mut result = Err(io::ErrorKind::AddrNotAvailable.into());
    for address in addresses {
        match socket.join_multicast_v4(group.ip(), address) {
            Ok(()) => result = Ok(()),
            Err(error) => {
                tracing::debug!(%error, %address, "cannot join the group on this interface");
                if result.is_err() {
                    result = Err(error);
                }
            }
        }
    }
    result.map(|()| socket.into())
}

/// Addresses of the interfaces to use that are up.
fn interface_addresses(interfaces: &Interfaces) -> Result<Vec<Ipv4Addr>, SocketError> {
    let all = getifaddrs().map_err(|errno| io_error("list network interfaces")(errno.into()))?;
    let up: Vec<(String, bool, Ipv4Addr)> = all
        .filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP))
        .filter_map(|interface| {
            let is_loopback = interface.flags.contains(InterfaceFlags::IFF_LOOPBACK);
            // The loopback interface seldom has the MULTICAST flag, and can be joined all the same.
            let is_usable = is_loopback || interface.flags.contains(InterfaceFlags::IFF_MULTICAST);
            let address = interface.address?.as_sockaddr_in()?.ip();
            is_usable.then_some((interface.interface_name, is_loopback, address))
        })
        .collect();
    if let Interfaces::Named(names) = interfaces
        && let Some(down) = names.iter().find(|name| !up.iter().any(|(is_up, ..)| is_up == *name))
    {
        return Err(SocketError::InterfaceDown { name: down.clone() });
    }
    let is_wanted = |name: &String, is_loopback: bool| match interfaces {
        Interfaces::All => true,
        Interfaces::LoopbackOnly => is_loopback,
        Interfaces::Named(names) => is_loopback || names.contains(name),
    };
    let mut addresses: Vec<Ipv4Addr> = up
        .iter()
        .filter(|(name, is_loopback, _)| is_wanted(name, *is_loopback))
        .map(|(_, _, address)| *address)
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() { Err(SocketError::NoInterface) } else { Ok(addresses) }
}
