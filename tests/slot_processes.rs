//! Segments between processes that are frozen, killed, forked and started again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use dds_shm::liveness::janitor::{Finding, Sweeper};
use dds_shm::liveness::{Node, NodeId, NodeOptions, PeerNode, RuntimeDir, sweep};
use dds_shm::slots::{
    EntryStatus, OwnerEvent, RawSample, ReaderIndex, ReaderLoss, ReaderSet, SlotReader, SlotWriter,
};
use dds_shm::types::TypeHash;
use dds_shm::{
    FlowPolicy, PosixSlotAllocator, ReaderOptions, SampleInfo, SegmentOptions, SlotBackend,
    SlotError,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{ForkResult, Pid, fork};
use support::{
    Child, Home, SOON, await_go, eventually, no_janitor, remains, removing, role, say, stay,
};

const SIZE: usize = 1000;

fn options() -> SegmentOptions {
    SegmentOptions::new("Topic", "Type", TypeHash::of_layout("test"), SIZE as u32)
        .flow(FlowPolicy::keep_all(SOON))
        // Who is slow here is so on purpose.
        .misbehaves_after(Duration::from_secs(600))
}

/// A durable writer that keeps three samples.
fn durable() -> SegmentOptions {
    options().keep_last(3, 1, true).flow(FlowPolicy::keep_last(SOON)).durable_name("the writer")
}

fn write(writer: &SlotWriter, number: u64) -> u64 {
    let mut loan = writer.loan().unwrap();
    loan.bytes_mut().fill(number as u8);
    loan.bytes_mut()[..8].copy_from_slice(&number.to_le_bytes());
    loan.commit(SIZE, &SampleInfo::default()).unwrap().seq
}

/// The number of a sample that is whole.
#[track_caller]
fn number(sample: &RawSample<'_>) -> u64 {
    let number = u64::from_le_bytes(sample.bytes()[..8].try_into().unwrap());
    assert_eq!(sample.bytes().len(), SIZE);
    assert!(sample.bytes()[8..].iter().all(|byte| *byte == number as u8), "{number} is torn");
    number
}

#[track_caller]
fn take(reader: &SlotReader) -> u64 {
    number(&reader.take_within(SOON).unwrap().unwrap())
}

/// Takes until there is an error.
fn take_to_the_end(reader: &SlotReader) -> (Vec<u64>, SlotError) {
    let mut numbers = Vec::new();
    loop {
        match reader.take_within(SOON) {
            Ok(Some(sample)) => numbers.push(number(&sample)),
            Ok(None) => panic!("no end within {SOON:?}, after {numbers:?}"),
            Err(error) => return (numbers, error),
        }
    }
}

fn create(node: &Arc<Node>, options: &SegmentOptions) -> (SlotWriter, PathBuf) {
    let owner = PosixSlotAllocator::create(node, options).unwrap();
    let flink = owner.flink_path().to_owned();
    (owner.into_writer().unwrap(), flink)
}

fn open(node: &Arc<Node>, flink: &Path, options: ReaderOptions) -> SlotReader {
    let reader = PosixSlotAllocator::open_reader(node, flink, None, options).unwrap();
    eventually("admission", || reader.is_admitted());
    reader
}

fn holding(max_held: usize) -> ReaderOptions {
    ReaderOptions { max_held, ..ReaderOptions::default() }
}

/// Starts a reader and waits until it is served.
fn start(home: &Home, role: &str, flink: &Path) -> Child {
    let child = home.child(role, flink.to_str().unwrap());
    child.expect("served");
    child
}

/// The entry of the one reader of this kind.
fn entry_of(writer: &SlotWriter, guid: [u8; 16]) -> ReaderIndex {
    writer.readers().iter().find(|(_, _, entry)| entry.guid == guid).unwrap().0
}

/// The GUID of every child's reader.
const CHILDS: [u8; 16] = [0xc1; 16];

fn childs() -> ReaderOptions {
    ReaderOptions { guid: CHILDS, ..ReaderOptions::default() }
}

/// What a [`Child`] does.
#[test]
#[ignore = "run by other tests, in a process of its own"]
fn another_process() {
    let Some((role, argument, dir)) = role() else { return };
    let node = Node::new(&RuntimeDir::create(&dir).unwrap(), no_janitor()).unwrap();
    let flink = PathBuf::from(&argument);
    let join = |options: ReaderOptions| {
        let reader = open(&node, &flink, options);
        say("served");
        reader
    };
    match role.as_str() {
        // Takes everything there is until told how much there was.
        "read" | "read best effort" => {
            let reader = join(ReaderOptions { reliable: role == "read", ..childs() });
            let (numbers, error) = take_to_the_end(&reader);
            assert!(matches!(error, SlotError::WriterLost), "{error}");
            assert!(numbers.is_sorted());
            let losses = reader.losses();
            say(format!("{} {} {}", numbers.len(), losses.lost, reader.disconnections()));
        }
        // Takes one and keeps it; then as "read best effort".
        "hold one" => {
            let reader = join(ReaderOptions { reliable: false, ..childs() });
            let held = reader.take_within(SOON).unwrap().unwrap();
            assert_eq!(number(&held), 1);
            say("holds");
            let mut received = 1;
            loop {
                match reader.take_within(SOON) {
                    Ok(sample) => received += usize::from(sample.is_some()),
                    Err(error) => {
                        assert!(matches!(error, SlotError::WriterLost), "{error}");
                        break;
                    }
                }
            }
            assert_eq!(number(&held), 1);
            say(format!("{received} {}", reader.losses().lost));
        }
        // Takes as much as it may and keeps it; lets go when told, and goes on.
        "hold all" => {
            let reader = join(ReaderOptions { max_held: 64, ..childs() });
            let mut held = Vec::new();
            loop {
                match reader.take_within(SOON) {
                    Ok(sample) => held.extend(sample),
                    Err(SlotError::TooManyHeld { .. }) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            say(format!("holds {}", held.len()));
            await_go();
            let numbers: Vec<u64> = held.iter().map(number).collect();
            say(format!("{numbers:?}"));
            drop(held);
            // Beyond what may still have come into the memory it was left behind with.
            say(std::iter::repeat_with(|| take(&reader)).find(|number| *number > 20).unwrap());
            stay();
        }
        // Says what it takes, one by one.
        "echo" => {
            let reader = join(childs());
            let mut received = 0;
            loop {
                match reader.take_within(SOON) {
                    Ok(Some(sample)) => {
                        received += 1;
                        let number = number(&sample);
                        // What it has told it does not hold any more.
                        drop(sample);
                        say(number);
                    }
                    Ok(None) => {}
                    Err(error) => {
                        assert!(matches!(error, SlotError::WriterLost), "{error}");
                        break;
                    }
                }
            }
            let losses = reader.losses();
            say(format!("{received} {} {}", losses.lost, reader.disconnections()));
        }
        "die while writing" => {
            let (writer, flink) = create(&node, &options());
            say(flink.display());
            await_go();
            for n in 1..=3 {
                write(&writer, n);
            }
            let mut loans = [writer.loan().unwrap(), writer.loan().unwrap()];
            loans[0].bytes_mut()[..SIZE / 2].fill(0xee);
            loans[1].bytes_mut()[..SIZE / 2].fill(0xee);
            say(node.id());
            stay();
        }
        "write durable" => {
            let (writer, flink) = create(&node, &durable());
            say(flink.display());
            await_go();
            for n in 1..=10 {
                write(&writer, n);
            }
            say(writer.head());
            stay();
        }
        "own" => {
            let (writer, flink) = create(&node, &options());
            say(node.id());
            say(flink.display());
            await_go();
            write(&writer, 1);
            say(writer.readers().len());
            stay();
        }
        "read and stay" => {
            let reader = join(childs());
            let held = reader.take_within(SOON).unwrap().unwrap();
            say(node.id());
            assert_eq!(number(&held), 1);
            stay();
        }
        "fork" => forking(&node),
        other => panic!("no such role: {other}"),
    }
    await_go();
}

#[test]
fn a_frozen_best_effort_reader_takes_nothing_from_a_reliable_one() {
    const SAMPLES: u64 = 3000;
    let home = Home::new();
    let (writer, flink) = create(&home.node(), &options().slots(8).readers(2, 2));
    let frozen = start(&home, "hold one", &flink);
    let reliable = start(&home, "read", &flink);
    write(&writer, 1);
    frozen.expect("holds");
    frozen.pause();
    for n in 2..=SAMPLES {
        write(&writer, n);
    }
    drop(writer);
    assert_eq!(reliable.line(), format!("{SAMPLES} 0 0"));
    frozen.resume();
    let line = frozen.line();
    let counts: Vec<u64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
    assert_eq!(counts.iter().sum::<u64>(), SAMPLES, "{line}");
    assert!(counts[1] > 0);
}

#[test]
fn a_reader_killed_with_its_hands_full_holds_up_nobody() {
    // The writer looks after its readers when it is full, and then every 50 ms. How soon it goes on
    // also depends on how busy this machine is: the best of some times counts.
    let best = (0..5).map(|_| blocked_by_a_killed_reader()).min().unwrap();
    eprintln!("blocked for {best:?} after the kill");
    assert!(best <= Duration::from_millis(100), "{best:?}");
}

/// How long a writer stays blocked after its reader, which holds every slot, is dead.
fn blocked_by_a_killed_reader() -> Duration {
    let home = Home::new();
    let (writer, flink) = create(&home.node(), &options().slots(6).readers(1, 6));
    let mut child = start(&home, "hold all", &flink);
    (1..=6).for_each(|n| assert_eq!(write(&writer, n), n));
    child.expect("holds 6");
    let index = entry_of(&writer, CHILDS);
    let (sender, written) = mpsc::channel();
    let writes = thread::spawn(move || {
        assert_eq!(write(&writer, 7), 7);
        sender.send(Instant::now()).unwrap();
        writer.take_events()
    });
    // It is blocked, for as long as the reader lives.
    let error = written.recv_timeout(Duration::from_millis(120)).unwrap_err();
    assert_eq!(error, mpsc::RecvTimeoutError::Timeout);
    let killed = Instant::now();
    child.kill();
    let blocked = written.recv_timeout(SOON).unwrap().duration_since(killed);
    // The last one it took it may not have looked at.
    let lost = |event: &OwnerEvent| {
        matches!(event, OwnerEvent::ReaderLost { reader, why: ReaderLoss::Died, resend_from: 6, .. }
            if *reader == index)
    };
    let events = writes.join().unwrap();
    assert!(events.iter().any(lost), "{events:?}");
    blocked
}

#[test]
fn a_writer_killed_while_it_writes_leaves_only_whole_samples() {
    let home = Home::new();
    let mut child = home.child("die while writing", "");
    let flink = PathBuf::from(child.line());
    let node = home.node();
    let reader = open(&node, &flink, ReaderOptions::default());
    let late = open(&node, &flink, ReaderOptions::default());
    child.go_on();
    let _: NodeId = child.line().parse().unwrap();
    assert_eq!(take(&reader), 1);
    assert!(reader.probe_writer());
    child.kill();
    assert!(!reader.probe_writer());
    let (numbers, error) = take_to_the_end(&reader);
    assert!(matches!(error, SlotError::WriterLost), "{error}");
    assert_eq!(numbers, [2, 3]);
    // Also for who is not told, and only sleeps.
    let (numbers, error) = take_to_the_end(&late);
    assert!(matches!(error, SlotError::WriterLost), "{error}");
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!((reader.losses().lost, late.losses().lost), (0, 0));
    // Nobody new is let in.
    let error =
        PosixSlotAllocator::open_reader(&node, &flink, None, ReaderOptions::default()).unwrap_err();
    assert!(matches!(error, SlotError::WriterLost), "{error}");
}

#[test]
fn an_owner_that_starts_again_goes_on_where_it_was_killed() {
    let home = Home::new();
    let mut first = home.child("write durable", "");
    let flink = PathBuf::from(first.line());
    let node = home.node();
    let living = open(&node, &flink, ReaderOptions::default());
    let mut dies = start(&home, "echo", &flink);
    first.go_on();
    first.expect("10");
    let before: Vec<u64> =
        std::iter::from_fn(|| living.take().unwrap().map(|s| number(&s))).collect();
    assert_eq!(before.last(), Some(&10));
    let (index, losses) = (living.index(), living.losses());
    dies.kill();
    first.kill();

    // As any node that starts: with its janitor.
    let restarted = Node::new(&home.dir, NodeOptions::default()).unwrap();
    let (writer, again) = create(&restarted, &durable());
    assert_eq!(again, flink);
    assert_eq!(writer.head(), 10);
    let readers = writer.readers();
    assert_eq!(readers.len(), 1, "{readers:?}");
    assert_eq!((Some(readers[0].0), readers[0].1), (index, EntryStatus::Admitted));

    // What was kept is there for who comes late, and the sequence goes on.
    let wants = ReaderOptions { wants_history: true, ..ReaderOptions::default() };
    let late = open(&node, &flink, wants);
    assert_eq!([take(&late), take(&late), take(&late)], [8, 9, 10]);
    assert_eq!(write(&writer, 11), 11);
    assert_eq!(take(&late), 11);

    // The living reader notices nothing but who writes.
    let sample = living.take_within(SOON).unwrap().unwrap();
    assert_eq!((number(&sample), sample.seq(), sample.header().sn), (11, 11, 11));
    assert_eq!(sample.header().owner_epoch, 1);
    drop(sample);
    assert_eq!((living.index(), living.losses(), living.disconnections()), (index, losses, 0));
    assert!(living.probe_writer());
    // The dead reader's entry is free.
    assert_ne!(open(&node, &flink, ReaderOptions::default()).index(), index);
    assert!(remains(&home.dir, restarted.id()).len() == 4);

    // A second writer finds it taken.
    let error = PosixSlotAllocator::create(&node, &durable()).unwrap_err();
    assert!(matches!(&error, SlotError::Exists { path } if *path == flink), "{error}");
}

#[test]
fn a_segment_that_was_made_otherwise_is_not_adopted() {
    let others: [fn(SegmentOptions) -> SegmentOptions; 4] = [
        |options| options.slots(20),
        |options| options.keep_last(4, 1, true).slots(13),
        |options| options.layout("another"),
        |options| options.keyed(true),
    ];
    for other in others {
        let home = Home::new();
        let mut first = home.child("write durable", "");
        let flink = PathBuf::from(first.line());
        let node = home.node();
        let reader = open(&node, &flink, ReaderOptions::default());
        first.go_on();
        first.expect("10");
        first.kill();
        let (writer, again) = create(&home.node(), &other(durable()));
        assert_eq!((again, writer.head()), (flink, 0));
        write(&writer, 1);
        // The old samples are still there for who has them mapped.
        let (numbers, error) = take_to_the_end(&reader);
        assert_eq!(numbers.last(), Some(&10));
        assert!(matches!(error, SlotError::WriterLost), "{error}");
    }
}

#[test]
fn after_everybody_is_killed_one_start_leaves_nothing_behind() {
    let home = Home::new();
    let mut owner = home.child("own", "");
    let mut ids: Vec<NodeId> = vec![owner.line().parse().unwrap()];
    let flink = PathBuf::from(owner.line());
    let mut readers = [(); 2].map(|()| start(&home, "read and stay", &flink));
    owner.go_on();
    owner.expect("2");
    ids.extend(readers.iter().map(|reader| reader.line().parse::<NodeId>().unwrap()));
    let mut writing = home.child("die while writing", "");
    writing.line();
    writing.go_on();
    ids.push(writing.line().parse().unwrap());
    owner.kill();
    writing.kill();
    readers.iter_mut().for_each(Child::kill);
    assert!(ids.iter().all(|id| !remains(&home.dir, *id).is_empty()));

    let node = Node::new(&home.dir, NodeOptions::default()).unwrap();
    for id in ids {
        assert_eq!(remains(&home.dir, id), [] as [PathBuf; 0]);
    }
    let names = |dir: PathBuf| -> Vec<_> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    assert_eq!(names(home.dir.segments()), [] as [&str; 0]);
    assert_eq!(names(home.dir.nodes()), [node.id().to_string().as_str()]);
}

/// A node that starts, makes a segment, and dies while a janitor is half-way through.
#[derive(Default)]
struct Meanwhile(Mutex<Option<NodeId>>);

impl Sweeper for Meanwhile {
    fn sweep(&self, dir: &RuntimeDir, _: &dyn Fn(NodeId) -> bool, _: bool) -> Vec<Finding> {
        let mut child = Child::new("own", dir.path(), "");
        *self.0.lock().unwrap() = Some(child.line().parse().unwrap());
        child.kill();
        Vec::new()
    }
}

#[test]
fn what_a_node_made_and_left_during_a_sweep_can_still_be_judged() {
    let home = Home::new();
    let meanwhile = Arc::new(Meanwhile::default());
    let mut options = removing(Duration::ZERO);
    options.helpers.push(Arc::clone(&meanwhile) as Arc<dyn Sweeper>);
    sweep(&home.dir, &options).unwrap();
    let id = meanwhile.0.lock().unwrap().unwrap();
    assert_eq!(remains(&home.dir, id).len(), 4, "two objects, bell and lock file");
    sweep(&home.dir, &removing(Duration::ZERO)).unwrap();
    assert_eq!(remains(&home.dir, id), [] as [PathBuf; 0]);
}

/// Has everything there is, forks, and says what the child may do with it.
fn forking(node: &Arc<Node>) {
    let options = options().readers(2, 2);
    let owner = PosixSlotAllocator::create(node, &options.clone().guid([2; 16])).unwrap();
    let (writer, flink) = create(node, &options);
    let reader = open(node, &flink, holding(2));
    let consumer = PosixSlotAllocator::attach(node, &flink, None).unwrap();
    let index = consumer.add_reader(&ReaderOptions::default()).unwrap();
    eventually("admission", || writer.readers().len() == 2);
    write(&writer, 1);
    write(&writer, 2);
    let held = [(); 2].map(|()| reader.take().unwrap().unwrap());
    let handle = consumer.next_unread_slot(index).unwrap().unwrap();
    let mut loan = writer.loan().unwrap();
    loan.bytes_mut().fill(3);
    let ticket = owner.reserve_slot(ReaderSet::ALL).unwrap();
    // SAFETY: the only other threads are the harness's, which wait, and the service thread, which
    // sleeps; neither holds a lock that the child needs.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let forked = |result: Result<(), SlotError>| matches!(result, Err(SlotError::Forked));
            let mut copy = Vec::new();
            let refused = [
                forked(writer.loan().map(drop)),
                forked(writer.write(b"x", &SampleInfo::default()).map(drop)),
                forked(writer.drop_sample(None).map(drop)),
                forked(writer.mark_reader_disconnected(index)),
                forked(loan.commit(SIZE, &SampleInfo::default()).map(drop)),
                forked(reader.take().map(drop)),
                forked(reader.take_within(SOON).map(drop)),
                forked(held[0].copy_checked(&mut copy)),
                forked(owner.reserve_slot(ReaderSet::ALL).map(drop)),
                forked(owner.slot_data(ticket).map(drop)),
                forked(owner.commit_slot(ticket, b"x").map(drop)),
                forked(owner.commit_in_place(ticket, 1).map(drop)),
                forked(owner.discard_slot(ticket)),
                forked(consumer.read_slot(handle).map(drop)),
                forked(consumer.next_unread_slot(index).map(drop)),
                forked(consumer.mark_read(handle, index)),
                forked(consumer.add_reader(&ReaderOptions::default()).map(drop)),
            ];
            // These have nothing to say, and must not look.
            reader.wait(SOON);
            let _ = (reader.poll(), reader.is_ready(), reader.is_admitted(), reader.start_sn());
            let _ = (reader.writer_guid(), reader.probe_writer());
            let _ = consumer.wait(consumer.generation(), Duration::ZERO);
            writer.serve(true);
            drop(held);
            drop((reader, consumer, owner, writer));
            say(format!("child {} {refused:?}", std::process::id()));
            // Not the words to its parent, which come by the same pipe; and not for ever, should
            // nobody kill it.
            thread::sleep(SOON * 3);
            std::process::exit(0);
        }
        ForkResult::Parent { .. } => {
            await_go();
            // Nothing was released, published, closed or removed.
            let numbers = [number(&held[0]), number(&held[1])];
            loan.bytes_mut()[..8].copy_from_slice(&3u64.to_le_bytes());
            loan.commit(SIZE, &SampleInfo::default()).unwrap();
            drop(held);
            let third = take(&reader);
            let (_, bytes) = consumer.read_slot(handle).unwrap();
            consumer.mark_read(handle, index).unwrap();
            owner.commit_slot(ticket, b"x").unwrap();
            say(format!("parent {numbers:?} {third} {} {}", bytes.len(), writer.readers().len()));
            say(format!("flink {}", flink.display()));
            await_go();
            write(&writer, 4);
            say(node.id());
            stay();
        }
    }
}

#[test]
fn a_forked_child_touches_no_sample_and_keeps_no_writer_alive() {
    let home = Home::new();
    let mut parent = home.child("fork", "");
    let said = parent.line();
    let (pid, refused) = said.strip_prefix("child ").unwrap().split_once(' ').unwrap();
    let pid = Pid::from_raw(pid.parse().unwrap());
    assert!(refused.starts_with("[true, ") && !refused.contains("false"), "{refused}");
    parent.go_on();
    parent.expect("parent [1, 2] 3 1000 2");
    let flink = PathBuf::from(parent.line().strip_prefix("flink ").unwrap());
    let node = home.node();
    let reader = open(&node, &flink, ReaderOptions::default());
    parent.go_on();
    let id: NodeId = parent.line().parse().unwrap();
    assert_eq!(take(&reader), 4);
    let peer = PeerNode::open(std::slice::from_ref(&home.dir), id).unwrap();
    assert!(peer.is_alive() && reader.probe_writer());
    parent.kill();
    // The child of the killed one lives, and yet:
    kill(pid, None).unwrap();
    assert!(!peer.is_alive());
    let (numbers, error) = take_to_the_end(&reader);
    kill(pid, Signal::SIGKILL).unwrap();
    assert!(numbers.is_empty() && matches!(error, SlotError::WriterLost), "{error}");
}

#[test]
fn a_paused_reader_whose_lease_expires_returns_and_is_told_what_it_missed() {
    let home = Home::new();
    let (writer, flink) = create(&home.node(), &options().slots(4));
    let child = start(&home, "echo", &flink);
    let index = entry_of(&writer, CHILDS);
    for n in 1..=2 {
        write(&writer, n);
        assert_eq!(child.line(), n.to_string());
    }
    child.pause();
    for n in 3..=6 {
        write(&writer, n);
    }
    drop(writer.take_events());
    writer.mark_reader_disconnected(index).unwrap();
    let events = writer.take_events();
    assert!(
        matches!(events[..], [OwnerEvent::ReaderLost {
            reader, guid: CHILDS, why: ReaderLoss::Disconnected, resend_from: 3,
        }] if reader == index),
        "{events:?}"
    );
    // It is in nobody's way.
    for n in 7..=50 {
        write(&writer, n);
    }
    // But its entry is nobody else's.
    let other = open(&home.node(), &flink, ReaderOptions::default());
    assert_ne!(other.index(), Some(index));
    drop(other);
    drop(writer.take_events());
    child.resume();
    let mut returned = None;
    eventually("its return", || {
        returned = writer.take_events().into_iter().find_map(|event| match event {
            OwnerEvent::ReaderReturned { reader, guid: CHILDS, start_sn } => {
                Some((reader, start_sn))
            }
            _ => None,
        });
        returned.is_some()
    });
    assert_eq!(returned, Some((index, 51)));
    for n in 51..=60 {
        write(&writer, n);
    }
    drop(writer);
    let mut said = Vec::new();
    let last = loop {
        let line = child.line();
        match line.parse::<u64>() {
            Ok(number) => said.push(number),
            Err(_) => break line,
        }
    };
    assert!(said.is_sorted() && said.ends_with(&(51..=60).collect::<Vec<_>>()), "{said:?}");
    // The two from before its pause are not in `said`.
    let received = said.len() as u64 + 2;
    assert_eq!(last, format!("{received} {} 1", 60 - received));
}

/// Writes on after a frozen child has pinned every slot; the honest reader misses nothing.
fn leaves_behind(options: &SegmentOptions, pin: impl FnOnce(&SlotWriter, &Path, ReaderIndex)) {
    let home = Home::new();
    let owner = PosixSlotAllocator::create(&home.node(), options).unwrap();
    let (flink, data) = (owner.flink_path().to_owned(), owner.segment_path().to_owned());
    let writer = owner.into_writer().unwrap();
    let honest = open(&home.node(), &flink, ReaderOptions::default());
    let mut child = start(&home, "hold all", &flink);
    let index = entry_of(&writer, CHILDS);
    let before = writer.incarnation();
    let held = 4;
    for n in 1..=held {
        write(&writer, n);
        assert_eq!(take(&honest), n);
    }
    child.expect("holds 4");
    child.pause();
    pin(&writer, &data, index);
    drop(writer.take_events());
    let next = writer.head() + 1;
    for n in next..=next + 20 {
        write(&writer, n);
        assert_eq!(take(&honest), n);
    }
    assert_eq!(honest.losses().lost, 0);
    assert_ne!(writer.incarnation(), before);
    let events = writer.take_events();
    let lost = |event: &OwnerEvent| {
        matches!(event, OwnerEvent::ReaderLost { reader, guid: CHILDS, why: ReaderLoss::Misbehaved, .. }
            if *reader == index)
    };
    assert!(events.iter().any(lost), "{events:?}");
    let incarnation = writer.incarnation();
    assert!(events.contains(&OwnerEvent::SegmentReplaced { incarnation }), "{events:?}");
    assert!(!data.exists() && flink.exists());

    // What it holds is as it was; and it may come again, as anybody.
    child.resume();
    child.go_on();
    child.expect("[1, 2, 3, 4]");
    let mut number = next + 20;
    eventually("its coming again", || {
        number += 1;
        write(&writer, number);
        assert_eq!(take(&honest), number);
        writer.readers().len() == 2
    });
    write(&writer, number + 1);
    assert_eq!(take(&honest), number + 1);
    let taken: u64 = child.line().parse().unwrap();
    assert!((next..=number + 1).contains(&taken), "{taken}");
}

#[test]
fn a_frozen_reader_that_pins_every_slot_is_left_behind() {
    let options = options()
        .slots(4)
        .readers(1, 4)
        .flow(FlowPolicy::keep_last(SOON))
        .misbehaves_after(Duration::from_millis(200));
    leaves_behind(&options, |_, _, _| {});
}

#[test]
fn a_reader_that_holds_more_than_it_may_is_left_behind_at_once() {
    let options = options().slots(6).readers(1, 4).flow(FlowPolicy::keep_last(SOON));
    leaves_behind(&options, |writer, data, index| {
        // Its hold bits in the control object, as only a reader with an error sets them.
        let control = fs::OpenOptions::new().write(true).open(data.with_extension("ctl")).unwrap();
        for slot in 0..6 {
            control.write_all_at(&index.bit().to_le_bytes(), 0x2200 + 8 * slot).unwrap();
        }
        assert_eq!(writer.head(), 4);
    });
}
