//! What becomes of readers and samples when a segment is replaced, closed, adopted.
#![allow(clippy::unwrap_used)] // test helpers are not #[test] functions

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dds_shm::liveness::{Node, NodeOptions, RuntimeDir};
use dds_shm::slots::{FlowPolicy, SlotReader, SlotWriter};
use dds_shm::types::TypeHash;
use dds_shm::{PosixSlotAllocator, ReaderOptions, SampleInfo, SegmentOptions, SlotError};

const LONG: Duration = Duration::from_secs(5);

/// A writer and its readers, each in a node of its own.
struct Segment {
    writer: Option<SlotWriter>,
    flink: std::path::PathBuf,
    readers: Arc<Node>,
    writers: Arc<Node>,
    _dir: tempfile::TempDir,
}

impl Segment {
    fn new(options: &SegmentOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = RuntimeDir::create(&dir.path().join("shm")).unwrap();
        let writers = Node::new(&runtime, NodeOptions::default()).unwrap();
        let readers = Node::new(&runtime, NodeOptions::default()).unwrap();
        let owner = PosixSlotAllocator::create(&writers, options).unwrap();
        let flink = owner.flink_path().to_owned();
        let writer = Some(owner.into_writer().unwrap());
        Self { writer, flink, readers, writers, _dir: dir }
    }

    fn writer(&self) -> &SlotWriter {
        self.writer.as_ref().unwrap()
    }

    fn reader(&self) -> SlotReader {
        let options = ReaderOptions::default();
        let reader = PosixSlotAllocator::open_reader(&self.readers, &self.flink, None, options);
        let reader = reader.unwrap();
        wait_until(|| reader.is_admitted());
        reader
    }

    fn write(&self, byte: u8) {
        self.writer().write(&[byte; 64], &SampleInfo::default()).unwrap().unwrap();
    }
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < until, "in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Two slots, and whoever pins both is left behind soon.
fn two_slots() -> SegmentOptions {
    SegmentOptions::new("Topic", "Type", TypeHash::of_layout("test"), 64)
        .slots(2)
        .readers(1, 2)
        .flow(FlowPolicy::keep_all(LONG))
        .misbehaves_after(Duration::from_millis(20))
}

#[test]
fn samples_of_a_reader_that_was_left_behind_stay_where_they_are_when_it_follows() {
    let segment = Segment::new(&two_slots());
    let reader = segment.reader();
    segment.write(1);
    segment.write(2);
    let first = reader.take().unwrap().unwrap();
    let second = reader.take().unwrap().unwrap();
    // Finds both slots pinned, and goes on in new memory.
    segment.write(3);
    drop(first);
    // Follows, as a new reader.
    assert!(reader.take().unwrap().is_none());
    assert_eq!(second.bytes(), [2; 64]);
    wait_until(|| reader.is_admitted());
    segment.write(4);
    let fourth = reader.take_within(LONG).unwrap().unwrap();
    assert_eq!((fourth.bytes(), second.bytes()), (&[4; 64][..], &[2; 64][..]));
    assert_eq!(reader.losses().lost, 1, "the third");
    drop((second, fourth));
    for byte in 5..20 {
        segment.write(byte);
        assert_eq!(reader.take_within(LONG).unwrap().unwrap().bytes(), [byte; 64]);
    }
}

#[test]
fn a_reader_that_leaves_before_it_follows_blocks_nobody() {
    let segment = Segment::new(&two_slots());
    let (greedy, honest, follower) = (segment.reader(), segment.reader(), segment.reader());
    segment.write(1);
    segment.write(2);
    let _pinned = [greedy.take().unwrap().unwrap(), greedy.take().unwrap().unwrap()];
    while honest.take().unwrap().is_some() {}
    while follower.take().unwrap().is_some() {}
    let start_sn = follower.start_sn();
    segment.write(3);
    drop(honest);
    assert_eq!(follower.take_within(LONG).unwrap().unwrap().bytes(), [3; 64]);
    assert_eq!(follower.start_sn(), start_sn);
    drop(follower);
    let started = Instant::now();
    for byte in 4..20 {
        segment.write(byte);
    }
    assert!(started.elapsed() < LONG / 2);
}

#[test]
fn a_reader_that_is_disconnected_before_it_notices_its_admission_returns() {
    let segment = Segment::new(&two_slots());
    let reader = segment.reader();
    segment.writer().mark_reader_disconnected(reader.index().unwrap()).unwrap();
    wait_until(|| {
        assert!(reader.take().unwrap().is_none());
        reader.is_admitted()
    });
    segment.write(1);
    assert_eq!(reader.take_within(LONG).unwrap().unwrap().bytes(), [1; 64]);
    assert_eq!(reader.disconnections(), 1);
}

#[test]
fn a_reader_that_has_seen_the_end_does_not_hold_up_who_adopts_the_segment() {
    let options = two_slots().durable_name("adopted");
    let mut segment = Segment::new(&options);
    let (reader, joining) = (segment.reader(), segment.reader());
    segment.write(1);
    drop(segment.writer.take());
    let sample = reader.take().unwrap().unwrap();
    assert!(matches!(reader.take(), Err(SlotError::WriterLost)));
    while joining.take().is_ok() {}
    let owner = PosixSlotAllocator::create(&segment.writers, &options).unwrap();
    segment.writer = Some(owner.into_writer().unwrap());
    assert_eq!(segment.writer().head(), 1, "adopted");
    assert_eq!(sample.bytes(), [1; 64]);
    drop(sample);
    for byte in 2..20 {
        segment.write(byte);
    }
}

#[test]
fn a_writer_that_outlives_its_node_leaves_no_names() {
    let mut segment = Segment::new(&two_slots());
    let nodes = segment.writers.dir().nodes();
    let names = || std::fs::read_dir(&nodes).unwrap().count();
    assert_eq!(names(), 2);
    let writer = segment.writer.take();
    segment.writers = Arc::clone(&segment.readers);
    assert_eq!(names(), 2, "the writer keeps its node");
    drop(writer);
    wait_until(|| names() == 1);
}

const CHILD_DIR: &str = "DDS_SHM_TEST_WRITER_DIR";

/// Not a test of its own: the writer that the next one kills.
#[test]
fn writer_child() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let runtime = RuntimeDir::create(std::path::Path::new(&dir)).unwrap();
    let node = Node::new(&runtime, NodeOptions::default()).unwrap();
    let options = two_slots().flink(runtime.segments().join("child.flink"));
    let _writer = PosixSlotAllocator::create(&node, &options).unwrap().into_writer().unwrap();
    std::thread::sleep(LONG);
}

#[test]
fn a_reader_that_only_waits_for_moments_notices_that_its_writer_died() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shm");
    let runtime = RuntimeDir::create(&path).unwrap();
    let node = Node::new(&runtime, NodeOptions::default()).unwrap();
    let flink = runtime.segments().join("child.flink");
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer_child"])
        .env(CHILD_DIR, &path)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_until(|| flink.exists());
    let reader =
        PosixSlotAllocator::open_reader(&node, &flink, None, ReaderOptions::default()).unwrap();
    wait_until(|| reader.is_admitted());
    child.kill().unwrap();
    child.wait().unwrap();
    let killed = Instant::now();
    let lost = loop {
        match reader.take_within(Duration::from_millis(10)) {
            Ok(_) => assert!(killed.elapsed() < LONG, "not noticed"),
            Err(error) => break error,
        }
    };
    assert!(matches!(lost, SlotError::WriterLost));
    drop(reader);
    // What the killed process left in /dev/shm.
    let options = dds_shm::liveness::SweepOptions { remove: true, ..Default::default() };
    dds_shm::liveness::sweep(&runtime, &options).unwrap();
}

#[test]
fn who_attaches_while_a_segment_is_made_finds_all_of_it_or_nothing() {
    const TIMES: u32 = 200;
    let dir = tempfile::tempdir().unwrap();
    let runtime = RuntimeDir::create(&dir.path().join("shm")).unwrap();
    let [writers, readers] = [(); 2].map(|()| Node::new(&runtime, NodeOptions::default()).unwrap());
    let layout = "shmlay1;le;s8,8{0:value:u64}";
    let options = SegmentOptions::new("Made", "Value", TypeHash::of_layout(layout), 8)
        .layout(layout)
        .guid([7; 16]);
    let owner = PosixSlotAllocator::create(&writers, &options).unwrap();
    let (flink, first) = (owner.flink_path().to_owned(), owner.identity().incarnation);
    drop(owner);

    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let attaches = scope.spawn(|| {
            let mut found = HashSet::new();
            while !over.load(Ordering::Relaxed) {
                match PosixSlotAllocator::attach(&readers, &flink, None) {
                    Ok(segment) => {
                        let identity = segment.identity();
                        assert_eq!((&*identity.topic, &*identity.layout), ("Made", layout));
                        assert_eq!(identity.type_hash, TypeHash::of_layout(layout));
                        found.insert(identity.incarnation);
                    }
                    // No flink, or no objects behind one that was read just before.
                    Err(error) => assert!(format!("{error:?}").contains("NotFound"), "{error:?}"),
                }
            }
            found
        });
        for _ in 0..TIMES {
            let owner = PosixSlotAllocator::create(&writers, &options).unwrap();
            std::thread::yield_now();
            drop(owner);
        }
        over.store(true, Ordering::Relaxed);
        let found = attaches.join().unwrap();
        println!("{} of {TIMES} were found", found.len());
        assert!(!found.contains(&first));
    });
}
