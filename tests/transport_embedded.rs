//! The transport with discovery of its own: the registry, and SPDP and SEDP on the loopback interface.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;
mod transport_support;

use std::sync::Arc;
use std::time::Duration;

use dds_shm::SampleInfo;
use dds_shm::discovery::{EndpointDirectory, Interfaces, ParticipantConfig, Registry};
use dds_shm::transport::{
    EmbeddedParticipant, NetworkReason, Reachability, ReaderConfig, ShmTransport, TransportEvent,
    WriterConfig,
};
use dds_shm::wire::GuidPrefix;
use support::Home;
use transport_support::*;

/// A domain that nothing else on this host uses.
const DOMAIN: u32 = 187;

fn over_registry(home: &Home, number: u8) -> EmbeddedParticipant {
    let node = home.node();
    let registry: Arc<dyn EndpointDirectory> = Registry::open(&node, "test").unwrap();
    let transport = ShmTransport::builder(0, GuidPrefix([number; 12])).node(node).build().unwrap();
    EmbeddedParticipant::over(registry, transport).unwrap()
}

fn over_loopback(home: &Home, name: &str) -> EmbeddedParticipant {
    let config = ParticipantConfig {
        interfaces: Interfaces::LoopbackOnly,
        name: name.to_owned(),
        ..ParticipantConfig::new(DOMAIN)
    };
    EmbeddedParticipant::start(config, |options| options.node(home.node())).unwrap()
}

/// Samples go from one to the other; then the writer goes, and that is heard of.
fn exchange(one: &EmbeddedParticipant, other: &EmbeddedParticipant, topic: &str) {
    let writer = WriterConfig { qos: keep_all(), ..WriterConfig::of::<Count>(topic) };
    let writer = one.create_writer(writer).unwrap();
    let reader = ReaderConfig { qos: keep_all(), ..ReaderConfig::of::<Count>(topic) };
    let reader = other.create_reader(reader).unwrap();
    assert_eq!(writer.wait_for_readers(1, LONG), 1);
    for number in 1..=100 {
        let committed = writer.write(&count(number), &SampleInfo::default()).unwrap().unwrap();
        assert_eq!(writer.covered_readers(&committed), [reader.guid()]);
    }
    assert!(next_numbers(&reader, 100).into_iter().eq(1..=100));
    let guid = writer.guid();
    assert_eq!(reader.reachability(guid), Reachability::SharedMemory);
    drop(writer);
    let host = Host::new(other.transport().clone());
    host.expect(|event| match event {
        TransportEvent::Unmatched { remote, .. } if *remote == guid => Some(()),
        _ => None,
    });
    assert!(reader.take_within(Duration::from_millis(1)).unwrap().is_none());
    let gone = [NetworkReason::Unknown, NetworkReason::Deleted].map(Reachability::Network);
    assert!(gone.contains(&reader.reachability(guid)));
}

#[test]
fn endpoints_find_each_other_through_the_registry() {
    let home = Home::new();
    let (one, other) = (over_registry(&home, 1), over_registry(&home, 2));
    exchange(&one, &other, "registry");
    exchange(&other, &one, "registry");
}

#[test]
fn endpoints_find_each_other_through_spdp_and_sedp() {
    let home = Home::new();
    let (one, other) = (over_loopback(&home, "one"), over_loopback(&home, "other"));
    exchange(&one, &other, "spdp");
    exchange(&other, &one, "spdp");
}

#[test]
fn a_participant_reads_its_own_writers() {
    let home = Home::new();
    let participant = over_loopback(&home, "alone");
    let reader = participant.create_reader(ReaderConfig::of::<Count>("own")).unwrap();
    let writer = participant.create_writer(WriterConfig::of::<Count>("own")).unwrap();
    assert_eq!(writer.wait_for_readers(1, LONG), 1);
    writer.write(&count(1), &SampleInfo::default()).unwrap();
    assert_eq!(next_numbers(&reader, 1), [1]);
}

#[test]
fn endpoints_outlive_their_participant() {
    let home = Home::new();
    let participant = over_registry(&home, 1);
    let other = over_registry(&home, 2);
    let writer = participant.create_writer(WriterConfig::of::<Count>("outlive")).unwrap();
    drop(participant);
    let reader = other.create_reader(ReaderConfig::of::<Count>("outlive")).unwrap();
    assert_eq!(writer.wait_for_readers(1, LONG), 1);
    writer.write(&count(1), &SampleInfo::default()).unwrap();
    assert_eq!(next_numbers(&reader, 1), [1]);
}
