//! A writer that overwrites in a tight loop, and readers of every kind: no sample is ever torn, and
//! every number that was published is either received or counted as lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dds_shm::liveness::{Node, RuntimeDir};
use dds_shm::slots::{RawSample, ReaderIndex, ReaderSet, SlotReader, SlotWriter};
use dds_shm::types::{SegmentFormat, TypeHash};
use dds_shm::{
    FlowPolicy, InMemorySlotAllocator, PosixSlotAllocator, ReaderOptions, SampleInfo,
    SegmentOptions, SlotBackend, SlotError,
};
use support::{Home, SOON, eventually, no_janitor, role, say, stay};

/// Bytes of a sample: a number, filling that follows from it, and a checksum over both.
const SIZE: usize = if cfg!(miri) { 256 } else { 64 << 10 };
/// How long the writer writes; `scripts/torn.sh` says longer.
fn time() -> Duration {
    let seconds = std::env::var("DDS_SHM_TORN_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(if cfg!(miri) { 10 } else { 2 }))
}

/// How many samples at least each reader is to get meanwhile.
const ENOUGH: u64 = if cfg!(miri) { 3 } else { 20 };
const MAX_HELD: usize = 3;

fn options() -> SegmentOptions {
    SegmentOptions::new("Torn", "Block", TypeHash::of_layout("block"), SIZE as u32)
        .flow(FlowPolicy::best_effort())
        .readers(6, MAX_HELD as u32)
        .slots(16)
}

fn fill(sample: &mut [u8], number: u64) {
    let (body, checksum) = sample.split_at_mut(SIZE - 4);
    body.fill(number as u8);
    body[..8].copy_from_slice(&number.to_le_bytes());
    checksum.copy_from_slice(&crc32fast::hash(body).to_le_bytes());
}

/// The number of a sample that is whole.
#[track_caller]
fn check(sample: &[u8]) -> u64 {
    assert_eq!(sample.len(), SIZE);
    let (body, checksum) = sample.split_at(SIZE - 4);
    let number = u64::from_le_bytes(body[..8].try_into().unwrap());
    assert_eq!(crc32fast::hash(body).to_le_bytes(), checksum, "sample {number} is torn");
    assert!(body[8..].iter().all(|byte| *byte == number as u8), "sample {number} is torn");
    number
}

/// Writes until the time is over; returns how many samples were published or dropped.
fn write_in_a_loop(writer: &SlotWriter) -> u64 {
    let until = Instant::now() + time();
    write_while(writer, || Instant::now() < until)
}

/// Writes while it is so; returns how many samples were published or dropped.
fn write_while(writer: &SlotWriter, is_so: impl Fn() -> bool) -> u64 {
    let mut number = 0;
    while is_so() {
        number += 1;
        match writer.loan() {
            Ok(mut loan) => {
                fill(loan.bytes_mut(), number);
                assert_eq!(loan.commit(SIZE, &SampleInfo::default()).unwrap().seq, number);
            }
            Err(SlotError::NoFreeSlot { .. }) => {
                writer.drop_sample(None).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(writer.head(), number);
    number
}

/// What one reader saw of the segment.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    /// The first number that was for it, and the last it took.
    start: u64,
    last: u64,
    received: u64,
    lost: u64,
}

impl Seen {
    /// Of everything from the start to `end`, nothing is missing and nothing is invented.
    #[track_caller]
    fn assert_adds_up(self, end: u64) {
        assert_eq!(self.received + self.lost, end + 1 - self.start, "{self:?}, to {end}");
        assert!(self.received > ENOUGH, "{self:?}, to {end}");
    }
}

/// Takes until the writer is gone, or `enough` samples; keeps up to `held` in use.
fn take_in_place(reader: &SlotReader, held: usize, enough: u64) -> Seen {
    let mut in_use: VecDeque<(u64, RawSample<'_>)> = VecDeque::new();
    let mut start = None;
    let (mut received, mut last) = (0, 0);
    while received < enough {
        match reader.take_within(SOON) {
            Ok(Some(sample)) => {
                // The writer numbers its samples as the segment does.
                start = start.or_else(|| reader.start_sn());
                let number = check(sample.bytes());
                assert_eq!(number, sample.seq());
                assert!(number > last, "{number} after {last}");
                (received, last) = (received + 1, number);
                in_use.push_back((number, sample));
            }
            Ok(None) => panic!("no sample and no end within {SOON:?}"),
            Err(SlotError::WriterLost) => break,
            Err(error) => panic!("{error}"),
        }
        if in_use.len() == held {
            // Unchanged for as long as it was in use, whichever goes first.
            let at = if received % 2 == 0 { 0 } else { held - 1 };
            let (number, sample) = in_use.remove(at).unwrap();
            assert_eq!(check(sample.bytes()), number);
        }
    }
    drop(in_use);
    let losses = reader.losses();
    assert_eq!(losses.replaced, 0);
    Seen { start: start.unwrap() as u64, last, received, lost: losses.lost }
}

/// Copies, as a reader does that does not trust the writer's other readers.
fn take_copies(reader: &SlotReader, enough: u64) -> Seen {
    let mut start = None;
    let (mut received, mut last, mut copy) = (0, 0, Vec::new());
    while received < enough {
        match reader.take_within(SOON) {
            Ok(Some(sample)) => {
                start = start.or_else(|| reader.start_sn());
                // Nobody clears its hazard here: the copy is never of another sample.
                sample.copy_checked(&mut copy).unwrap();
                let number = check(&copy);
                assert!(number == sample.seq() && number > last, "{number} after {last}");
                (received, last) = (received + 1, number);
            }
            Ok(None) => panic!("no sample and no end within {SOON:?}"),
            Err(SlotError::WriterLost) => break,
            Err(error) => panic!("{error}"),
        }
    }
    Seen { start: start.unwrap() as u64, last, received, lost: reader.losses().lost }
}

/// Reads by handles, without any protection: what was rewritten meanwhile is refused.
fn read_by_handles(consumer: &dyn SlotBackend, reader: ReaderIndex) -> [u64; 2] {
    let (mut whole, mut stale, mut last) = (0, 0, 0);
    let mut seen = consumer.generation();
    loop {
        match consumer.next_unread_slot(reader) {
            Ok(Some(handle)) => {
                match consumer.read_slot(handle) {
                    Ok((_, bytes)) => {
                        assert_eq!(Some(check(&bytes)), handle.seq());
                        whole += 1;
                    }
                    Err(SlotError::StaleHandle { .. }) => stale += 1,
                    Err(error) => panic!("{error}"),
                }
                assert!(handle.seq() > Some(last), "{handle:?} after {last}");
                last = handle.seq().unwrap();
                consumer.mark_read(handle, reader).unwrap();
            }
            Ok(None) => seen = consumer.wait(seen, Duration::from_millis(100)),
            Err(SlotError::WriterLost) => return [whole, stale],
            Err(error) => panic!("{error}"),
        }
    }
}

fn best_effort(max_held: usize) -> ReaderOptions {
    ReaderOptions { reliable: false, max_held, ..ReaderOptions::default() }
}

fn open(node: &Arc<Node>, flink: &Path, max_held: usize) -> SlotReader {
    PosixSlotAllocator::open_reader(node, flink, None, best_effort(max_held)).unwrap()
}

/// What a child does: reads in place in a process of its own.
#[test]
#[ignore = "run by other tests, in a process of its own"]
fn another_process() {
    let Some((role, flink, dir)) = role() else { return };
    let node = Node::new(&RuntimeDir::create(&dir).unwrap(), no_janitor()).unwrap();
    if role == "ZDS2" {
        return read_zds2(&node, &flink);
    }
    let reader = open(&node, Path::new(&flink), 2);
    eventually("admission", || reader.is_admitted());
    say("ready");
    let seen = take_in_place(&reader, 2, u64::MAX);
    say(format!("{} {} {} {}", seen.start, seen.last, seen.received, seen.lost));
    stay();
}

#[test]
fn no_reader_of_a_mapped_segment_sees_a_torn_sample() {
    let home = Home::new();
    let writers = home.node();
    let owner = PosixSlotAllocator::create(&writers, &options()).unwrap();
    let flink = owner.flink_path().to_owned();
    let writer = owner.into_writer().unwrap();
    let child = home.child("reader", flink.to_str().unwrap());
    child.expect("ready");

    let node = home.node();
    let readers = [1, MAX_HELD, 1].map(|held| open(&node, &flink, held));
    let consumer = PosixSlotAllocator::attach(&node, &flink, None).unwrap();
    let index = consumer.add_reader(&best_effort(1)).unwrap();
    eventually("admission of all", || writer.readers().len() == 5);
    let writing = AtomicBool::new(true);
    let joiners = AtomicU64::new(0);

    thread::scope(|scope| {
        let [in_place, holding, copying] = readers;
        let in_place = scope.spawn(move || take_in_place(&in_place, 1, u64::MAX));
        let holding = scope.spawn(move || take_in_place(&holding, MAX_HELD, u64::MAX));
        let copying = scope.spawn(move || take_copies(&copying, u64::MAX));
        let by_handles = scope.spawn(|| read_by_handles(&consumer, index));
        let late = scope.spawn(|| {
            while writing.load(Ordering::Relaxed) {
                let reader = open(&node, &flink, 2);
                eventually("admission", || reader.is_admitted());
                if !writing.load(Ordering::Relaxed) {
                    return;
                }
                let seen = take_in_place(&reader, 2, 25);
                if seen.received == 25 {
                    seen.assert_adds_up(seen.last);
                    joiners.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let end = write_in_a_loop(&writer);
        eprintln!("{end} samples in {:?}", time());
        writing.store(false, Ordering::Relaxed);
        drop(writer);
        in_place.join().unwrap().assert_adds_up(end);
        holding.join().unwrap().assert_adds_up(end);
        copying.join().unwrap().assert_adds_up(end);
        let [whole, stale] = by_handles.join().unwrap();
        assert!(whole > 20, "{whole} whole, {stale} stale, of {end}");
        late.join().unwrap();
        assert!(joiners.load(Ordering::Relaxed) > 0);
        let line = child.line();
        let [start, last, received, lost] =
            line.split(' ').map(|n| n.parse().unwrap()).collect::<Vec<u64>>()[..]
        else {
            panic!("{line}");
        };
        Seen { start, last, received, lost }.assert_adds_up(end);
    });
}

#[test]
fn no_reader_of_a_segment_on_the_heap_sees_a_torn_sample() {
    let segment = InMemorySlotAllocator::create(&options()).unwrap();
    let writer = segment.writer().unwrap();
    let readers = [1, MAX_HELD, 1].map(|held| segment.open_reader(best_effort(held)).unwrap());
    let enough = ENOUGH + 1;
    let finished = AtomicU64::new(0);
    let begun = Instant::now();
    thread::scope(|scope| {
        let [in_place, holding, copying] = readers;
        let finished = &finished;
        let ends = move |seen: Seen| {
            finished.fetch_add(1, Ordering::Relaxed);
            seen
        };
        // The heap's segment has no end while it is here: they stop by themselves.
        let in_place = scope.spawn(move || ends(take_in_place(&in_place, 1, enough)));
        let holding = scope.spawn(move || ends(take_in_place(&holding, MAX_HELD, enough)));
        let copying = scope.spawn(move || ends(take_copies(&copying, enough)));
        // However slow they are made; one that fails does not finish.
        write_while(&writer, || begun.elapsed() < 5 * SOON && finished.load(Ordering::Relaxed) < 3);
        for seen in [in_place, holding, copying].map(|reader| reader.join().unwrap()) {
            seen.assert_adds_up(seen.last);
        }
    });
}

/// Beside the others, because its copies race with the writer's stores, as they may: see
/// `spec-notes/verification.md`.
#[test]
#[cfg_attr(miri, ignore = "a copy without protection may race, and is refused then")]
fn no_copy_by_handle_of_a_segment_on_the_heap_is_torn() {
    let segment = InMemorySlotAllocator::create(&options()).unwrap();
    let writer = segment.writer().unwrap();
    let index = segment.add_reader(&best_effort(1)).unwrap();
    thread::scope(|scope| {
        let by_handles = scope.spawn(|| {
            let until = Instant::now() + time();
            let mut whole = 0;
            while Instant::now() < until {
                let Some(handle) = segment.next_unread_slot(index).unwrap() else { continue };
                if let Ok((_, bytes)) = segment.read_slot(handle) {
                    assert_eq!(Some(check(&bytes)), handle.seq());
                    whole += 1;
                }
                segment.mark_read(handle, index).unwrap();
            }
            whole
        });
        write_in_a_loop(&writer);
        let whole: u64 = by_handles.join().unwrap();
        assert!(whole > ENOUGH, "{whole} whole");
    });
}

/// A ZDS2 segment: whoever is waited for holds its writer up, and gets everything.
fn zds2(home: &Home) -> PosixSlotAllocator {
    let options =
        options().flow(FlowPolicy::keep_all(Duration::from_millis(50))).format(SegmentFormat::ZDS2);
    PosixSlotAllocator::create(&home.node(), &options).unwrap()
}

/// What a child does: reads a ZDS2 segment under the index that it is told, if `told` its owner waits
/// for it.
fn read_zds2(node: &Arc<Node>, argument: &str) {
    let (index, flink) = argument.split_once(' ').unwrap();
    let index = bit(index.parse().unwrap());
    let consumer = PosixSlotAllocator::attach(node, Path::new(flink), None).unwrap();
    consumer.add_reader_as(index).unwrap();
    say("ready");
    let said = if index == bit(0) {
        read_by_handles(&consumer, index)
    } else {
        read_unprotected(&consumer, index, || {})
    };
    say(format!("{} {}", said[0], said[1]));
    stay();
}

fn bit(index: usize) -> ReaderIndex {
    ReaderIndex::new(index).unwrap()
}

/// Writes in place while it is so; returns how many samples there were.
fn write_zds2(owner: &PosixSlotAllocator, is_so: impl Fn() -> bool) -> u64 {
    let mut number = 0;
    while is_so() {
        match owner.reserve_slot(ReaderSet::ALL) {
            Ok(handle) => {
                number += 1;
                fill(&mut owner.slot_data(handle).unwrap(), number);
                assert_eq!(owner.commit_in_place(handle, SIZE).unwrap().seq, number);
            }
            // A reader is slow.
            Err(SlotError::Timeout { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    number
}

/// Reads slot by slot what is there, the newest first, twice; marks it then, the newest last or first. Its
/// samples stay until they are marked. Returns how many there were.
fn read_slot_by_slot(consumer: &PosixSlotAllocator, reader: ReaderIndex) -> u64 {
    let mut count = 0;
    loop {
        let seen = consumer.generation();
        match consumer.next_unread_slot(reader) {
            Ok(Some(_)) => {}
            Ok(None) => drop(consumer.wait(seen, Duration::from_millis(100))),
            Err(SlotError::WriterLost) => return count,
            Err(error) => panic!("{error}"),
        }
        let mut handles: Vec<_> = (0..consumer.slot_count())
            .filter_map(|slot| consumer.unread_slot(slot, reader).unwrap())
            .collect();
        handles.sort_unstable_by_key(|handle| std::cmp::Reverse(handle.seq()));
        for handle in handles.iter().chain(&handles) {
            let (_, bytes) = consumer.read_slot(*handle).unwrap();
            assert_eq!(Some(check(&bytes)), handle.seq());
        }
        if count % 2 == 0 {
            handles.reverse();
        }
        for handle in handles {
            consumer.mark_read(handle, reader).unwrap();
            count += 1;
        }
    }
}

/// Reads without being waited for, or only now and then: when it is told so it begins anew, after
/// `agree`. An owner of ours takes a sample's header away before it writes the next, so that no copy that
/// is given out is torn. Returns how many were whole, and how often it was told.
fn read_unprotected(
    consumer: &PosixSlotAllocator,
    reader: ReaderIndex,
    agree: impl Fn(),
) -> [u64; 2] {
    let [mut whole, mut told] = [0, 0];
    loop {
        let seen = consumer.generation();
        match consumer.next_unread_slot(reader) {
            Ok(Some(handle)) => {
                match consumer.read_slot(handle) {
                    Ok((_, bytes)) => {
                        assert_eq!(Some(check(&bytes)), handle.seq());
                        whole += 1;
                    }
                    Err(SlotError::StaleHandle { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
                consumer.mark_read(handle, reader).unwrap();
            }
            Ok(None) => drop(consumer.wait(seen, Duration::from_millis(100))),
            Err(SlotError::NotWaitedFor { .. }) => {
                told += 1;
                agree();
                consumer.add_reader_as(reader).unwrap();
            }
            Err(SlotError::WriterLost) => return [whole, told],
            Err(error) => panic!("{error}"),
        }
    }
}

/// A child that reads a ZDS2 segment under this index.
fn zds2_child(home: &Home, owner: &PosixSlotAllocator, index: usize) -> support::Child {
    let child = home.child("ZDS2", &format!("{index} {}", owner.flink_path().display()));
    child.expect("ready");
    child
}

/// What a child says in the end.
fn counts(child: &support::Child) -> [u64; 2] {
    let line = child.line();
    let counts: Vec<u64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
    counts.try_into().unwrap()
}

#[test]
fn a_reader_that_a_zds2_owner_waits_for_gets_every_sample_whole() {
    let home = Home::new();
    let owner = zds2(&home);
    for index in 0..3 {
        owner.add_reader_as(bit(index)).unwrap();
    }
    let consumers = [1, 2].map(|index| {
        let attached = PosixSlotAllocator::attach(&home.node(), owner.flink_path(), None).unwrap();
        attached.add_reader_as(bit(index)).unwrap();
        attached
    });
    let child = zds2_child(&home, &owner, 0);
    let until = Instant::now() + time();
    thread::scope(|scope| {
        let [first, second] = &consumers;
        let in_order = scope.spawn(|| read_by_handles(first, bit(1)));
        let slot_by_slot = scope.spawn(|| read_slot_by_slot(second, bit(2)));
        let end = write_zds2(&owner, || Instant::now() < until);
        drop(owner);
        eprintln!("{end} samples in {:?}", time());
        assert!(end > ENOUGH);
        assert_eq!(in_order.join().unwrap(), [end, 0]);
        assert_eq!(slot_by_slot.join().unwrap(), end);
        assert_eq!(counts(&child), [end, 0]);
    });
}

/// What section 3 of `spec-notes/zerodds.md` calls unsafe with ZeroDDS's owner: with ours it loses samples.
#[test]
fn a_reader_that_a_zds2_owner_does_not_wait_for_gets_no_torn_sample() {
    let home = Home::new();
    let owner = Arc::new(zds2(&home));
    owner.add_reader_as(bit(2)).unwrap();
    let consumers = [1, 2].map(|index| {
        let attached = PosixSlotAllocator::attach(&home.node(), owner.flink_path(), None).unwrap();
        attached.add_reader_as(bit(index)).unwrap();
        attached
    });
    let child = zds2_child(&home, &owner, 3);
    let until = Instant::now() + time();
    let writing = AtomicBool::new(true);
    thread::scope(|scope| {
        let [first, second] = &consumers;
        let never = scope.spawn(|| read_unprotected(first, bit(1), || {}));
        let waits = Arc::downgrade(&owner);
        let again = scope.spawn(move || {
            read_unprotected(second, bit(2), || {
                if let Some(owner) = waits.upgrade() {
                    owner.add_reader_as(bit(2)).unwrap();
                }
            })
        });
        let disconnects = Arc::clone(&owner);
        let expiry = scope.spawn(|| {
            let owner = disconnects;
            while writing.load(Ordering::Relaxed) {
                owner.mark_reader_disconnected(bit(2)).unwrap();
                // Long enough for it to be told and to come again.
                thread::sleep(Duration::from_millis(5));
            }
        });
        let end = write_zds2(&owner, || Instant::now() < until);
        writing.store(false, Ordering::Relaxed);
        expiry.join().unwrap();
        drop(owner);
        for [whole, told] in [never.join().unwrap(), again.join().unwrap(), counts(&child)] {
            eprintln!("{whole} of {end} samples whole, {told} times told");
            assert!(whole > 0 && told > 0 && whole < end, "{whole} of {end}, {told}");
        }
    });
}
