//! ZDS2 segments: what they refuse, and what becomes of them when their owner goes or dies. What they
//! have in common with format 1 is in `slot_conformance.rs`; the other implementation reads and writes
//! them in `hosts/zerodds/tests`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use dds_shm::liveness::{Node, sweep};
use dds_shm::slots::{FormatError, ReaderIndex, ReaderSet, Sharing};
use dds_shm::types::{SegmentFormat, TypeHash};
use dds_shm::{
    ExpectedType, FlowPolicy, InMemorySlotAllocator, PosixSlotAllocator, ReaderOptions,
    SegmentOptions, SlotBackend as _, SlotError,
};
use support::{Home, SOON, eventually, no_janitor, removing};

fn options() -> SegmentOptions {
    SegmentOptions::new("Topic", "Type", TypeHash::of_layout("test"), 48)
        .flow(FlowPolicy::keep_all(Duration::from_millis(5)))
        .slots(4)
        .format(SegmentFormat::ZDS2)
}

fn index() -> ReaderIndex {
    ReaderIndex::new(7).unwrap()
}

fn publish(owner: &PosixSlotAllocator, bytes: &[u8]) {
    let handle = owner.reserve_slot(ReaderSet::ALL).unwrap();
    owner.commit_slot(handle, bytes).unwrap();
}

fn unsupported<T: std::fmt::Debug>(result: Result<T, SlotError>) -> String {
    match result {
        Err(error @ SlotError::Unsupported { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_format_cannot_keep_is_refused_when_the_segment_is_made() {
    let home = Home::new();
    let node = home.node();
    let refused =
        |options: SegmentOptions| unsupported(PosixSlotAllocator::create(&node, &options));
    let keep_last = FlowPolicy::keep_last(Duration::ZERO);
    assert!(refused(options().flow(keep_last)).contains("KEEP_LAST"));
    assert!(refused(options().keep_last(1, 1, true)).contains("history"));
    assert!(refused(options().durable_name("x")).contains("adopted"));
    assert!(refused(options().sharing(Sharing::Group)).contains("other users"));
    assert!(refused(options().format(SegmentFormat(9))).contains("format 9"));
    assert!(unsupported(InMemorySlotAllocator::create(&options())).contains("heap"));
    // Nothing was left behind: its own two names.
    assert_eq!(support::remains(&home.dir, node.id()).len(), 2);
}

#[test]
fn what_the_format_cannot_do_is_refused_by_name() {
    let home = Home::new();
    let node = home.node();
    let owner = PosixSlotAllocator::create(&node, &options()).unwrap();
    let flink = owner.flink_path().to_owned();
    assert_eq!(owner.format(), SegmentFormat::ZDS2);
    let expected = ExpectedType { hash: TypeHash::of_layout("test"), layout: "test".to_owned() };
    let attached = PosixSlotAllocator::attach(&node, &flink, Some(&expected));
    assert!(unsupported(attached).contains("what type"));
    let reader = PosixSlotAllocator::open_reader(&node, &flink, None, ReaderOptions::default());
    assert!(unsupported(reader).contains("in place or held"));
    let consumer = PosixSlotAllocator::attach(&node, &flink, None).unwrap();
    assert_eq!((consumer.format(), consumer.type_hash()), (SegmentFormat::ZDS2, None));
    assert_eq!(consumer.identity().incarnation, owner.identity().incarnation);
    assert!(unsupported(consumer.add_reader(&ReaderOptions::default())).contains("add_reader_as"));
    assert!(unsupported(owner.owner_handle()).contains("list its readers"));
    let bit_32 = ReaderIndex::new(32).unwrap();
    for side in [&owner, &consumer] {
        assert!(matches!(side.add_reader_as(bit_32), Err(SlotError::WrongReader { .. })));
    }
    // The loan that was refused stays.
    let handle = owner.reserve_slot(ReaderSet::ALL).unwrap();
    assert!(unsupported(owner.commit_slot(handle, b"")).contains("no octets"));
    owner.commit_slot(handle, b"x").unwrap();
    assert!(unsupported(owner.into_writer()).contains("SlotWriter"));
}

#[test]
fn an_attached_side_knows_what_the_segment_says_and_no_more() {
    let home = Home::new();
    let node = home.node();
    let owner = PosixSlotAllocator::create(&node, &options()).unwrap();
    let consumer = PosixSlotAllocator::attach(&node, owner.flink_path(), None).unwrap();
    assert_eq!((owner.slot_capacity(), owner.slot_total_size()), (48, 64));
    assert_eq!((consumer.slot_count(), consumer.slot_total_size()), (4, 64));
    assert_eq!(owner.type_hash(), Some(TypeHash::of_layout("test")));
    assert_eq!(fs::metadata(owner.segment_path()).unwrap().len(), 0x20 + 4 * 64);
    for path in [owner.flink_path(), owner.segment_path()] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o600);
    }
    let wider = SegmentOptions::new("T", "T", TypeHash::UNKNOWN, 100).format(SegmentFormat::ZDS2);
    let owner = PosixSlotAllocator::create(&node, &wider).unwrap();
    let consumer = PosixSlotAllocator::attach(&node, owner.flink_path(), None).unwrap();
    // The padding counts.
    assert_eq!((owner.slot_capacity(), consumer.slot_capacity()), (100, 112));
}

#[test]
fn only_the_owner_writes() {
    let home = Home::new();
    let node = home.node();
    let owner = PosixSlotAllocator::create(&node, &options()).unwrap();
    let consumer = PosixSlotAllocator::attach(&node, owner.flink_path(), None).unwrap();
    let handle = owner.reserve_slot(ReaderSet::ALL).unwrap();
    for result in [
        consumer.reserve_slot(ReaderSet::ALL).map(drop),
        consumer.commit_slot(handle, b"x").map(drop),
        consumer.commit_in_place(handle, 1).map(drop),
        consumer.slot_data(handle).map(drop),
        consumer.discard_slot(handle),
        consumer.mark_reader_disconnected(index()),
        owner.next_unread_slot(index()).map(drop),
    ] {
        assert!(matches!(result, Err(SlotError::NotOwner)), "{result:?}");
    }
}

#[test]
fn a_disconnected_reader_blocks_nobody_and_is_told() {
    let home = Home::new();
    let node = home.node();
    let owner = PosixSlotAllocator::create(&node, &options()).unwrap();
    let consumer = PosixSlotAllocator::attach(&node, owner.flink_path(), None).unwrap();
    for side in [&owner, &consumer] {
        side.add_reader_as(index()).unwrap();
    }
    (0..4).for_each(|_| publish(&owner, b"x"));
    consumer.next_unread_slot(index()).unwrap().unwrap();
    assert!(matches!(owner.reserve_slot(ReaderSet::EMPTY), Err(SlotError::Timeout { .. })));
    owner.mark_reader_disconnected(index()).unwrap();
    owner.mark_reader_disconnected(index()).unwrap();
    for _ in 0..10 {
        let handle = owner.reserve_slot(ReaderSet::ALL).unwrap();
        assert!(owner.commit_slot(handle, b"y").unwrap().covered.is_empty());
    }
    let error = consumer.next_unread_slot(index()).unwrap_err();
    assert!(matches!(error, SlotError::NotWaitedFor { .. }), "{error}");
    // Agreed on anew.
    for side in [&owner, &consumer] {
        side.add_reader_as(index()).unwrap();
    }
    let handle = consumer.next_unread_slot(index()).unwrap().unwrap();
    assert_eq!(consumer.read_slot(handle).unwrap().1, b"y");
}

#[test]
fn a_handle_from_before_a_reader_was_told_reads_nothing_more() {
    let home = Home::new();
    let node = home.node();
    let owner = PosixSlotAllocator::create(&node, &options()).unwrap();
    let consumer = PosixSlotAllocator::attach(&node, owner.flink_path(), None).unwrap();
    consumer.add_reader_as(index()).unwrap();
    (0..4).for_each(|_| publish(&owner, b"x"));
    let handles = [0, 1].map(|slot| consumer.unread_slot(slot, index()).unwrap().unwrap());
    // Nobody told the owner: the first slot gets another sample, the second is as it was.
    publish(&owner, b"y");
    assert_eq!(consumer.read_slot(handles[1]).unwrap().1, b"x");
    let error = consumer.next_unread_slot(index()).unwrap_err();
    assert!(matches!(error, SlotError::NotWaitedFor { .. }), "{error}");
    let error = consumer.read_slot(handles[1]).unwrap_err();
    assert!(matches!(error, SlotError::StaleHandle { .. }), "{error}");
}

#[test]
fn a_disconnected_reader_takes_no_sample_from_another_beside_it() {
    let home = Home::new();
    let node = home.node();
    let owner = PosixSlotAllocator::create(&node, &options()).unwrap();
    let consumer = PosixSlotAllocator::attach(&node, owner.flink_path(), None).unwrap();
    let other = ReaderIndex::new(8).unwrap();
    for side in [&owner, &consumer] {
        [index(), other].into_iter().for_each(|reader| side.add_reader_as(reader).unwrap());
    }
    publish(&owner, b"x");
    let [handle, _] = [index(), other].map(|reader| consumer.next_unread_slot(reader).unwrap());
    owner.mark_reader_disconnected(index()).unwrap();
    assert_eq!(consumer.read_slot(handle.unwrap()).unwrap().1, b"x");
}

#[test]
fn a_segment_of_another_user_is_refused() {
    let home = Home::new();
    let node = home.node();
    let owner = PosixSlotAllocator::create(&node, &options()).unwrap();
    // Only root can give it away, and only root could open it then.
    if std::os::unix::fs::chown(owner.segment_path(), Some(12345), None).is_ok() {
        let attached = PosixSlotAllocator::attach(&node, owner.flink_path(), None);
        assert!(unsupported(attached).contains("another user"));
    }
}

#[test]
fn who_sleeps_is_woken_by_the_last_sample_and_told_that_the_writer_left() {
    let home = Home::new();
    let owner = PosixSlotAllocator::create(&home.node(), &options()).unwrap();
    let flink = owner.flink_path().to_owned();
    let consumer = PosixSlotAllocator::attach(&home.node(), &flink, None).unwrap();
    for side in [&owner, &consumer] {
        side.add_reader_as(index()).unwrap();
    }
    let seen = consumer.generation();
    std::thread::scope(|scope| {
        let sleeps = scope.spawn(|| consumer.wait(seen, SOON));
        publish(&owner, b"last");
        assert_ne!(sleeps.join().unwrap(), seen);
    });
    drop(owner);
    assert!(!flink.exists());
    let handle = consumer.next_unread_slot(index()).unwrap().unwrap();
    assert_eq!(consumer.read_slot(handle).unwrap().1, b"last");
    consumer.mark_read(handle, index()).unwrap();
    eventually("that the writer is missed", || {
        consumer.wait(consumer.generation(), Duration::from_millis(10));
        matches!(consumer.next_unread_slot(index()), Err(SlotError::WriterLost))
    });
    let error = PosixSlotAllocator::attach(&home.node(), &flink, None).unwrap_err();
    assert!(matches!(error, SlotError::Liveness(_)), "{error}");
}

#[test]
fn what_an_owner_leaves_that_is_killed_is_removed_or_replaced() {
    let home = Home::new();
    for janitor_first in [false, true] {
        let flink = home.dir.segments().join("here.flink");
        let mut child = home.child("own", flink.to_str().unwrap());
        child.expect("there");
        let node = home.node();
        // While it lives the path is its own.
        let error = PosixSlotAllocator::create(&node, &options().flink(&flink)).unwrap_err();
        assert!(matches!(error, SlotError::Exists { .. }), "{error}");
        let consumer = PosixSlotAllocator::attach(&node, &flink, None).unwrap();
        let object = consumer.segment_path().to_owned();
        child.kill();
        let error = PosixSlotAllocator::attach(&node, &flink, None).unwrap_err();
        assert!(matches!(error, SlotError::WriterLost), "{error}");
        if janitor_first {
            sweep(&home.dir, &removing(Duration::ZERO)).unwrap();
            assert!(!flink.exists() && !object.exists());
        }
        let owner = PosixSlotAllocator::create(&node, &options().flink(&flink)).unwrap();
        PosixSlotAllocator::attach(&node, &flink, None).unwrap();
        sweep(&home.dir, &removing(Duration::ZERO)).unwrap();
        assert!(!object.exists() && flink.exists() && owner.segment_path().exists());
    }
}

#[test]
#[ignore = "run by other tests"]
fn another_process() {
    let Some((_, flink, dir)) = support::role() else { return };
    let dir = dds_shm::liveness::RuntimeDir::create(&dir).unwrap();
    let node = Node::new(&dir, no_janitor()).unwrap();
    let _owner = PosixSlotAllocator::create(&node, &options().flink(&flink)).unwrap();
    support::say("there");
    support::stay();
}

#[test]
fn garbage_in_the_segment_is_an_error_at_worst() {
    let home = Home::new();
    let node = home.node();
    let options = options().flow(FlowPolicy::keep_all(Duration::from_millis(1)));
    let owner = PosixSlotAllocator::create(&node, &options).unwrap();
    let consumer = PosixSlotAllocator::attach(&node, owner.flink_path(), None).unwrap();
    let object = fs::OpenOptions::new().write(true).open(owner.segment_path()).unwrap();
    let words = u64::from(0x20 + 4 * 64_u32) / 4;
    let (mut read, mut refused) = (0, 0);
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        for side in [&owner, &consumer] {
            side.add_reader_as(index()).unwrap();
        }
        for _ in 0..20 {
            let value = [0, 1, 48, 49, 1 << 31, u32::MAX, rand::random()];
            let value = value[rand::random_range(0..value.len())];
            let at = 4 * rand::random_range(0..words);
            object.write_all_at(&value.to_ne_bytes(), at).unwrap();
            let start = Instant::now();
            if let Ok(handle) = owner.reserve_slot(ReaderSet::ALL) {
                owner.commit_slot(handle, &[7; 48]).unwrap();
            }
            match consumer.next_unread_slot(index()) {
                Ok(Some(handle)) => {
                    if let Ok((header, bytes)) = consumer.read_slot(handle) {
                        assert!(header.size as usize == bytes.len() && bytes.len() <= 48);
                        read += 1;
                    }
                    consumer.mark_read(handle, index()).unwrap();
                }
                Ok(None) => {}
                Err(SlotError::NotWaitedFor { .. } | SlotError::Format(_)) => refused += 1,
                Err(error) => panic!("{error}"),
            }
            consumer.wait(consumer.generation(), Duration::from_micros(10));
            assert!(start.elapsed() < Duration::from_secs(5));
        }
    }
    assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
    // The owner believes nothing of it but the masks.
    owner.mark_reader_disconnected(index()).unwrap();
    (0..10).for_each(|_| publish(&owner, b"x"));
}

#[test]
fn a_flink_that_leads_astray_is_an_error() {
    let home = Home::new();
    let node = home.node();
    let flink = home.path("x.flink");
    let attach = |contents: &str| {
        fs::write(&flink, contents).unwrap();
        PosixSlotAllocator::attach(&node, &flink, None).unwrap_err()
    };
    assert!(matches!(attach("/shmem_0"), SlotError::Shm(_)));
    assert!(matches!(attach("/../../etc/passwd"), SlotError::Liveness(_)));
    // Another object of ours, which is no segment.
    let bell = format!("/{}", node.id().bell_name());
    assert!(matches!(attach(&bell), SlotError::Format(FormatError::Magic { .. })));
    // A path that somebody else has.
    fs::write(&flink, "/shmem_0").unwrap();
    let error = PosixSlotAllocator::create(&node, &options().flink(&flink)).unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
    assert!(Path::new(&flink).exists());
    assert_eq!(support::remains(&home.dir, node.id()).len(), 2);
}

#[test]
fn samples_come_in_order_however_fast_they_are_published() {
    const COUNT: u64 = 20_000;
    let home = Home::new();
    let node = home.node();
    let options = options().slots(200).flow(FlowPolicy::keep_all(SOON));
    let owner = PosixSlotAllocator::create(&node, &options).unwrap();
    let consumer = PosixSlotAllocator::attach(&node, owner.flink_path(), None).unwrap();
    for side in [&owner, &consumer] {
        side.add_reader_as(index()).unwrap();
    }
    std::thread::scope(|scope| {
        scope.spawn(|| (0..COUNT).for_each(|_| publish(&owner, b"x")));
        let mut last = 0;
        while last < COUNT {
            let seen = consumer.generation();
            let Some(handle) = consumer.next_unread_slot(index()).unwrap() else {
                consumer.wait(seen, SOON);
                continue;
            };
            assert_eq!(handle.seq(), Some(last + 1));
            consumer.mark_read(handle, index()).unwrap();
            last += 1;
        }
    });
}
