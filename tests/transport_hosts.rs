//! What a host needs whose interface tells a plugin little, and that late.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;
mod transport_support;

use dds_shm::discovery::Registry;
use dds_shm::slots::ExpectedType;
use dds_shm::transport::{EmbeddedParticipant, ReaderConfig, ShmTransport, WriterConfig};
use dds_shm::wire::{Guid, GuidPrefix};
use dds_shm::{SampleInfo, TypeHash};
use transport_support::*;

#[test]
fn a_writer_that_learns_late_who_it_is_says_so_with_its_first_sample() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let qos = keep_all();
    let (writer, reader) =
        connect(&one, writer_of::<Count>(qos.clone()), &other, reader_of::<Count>(qos));
    let info = SampleInfo::default();
    writer.write(&count(1), &info).unwrap().unwrap();
    let sample = reader.take_within(LONG).unwrap().unwrap();
    assert_eq!((sample.writer(), sample.origin()), (writer.guid(), writer.guid()));
    drop(sample);
    let origin = Guid::from_bytes([7; 16]);
    writer.set_origin(origin).unwrap();
    writer.write(&count(2), &info).unwrap().unwrap();
    let sample = reader.take_within(LONG).unwrap().unwrap();
    assert_eq!((sample.writer(), sample.origin()), (writer.guid(), origin));
}

#[test]
fn a_host_that_converts_types_reads_whatever_there_is() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let qos = keep_all();
    for hash in [TypeHash::UNKNOWN, TypeHash::of_layout("anything")] {
        let config = WriterConfig { qos: qos.clone(), ..WriterConfig::new("T", "U", hash, 8) };
        let expected = ExpectedType::any();
        let wanted = ReaderConfig { qos: qos.clone(), ..ReaderConfig::new("T", "U", expected) };
        let (writer, reader) = connect(&one, config, &other, wanted);
        writer.write(b"octets", &SampleInfo::default()).unwrap().unwrap();
        assert_eq!(reader.take_within(LONG).unwrap().unwrap().bytes(), b"octets");
    }
}

#[test]
fn a_loan_can_be_asked_for_without_waiting() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let config = WriterConfig { slots: Some(2), ..writer_of::<Count>(keep_all()) };
    let (writer, reader) = connect(&one, config, &other, reader_of::<Count>(keep_all()));
    for _ in 0..2 {
        writer.try_loan().unwrap().unwrap().publish(8, &SampleInfo::default()).unwrap();
    }
    assert!(writer.try_loan().unwrap().is_none());
    let sample = reader.take_within(LONG).unwrap().unwrap();
    assert!(sample.leaves_room());
    let second = reader.take_within(LONG).unwrap().unwrap();
    // As many as the reader may have.
    assert!(!sample.leaves_room() && !second.leaves_room());
    drop(sample);
    assert!(writer.try_loan().unwrap().is_some());
}

/// A host that meets others in the registry alone.
fn in_registry(rig: &Rig, number: u8) -> EmbeddedParticipant {
    let node = rig.home.node();
    let registry = Registry::open(&node, "a domain of exchange").unwrap();
    let transport = ShmTransport::builder(0, GuidPrefix([number; 12])).node(node).build().unwrap();
    EmbeddedParticipant::over(registry, transport).unwrap()
}

#[test]
fn what_a_writer_wrote_before_it_left_is_taken_whatever_the_registry_says_first() {
    let rig = Rig::new();
    let (one, other) = (in_registry(&rig, 1), in_registry(&rig, 2));
    for _ in 0..50 {
        let reader = other.create_reader(reader_of::<Count>(keep_all())).unwrap();
        let writer = one.create_writer(writer_of::<Count>(keep_all())).unwrap();
        assert_eq!(writer.wait_for_readers(1, LONG), 1);
        for number in 1..=200 {
            writer.write(&count(number), &SampleInfo::default()).unwrap().unwrap();
        }
        drop(writer);
        assert!(next_numbers(&reader, 200).into_iter().eq(1..=200));
    }
}
