//! One suite over both allocators: what a `SlotBackend` is.
#![allow(clippy::unwrap_used)] // test helpers are not #[test] functions

use std::time::{Duration, Instant};

use dds_shm::liveness::{Node, NodeOptions, RuntimeDir};
use dds_shm::slots::{ReaderIndex, ReaderSet, SlotHandle};
use dds_shm::types::TypeHash;
use dds_shm::{
    InMemorySlotAllocator, PosixSlotAllocator, ReaderOptions, SegmentOptions, SlotBackend,
    SlotError,
};

/// One side that owns a segment, and one that reads it.
trait Fixture {
    fn new(options: SegmentOptions) -> Self;
    fn owner(&self) -> &dyn SlotBackend;
    fn consumer(&self) -> &dyn SlotBackend;
    fn add_reader(&self, options: ReaderOptions) -> Result<ReaderIndex, SlotError>;
}

struct InMemory(InMemorySlotAllocator);

impl Fixture for InMemory {
    fn new(options: SegmentOptions) -> Self {
        Self(InMemorySlotAllocator::create(&options).unwrap())
    }
    fn owner(&self) -> &dyn SlotBackend {
        &self.0
    }
    fn consumer(&self) -> &dyn SlotBackend {
        &self.0
    }
    fn add_reader(&self, options: ReaderOptions) -> Result<ReaderIndex, SlotError> {
        self.0.add_reader(&options)
    }
}

struct Posix {
    consumer: PosixSlotAllocator,
    owner: PosixSlotAllocator,
    _dir: tempfile::TempDir,
}

impl Fixture for Posix {
    fn new(options: SegmentOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = RuntimeDir::create(&dir.path().join("shm")).unwrap();
        let writers = Node::new(&runtime, NodeOptions::default()).unwrap();
        let readers = Node::new(&runtime, NodeOptions::default()).unwrap();
        let owner = PosixSlotAllocator::create(&writers, &options).unwrap();
        let consumer = PosixSlotAllocator::attach(&readers, owner.flink_path(), None).unwrap();
        Self { consumer, owner, _dir: dir }
    }
    fn owner(&self) -> &dyn SlotBackend {
        &self.owner
    }
    fn consumer(&self) -> &dyn SlotBackend {
        &self.consumer
    }
    fn add_reader(&self, options: ReaderOptions) -> Result<ReaderIndex, SlotError> {
        self.consumer.add_reader(&options)
    }
}

fn options() -> SegmentOptions {
    SegmentOptions::new("Topic", "Type", TypeHash::of_layout("test"), 100)
}

/// Waits until the reader is served: publishes until one commit covers it, then reads all of it.
fn admitted<F: Fixture>(fixture: &F, options: ReaderOptions) -> ReaderIndex {
    let reader = fixture.add_reader(options).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let handle = fixture.owner().reserve_slot(ReaderSet::ALL).unwrap();
        let committed = fixture.owner().commit_slot(handle, b"hello").unwrap();
        if committed.covered.contains(reader) {
            break;
        }
        assert!(Instant::now() < until, "not admitted");
        std::thread::yield_now();
    }
    let consumer = fixture.consumer();
    while let Some(handle) = consumer.next_unread_slot(reader).unwrap() {
        consumer.mark_read(handle, reader).unwrap();
    }
    reader
}

fn publish<F: Fixture>(fixture: &F, bytes: &[u8]) -> u64 {
    let handle = fixture.owner().reserve_slot(ReaderSet::ALL).unwrap();
    fixture.owner().commit_slot(handle, bytes).unwrap().seq
}

fn take<F: Fixture>(fixture: &F, reader: ReaderIndex) -> Option<(SlotHandle, Vec<u8>)> {
    let handle = fixture.consumer().next_unread_slot(reader).unwrap()?;
    let (header, bytes) = fixture.consumer().read_slot(handle).unwrap();
    assert_eq!(header.size as usize, bytes.len());
    Some((handle, bytes))
}

fn samples_arrive_in_order_and_whole<F: Fixture>() {
    let fixture = F::new(options().slots(8));
    let reader = admitted(&fixture, ReaderOptions::default());
    for round in 0..100u8 {
        publish(&fixture, &[round; 100]);
        publish(&fixture, &[]);
        let (full, bytes) = take(&fixture, reader).unwrap();
        assert_eq!(bytes, [round; 100]);
        fixture.consumer().mark_read(full, reader).unwrap();
        let (empty, bytes) = take(&fixture, reader).unwrap();
        assert!(bytes.is_empty());
        fixture.consumer().mark_read(empty, reader).unwrap();
        assert!(take(&fixture, reader).is_none());
    }
}

macro_rules! conformance {
    ($($name:ident),* $(,)?) => {
        mod in_memory { $(#[test] fn $name() { super::$name::<super::InMemory>(); })* }
        mod posix { $(#[test] fn $name() { super::$name::<super::Posix>(); })* }
    };
}

conformance!(samples_arrive_in_order_and_whole);
