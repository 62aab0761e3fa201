//! Segments between this library and `zerodds-flatdata` as it comes from crates.io, each side in a
//! process of its own, and each in both roles.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use dds_shm::discovery::{LocatorPath, ShmLocator};
use dds_shm::slots::{ReaderIndex, ReaderSet};
use dds_shm::transport::locator_of;
use dds_shm::types::{SegmentFormat, TypeHash};
use dds_shm::{FlowPolicy, PosixSlotAllocator, SegmentOptions, SlotBackend as _, SlotError};
use interop_tests::in_namespace;
use support::{Home, eventually, role, say};
use zerodds_flatdata::{
    PosixSlotAllocator as ZeroAllocator, SlotBackend as _, SlotError as ZeroError,
};

const SAMPLES: u32 = 2000;
const SLOTS: usize = 4;
const CAPACITY: usize = 100;
const INDEX: u8 = 5;
/// A sleep that is not woken ends after so long, and the test fails.
const LONG: Duration = Duration::from_secs(10);

fn index() -> ReaderIndex {
    ReaderIndex::new(INDEX.into()).unwrap()
}

/// Sample n: 1 to 100 octets that all depend on n.
fn sample(n: u32) -> Vec<u8> {
    let len = 1 + n as usize % CAPACITY;
    let octets = n.to_le_bytes().into_iter().cycle().zip(0..);
    octets.map(|(octet, at): (u8, u8)| octet ^ at).take(len).collect()
}

/// How many threads the segment says are asleep.
fn sleepers(object: &Path) -> u32 {
    let mut word = [0; 4];
    fs::File::open(object).unwrap().read_exact_at(&mut word, 0x14).unwrap();
    u32::from_ne_bytes(word)
}

fn our_options() -> SegmentOptions {
    SegmentOptions::new("Topic", "Type", TypeHash::UNKNOWN, CAPACITY as u32)
        .slots(SLOTS as u32)
        .flow(FlowPolicy::keep_all(LONG))
        .format(SegmentFormat::ZDS2)
}

#[test]
fn their_owner_writes_and_our_reader_reads() {
    in_namespace!([], || {
        let home = Home::new();
        let flink = home.path("theirs.flink");
        let mut child = home.child("their owner", flink.to_str().unwrap());
        child.expect("there");
        let segment = PosixSlotAllocator::attach(&home.node(), &flink, None).unwrap();
        assert_eq!(segment.format(), SegmentFormat::ZDS2);
        assert_eq!((segment.slot_count(), segment.slot_total_size()), (SLOTS, 128));
        assert_eq!(segment.slot_capacity(), 112);
        segment.add_reader_as(index()).unwrap();
        child.go_on();
        let mut slowest = Duration::ZERO;
        for n in 0..SAMPLES {
            let handle = loop {
                let seen = segment.generation();
                if let Some(handle) = segment.next_unread_slot(index()).unwrap() {
                    break handle;
                }
                let start = Instant::now();
                segment.wait(seen, LONG);
                slowest = slowest.max(start.elapsed());
            };
            assert_eq!(handle.seq(), Some(u64::from(n) + 1));
            assert_eq!(segment.read_slot(handle).unwrap().1, sample(n));
            segment.mark_read(handle, index()).unwrap();
            if n % 100 == 0 {
                // Asleep, so that the next one has to wake us.
                let seen = segment.generation();
                segment.wait(seen, Duration::from_millis(1));
            }
        }
        assert!(slowest < LONG / 2, "a wake was lost: {slowest:?}");
        child.expect("written");
        assert_eq!(sleepers(segment.segment_path()), 0);
        child.go_on();
        assert!(child.ends_well());
        eventually("that the writer is missed", || {
            matches!(segment.next_unread_slot(index()), Err(SlotError::WriterLost))
        });
    });
}

fn their_owner(flink: &Path) {
    let owner = ZeroAllocator::create(flink, SLOTS, CAPACITY).unwrap();
    say("there");
    support::await_go();
    for n in 0..SAMPLES {
        let handle = loop {
            let seen = owner.notify_generation();
            match owner.reserve_slot(1 << INDEX) {
                Ok(handle) => break handle,
                Err(ZeroError::NoFreeSlot) => owner.wait_for_change(seen, LONG),
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(owner.commit_slot(handle, &sample(n)), Ok(n));
    }
    say("written");
    support::await_go();
}

#[test]
fn our_owner_writes_and_their_reader_reads() {
    in_namespace!([], || {
        let home = Home::new();
        let flink = home.path("ours.flink");
        let owner = PosixSlotAllocator::create(&home.node(), &our_options().flink(&flink)).unwrap();
        owner.add_reader_as(index()).unwrap();
        let mut child = home.child("their reader", flink.to_str().unwrap());
        child.expect("attached 4 128 112");
        for n in 0..SAMPLES {
            // Waits while the four slots are unread.
            let handle = owner.reserve_slot(ReaderSet::EMPTY).unwrap();
            let committed = owner.commit_slot(handle, &sample(n)).unwrap();
            assert_eq!(committed.seq, u64::from(n) + 1);
            assert!(committed.covered.contains(index()));
            if n % 100 == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        child.expect("read");
        assert_eq!(sleepers(owner.segment_path()), 0);
        assert!(child.ends_well());
        // Everything was marked.
        for _ in 0..SLOTS {
            owner.reserve_slot(ReaderSet::ALL).unwrap();
        }
    });
}

fn their_reader(flink: &Path) {
    let segment = ZeroAllocator::attach(flink).unwrap();
    let slots = segment.slot_count().unwrap();
    say(format!("attached {slots} {} {}", segment.slot_total_size(), segment.slot_capacity()));
    let (mut got, mut slowest) = (vec![false; SAMPLES as usize], Duration::ZERO);
    while got.contains(&false) {
        let seen = segment.notify_generation();
        // The first in the order of slots, which is not always the oldest.
        let Some(handle) = segment.next_unread_slot(INDEX).unwrap() else {
            let start = Instant::now();
            segment.wait_for_change(seen, LONG);
            slowest = slowest.max(start.elapsed());
            continue;
        };
        let (header, bytes) = segment.read_slot(handle).unwrap();
        let n = header.sequence_number;
        assert_eq!(bytes, sample(n));
        assert!(!std::mem::replace(&mut got[n as usize], true), "sample {n} came twice");
        segment.mark_read(handle, INDEX).unwrap();
    }
    assert!(slowest < LONG / 2, "a wake was lost: {slowest:?}");
    say("read");
}

#[test]
fn a_reader_that_their_owner_does_not_wait_for_is_told() {
    in_namespace!([], || {
        let home = Home::new();
        let flink = home.path("theirs.flink");
        let owner = ZeroAllocator::create(&flink, 2, CAPACITY).unwrap();
        let segment = PosixSlotAllocator::attach(&home.node(), &flink, None).unwrap();
        segment.add_reader_as(index()).unwrap();
        let publish = |mask, n| {
            let handle = owner.reserve_slot(mask).unwrap();
            owner.commit_slot(handle, &sample(n)).unwrap();
        };
        // Nobody active: the first slot, again and again.
        publish(0, 1);
        let handle = segment.next_unread_slot(index()).unwrap().unwrap();
        publish(0, 2);
        assert!(matches!(segment.read_slot(handle), Err(SlotError::StaleHandle { .. })));
        let error = segment.next_unread_slot(index()).unwrap_err();
        assert!(matches!(error, SlotError::NotWaitedFor { reader } if reader == index()));
        // Disconnected by the owner: told as well.
        segment.add_reader_as(index()).unwrap();
        let handle = segment.next_unread_slot(index()).unwrap().unwrap();
        owner.mark_reader_disconnected(INDEX).unwrap();
        assert!(matches!(segment.read_slot(handle), Err(SlotError::StaleHandle { .. })));
        let error = segment.next_unread_slot(index()).unwrap_err();
        assert!(matches!(error, SlotError::NotWaitedFor { .. }), "{error}");
    });
}

#[test]
fn a_reader_of_theirs_that_we_disconnect_holds_up_nobody() {
    in_namespace!([], || {
        let home = Home::new();
        let owner = PosixSlotAllocator::create(&home.node(), &our_options()).unwrap();
        owner.add_reader_as(index()).unwrap();
        let reader = ZeroAllocator::attach(owner.flink_path()).unwrap();
        let publish = |n| {
            let handle = owner.reserve_slot(ReaderSet::ALL).unwrap();
            owner.commit_slot(handle, &sample(n)).unwrap().covered
        };
        (0..SLOTS as u32).for_each(|n| assert!(publish(n).contains(index())));
        owner.mark_reader_disconnected(index()).unwrap();
        assert_eq!(reader.next_unread_slot(INDEX), Ok(None));
        (0..20).for_each(|n| assert!(publish(n).is_empty()));
    });
}

#[test]
fn each_decodes_the_locators_of_the_other() {
    in_namespace!([], || {
        let theirs = zerodds_flatdata::ShmLocator {
            hostname_hash: zerodds_flatdata::fnv1a_32(b"vm"),
            uid: 1000,
            slot_count: 8,
            slot_size: 64,
            segment_path: "/run/zdds/pose.flink".to_owned(),
        };
        let octets = theirs.to_bytes_le().unwrap();
        let read = ShmLocator::decode(&octets).unwrap();
        assert_eq!((read.hostname_hash, read.uid), (theirs.hostname_hash, 1000));
        assert_eq!((read.slot_count, read.slot_stride), (8, 64));
        assert_eq!((read.path.as_str(), &read.segment), ("/run/zdds/pose.flink", &None));
        assert_eq!(read.encode(), octets);

        // Ours, of both formats: they see the head, and skip what is behind it.
        let home = Home::new();
        for options in [our_options(), our_options().format(SegmentFormat::V1)] {
            let segment = PosixSlotAllocator::create(&home.node(), &options).unwrap();
            let ours = locator_of(&segment).unwrap();
            assert_eq!(ours.segment.map(|hints| hints.format), Some(segment.format()));
            let read = zerodds_flatdata::ShmLocator::from_bytes_le(&ours.encode()).unwrap();
            let host = nix::unistd::gethostname().unwrap();
            let uid = nix::unistd::geteuid().as_raw();
            assert!(zerodds_flatdata::is_same_host(&host.to_string_lossy(), uid, &read));
            assert_eq!(read.slot_count as usize, segment.slot_count());
            assert_eq!(read.slot_size as usize, segment.slot_total_size());
            assert_eq!(Path::new(&read.segment_path), segment.flink_path());
        }
        // The longest path, and one octet more.
        let path = LocatorPath::new("x".repeat(256)).unwrap();
        let ours = ShmLocator { path, ..read };
        zerodds_flatdata::ShmLocator::from_bytes_le(&ours.encode()).unwrap();
        let mut octets = ours.encode();
        octets[16..20].copy_from_slice(&258u32.to_le_bytes());
        octets.resize(20 + 260, 0);
        assert!(zerodds_flatdata::ShmLocator::from_bytes_le(&octets).is_err());
        assert!(ShmLocator::decode(&octets).is_err());
    });
}

#[test]
#[ignore = "run by other tests"]
fn another_process() {
    let Some((role, flink, _)) = role() else { return };
    match role.as_str() {
        "their owner" => their_owner(Path::new(&flink)),
        "their reader" => their_reader(Path::new(&flink)),
        other => panic!("{other}"),
    }
}
