//! The embedded participant among real peers: it is seen and sees, with its locator aboard; leaving
//! and dying are noticed on both sides; a peer that matches is neither stalled nor left without word;
//! garbage disturbs nobody.

#![allow(clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use dds_shm::discovery::find_locator;
use dds_shm::wire::message::{MessageReader, Submessage};
use dds_shm::wire::{EndpointData, EndpointRole, EntityId, Guid, VendorId};
use interop_tests::{Need, Peer, PeerOptions, Ready, Sniffer, in_namespace};
use serde_json::Value;

const LOCATOR_PATH: &str = "/dev/shm/dds-shm-0/segments/interop.flink";
/// RustDDS's lease, and some time to notice.
const RUSTDDS_LEASE: Duration = Duration::from_secs(80);

type Start = fn(&PeerOptions) -> Peer;

fn both() -> PeerOptions {
    PeerOptions::default().writer().reader().transient_local().keep_all()
}

fn is(guid: Guid) -> impl Fn(&Value) -> bool {
    move |event| event["guid"] == guid.to_hex()
}

fn writer(ready: Ready) -> Guid {
    ready.writer.expect("it has a writer")
}

fn reader(ready: Ready) -> Guid {
    ready.reader.expect("it has a reader")
}

/// Waits until one has listed the participant, the writer and the reader of the other.
fn lists(one: &mut Peer, other: Ready) {
    one.wait_for("participant", is(other.participant));
    let publication = one.wait_for("publication", is(writer(other)));
    let subscription = one.wait_for("subscription", is(reader(other)));
    for endpoint in [publication, subscription] {
        assert_eq!(endpoint["topic"], "Interop");
        assert_eq!(endpoint["type"], "interop::Sample");
    }
}

/// The locators in the publications that a participant announced to others.
fn announced_locators(sniffer: &Sniffer, of: Guid) -> Vec<String> {
    let mut paths = Vec::new();
    for datagram in sniffer.captured() {
        let Ok(message) = MessageReader::new(&datagram.payload) else { continue };
        for received in message.flatten() {
            let Submessage::Data(data) = received.submessage else { continue };
            if received.state.source_guid_prefix != of.prefix
                || data.writer_id != EntityId::SEDP_PUBLICATIONS_WRITER
            {
                continue;
            }
            let found = EndpointData::from_pl_cdr(EndpointRole::Writer, data.payload.bytes())
                .ok()
                .and_then(|data| find_locator(&data, VendorId::EMBEDDED).ok().flatten());
            paths.extend(found.map(|locator| locator.path.as_str().to_owned()));
        }
    }
    paths
}

fn see_each_other(start: Start, vendor: VendorId) {
    let sniffer = Sniffer::start();
    let mut ours = both().embedded();
    let mut theirs = start(&both());
    let (us, them) = (ours.ready(), theirs.ready());
    lists(&mut theirs, us);
    lists(&mut ours, them);
    let participant = ours.wait_for("participant", is(them.participant));
    let octets = vendor.0.map(|octet| format!("{octet:02x}")).concat();
    assert_eq!(participant["vendor"], octets);
    assert!(announced_locators(&sniffer, us.participant).contains(&LOCATOR_PATH.to_owned()));
}

#[test]
fn cyclone_and_we_list_each_other_with_the_locator_aboard() {
    in_namespace!([Need::Cyclone], || see_each_other(PeerOptions::cyclone, VendorId::CYCLONE_DDS));
}

#[test]
fn rustdds_and_we_list_each_other_with_the_locator_aboard() {
    in_namespace!([Need::RustDds], || see_each_other(PeerOptions::rustdds, VendorId::RUST_DDS));
}

#[test]
fn three_implementations_and_three_of_us_all_list_each_other() {
    in_namespace!([Need::Cyclone, Need::RustDds], || {
        let mut peers = [
            both().cyclone(),
            both().embedded(),
            both().rustdds(),
            both().embedded(),
            both().embedded(),
        ];
        let ready = peers.each_mut().map(Peer::ready);
        for (index, peer) in peers.iter_mut().enumerate() {
            for (other, &ready) in ready.iter().enumerate() {
                if index != other {
                    lists(peer, ready);
                }
            }
        }
    });
}

#[test]
fn cyclone_without_multicast_and_we_list_each_other() {
    in_namespace!([Need::Cyclone], || {
        let mut ours = both().embedded();
        let mut theirs = both().unicast_only().cyclone();
        let (us, them) = (ours.ready(), theirs.ready());
        lists(&mut theirs, us);
        lists(&mut ours, them);
    });
}

#[test]
fn only_who_has_our_domain_tag_sees_us() {
    in_namespace!([Need::Cyclone], || {
        let mut ours = both().domain_tag("robot").embedded();
        let mut stranger = both().cyclone();
        let mut theirs = both().domain_tag("robot").cyclone();
        let (us, them) = (ours.ready(), theirs.ready());
        let stranger_guid = stranger.ready().participant;
        lists(&mut theirs, us);
        lists(&mut ours, them);
        assert!(!stranger.events().iter().any(is(us.participant)));
        assert!(!ours.events().iter().any(is(stranger_guid)));
    });
}

fn leaving(start: Start) {
    let mut ours = both().embedded();
    let mut theirs = start(&both());
    let (us, them) = (ours.ready(), theirs.ready());
    lists(&mut theirs, us);
    lists(&mut ours, them);
    theirs.stop();
    let lost = ours.wait_for("participant_lost", is(them.participant));
    assert_eq!(lost["reason"], "disposed");

    let mut others = start(&both());
    let them = others.ready();
    lists(&mut others, us);
    lists(&mut ours, them);
    ours.tell("withdraw");
    others.wait_for("publication_lost", is(writer(us)));
    others.wait_for("subscription_lost", is(reader(us)));
    let left = Instant::now();
    ours.stop();
    others.wait_for("participant_lost", is(us.participant));
    assert!(left.elapsed() < Duration::from_secs(5), "told, not noticed by the lease");
}

#[test]
fn cyclone_leaving_reaches_us_and_ours_reaches_it() {
    in_namespace!([Need::Cyclone], || leaving(PeerOptions::cyclone));
}

#[test]
fn rustdds_leaving_reaches_us_and_ours_reaches_it() {
    in_namespace!([Need::RustDds], || leaving(PeerOptions::rustdds));
}

fn dying(start: Start, bound: Duration) {
    let lease = Duration::from_secs(2);
    let options = both().lease(lease);
    let mut ours = options.embedded();
    let mut theirs = start(&options);
    let (us, them) = (ours.ready(), theirs.ready());
    lists(&mut theirs, us);
    lists(&mut ours, them);
    theirs.kill();
    let lost = ours.wait_for_within(bound, "participant_lost", is(them.participant));
    assert_eq!(lost["reason"], "timeout");

    let mut others = start(&options);
    let them = others.ready();
    lists(&mut others, us);
    lists(&mut ours, them);
    ours.kill();
    others.wait_for("participant_lost", is(us.participant));
}

#[test]
fn cyclone_dying_reaches_us_and_ours_reaches_it() {
    in_namespace!([Need::Cyclone], || dying(PeerOptions::cyclone, Duration::from_secs(10)));
}

#[test]
fn rustdds_dying_reaches_us_and_ours_reaches_it() {
    in_namespace!([Need::RustDds], || dying(PeerOptions::rustdds, RUSTDDS_LEASE));
}

/// Waits until we have been told that nothing goes between two endpoints. It may be told twice, first
/// because of traffic from a peer that is not announced yet; no reason comes twice.
fn unreachable(ours: &mut Peer, local: Guid, remote: Guid, why: &str) {
    let about = |event: &Value| {
        event["event"] == "unreachable"
            && event["local"] == local.to_hex()
            && event["remote"] == remote.to_hex()
    };
    ours.wait_for("unreachable", |event| about(event) && event["why"] == why);
    let mut reasons: Vec<String> = ours
        .events()
        .iter()
        .filter(|event| about(event))
        .map(|event| event["why"].to_string())
        .collect();
    let told = reasons.len();
    reasons.sort();
    reasons.dedup();
    assert_eq!(told, reasons.len(), "{:?}", ours.events());
}

fn writer_is_not_stalled(start: Start) {
    let mut ours = PeerOptions::default().reader().transient_local().keep_all().embedded();
    let us = ours.ready();
    let writes = PeerOptions::default().writer().transient_local().keep_all();
    let mut theirs = start(&writes.max_blocking(Duration::from_secs(2)));
    let them = theirs.ready();
    theirs.wait_for("subscription", is(reader(us)));
    ours.wait_for("publication", is(writer(them)));
    // Far more than any implementation keeps unacknowledged.
    for _ in 0..20 {
        assert!(theirs.write(1000));
    }
    assert!(theirs.wait_for_acks(Duration::from_secs(20)));
    unreachable(&mut ours, reader(us), writer(them), "NoLocator");
    theirs.stop();
}

#[test]
fn a_cyclone_writer_that_matches_our_reader_is_not_stalled() {
    in_namespace!([Need::Cyclone], || writer_is_not_stalled(PeerOptions::cyclone));
}

#[test]
fn a_rustdds_writer_that_matches_our_reader_is_not_stalled() {
    in_namespace!([Need::RustDds], || writer_is_not_stalled(PeerOptions::rustdds));
}

/// How many submessages that `counts` one endpoint sent to another.
fn said(sniffer: &Sniffer, from: Guid, to: Guid, counts: impl Fn(Submessage<'_>) -> bool) -> usize {
    let captured = sniffer.captured();
    let messages = captured.iter().filter_map(|it| MessageReader::new(&it.payload).ok());
    let received = messages.flat_map(|message| message.flatten().collect::<Vec<_>>());
    received
        .filter(|received| {
            received.state.source_guid_prefix == from.prefix
                && received.state.is_for(to.prefix)
                && counts(received.submessage)
        })
        .count()
}

fn reader_is_not_stalled(start: Start, then: impl FnOnce(&mut Peer)) {
    let sniffer = Sniffer::start();
    let mut ours = PeerOptions::default().writer().transient_local().keep_all().embedded();
    let us = ours.ready();
    let mut theirs = start(&PeerOptions::default().reader().transient_local().keep_all());
    let them = theirs.ready();
    theirs.wait_for("publication", is(writer(us)));
    ours.wait_for("subscription", is(reader(them)));
    unreachable(&mut ours, writer(us), reader(them), "NotCapable");
    then(&mut theirs);
    let (asker, asked) = (reader(them), writer(us));
    let ids = (asker.entity_id, asked.entity_id);
    let asks = |submessage: Submessage<'_>| match submessage {
        Submessage::AckNack(ack) => (ack.reader_id, ack.writer_id) == ids,
        _ => false,
    };
    let answers = |submessage: Submessage<'_>| match submessage {
        Submessage::Gap(gap) => (gap.reader_id, gap.writer_id) == ids,
        Submessage::Heartbeat(heartbeat) => (heartbeat.reader_id, heartbeat.writer_id) == ids,
        _ => false,
    };
    // A reader that does not get what it asks for asks again and again; one that is told that there
    // is nothing falls silent. There is no event for silence: look at the wire for a while.
    std::thread::sleep(Duration::from_secs(2));
    let before = said(&sniffer, asker, asked, asks);
    assert!(before == 0 || said(&sniffer, asked, asker, answers) > 0, "it asks, we are silent");
    std::thread::sleep(Duration::from_secs(3));
    let after = said(&sniffer, asker, asked, asks);
    assert!(after - before <= 2, "it asks on and on: {before} times, then {after}");
    theirs.stop();
}

#[test]
fn a_cyclone_reader_that_matches_our_writer_is_not_stalled() {
    in_namespace!([Need::Cyclone], || {
        reader_is_not_stalled(PeerOptions::cyclone, |theirs| {
            assert!(theirs.wait_for_history(Duration::from_secs(10)));
        });
    });
}

#[test]
fn a_rustdds_reader_that_matches_our_writer_is_not_stalled() {
    in_namespace!([Need::RustDds], || reader_is_not_stalled(PeerOptions::rustdds, |_| ()));
}

#[test]
fn garbage_disturbs_nobody() {
    in_namespace!([Need::Cyclone], || {
        let sniffer = Sniffer::start();
        let mut ours = both().embedded();
        let mut theirs = both().cyclone();
        let (us, them) = (ours.ready(), theirs.ready());
        lists(&mut theirs, us);
        lists(&mut ours, them);
        throw_garbage(&sniffer, them.participant);

        let mut late = both().cyclone();
        let latecomer = late.ready();
        lists(&mut late, us);
        lists(&mut ours, latecomer);
        assert!(!ours.events().iter().any(|event| {
            event["event"] == "participant_lost" && event["guid"] == them.participant.to_hex()
        }));
        ours.stop();
    });
}

/// Sends to all ports of the first participants: noise, and what was really said, damaged. Nothing
/// of it names `spared`: a damaged farewell of a peer that is there could not be told from a true one.
fn throw_garbage(sniffer: &Sniffer, spared: Guid) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let mut ports: Vec<(Ipv4Addr, u16)> =
        (7410..7420).map(|port| (Ipv4Addr::LOCALHOST, port)).collect();
    ports.push((Ipv4Addr::new(239, 255, 0, 1), 7400));
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let said: Vec<Vec<u8>> = sniffer
        .captured()
        .into_iter()
        .map(|datagram| datagram.payload)
        .filter(|payload| payload.starts_with(b"RTPS"))
        .map(|payload| replace(payload, &spared.prefix.0, &[0x55; 12]))
        .collect();
    for round in 0..3000 {
        let length = noise.next() as usize % 1400;
        let mut datagram: Vec<u8> = match round % 3 {
            0 => (0..length).map(|_| noise.next() as u8).collect(),
            _ => said[noise.next() as usize % said.len()].clone(),
        };
        if round % 3 == 1 {
            datagram.truncate(noise.next() as usize % (datagram.len() + 1));
        }
        for _ in 0..=noise.next() % 8 {
            let behind_header = datagram.len().saturating_sub(20);
            if behind_header > 0 {
                let at = 20 + noise.next() as usize % behind_header;
                datagram[at] = noise.next() as u8;
            }
        }
        let datagram = replace(datagram, &spared.prefix.0, &[0x55; 12]);
        for to in &ports {
            // Refused where nobody listens; that is as well.
            let _ = socket.send_to(&datagram, to);
        }
    }
}

fn replace(mut bytes: Vec<u8>, from: &[u8; 12], to: &[u8; 12]) -> Vec<u8> {
    let mut at = 0;
    while let Some(window) = bytes.get_mut(at..at + 12) {
        if window == from {
            window.copy_from_slice(to);
        }
        at += 1;
    }
    bytes
}

/// xorshift64*: the same garbage every time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}
