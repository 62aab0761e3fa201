//! What is really on the loopback interface.

use std::io::Read;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use socket2::{Domain, Protocol, Socket, Type};

/// A UDP datagram that was sent in the namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Where to.
    pub destination: (Ipv4Addr, u16),
    /// What.
    pub payload: Vec<u8>,
}

/// Collects every UDP datagram over IPv4 that is sent in the namespace, from its start on.
///
/// Fragments of IP are not put together: the loopback interface carries 64 KiB in one piece.
#[derive(Debug)]
pub struct Sniffer {
    captured: Arc<Mutex<Vec<Captured>>>,
}

impl Sniffer {
    /// Begins to collect. Only inside a namespace: it needs the right to open a packet socket.
    ///
    /// # Panics
    ///
    /// If there is no such right.
    pub fn start() -> Self {
        // ETH_P_IP in network order. Cooked: packets begin with the IP header.
        let protocol = Protocol::from(i32::from(0x0800_u16.to_be()));
        let mut socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))
            .expect("a packet socket: use the sniffer inside a namespace only");
        let captured = Arc::new(Mutex::new(Vec::new()));
        let store = Arc::clone(&captured);
        std::thread::spawn(move || {
            let mut packet = vec![0; 1 << 16];
            while let Ok(length) = socket.read(&mut packet) {
                if let Some(datagram) = packet.get(..length).and_then(parse_ipv4_udp) {
                    store.lock().expect("no one panics with it").push(datagram);
                }
            }
        });
        Self { captured }
    }

    /// What was sent so far. The loopback interface shows some datagrams twice, going out and coming
    /// in.
    ///
    /// # Panics
    ///
    /// Never, but for a bug.
    pub fn captured(&self) -> Vec<Captured> {
        self.captured.lock().expect("no one panics with it").clone()
    }
}

fn parse_ipv4_udp(packet: &[u8]) -> Option<Captured> {
    const UDP: u8 = 17;
    let header_length = usize::from(*packet.first()? & 0x0f) * 4;
    if packet.first()? >> 4 != 4 || *packet.get(9)? != UDP {
        return None;
    }
    let address: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    let udp = packet.get(header_length..)?;
    let port = u16::from_be_bytes(udp.get(2..4)?.try_into().ok()?);
    Some(Captured { destination: (Ipv4Addr::from(address), port), payload: udp.get(8..)?.to_vec() })
}

/// Octets that the loopback interface of the namespace has carried.
///
/// # Panics
///
/// If the kernel does not say.
pub fn loopback_octets() -> u64 {
    let devices = std::fs::read_to_string("/proc/self/net/dev").expect("/proc/self/net/dev");
    let loopback = devices.lines().find_map(|line| line.trim().strip_prefix("lo:"));
    let received = loopback.and_then(|counts| counts.split_whitespace().next());
    received.and_then(|count| count.parse().ok()).expect("a count for lo")
}
