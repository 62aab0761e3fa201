//! Who is attached to whom, and what is told when it is not possible.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;
mod transport_support;

use dds_shm::SampleInfo;
use dds_shm::discovery::{LossReason, RemoteEndpoint};
use dds_shm::transport::{
    HostDuty, Mismatch, NetworkReason, Reachability, ReaderConfig, ReaderLoss, TransportError,
    TransportEvent, WriterConfig,
};
use dds_shm::types::SegmentFormat;
use dds_shm::wire::EntityId;
use dds_shm::wire::qos::{EndpointQos, Partition, QosPolicyId};
use transport_support::*;

#[test]
fn endpoints_that_match_are_attached_and_say_so() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let (writer, reader) =
        connect(&one, writer_of::<Count>(keep_all()), &other, reader_of::<Count>(keep_all()));
    let (w, r) = (writer.guid(), reader.guid());

    assert_eq!(writer.reachability(r), Reachability::SharedMemory);
    assert_eq!(reader.reachability(w), Reachability::SharedMemory);
    assert_eq!(writer.handle().readers(), [(r, Reachability::SharedMemory)]);
    assert_eq!(reader.handle().writers(), [(w, Reachability::SharedMemory)]);
    assert_eq!(reader.handle().start_sn(w), Some(1));

    let committed = writer.write(&count(7), &SampleInfo::default()).unwrap().unwrap();
    assert_eq!(writer.covered_readers(&committed), [r]);
    assert_eq!(writer.uncovered_readers(&committed), []);
    let sample = reader.take_within(LONG).unwrap().unwrap();
    assert_eq!(sample.writer(), w);
    assert_eq!(sample.sequence_number().0, 1);
    assert!(sample.source_timestamp().is_some_and(|time| time > 1_600_000_000_000_000_000));
    assert!(sample.is_in_place() && sample.valid_data());
    assert_eq!(sample.bytes(), count(7));

    let matched = |host: &Host, ours, theirs| {
        host.expect(|event| match event {
            TransportEvent::Matched { local, remote, duties } if *local == ours => {
                assert_eq!((*remote, duties.len()), (theirs, 0));
                Some(())
            }
            _ => None,
        });
    };
    matched(&one, w, r);
    matched(&other, r, w);
    one.expect(|event| {
        (*event == TransportEvent::ReaderAttached { writer: w, reader: r, start_sn: 1 })
            .then_some(())
    });
    other.expect(|event| {
        (*event == TransportEvent::WriterAttached { reader: r, writer: w, start_sn: 1 })
            .then_some(())
    });
}

#[test]
fn a_reader_that_attaches_late_is_not_covered_before() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let writer = one.transport.create_writer(writer_of::<Count>(keep_all())).unwrap();
    let reader = other.transport.create_reader(reader_of::<Count>(keep_all())).unwrap();
    other.introduce(reader.guid(), &one);
    let before = writer.write(&count(1), &SampleInfo::default()).unwrap().unwrap();
    assert_eq!(writer.uncovered_readers(&before), [reader.guid()]);
    assert_eq!(
        writer.reachability(reader.guid()),
        Reachability::Network(NetworkReason::NotAttached)
    );
    one.introduce(writer.guid(), &other);
    assert_eq!(writer.wait_for_readers(1, LONG), 1);
    let after = writer.write(&count(2), &SampleInfo::default()).unwrap().unwrap();
    assert_eq!(writer.covered_readers(&after), [reader.guid()]);
    // An answer about an old commit does not change.
    assert_eq!(writer.covered_readers(&before), []);
    assert_eq!(reader.handle().start_sn(writer.guid()), Some(2));
    assert_eq!(next_numbers(&reader, 1), [2]);
}

#[test]
fn an_entry_that_goes_to_another_reader_does_not_mix_them_up() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let config = WriterConfig { reader_capacity: 1, ..writer_of::<Count>(keep_all()) };
    let (writer, first) = connect(&one, config, &other, reader_of::<Count>(keep_all()));
    let for_first = writer.write(&count(1), &SampleInfo::default()).unwrap().unwrap();
    let first_guid = first.guid();
    drop(first);
    one.expect(|event| match event {
        TransportEvent::ReaderLost { reader, why: ReaderLoss::Left, resend_from, .. } => {
            assert_eq!((*reader, *resend_from), (first_guid, 1));
            Some(())
        }
        _ => None,
    });
    let second = other.transport.create_reader(reader_of::<Count>(keep_all())).unwrap();
    assert_eq!(writer.wait_for_readers(1, LONG), 1);
    let for_second = writer.write(&count(2), &SampleInfo::default()).unwrap().unwrap();
    assert_eq!(for_first.covered, for_second.covered);
    assert_eq!(writer.covered_readers(&for_first), [first_guid]);
    assert_eq!(writer.covered_readers(&for_second), [second.guid()]);
}

#[test]
fn another_layout_is_told_with_both_and_left_to_the_network() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let writer = one.transport.create_writer(writer_of::<Count>(keep_all())).unwrap();
    let reader = other.transport.create_reader(reader_of::<WideCount>(keep_all())).unwrap();
    one.introduce(writer.guid(), &other);
    let mismatch = other.expect(|event| match event {
        TransportEvent::Mismatch { local, remote, reason: Mismatch::TypeHash(mismatch) } => {
            assert_eq!((*local, *remote), (reader.guid(), writer.guid()));
            Some(mismatch.clone())
        }
        _ => None,
    });
    use dds_shm::FlatStruct as _;
    assert_eq!((mismatch.found, mismatch.expected), (Count::type_hash(), WideCount::type_hash()));
    assert_eq!(mismatch.found_layout, Count::layout_string());
    assert_eq!(mismatch.expected_layout, WideCount::layout_string());
    assert_eq!(
        reader.reachability(writer.guid()),
        Reachability::Network(NetworkReason::Mismatch(Mismatch::TypeHash(mismatch)))
    );
}

#[test]
fn qos_that_does_not_match_is_told_and_not_attached() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let writer = one.transport.create_writer(writer_of::<Count>(best_effort(1))).unwrap();
    let reader = other.transport.create_reader(reader_of::<Count>(transient_local(1))).unwrap();
    one.introduce(writer.guid(), &other);
    other.introduce(reader.guid(), &one);
    let expected = Mismatch::Qos(vec![QosPolicyId::Reliability, QosPolicyId::Durability]);
    for (host, ours, theirs) in
        [(&one, writer.guid(), reader.guid()), (&other, reader.guid(), writer.guid())]
    {
        host.expect(|event| match event {
            TransportEvent::Mismatch { local, remote, reason } => {
                assert_eq!((*local, *remote, reason), (ours, theirs, &expected));
                Some(())
            }
            _ => None,
        });
    }
    let reason = NetworkReason::Mismatch(expected);
    assert_eq!(writer.reachability(reader.guid()), Reachability::Network(reason.clone()));
    assert_eq!(reader.reachability(writer.guid()), Reachability::Network(reason));
    assert_eq!(writer.handle().attached_readers(), []);
}

#[test]
fn other_topics_and_partitions_are_nobodys_business() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let qos = EndpointQos { partition: Partition(vec!["left".to_owned()]), ..keep_all() };
    let writer = one.transport.create_writer(writer_of::<Count>(qos)).unwrap();
    let elsewhere = one.transport.create_writer(WriterConfig::of::<Count>("elsewhere")).unwrap();
    let reader = other.transport.create_reader(reader_of::<Count>(keep_all())).unwrap();
    one.introduce(writer.guid(), &other);
    one.introduce(elsewhere.guid(), &other);
    let unknown = Reachability::Network(NetworkReason::Unknown);
    assert_eq!(reader.reachability(writer.guid()), unknown);
    assert_eq!(reader.reachability(elsewhere.guid()), unknown);
    assert_eq!(other.events.try_next(), None);
}

#[test]
fn what_cannot_be_opened_says_why() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let writer = one.transport.create_writer(writer_of::<Count>(keep_all())).unwrap();
    let reader = other.transport.create_reader(reader_of::<Count>(keep_all())).unwrap();
    let good = one.describe(writer.guid());

    type Edit = fn(&mut RemoteEndpoint);
    type Check = fn(&NetworkReason) -> bool;
    let cases: [(Edit, Check); 6] = [
        (|remote| remote.locator = None, |reason| *reason == NetworkReason::NoLocator),
        (
            |remote| {
                let segment = remote.locator.as_mut().unwrap().segment.as_mut().unwrap();
                segment.host.boot_id_hash ^= 1;
            },
            |reason| *reason == NetworkReason::OtherHost,
        ),
        (
            |remote| {
                let locator = remote.locator.as_mut().unwrap();
                locator.path = dds_shm::discovery::LocatorPath::new("/etc/passwd").unwrap();
            },
            |reason| matches!(reason, NetworkReason::PathRefused { .. }),
        ),
        (
            |remote| {
                let locator = remote.locator.as_mut().unwrap();
                let path = locator.path.as_str().to_owned() + "x";
                locator.path = dds_shm::discovery::LocatorPath::new(path).unwrap();
            },
            |reason| matches!(reason, NetworkReason::CannotAttach { .. }),
        ),
        (
            |remote| remote.locator.as_mut().unwrap().segment = None,
            |reason| matches!(reason, NetworkReason::Format(SegmentFormat::ZDS2)),
        ),
        (
            // The segment of one writer, announced by another.
            |remote| remote.data.guid.entity_id = EntityId::user_writer(77, false),
            |reason| matches!(reason, NetworkReason::OtherWriter { .. }),
        ),
    ];
    for (number, (edit, check)) in cases.into_iter().enumerate() {
        let mut publication = good.clone();
        edit(&mut publication);
        let guid = publication.data.guid;
        other.transport.publication_discovered(publication);
        let reason = other.expect(|event| match event {
            TransportEvent::Unreachable { local, remote, reason } => {
                assert_eq!((*local, *remote), (reader.guid(), guid));
                Some(reason.clone())
            }
            _ => None,
        });
        assert!(check(&reason), "case {number}: {reason}");
        assert_eq!(reader.reachability(guid), Reachability::Network(reason));
    }
    // What was wrong is announced right at last.
    other.transport.publication_changed(good);
    assert_eq!(writer.wait_for_readers(1, LONG), 1);
}

#[test]
fn a_locator_of_the_incarnation_before_leads_to_the_same_writer() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let writer = one.transport.create_writer(writer_of::<Count>(keep_all())).unwrap();
    let _reader = other.transport.create_reader(reader_of::<Count>(keep_all())).unwrap();
    let mut publication = one.describe(writer.guid());
    publication.locator.as_mut().unwrap().segment.as_mut().unwrap().incarnation[0] ^= 1;
    other.transport.publication_discovered(publication);
    assert_eq!(writer.wait_for_readers(1, LONG), 1);
}

#[test]
fn a_stranger_cannot_claim_the_segment_that_is_read() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let (writer, reader) =
        connect(&one, writer_of::<Count>(keep_all()), &other, reader_of::<Count>(keep_all()));
    let mut stranger = one.describe(writer.guid());
    stranger.data.guid.entity_id = EntityId::user_writer(77, false);
    let guid = stranger.data.guid;
    other.transport.publication_discovered(stranger);
    other.expect(|event| match event {
        TransportEvent::Unreachable { remote, reason, .. } => {
            let path = writer.locator().path.as_str().to_owned();
            let owner = writer.guid();
            assert_eq!((*remote, reason), (guid, &NetworkReason::OtherWriter { path, owner }));
            Some(())
        }
        _ => None,
    });
    writer.write(&count(1), &SampleInfo::default()).unwrap();
    assert_eq!(reader.take_within(LONG).unwrap().unwrap().writer(), writer.guid());
    assert_eq!(reader.reachability(writer.guid()), Reachability::SharedMemory);
}

#[test]
fn what_the_transport_does_not_do_is_named_with_the_match() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let mut qos = keep_all();
    qos.deadline.period = dds_shm::wire::Duration::from_secs(1);
    let writer = one.transport.create_writer(writer_of::<Count>(qos.clone())).unwrap();
    let _reader = other.transport.create_reader(reader_of::<Count>(qos)).unwrap();
    one.introduce(writer.guid(), &other);
    let duties = other.expect(|event| match event {
        TransportEvent::Matched { duties, .. } => Some(duties.clone()),
        _ => None,
    });
    assert_eq!(duties, [HostDuty::Deadline]);
}

#[test]
fn a_deleted_writer_is_read_to_its_end() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let (writer, reader) =
        connect(&one, writer_of::<Count>(keep_all()), &other, reader_of::<Count>(keep_all()));
    let guid = writer.guid();
    for number in 1..=3 {
        writer.write(&count(number), &SampleInfo::default()).unwrap();
    }
    drop(writer);
    other.transport.publication_gone(guid);
    other.expect(|event| match event {
        TransportEvent::WriterLost { writer, reason, .. } => {
            assert_eq!((*writer, reason), (guid, &NetworkReason::Deleted));
            Some(())
        }
        _ => None,
    });
    other.expect(|event| matches!(event, TransportEvent::Unmatched { .. }).then_some(()));
    assert_eq!(numbers(&reader), [1, 2, 3]);
    assert_eq!(reader.reachability(guid), Reachability::Network(NetworkReason::Unknown));
    // Told once.
    assert!(other.events.drain().all(|event| !matches!(event, TransportEvent::WriterLost { .. })));
}

#[test]
fn a_writer_that_closes_before_discovery_says_so_is_lost_at_the_end() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let (writer, reader) =
        connect(&one, writer_of::<Count>(keep_all()), &other, reader_of::<Count>(keep_all()));
    writer.write(&count(1), &SampleInfo::default()).unwrap();
    drop(writer);
    assert_eq!(numbers(&reader), [1]);
    other.expect(|event| match event {
        TransportEvent::WriterLost { reason: NetworkReason::WriterLost, .. } => Some(()),
        _ => None,
    });
}

#[test]
fn a_deleted_reader_is_waited_for_no_more() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let (writer, reader) =
        connect(&one, writer_of::<Count>(keep_all()), &other, reader_of::<Count>(keep_all()));
    let guid = reader.guid();
    // Deleted for discovery, while the process still has it.
    one.transport.subscription_gone(guid);
    one.expect(|event| match event {
        TransportEvent::ReaderLost { reader, why: ReaderLoss::Disconnected, .. } => {
            assert_eq!(*reader, guid);
            Some(())
        }
        _ => None,
    });
    one.expect(|event| matches!(event, TransportEvent::Unmatched { .. }).then_some(()));
    let committed = writer.write(&count(1), &SampleInfo::default()).unwrap().unwrap();
    assert_eq!(writer.covered_readers(&committed), []);
    drop(reader);
}

#[test]
fn a_participant_that_leaves_takes_its_endpoints_along() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let (writer, reader) =
        connect(&one, writer_of::<Count>(keep_all()), &other, reader_of::<Count>(keep_all()));
    writer.write(&count(1), &SampleInfo::default()).unwrap();
    other.transport.participant_lost(one.prefix(), LossReason::Disposed);
    other.expect(|event| match event {
        TransportEvent::WriterLost { reason: NetworkReason::ParticipantLost, .. } => Some(()),
        _ => None,
    });
    assert_eq!(numbers(&reader), [1]);
    // Its attachment is given back.
    one.expect(|event| match event {
        TransportEvent::ReaderLost { why: ReaderLoss::Left, .. } => Some(()),
        _ => None,
    });
    assert_eq!(reader.reachability(writer.guid()), Reachability::Network(NetworkReason::Unknown));
}

#[test]
fn nothing_new_is_taken_of_a_writer_whose_lease_expired() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let (writer, reader) =
        connect(&one, writer_of::<Count>(keep_all()), &other, reader_of::<Count>(keep_all()));
    let write = |number| writer.write(&count(number), &SampleInfo::default()).unwrap().unwrap();
    write(1);
    assert_eq!(next_numbers(&reader, 1), [1]);
    write(2);
    write(3);
    other.transport.participant_lost(one.prefix(), LossReason::LeaseExpired);
    assert_eq!(next_numbers(&reader, 1), [2]);
    // It is alive all the same, and goes on.
    write(4);
    assert_eq!(numbers(&reader), [3]);
    one.expect(|event| {
        matches!(event, TransportEvent::ReaderLost { why: ReaderLoss::Left, .. }).then_some(())
    });
    assert_eq!(
        reader.reachability(writer.guid()),
        Reachability::Network(NetworkReason::ParticipantLost)
    );
    // Heard of again, it is read from what comes next.
    other.transport.participant_alive(one.prefix());
    assert_eq!(writer.wait_for_readers(1, LONG), 1);
    write(5);
    assert_eq!(next_numbers(&reader, 1), [5]);
}

#[test]
fn a_lease_that_is_renewed_in_time_changes_nothing() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let (writer, reader) =
        connect(&one, writer_of::<Count>(keep_all()), &other, reader_of::<Count>(keep_all()));
    let write = |number| writer.write(&count(number), &SampleInfo::default()).unwrap().unwrap();
    write(1);
    assert_eq!(next_numbers(&reader, 1), [1]);
    other.transport.participant_lost(one.prefix(), LossReason::LeaseExpired);
    other.transport.participant_alive(one.prefix());
    write(2);
    assert_eq!(next_numbers(&reader, 1), [2]);
    assert_eq!(reader.reachability(writer.guid()), Reachability::SharedMemory);
    assert!(one.events.drain().all(|event| !matches!(event, TransportEvent::ReaderLost { .. })));
}

#[test]
fn a_protected_topic_goes_by_network_unless_it_is_allowed() {
    let rig = Rig::new();
    let host = rig.host_with(1, |options| options.allow_secured_topic("public"));
    let secured = |topic: &str| WriterConfig { secured: true, ..WriterConfig::of::<Count>(topic) };
    let refused = host.transport.create_writer(secured("private")).unwrap_err();
    assert!(matches!(refused, TransportError::Network(NetworkReason::Secured(_))), "{refused}");
    let config = ReaderConfig { secured: true, ..ReaderConfig::of::<Count>("private") };
    let refused = host.transport.create_reader(config).unwrap_err();
    assert!(matches!(refused, TransportError::Network(NetworkReason::Secured(_))), "{refused}");
    host.transport.create_writer(secured("public")).unwrap();
}

#[test]
fn an_entity_id_is_given_once() {
    let rig = Rig::new();
    let host = rig.host(1);
    let entity_id = Some(EntityId::user_writer(5, false));
    let config = || WriterConfig { entity_id, ..WriterConfig::of::<Count>("T") };
    let writer = host.transport.create_writer(config()).unwrap();
    let error = host.transport.create_writer(config()).unwrap_err();
    assert!(matches!(error, TransportError::Duplicate(guid) if guid == writer.guid()), "{error}");
    drop(writer);
    host.transport.create_writer(config()).unwrap();
}

#[test]
fn events_that_nobody_fetches_are_counted() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host_with(2, |options| options.event_capacity(4)));
    let _reader = other.transport.create_reader(reader_of::<Count>(keep_all())).unwrap();
    let writers: Vec<_> = (0..5)
        .map(|_| one.transport.create_writer(writer_of::<Count>(keep_all())).unwrap())
        .collect();
    for writer in &writers {
        // Matched, and then unmatched and lost.
        let mut publication = one.describe(writer.guid());
        publication.locator = None;
        other.transport.publication_discovered(publication);
    }
    let seen: Vec<_> = other.events.drain().collect();
    assert_eq!(seen[0], TransportEvent::EventsDropped(6));
    assert_eq!(seen.len(), 5);
}
