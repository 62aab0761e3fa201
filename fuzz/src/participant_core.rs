//! The embedded participant, fed with datagrams.
//!
//! An input is a session: one record after the other, each `seconds u8, length u16 LE, datagram`. So
//! much time passes, then the datagram comes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use dds_shm::discovery::{
    DiscoveryLimits, ParticipantConfig, ParticipantCore, ParticipantLocators,
};
use dds_shm::wire::message::MessageReader;
use dds_shm::wire::{EndpointData, EndpointRole, EntityId, Guid, GuidPrefix, Locator};

const PREFIX: GuidPrefix = GuidPrefix([0x01, 0x7e, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
const LIMITS: DiscoveryLimits = DiscoveryLimits {
    participants: 3,
    endpoints_per_participant: 4,
    announcement_octets: 64 * 1024,
};
/// More than one datagram, or one second, can make a participant with so few endpoints say.
const MOST_SENT: usize = 1000;

/// Whatever is said to it, a participant answers within bounds, with messages that can be read, and
/// remembers no more than its limits.
pub fn run(mut input: &[u8]) {
    let mut now = Instant::now();
    let from = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 7410);
    let mut core = start(now);
    while let Some(([seconds, low, high], rest)) = input.split_first_chunk::<3>() {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (datagram, rest) = rest.split_at(length);
        input = rest;
        let end = now + Duration::from_secs((*seconds).into());
        pass_time(&mut core, &mut now, end);
        core.handle_datagram(now, from, datagram);
        check(&mut core, now);
    }
    let end = now + Duration::from_secs(2);
    pass_time(&mut core, &mut now, end);
    core.close(now);
    check(&mut core, now);
    assert_eq!(core.poll_timeout(now), None);
}

fn start(now: Instant) -> ParticipantCore {
    let config = ParticipantConfig { limits: LIMITS, ..ParticipantConfig::new(0) };
    let locators = ParticipantLocators {
        metatraffic_unicast: vec![Locator::udp_v4(Ipv4Addr::LOCALHOST, 7412)],
        metatraffic_multicast: vec![Locator::udp_v4(Ipv4Addr::new(239, 255, 0, 1), 7400)],
        default_unicast: vec![Locator::udp_v4(Ipv4Addr::LOCALHOST, 7413)],
    };
    let mut core = ParticipantCore::new(now, config, PREFIX, locators).expect("a good one");
    for (role, entity_id) in [
        (EndpointRole::Writer, EntityId::user_writer(1, false)),
        (EndpointRole::Reader, EntityId::user_reader(2, false)),
    ] {
        // Topic and type of the interop tests, so that recorded peers match.
        let guid = Guid::new(PREFIX, entity_id);
        let data = EndpointData::new(role, guid, "Interop", "interop::Sample");
        core.announce(now, data).expect("a good one");
    }
    core
}

fn pass_time(core: &mut ParticipantCore, now: &mut Instant, end: Instant) {
    while let Some(at) = core.poll_timeout(*now).filter(|at| *at <= end) {
        *now = at.max(*now);
        core.handle_timeout(*now);
        check(core, *now);
        // What is due is done: nothing may keep the clock from going on.
        if core.poll_timeout(*now).is_some_and(|at| at <= *now) {
            *now += Duration::from_millis(1);
        }
    }
    *now = end;
}

fn check(core: &mut ParticipantCore, now: Instant) {
    let mut sent = 0;
    while let Some((_, datagram)) = core.poll_transmit(now) {
        sent += 1;
        assert!(sent <= MOST_SENT, "it does not stop talking");
        let message = MessageReader::new(&datagram).expect("a message");
        assert!(message.clone().all(|received| received.is_ok()));
    }
    while core.poll_event().is_some() {}
    let participants = core.participants().count();
    assert!(participants <= LIMITS.participants);
    let most = participants * LIMITS.endpoints_per_participant;
    assert!(core.publications().count() <= most && core.subscriptions().count() <= most);
}
