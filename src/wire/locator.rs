//! Where an RTPS endpoint can be reached.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What kind of transport a [`Locator`] is an address of.
///
/// RTPS 2.5, 9.3.2.4; 3 to 0x01ffffff are the vendors' own, and 16 to 19 are in use by two of them
/// with different meanings.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocatorKind(pub i32);

impl LocatorKind {
    /// No locator.
    pub const INVALID: Self = Self(-1);
    /// Reserved.
    pub const RESERVED: Self = Self(0);
    /// UDP over IPv4: the address is in the last four octets, the others are zero.
    pub const UDP_V4: Self = Self(1);
    /// UDP over IPv6.
    pub const UDP_V6: Self = Self(2);
}

impl fmt::Debug for LocatorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocatorKind({})", self.0)
    }
}

/// An address at which RTPS messages can be received: kind, port and 16 octets.
///
/// 24 octets on the wire. RTPS 2.5, 8.3.5.11 and 9.3.2.4.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Locator {
    /// Kind of transport.
    pub kind: LocatorKind,
    /// Port, as far as the transport has ports of 16 bits.
    pub port: u32,
    /// Address; its meaning depends on the kind.
    pub address: [u8; 16],
}

impl Locator {
    /// No locator.
    pub const INVALID: Self = Self { kind: LocatorKind::INVALID, port: 0, address: [0; 16] };

    /// A UDP address over IPv4.
    pub fn udp_v4(address: Ipv4Addr, port: u16) -> Self {
        let mut octets = [0; 16];
        octets[12..].copy_from_slice(&address.octets());
        Self { kind: LocatorKind::UDP_V4, port: port.into(), address: octets }
    }

    /// A UDP address over IPv6.
    pub fn udp_v6(address: Ipv6Addr, port: u16) -> Self {
        Self { kind: LocatorKind::UDP_V6, port: port.into(), address: address.octets() }
    }

    /// The address to send UDP datagrams to; `None` for another transport, port 0, a port beyond 16
    /// bits, or an IPv4 address that is none.
    pub fn to_socket_addr(self) -> Option<SocketAddr> {
        let port = u16::try_from(self.port).ok().filter(|&port| port != 0)?;
        let ip = match self.kind {
            LocatorKind::UDP_V4 => {
                let [zeros @ .., a, b, c, d] = self.address;
                if zeros != [0; 12] {
                    return None;
                }
                IpAddr::V4(Ipv4Addr::new(a, b, c, d))
            }
            LocatorKind::UDP_V6 => IpAddr::V6(Ipv6Addr::from(self.address)),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }

    /// Whether this is a UDP multicast address.
    pub fn is_multicast(self) -> bool {
        self.to_socket_addr().is_some_and(|address| address.ip().is_multicast())
    }
}

impl From<SocketAddr> for Locator {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::udp_v4(*address.ip(), address.port()),
            SocketAddr::V6(address) => Self::udp_v6(*address.ip(), address.port()),
        }
    }
}

impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_socket_addr() {
            Some(address) => write!(f, "Locator(udp {address})"),
            None => write!(
                f,
                "Locator(kind {}, port {}, address {:02x?})",
                self.kind.0, self.port, self.address
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_addresses_survive() {
        for text in ["127.0.0.1:7400", "239.255.0.1:7400", "[ff02::1]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Locator::from(address).to_socket_addr(), Some(address));
        }
        assert!(Locator::udp_v4(Ipv4Addr::new(239, 255, 0, 1), 7400).is_multicast());
    }

    #[test]
    fn what_is_no_udp_address_gives_none() {
        let good = Locator::udp_v4(Ipv4Addr::LOCALHOST, 1);
        assert_eq!(Locator { port: 0, ..good }.to_socket_addr(), None);
        assert_eq!(Locator { port: 0x1_0001, ..good }.to_socket_addr(), None);
        assert_eq!(Locator { kind: LocatorKind(16), ..good }.to_socket_addr(), None);
        assert_eq!(Locator { address: [1; 16], ..good }.to_socket_addr(), None);
    }
}
