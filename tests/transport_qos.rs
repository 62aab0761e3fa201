//! What each QoS means for samples on their way through a segment.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;
mod transport_support;

use std::time::{Duration, Instant};

use dds_shm::discovery::LossReason;
use dds_shm::transport::{
    NetworkReason, Reachability, ReaderConfig, ReaderLoss, ShmDataReader, ShmDataWriter,
    TransportEvent, Verdict, WriterConfig,
};
use dds_shm::wire::{Duration as WireDuration, KeyHash, RepresentationId, StatusInfo};
use dds_shm::{FlatStruct as _, SampleInfo, SlotError};
use transport_support::*;

/// A writer with so many slots and nothing to spare.
fn tight(config: WriterConfig, slots: u32) -> WriterConfig {
    WriterConfig { slots: Some(slots), ..config }
}

#[test]
fn keep_all_blocks_for_its_reader_and_then_times_out() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let mut qos = keep_all();
    qos.reliability.max_blocking_time = WireDuration::from_millis(80);
    let (writer, reader) =
        connect(&one, tight(writer_of::<Count>(qos.clone()), 4), &other, reader_of::<Count>(qos));
    for number in 1..=4 {
        writer.write(&count(number), &SampleInfo::default()).unwrap().unwrap();
    }
    let started = Instant::now();
    let error = writer.write(&count(5), &SampleInfo::default()).unwrap_err();
    assert!(matches!(error, SlotError::Timeout { .. }), "{error}");
    assert!(started.elapsed() >= Duration::from_millis(80));
    assert_eq!(numbers(&reader), [1, 2, 3, 4]);
    writer.write(&count(5), &SampleInfo::default()).unwrap().unwrap();
    assert_eq!(next_numbers(&reader, 1), [5]);
    assert_eq!(reader.losses(), Default::default());
}

#[test]
fn keep_all_blocks_until_its_reader_has_read() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let mut qos = keep_all();
    qos.reliability.max_blocking_time = WireDuration::from_secs(20);
    let (writer, reader) =
        connect(&one, tight(writer_of::<Count>(qos.clone()), 4), &other, reader_of::<Count>(qos));
    let read = std::thread::spawn(move || next_numbers(&reader, 1000));
    for number in 1..=1000 {
        writer.write(&count(number), &SampleInfo::default()).unwrap().unwrap();
    }
    assert!(read.join().unwrap().into_iter().eq(1..=1000));
}

#[test]
fn keep_last_replaces_what_was_not_read_and_calls_it_so() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let (writer, reader) =
        connect(&one, writer_of::<Count>(keep_last(3)), &other, reader_of::<Count>(keep_all()));
    for number in 1..=100 {
        writer.write(&count(number), &SampleInfo::default()).unwrap().unwrap();
    }
    let read = numbers(&reader);
    assert!(read.ends_with(&[98, 99, 100]), "{read:?}");
    let losses = reader.losses();
    assert_eq!((losses.lost, losses.replaced), (0, 100 - read.len() as u64));
    let told = other.expect(|event| match event {
        TransportEvent::SamplesLost { lost, replaced, .. } => Some((*lost, *replaced)),
        _ => None,
    });
    assert_eq!(told, (0, losses.replaced));
}

#[test]
fn keep_last_waits_if_it_is_told_to() {
    let rig = Rig::new();
    let (one, other) = (rig.host_with(1, |options| options.block_on_keep_last(true)), rig.host(2));
    let mut qos = keep_last(3);
    qos.reliability.max_blocking_time = WireDuration::from_millis(20);
    let config = tight(writer_of::<Count>(qos), 4);
    let (writer, reader) = connect(&one, config, &other, reader_of::<Count>(keep_all()));
    let written = (1..=100)
        .take_while(|number| writer.write(&count(*number), &SampleInfo::default()).is_ok())
        .count();
    assert_eq!(written, 4);
    assert_eq!(numbers(&reader), [1, 2, 3, 4]);
}

#[test]
fn best_effort_overwrites_and_the_reader_counts_the_gap() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let config = tight(writer_of::<Count>(best_effort(4)), 8);
    let (writer, reader) = connect(&one, config, &other, reader_of::<Count>(best_effort(4)));
    for number in 1..=20 {
        writer.write(&count(number), &SampleInfo::default()).unwrap().unwrap();
    }
    assert!(numbers(&reader).into_iter().eq(13..=20));
    assert_eq!((reader.losses().lost, reader.losses().replaced), (12, 0));
}

#[test]
fn best_effort_drops_the_new_sample_when_every_slot_is_in_use() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let config = WriterConfig { max_held: 8, ..tight(writer_of::<Count>(best_effort(1)), 4) };
    let reader = ReaderConfig { max_held: 8, ..reader_of::<Count>(best_effort(1)) };
    let (writer, reader) = connect(&one, config, &other, reader);
    let held: Vec<_> = (1..=4)
        .map(|number| {
            writer.write(&count(number), &SampleInfo::default()).unwrap().unwrap();
            reader.take().unwrap().unwrap()
        })
        .collect();
    assert_eq!(writer.write(&count(5), &SampleInfo::default()).unwrap(), None);
    assert!(reader.take().unwrap().is_none());
    drop(held);
    writer.write(&count(6), &SampleInfo::default()).unwrap().unwrap();
    assert_eq!(next_numbers(&reader, 1), [6]);
    assert_eq!(writer.slots().dropped(), 1);
    assert_eq!(reader.losses().lost, 1);
}

#[test]
fn a_frozen_best_effort_reader_does_not_hold_up_a_reliable_one() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let config = tight(writer_of::<Count>(keep_all()), 8);
    let (writer, reader) = connect(&one, config, &other, reader_of::<Count>(keep_all()));
    let frozen = other.transport.create_reader(reader_of::<Count>(best_effort(1))).unwrap();
    assert_eq!(writer.wait_for_readers(2, LONG), 2);
    for number in 1..=100 {
        let committed = writer.write(&count(number), &SampleInfo::default()).unwrap().unwrap();
        assert_eq!(committed.covered.len(), 2);
        assert_eq!(next_numbers(&reader, 1), [number]);
    }
    let seen = numbers(&frozen);
    assert_eq!(seen.len() as u64 + frozen.losses().lost, 100);
    assert_eq!(seen.last(), Some(&100));
}

#[test]
fn a_late_joiner_gets_the_history_that_both_want() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let writer = one.transport.create_writer(writer_of::<Count>(transient_local(3))).unwrap();
    for number in 1..=10 {
        writer.write(&count(number), &SampleInfo::default()).unwrap().unwrap();
    }
    let late = other.transport.create_reader(reader_of::<Count>(transient_local(3))).unwrap();
    let volatile = other.transport.create_reader(reader_of::<Count>(keep_last(3))).unwrap();
    one.introduce(writer.guid(), &other);
    assert_eq!(writer.wait_for_readers(2, LONG), 2);
    writer.write(&count(11), &SampleInfo::default()).unwrap().unwrap();
    assert_eq!(next_numbers(&late, 4), [8, 9, 10, 11]);
    assert_eq!(next_numbers(&volatile, 1), [11]);
    assert_eq!(late.handle().start_sn(writer.guid()), Some(8));
    assert_eq!(late.losses(), Default::default());
}

#[test]
fn history_is_kept_for_each_instance() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let config = WriterConfig { max_instances: Some(3), ..writer_of::<Keyed>(transient_local(1)) };
    let writer = ShmDataWriter::<Keyed>::new(one.transport.create_writer(config).unwrap()).unwrap();
    let info = SampleInfo::default();
    writer.write(&Keyed { id: 1, value: 10 }, &info).unwrap();
    writer.write(&Keyed { id: 2, value: 20 }, &info).unwrap();
    for value in 30..40 {
        writer.write(&Keyed { id: 3, value }, &info).unwrap();
    }
    let error = writer.write(&Keyed { id: 4, value: 0 }, &info).unwrap_err();
    assert!(matches!(error, SlotError::TooManyInstances { most: 3, .. }), "{error}");
    // Unregistered and disposed of: there is room for another, and nothing of it is kept.
    writer.unregister(&Keyed { id: 1, value: 0 }, true, &info).unwrap();
    writer.write(&Keyed { id: 4, value: 40 }, &info).unwrap();

    let reader = other.transport.create_reader(reader_of::<Keyed>(transient_local(1))).unwrap();
    let reader = ShmDataReader::<Keyed>::new(reader).unwrap();
    one.introduce(writer.writer().guid(), &other);
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let sample = reader.take_within(LONG).unwrap().expect("kept");
        seen.extend(sample.data().copied());
    }
    let expected = [(2, 20), (3, 39), (4, 40)].map(|(id, value)| Keyed { id, value });
    assert_eq!(seen, expected);
}

#[test]
fn a_dispose_and_an_unregister_come_as_keys_without_data() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let (writer, reader) =
        connect(&one, writer_of::<Keyed>(keep_all()), &other, reader_of::<Keyed>(keep_all()));
    let writer = ShmDataWriter::<Keyed>::new(writer).unwrap();
    let reader = ShmDataReader::<Keyed>::new(reader).unwrap();
    let (sample, info) = (Keyed { id: 7, value: 1 }, SampleInfo::default());
    writer.write(&sample, &info).unwrap();
    writer.dispose(&sample, &info).unwrap();
    writer.unregister(&sample, false, &info).unwrap();
    writer.unregister(&sample, true, &info).unwrap();
    // Of another representation: the key hash is all that is known.
    writer.writer().dispose(KeyHash([9; 16]), &[], &info).unwrap();

    let both = StatusInfo::DISPOSED | StatusInfo::UNREGISTERED;
    let expected = [StatusInfo::NONE, StatusInfo::DISPOSED, StatusInfo::UNREGISTERED, both];
    for (number, status) in expected.into_iter().enumerate() {
        let taken = reader.take_within(LONG).unwrap().unwrap();
        assert_eq!(taken.sample().status_info(), status);
        assert_eq!(taken.sample().valid_data(), number == 0);
        assert_eq!(taken.data().copied(), (number == 0).then_some(sample));
        assert_eq!(taken.key().map(|key| key.id), Some(7));
        assert_eq!(taken.sample().instance(), KeyHash(sample.key_hash()));
    }
    let taken = reader.take_within(LONG).unwrap().unwrap();
    assert_eq!((taken.data(), taken.key()), (None, None));
    assert_eq!(taken.sample().instance(), KeyHash([9; 16]));
}

#[test]
fn a_sample_that_a_typed_reader_cannot_read_is_told_and_passed_over() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let (writer, reader) =
        connect(&one, writer_of::<Count>(keep_all()), &other, reader_of::<Count>(keep_all()));
    let reader = ShmDataReader::<Count>::new(reader).unwrap();
    let cdr = SampleInfo { encapsulation: Some(RepresentationId::CDR_LE.0), ..Default::default() };
    writer.write(&count(1), &cdr).unwrap();
    writer.write(&[0; 3], &SampleInfo::default()).unwrap();
    writer.write(&count(3), &SampleInfo::default()).unwrap();
    let taken = reader.take_within(LONG).unwrap().unwrap();
    assert_eq!(taken.data(), Some(&Count { number: 3 }));
    for (sn, representation) in [(1, Some(RepresentationId::CDR_LE)), (2, None)] {
        let (reader, writer) = (reader.reader().guid(), writer.guid());
        let expected = TransportEvent::Unreadable { reader, writer, sn, representation };
        other.expect(|event| (*event == expected).then_some(()));
    }
}

#[test]
fn a_sample_is_dropped_when_its_lifespan_is_over() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let mut qos = keep_all();
    qos.lifespan.duration = WireDuration::from_secs(60);
    let (writer, reader) =
        connect(&one, writer_of::<Count>(qos), &other, reader_of::<Count>(keep_all()));
    // Written two minutes ago, as the host says.
    let old = SampleInfo {
        source_timestamp: dds_shm::shm::realtime_ns() - 120_000_000_000,
        ..Default::default()
    };
    writer.write(&count(1), &old).unwrap();
    writer.write(&count(2), &SampleInfo::default()).unwrap();
    writer.write(&count(3), &old).unwrap();
    writer.write(&count(4), &SampleInfo::default()).unwrap();
    assert_eq!(next_numbers(&reader, 2), [2, 4]);
    assert_eq!(reader.expired(), 2);
    assert_eq!(reader.losses(), Default::default());
}

#[test]
fn the_host_may_give_the_timestamp_and_the_sequence_number() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let config = WriterConfig { stamp: false, ..writer_of::<Count>(keep_all()) };
    let (writer, reader) = connect(&one, config, &other, reader_of::<Count>(keep_all()));
    let info = SampleInfo { sn: Some(1000), source_timestamp: 5, ..Default::default() };
    assert_eq!(writer.write(&count(1), &info).unwrap().unwrap().sn, 1000);
    assert_eq!(writer.write(&count(2), &SampleInfo::default()).unwrap().unwrap().sn, 1001);
    let sample = reader.take_within(LONG).unwrap().unwrap();
    assert_eq!((sample.sequence_number().0, sample.source_timestamp()), (1000, Some(5)));
    drop(sample);
    let sample = reader.take_within(LONG).unwrap().unwrap();
    assert_eq!((sample.sequence_number().0, sample.source_timestamp()), (1001, None));
}

#[test]
fn a_lease_that_expires_frees_the_writer_and_the_reader_returns() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let mut qos = keep_all();
    qos.reliability.max_blocking_time = WireDuration::from_millis(50);
    let config = tight(writer_of::<Count>(qos.clone()), 4);
    let (writer, reader) = connect(&one, config, &other, reader_of::<Count>(qos));
    for number in 1..=4 {
        writer.write(&count(number), &SampleInfo::default()).unwrap().unwrap();
    }
    assert_eq!(next_numbers(&reader, 2), [1, 2]);
    // Paused, and not heard of for the time of its lease.
    one.transport.participant_lost(other.prefix(), LossReason::LeaseExpired);
    let resend_from = one.expect(|event| match event {
        TransportEvent::ReaderLost { reader: guid, why, resend_from, .. } => {
            assert_eq!((*guid, *why), (reader.guid(), ReaderLoss::Disconnected));
            Some(*resend_from)
        }
        _ => None,
    });
    assert_eq!(resend_from, 3);
    let lost = Reachability::Network(NetworkReason::Unknown);
    assert_eq!(writer.reachability(reader.guid()), lost);
    // It blocks nobody.
    for number in 5..=20 {
        let committed = writer.write(&count(number), &SampleInfo::default()).unwrap().unwrap();
        assert_eq!(writer.covered_readers(&committed), []);
    }
    // It goes on, and hears of what it missed.
    other.transport.participant_alive(one.prefix());
    assert!(reader.take_within(Duration::from_millis(300)).is_ok());
    one.transport.participant_alive(other.prefix());
    one.expect(|event| match event {
        TransportEvent::ReaderReturned { reader: guid, start_sn, .. } => {
            assert_eq!((*guid, *start_sn), (reader.guid(), 21));
            Some(())
        }
        _ => None,
    });
    let committed = writer.write(&count(21), &SampleInfo::default()).unwrap().unwrap();
    assert_eq!(writer.covered_readers(&committed), [reader.guid()]);
    let mut seen = Vec::new();
    while seen.last() != Some(&21) {
        seen.extend(next_numbers(&reader, 1));
    }
    // The first of them was taken above, if it was still there.
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
    assert!(reader.losses().lost >= 14, "{seen:?} {:?}", reader.losses());
    assert_eq!(reader.reachability(writer.guid()), Reachability::SharedMemory);
}

#[test]
fn between_network_and_segment_nothing_is_lost_and_nothing_comes_twice() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let writer = one.transport.create_writer(writer_of::<Count>(keep_all())).unwrap();
    let config = ReaderConfig { network_path: true, ..reader_of::<Count>(keep_all()) };
    let reader = other.transport.create_reader(config).unwrap();
    let (w, r) = (writer.guid(), reader.guid());
    let (tell, network) = (reader.handle(), std::cell::RefCell::new(Vec::new()));
    let publish = |number: u64| {
        let committed = writer.write(&count(number), &SampleInfo::default()).unwrap().unwrap();
        if !writer.covered_readers(&committed).contains(&r) {
            network.borrow_mut().push(committed.sn);
        }
    };
    // Before anybody is attached, everything goes by network.
    publish(1);
    publish(2);
    one.introduce(w, &other);
    assert_eq!(writer.wait_for_readers(1, LONG), 1);
    publish(3);
    publish(4);
    assert_eq!(*network.borrow(), [1, 2]);
    // The segment has 3, and 1 and 2 are still on their way.
    assert!(reader.take().unwrap().is_none());
    assert_eq!(tell.start_sn(w), Some(3));
    assert_eq!(tell.network_sample(w, 1), Verdict::Deliver);
    assert_eq!(tell.network_sample(w, 1), Verdict::Double);
    assert!(reader.take().unwrap().is_none());
    assert_eq!(tell.network_sample(w, 2), Verdict::Deliver);
    assert_eq!(tell.network_sample(w, 3), Verdict::Double);
    tell.network_part_complete(w);
    assert_eq!(next_numbers(&reader, 1), [3]);
    assert_eq!(tell.network_sample(w, 3), Verdict::Double);

    // The lease expires; 4 was not read, and 5 is published meanwhile.
    one.transport.participant_lost(other.prefix(), LossReason::LeaseExpired);
    let resend_from = one.expect(|event| match event {
        TransportEvent::ReaderLost { resend_from, .. } => Some(*resend_from),
        _ => None,
    });
    assert_eq!(resend_from, 4);
    publish(5);
    assert_eq!(tell.network_sample(w, 4), Verdict::Deliver);
    // The reader goes on: it asks to return, and waits for the rest by network.
    assert!(reader.take().unwrap().is_none());
    one.expect(|event| matches!(event, TransportEvent::ReaderReturned { .. }).then_some(()));
    publish(6);
    assert_eq!(*network.borrow(), [1, 2, 5]);
    assert!(reader.take().unwrap().is_none());
    assert!(reader.take().unwrap().is_none());
    assert_eq!(tell.start_sn(w), Some(6));
    assert_eq!(tell.network_sample(w, 5), Verdict::Deliver);
    tell.network_part_complete(w);
    assert_eq!(next_numbers(&reader, 1), [6]);
    assert_eq!(reader.losses(), Default::default());
}

#[test]
fn a_best_effort_reader_does_not_wait_for_the_network() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let writer = one.transport.create_writer(writer_of::<Count>(keep_all())).unwrap();
    writer.write(&count(1), &SampleInfo::default()).unwrap();
    let config = ReaderConfig { network_path: true, ..reader_of::<Count>(best_effort(1)) };
    let reader = other.transport.create_reader(config).unwrap();
    one.introduce(writer.guid(), &other);
    assert_eq!(writer.wait_for_readers(1, LONG), 1);
    writer.write(&count(2), &SampleInfo::default()).unwrap();
    assert_eq!(next_numbers(&reader, 1), [2]);
    assert_eq!(reader.handle().network_sample(writer.guid(), 1), Verdict::Double);
}

#[test]
fn keep_last_of_any_number_of_instances_keeps_what_was_not_read() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let mut qos = keep_last(1);
    qos.reliability.max_blocking_time = WireDuration::from_millis(50);
    let config = WriterConfig { keep_until_read: true, ..writer_of::<Keyed>(qos.clone()) };
    let (writer, reader) = connect(&one, tight(config, 4), &other, reader_of::<Keyed>(qos));
    let writer = ShmDataWriter::<Keyed>::new(writer).unwrap();
    let reader = ShmDataReader::<Keyed>::new(reader).unwrap();
    let write = |id, value| writer.write(&Keyed { id, value }, &SampleInfo::default());
    // Of one instance the last one stays, however often it is written.
    for value in 0..100 {
        write(1, value).unwrap().unwrap();
    }
    for id in 2..=4 {
        write(id, 0).unwrap().unwrap();
    }
    // Four instances, none read: there is nothing to replace.
    assert!(matches!(write(5, 0), Err(SlotError::Timeout { .. })));
    write(1, 100).unwrap_err();
    let mut read = Vec::new();
    while let Some(sample) = reader.take().unwrap() {
        read.push(*sample.data().unwrap());
    }
    let last = |id| read.iter().rfind(|sample| sample.id == id).map(|sample| sample.value);
    assert_eq!([1, 2, 3, 4].map(last), [Some(99), Some(0), Some(0), Some(0)]);
    // What was read is not kept: any number of instances more.
    for id in 5..=8 {
        write(id, 0).unwrap().unwrap();
    }
}

#[test]
fn keep_last_gives_a_reader_time_that_uses_it_and_no_other() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let mut qos = keep_last(1);
    // Patience is part of it.
    qos.reliability.max_blocking_time = WireDuration::from_millis(1000);
    let patience = Duration::from_millis(500);
    let config =
        WriterConfig { keep_until_read: true, patience, ..writer_of::<Count>(qos.clone()) };
    let (writer, reader) = connect(&one, tight(config, 8), &other, reader_of::<Count>(qos));
    let read = std::thread::spawn(move || (next_numbers(&reader, 1000), reader));
    for number in 1..=1000 {
        writer.write(&count(number), &SampleInfo::default()).unwrap().unwrap();
    }
    let (numbers_read, reader) = read.join().unwrap();
    assert!(numbers_read.into_iter().eq(1..=1000));
    // Now it does not read: once the writer waits, and then not again.
    let started = Instant::now();
    for number in 1001..=2000 {
        writer.write(&count(number), &SampleInfo::default()).unwrap().unwrap();
    }
    let took = started.elapsed();
    assert!((patience..2 * patience).contains(&took), "{took:?}");
    assert!(numbers(&reader).ends_with(&[2000]));
}
