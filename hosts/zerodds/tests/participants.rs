//! ZeroDDS participants, as the crates come, with segments: found by our discovery, read, and let go
//! of when a lease expires.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../../tests/support/mod.rs"]
mod support;
#[path = "../examples/two_participants.rs"]
#[allow(dead_code, reason = "only its type is used")]
mod two_participants;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dds_shm::discovery::{
    EndpointDirectory as _, Interfaces, LocatorPolicy, Participant, ParticipantConfig,
    RemoteEndpoint,
};
use dds_shm::slots::{EntryStatus, ReaderIndex};
use dds_shm::transport::{NetworkReason, attach_by_locator};
use dds_shm::types::SegmentFormat;
use dds_shm::wire::{Guid, VendorId};
use dds_shm::{FlowPolicy, PosixSlotAllocator, ReaderOptions, SlotBackend as _};
use dds_shm_zerodds::{
    Delivery, HostError, Publication, SegmentFinder, Subscription, segment_options,
};
use interop_tests::in_namespace;
use support::{Home, SOON, eventually, role, say};
use two_participants::{Reading, reading};
use zerodds_dcps::qos::ReliabilityKind;
use zerodds_dcps::runtime::RuntimeConfig;
use zerodds_dcps::{
    DataReader, DataReaderQos, DataWriter, DataWriterQos, DomainParticipant,
    DomainParticipantFactory, DomainParticipantQos, PublisherQos, SubscriberQos, TopicQos,
};
use zerodds_flatdata::{FlatStruct as _, SlotBackend as _};
use zerodds_rtps::wire_types::EntityId;

const DOMAIN: u32 = 72;
const TOPIC: &str = "Readings";
const INDEX: u8 = 2;
const LEASE: Duration = Duration::from_secs(2);

fn index() -> ReaderIndex {
    ReaderIndex::new(INDEX.into()).unwrap()
}

fn participant() -> DomainParticipant {
    let config = RuntimeConfig {
        participant_lease_duration: LEASE,
        spdp_period: Duration::from_millis(500),
        ..RuntimeConfig::default()
    };
    DomainParticipantFactory::instance()
        .create_participant_with_config(DOMAIN as i32, DomainParticipantQos::default(), config)
        .unwrap()
}

fn writer(participant: &DomainParticipant) -> DataWriter<Reading> {
    let topic = participant.create_topic::<Reading>(TOPIC, TopicQos::default()).unwrap();
    let publisher = participant.create_publisher(PublisherQos::default());
    publisher.create_datawriter::<Reading>(&topic, DataWriterQos::default()).unwrap()
}

fn reader(participant: &DomainParticipant) -> DataReader<Reading> {
    let topic = participant.create_topic::<Reading>(TOPIC, TopicQos::default()).unwrap();
    let subscriber = participant.create_subscriber(SubscriberQos::default());
    let mut qos = DataReaderQos::default();
    qos.reliability.kind = ReliabilityKind::Reliable;
    subscriber.create_datareader::<Reading>(&topic, qos).unwrap()
}

fn discovery() -> ParticipantConfig {
    ParticipantConfig { interfaces: Interfaces::LoopbackOnly, ..ParticipantConfig::new(DOMAIN) }
}

fn eventually_some<T>(what: &str, mut get: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    eventually(what, || {
        std::thread::sleep(Duration::from_millis(1));
        found = get();
        found.is_some()
    });
    found.unwrap()
}

fn with_segment(found: Vec<Arc<RemoteEndpoint>>) -> Option<Arc<RemoteEndpoint>> {
    found.into_iter().find(|writer| writer.locator.is_some())
}

#[test]
fn their_segment_is_found_by_our_discovery_and_read() {
    in_namespace!([], || {
        let home = Home::new();
        let flink = home.path("theirs.flink");
        let mut child = home.child("their participant", flink.to_str().unwrap());
        child.expect("announced");
        let ours = Participant::start(discovery()).unwrap();
        let writer = eventually_some("its segment", || with_segment(ours.publications(TOPIC)));
        assert_eq!(writer.vendor_id, VendorId([0x01, 0xf0]));
        let locator = writer.locator.clone().unwrap();
        assert_eq!((locator.path.as_path(), &locator.segment), (flink.as_path(), &None));

        // Not opened before its directory is allowed.
        let node = home.node();
        let policy = LocatorPolicy::new(home.dir.path());
        let refused = attach_by_locator(&node, &locator, &policy, None).unwrap_err();
        assert!(matches!(refused, NetworkReason::PathRefused { .. }), "{refused}");
        let policy = policy.allow(flink.parent().unwrap());
        let elsewhere = dds_shm::discovery::ShmLocator { hostname_hash: 1, ..locator.clone() };
        let refused = attach_by_locator(&node, &elsewhere, &policy, None).unwrap_err();
        assert!(matches!(refused, NetworkReason::OtherHost), "{refused}");
        let other = dds_shm::discovery::ShmLocator { slot_count: 99, ..locator.clone() };
        let refused = attach_by_locator(&node, &other, &policy, None).unwrap_err();
        assert!(refused.to_string().contains("another segment"), "{refused}");

        let segment = attach_by_locator(&node, &locator, &policy, None).unwrap();
        segment.add_reader_as(index()).unwrap();
        child.go_on();
        for number in 0..100 {
            let handle = loop {
                let seen = segment.generation();
                match segment.next_unread_slot(index()).unwrap() {
                    Some(handle) => break handle,
                    None => drop(segment.wait(seen, SOON)),
                }
            };
            assert_eq!(segment.read_slot(handle).unwrap().1, reading(number).as_bytes());
            segment.mark_read(handle, index()).unwrap();
        }
        child.go_on();
        assert!(child.ends_well());
        eventually("that it left", || with_segment(ours.publications(TOPIC)).is_none());
    });
}

/// Nothing of ours in it: the crates as they come.
fn their_participant(flink: &Path) {
    let participant = participant();
    let writer = writer(&participant);
    let segment = zerodds_flatdata::PosixSlotAllocator::create(flink, 4, Reading::WIRE_SIZE);
    let segment = Arc::new(segment.unwrap());
    let locator = zerodds_flatdata::ShmLocator {
        hostname_hash: zerodds_flatdata::fnv1a_32(
            nix::unistd::gethostname().unwrap().as_encoded_bytes(),
        ),
        uid: nix::unistd::geteuid().as_raw(),
        slot_count: 4,
        slot_size: segment.slot_total_size() as u32,
        segment_path: segment.segment_path(),
    };
    writer.set_flat_backend(Some(Arc::clone(&segment) as _), 1 << INDEX);
    let guid = writer.rtps_guid().unwrap();
    let entity = EntityId::from_bytes([guid[12], guid[13], guid[14], guid[15]]);
    let runtime = participant.runtime().unwrap();
    runtime.set_shm_locator(entity, locator.to_bytes_le().unwrap());
    say("announced");
    support::await_go();
    for number in 0..100 {
        loop {
            let seen = segment.notify_generation();
            match writer.write_flat(&reading(number)) {
                Ok(()) => break,
                Err(zerodds_dcps::DdsError::OutOfResources { .. }) => {
                    segment.wait_for_change(seen, SOON);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    support::await_go();
    writer.set_flat_backend(None, 0);
}

#[test]
fn a_reader_whose_lease_expires_holds_up_nobody_and_gets_its_place_back() {
    in_namespace!([], || {
        let home = Home::new();
        let participant = participant();
        let writer = writer(&participant);
        let node = home.node();
        let options = segment_options(&writer).unwrap().slots(4);
        let options = options.flow(FlowPolicy::keep_all(SOON));
        let publication = Publication::open(&node, &participant, &writer, &options).unwrap();
        let owner = publication.slots().segment().owner_handle().unwrap();
        let status = || owner.readers().first().map(|(_, status, _)| *status);
        let child = home.child("our reader", "");
        child.expect("attached");
        eventually("admission", || status() == Some(EntryStatus::Admitted));
        // Its lease can expire only where the participants know of each other.
        eventually("the match", || writer.matched_subscription_count() == 1);
        writer.write_flat(&reading(0)).unwrap();
        child.expect("0");

        child.pause();
        let paused = Instant::now();
        // Four fill the segment; the fifth waits until nobody is waited for.
        (1..=5).for_each(|number| writer.write_flat(&reading(number)).unwrap());
        let waited = paused.elapsed();
        assert!((LEASE / 4..SOON / 2).contains(&waited), "{waited:?}");
        assert_eq!(status(), Some(EntryStatus::Disconnected));
        child.resume();
        eventually("its return", || {
            std::thread::sleep(Duration::from_millis(10));
            status() == Some(EntryStatus::Admitted)
        });
        writer.write_flat(&reading(100)).unwrap();
        assert!(paused.elapsed() < SOON / 2, "{:?}", paused.elapsed());
        loop {
            // What was not replaced it may still get.
            match child.line().as_str() {
                "100" => break,
                number => assert!((1..=5).contains(&number.parse::<u64>().unwrap())),
            }
        }
    });
}

fn subscribe(
    home: &Path,
    delivery: Delivery,
) -> (DomainParticipant, DataReader<Reading>, SegmentFinder, Subscription<Reading>) {
    let participant = participant();
    let reader = reader(&participant);
    let dir = dds_shm::liveness::RuntimeDir::create(home).unwrap();
    let node = dds_shm::liveness::Node::new(&dir, support::no_janitor()).unwrap();
    let finder = SegmentFinder::start(&node, discovery()).unwrap();
    let writer = eventually_some("a segment", || finder.writers(&reader).pop());
    let subscription = finder.attach(&reader, &writer, delivery, None).unwrap();
    (participant, reader, finder, subscription)
}

fn our_reader(home: &Path) {
    let (_participant, reader, _finder, _subscription) = subscribe(home, Delivery::Every);
    say("attached");
    loop {
        if let Some(got) = reader.read_flat_blocking(SOON).unwrap() {
            say(got.number);
        }
    }
}

#[test]
fn a_scan_copies_the_newest_sample_and_nothing_else() {
    in_namespace!([], || {
        let home = Home::new();
        let participant = participant();
        let writer = writer(&participant);
        let options = segment_options(&writer).unwrap().slots(8);
        let publication = Publication::open(&home.node(), &participant, &writer, &options).unwrap();
        let (_participant, reader, _finder, subscription) =
            subscribe(home.dir.path(), Delivery::Newest);
        let owner = publication.slots().segment().owner_handle().unwrap();
        eventually("admission", || {
            // The first look after the admission.
            assert_eq!(reader.read_flat().unwrap(), None);
            owner.readers().first().is_some_and(|(_, status, _)| *status == EntryStatus::Admitted)
        });
        assert_eq!(reader.read_flat().unwrap(), None);
        for round in 0..10 {
            (0..5).for_each(|n| writer.write_flat(&reading(10 * round + n)).unwrap());
            // As ZeroDDS asks.
            let slots = subscription.slots();
            let handle = |slot_index| zerodds_flatdata::SlotHandle { segment_id: 0, slot_index };
            let copies = (0..8).filter(|slot| {
                let (header, bytes) = slots.read_slot(handle(*slot)).unwrap();
                assert_eq!(header.sample_size as usize, bytes.len());
                !bytes.is_empty()
            });
            assert_eq!(copies.count(), 1);
            assert_eq!(reader.read_flat().unwrap(), Some(reading(10 * round + 4)));
            assert_eq!(reader.read_flat().unwrap(), None);
        }
    });
}

#[test]
fn a_segment_of_another_type_is_refused() {
    in_namespace!([], || {
        let home = Home::new();
        let participant = participant();
        let writer = writer(&participant);
        let other = dds_shm::SegmentOptions::new(
            TOPIC,
            "example::Reading",
            dds_shm::TypeHash { scheme: dds_shm::TypeHash::ZERODDS, digest: [0; 16] },
            16,
        );
        let node = home.node();
        let _publication = Publication::open(&node, &participant, &writer, &other).unwrap();
        let finder = SegmentFinder::start(&node, discovery()).unwrap();
        let reader = reader(&participant);
        let found = eventually_some("the segment", || finder.writers(&reader).pop());
        let refused = finder.attach(&reader, &found, Delivery::Newest, None).unwrap_err();
        assert!(matches!(refused, HostError::Network(NetworkReason::Mismatch(_))), "{refused}");
    });
}

#[test]
fn a_segment_that_its_owner_replaces_is_announced_anew() {
    in_namespace!([], || {
        let home = Home::new();
        let participant = participant();
        let writer = writer(&participant);
        let options = segment_options(&writer).unwrap().slots(4).readers(1, 4);
        let options = options.flow(FlowPolicy::keep_last(SOON));
        let options = options.misbehaves_after(Duration::from_millis(200));
        let node = home.node();
        let publication = Publication::open(&node, &participant, &writer, &options).unwrap();
        let first = publication.locator();
        let flink = publication.slots().segment().flink_path();
        let holder = ReaderOptions { max_held: 4, ..ReaderOptions::default() };
        let holder = PosixSlotAllocator::open_reader(&home.node(), flink, None, holder).unwrap();
        let mut number = 0;
        let mut held = Vec::new();
        while held.len() < 4 {
            writer.write_flat(&reading(number)).unwrap();
            number += 1;
            held.extend(holder.take().unwrap());
        }
        // Every slot is pinned: it goes on in new memory.
        writer.write_flat(&reading(number)).unwrap();
        eventually("the new announcement", || publication.locator() != first);

        let finder = SegmentFinder::start(&node, discovery()).unwrap();
        // As ZeroDDS makes them: BEST_EFFORT.
        let topic = participant.create_topic::<Reading>(TOPIC, TopicQos::default()).unwrap();
        let subscriber = participant.create_subscriber(SubscriberQos::default());
        let reader = DataReaderQos::default();
        let reader = subscriber.create_datareader::<Reading>(&topic, reader).unwrap();
        let found = eventually_some("the segment", || finder.writers(&reader).pop());
        assert_eq!(found.locator, Some(publication.locator()));
        let _subscription = finder.attach(&reader, &found, Delivery::Newest, None).unwrap();
        let owner = publication.slots().segment().owner_handle().unwrap();
        let guid = reader.rtps_guid().unwrap();
        eventually("the reader", || {
            owner.readers().iter().any(|(_, _, entry)| entry.guid == guid && !entry.reliable)
        });
    });
}

#[test]
fn their_reader_reads_what_our_publication_writes() {
    in_namespace!([], || {
        let home = Home::new();
        let participant = participant();
        let writer = writer(&participant);
        let options = segment_options(&writer).unwrap().slots(4).format(SegmentFormat::ZDS2);
        let options = options.flow(FlowPolicy::keep_all(SOON));
        let publication = Publication::open(&home.node(), &participant, &writer, &options).unwrap();
        let segment: &PosixSlotAllocator = publication.slots().segment();
        let mut child = home.child("their reader", segment.flink_path().to_str().unwrap());
        let guid: Guid = child.line().parse().unwrap();
        // Which index it has is agreed on by other means; its lease is looked after.
        publication.expect_reader(guid.to_bytes(), index()).unwrap();
        (0..100).for_each(|number| writer.write_flat(&reading(number)).unwrap());
        child.expect("99");
        assert!(child.ends_well());
    });
}

/// Nothing of ours in it: the crates as they come.
fn their_reader(flink: &Path) {
    let participant = participant();
    let reader = reader(&participant);
    let segment = zerodds_flatdata::PosixSlotAllocator::attach(flink).unwrap();
    reader.set_flat_backend(Some(Arc::new(segment)), INDEX);
    say(Guid::from_bytes(reader.rtps_guid().unwrap()).to_hex());
    let mut last = 0;
    while last < 99 {
        let got = reader.read_flat_blocking(SOON).unwrap().unwrap();
        assert!(got.number >= last && got == reading(got.number));
        last = got.number;
    }
    say(last);
}

#[test]
#[ignore = "run by other tests"]
fn another_process() {
    let Some((role, argument, home)) = role() else { return };
    match role.as_str() {
        "their participant" => their_participant(Path::new(&argument)),
        "their reader" => their_reader(Path::new(&argument)),
        "our reader" => our_reader(&home),
        other => panic!("{other}"),
    }
}
