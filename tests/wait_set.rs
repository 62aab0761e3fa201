//! Waiting for many readers at once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use dds_shm::liveness::{Node, NodeOptions, RuntimeDir};
use dds_shm::{
    FlatReader, FlatWriter, PosixSlotAllocator, ReaderOptions, SegmentOptions, SlotError, WaitSet,
};

const LONG: Duration = Duration::from_secs(20);

struct Rig {
    writers: Vec<FlatWriter<u64>>,
    readers: Vec<FlatReader<u64>>,
    node: Arc<Node>,
    _dir: tempfile::TempDir,
}

/// Readers of one node, each with a writer of another.
fn rig(count: usize) -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let runtime = RuntimeDir::create(&dir.path().join("runtime")).unwrap();
    let node = Node::new(&runtime, NodeOptions::default()).unwrap();
    let theirs = Node::new(&runtime, NodeOptions::default()).unwrap();
    let (mut writers, mut readers) = (Vec::new(), Vec::new());
    for number in 0..count {
        let options = SegmentOptions::of::<u64>(&number.to_string());
        let segment = PosixSlotAllocator::create(&theirs, &options).unwrap();
        let options = ReaderOptions::default();
        let reader = PosixSlotAllocator::open_reader(&node, segment.flink_path(), None, options);
        readers.push(FlatReader::new(reader.unwrap()).unwrap());
        writers.push(FlatWriter::new(segment.into_writer().unwrap()).unwrap());
    }
    let started = Instant::now();
    while !readers.iter().all(|reader| reader.slots().is_admitted()) {
        assert!(started.elapsed() < LONG, "not admitted");
        std::thread::yield_now();
    }
    // Admission is news too: taken once, the readers have nothing more to say.
    readers.iter().for_each(|reader| assert!(reader.take().unwrap().is_none()));
    Rig { writers, readers, node, _dir: dir }
}

#[test]
fn whoever_has_a_sample_is_named_and_nobody_else() {
    let Rig { writers, readers, node, .. } = rig(100);
    let mut set = WaitSet::new(&node);
    for (place, reader) in readers.iter().enumerate() {
        assert_eq!(set.attach(reader).unwrap(), place);
    }
    assert!(set.wait(Duration::ZERO).unwrap().is_empty());
    writers[7].write(&1).unwrap();
    writers[63].write(&2).unwrap();
    assert_eq!(set.wait(LONG).unwrap(), [7, 63]);
    assert_eq!(readers[7].take_copy().unwrap(), Some(1));
    assert_eq!(set.wait(LONG).unwrap(), [63]);
}

#[test]
fn a_sleeping_wait_is_woken_by_any_of_its_writers() {
    let Rig { writers, readers, node, .. } = rig(20);
    let mut set = WaitSet::new(&node);
    readers.iter().for_each(|reader| {
        set.attach(reader).unwrap();
    });
    let (next, asked) = mpsc::channel();
    let publisher = std::thread::spawn(move || {
        for number in asked {
            let writer: &FlatWriter<u64> = &writers[number as usize % writers.len()];
            writer.write(&number).unwrap();
        }
    });
    for number in 0..2_000u64 {
        next.send(number).unwrap();
        let ready = set.wait(LONG).unwrap();
        assert_eq!(ready, [number as usize % readers.len()]);
        assert_eq!(readers[ready[0]].take_copy().unwrap(), Some(number));
    }
    drop(next);
    publisher.join().unwrap();
    // Writers that go are news of all of them.
    assert!(!set.wait(LONG).unwrap().is_empty());
}

#[test]
fn a_wait_without_news_ends_in_time() {
    let Rig { writers, readers, node, .. } = rig(3);
    let mut set = WaitSet::new(&node);
    readers.iter().for_each(|reader| {
        set.attach(reader).unwrap();
    });
    assert!(set.wait(Duration::from_millis(20)).unwrap().is_empty());
    drop(writers);
}

#[test]
fn a_reader_of_another_node_is_refused() {
    let (one, other) = (rig(1), rig(1));
    let mut set = WaitSet::new(&one.node);
    assert!(matches!(set.attach(&other.readers[0]), Err(SlotError::AnotherNode)));
}
