//! Several writers, several readers, and samples that are kept while they come and go.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;
mod transport_support;

use std::time::Duration;

use dds_shm::transport::{
    NetworkReason, Reachability, ReaderConfig, ReaderLoss, ShmWriter, TransportEvent, WriterConfig,
};
use dds_shm::wire::Duration as WireDuration;
use dds_shm::{SampleInfo, SlotError};
use transport_support::*;

fn publish(writer: &ShmWriter, number: u64) {
    writer.write(&count(number), &SampleInfo::default()).unwrap().unwrap();
}

#[test]
fn writers_take_turns_and_each_keeps_its_order() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let reader = other.transport.create_reader(reader_of::<Count>(keep_all())).unwrap();
    let writers: Vec<_> = (0..20)
        .map(|_| {
            let writer = one.transport.create_writer(writer_of::<Count>(keep_all())).unwrap();
            one.introduce(writer.guid(), &other);
            assert_eq!(writer.wait_for_readers(1, LONG), 1);
            writer
        })
        .collect();
    for number in 1..=10 {
        writers.iter().for_each(|writer| publish(writer, number));
    }
    let mut seen = Vec::new();
    while let Some(sample) = reader.take().unwrap() {
        let number = u64::from_ne_bytes(sample.bytes().try_into().unwrap());
        seen.push((sample.writer(), number));
    }
    // A round takes one of each.
    for (round, taken) in seen.chunks(writers.len()).enumerate() {
        assert!(taken.iter().all(|(_, number)| *number == round as u64 + 1));
    }
    assert_eq!(seen.len(), 200);
}

#[test]
fn samples_are_kept_while_writers_come_and_go() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let (first, reader) =
        connect(&one, writer_of::<Count>(keep_all()), &other, reader_of::<Count>(keep_all()));
    publish(&first, 1);
    let kept = reader.take_within(LONG).unwrap().unwrap();
    // More than were made room for at first.
    let writers: Vec<_> = (0..12)
        .map(|number| {
            let writer = one.transport.create_writer(writer_of::<Count>(keep_all())).unwrap();
            one.introduce(writer.guid(), &other);
            assert_eq!(writer.wait_for_readers(1, LONG), 1);
            publish(&writer, 100 + number);
            writer
        })
        .collect();
    let mut seen = next_numbers(&reader, 12);
    seen.sort_unstable();
    assert!(seen.into_iter().eq(100..112));
    let gone = first.guid();
    drop(first);
    other.transport.publication_gone(gone);
    for writer in &writers {
        other.transport.publication_gone(writer.guid());
    }
    assert!(reader.take().unwrap().is_none());
    assert_eq!(kept.bytes(), count(1));
    for writer in writers {
        assert_eq!(writer.wait_for_readers(0, LONG), writer.handle().attached_readers().len());
        one.expect(|event| {
            matches!(event, TransportEvent::ReaderLost { why: ReaderLoss::Left, .. }).then_some(())
        });
    }
    drop(kept);
    assert!(reader.take().unwrap().is_none());
}

#[test]
fn a_reader_may_keep_as_many_samples_as_it_said_and_drop_them_in_any_order() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let config = WriterConfig { max_held: 3, ..writer_of::<Count>(keep_all()) };
    let reader = ReaderConfig { max_held: 3, ..reader_of::<Count>(keep_all()) };
    let (writer, reader) = connect(&one, config, &other, reader);
    for number in 1..=6 {
        publish(&writer, number);
    }
    let mut held: Vec<_> = (0..3).map(|_| reader.take().unwrap().unwrap()).collect();
    assert!(matches!(reader.take(), Err(SlotError::TooManyHeld { held: 3 })));
    drop(held.remove(1));
    held.push(reader.take().unwrap().unwrap());
    let bytes: Vec<_> = held.iter().map(|sample| sample.bytes()[0]).collect();
    assert_eq!(bytes, [1, 3, 4]);
    held.clear();
    assert_eq!(numbers(&reader), [5, 6]);
}

#[test]
fn a_sleeping_reader_is_woken_by_whichever_writer_publishes_and_by_new_ones() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let reader = other.transport.create_reader(reader_of::<Count>(keep_all())).unwrap();
    let (handle, read) = (reader.handle(), std::thread::spawn(move || next_numbers(&reader, 4)));
    for pair in 0..2 {
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let writer = one.transport.create_writer(writer_of::<Count>(keep_all())).unwrap();
                one.introduce(writer.guid(), &other);
                assert_eq!(writer.wait_for_readers(1, LONG), 1);
                writer
            })
            .collect();
        for (number, writer) in writers.iter().enumerate() {
            // Long enough to be asleep.
            std::thread::sleep(Duration::from_millis(20));
            publish(writer, pair * 2 + number as u64);
        }
        assert_eq!(handle.writers().len(), 2 * (pair as usize + 1));
        std::mem::forget(writers);
    }
    assert_eq!(read.join().unwrap(), [0, 1, 2, 3]);
}

#[test]
fn two_readers_in_one_process_get_every_sample_each() {
    let rig = Rig::new();
    let host = rig.host_with(1, |options| options.match_own(true));
    let readers: Vec<_> = (0..2)
        .map(|_| host.transport.create_reader(reader_of::<Count>(keep_all())).unwrap())
        .collect();
    let writer = host.transport.create_writer(writer_of::<Count>(keep_all())).unwrap();
    assert_eq!(writer.wait_for_readers(2, LONG), 2);
    for number in 1..=5 {
        publish(&writer, number);
    }
    for reader in &readers {
        assert_eq!(next_numbers(reader, 5), [1, 2, 3, 4, 5]);
        assert_eq!(reader.reachability(writer.guid()), Reachability::SharedMemory);
    }
    let guid = writer.guid();
    drop(writer);
    for reader in &readers {
        assert!(reader.take().unwrap().is_none());
        assert_eq!(reader.reachability(guid), Reachability::Network(NetworkReason::Unknown));
    }
}

#[test]
fn one_reader_more_than_the_table_holds_is_told_and_left_to_the_network() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let config = WriterConfig { reader_capacity: 1, ..writer_of::<Count>(keep_all()) };
    let (writer, _first) = connect(&one, config, &other, reader_of::<Count>(keep_all()));
    let second = other.transport.create_reader(reader_of::<Count>(keep_all())).unwrap();
    let reason = other.expect(|event| match event {
        TransportEvent::Unreachable { local, reason, .. } if *local == second.guid() => {
            Some(reason.clone())
        }
        _ => None,
    });
    assert!(
        matches!(&reason, NetworkReason::CannotAttach { error, .. } if error.contains("taken"))
    );
    assert_eq!(second.reachability(writer.guid()), Reachability::Network(reason));
    other.introduce(second.guid(), &one);
    let committed = writer.write(&count(1), &SampleInfo::default()).unwrap().unwrap();
    assert_eq!(writer.uncovered_readers(&committed), [second.guid()]);
}

#[test]
fn a_reader_that_pins_the_segment_is_left_behind_and_the_locator_is_told() {
    let rig = Rig::new();
    let (one, other) = (rig.host(1), rig.host(2));
    let mut qos = keep_last(1);
    qos.reliability.max_blocking_time = WireDuration::from_secs(20);
    let config = WriterConfig { slots: Some(3), max_held: 3, ..writer_of::<Count>(qos) };
    let greedy = ReaderConfig { max_held: 3, ..reader_of::<Count>(best_effort(1)) };
    let (writer, greedy) = connect(&one, config, &other, greedy);
    let honest = other.transport.create_reader(reader_of::<Count>(keep_all())).unwrap();
    assert_eq!(writer.wait_for_readers(2, LONG), 2);
    let before = writer.locator();
    let mut held = Vec::new();
    for number in 1..=3 {
        publish(&writer, number);
        held.push(greedy.take().unwrap().unwrap());
        assert_eq!(next_numbers(&honest, 1), [number]);
    }
    // Every slot is held: after a second the writer goes on in new memory.
    publish(&writer, 4);
    one.expect(|event| match event {
        TransportEvent::ReaderLost { reader, why: ReaderLoss::Misbehaved, .. } => {
            assert_eq!(*reader, greedy.guid());
            Some(())
        }
        _ => None,
    });
    let locator = one.expect(|event| match event {
        TransportEvent::SegmentReplaced { locator, .. } => Some(locator.clone()),
        _ => None,
    });
    assert_ne!(*locator, before);
    assert_eq!(writer.locator(), *locator);
    assert_eq!(next_numbers(&honest, 1), [4]);
    // Whoever is new attaches by the new locator.
    one.introduce(writer.guid(), &other);
    let late = other.transport.create_reader(reader_of::<Count>(keep_all())).unwrap();
    // The one that was left behind may have come back by then.
    assert!(writer.wait_for_readers(2, LONG) >= 2);
    publish(&writer, 5);
    assert_eq!(next_numbers(&honest, 1), [5]);
    assert_eq!(next_numbers(&late, 1), [5]);
    for (number, sample) in (1..).zip(&held) {
        assert_eq!(sample.bytes(), count(number));
    }
}
