//! Readers that die: joining, taking, sleeping, missing samples, returning, following, leaving.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use dds_shm::crash_points::Threads;
use dds_shm::liveness::Node;
use dds_shm::slots::{EntryStatus, OwnerEvent, OwnerHandle, ReaderEntry, ReaderIndex, ReaderLoss};
use dds_shm::{FlowPolicy, PosixSlotAllocator, ReaderOptions, SlotBackend as _};

use crate::samples::{
    create, expect_unblocked, join, number, number_in, open, options, publish, publish_timed,
    receive, receive_and_tell,
};
use crate::support::{SOON, await_go, eventually, no_janitor, say, stay};
use crate::sweep::{ASLEEP, Act, every_point};

/// The GUID of every child's reader.
const CHILDS: [u8; 16] = [0xc1; 16];
/// How many slots there are: a dead reader that was at the first is in the way of the ninth sample.
const SLOTS: u32 = 8;

fn childs(what: &str) -> ReaderOptions {
    let reliable = what != "miss";
    ReaderOptions { guid: CHILDS, reliable, max_held: 3, ..ReaderOptions::default() }
}

pub(crate) fn act(act: &Act, what: &str) {
    if what == "join" {
        act.risk(Threads::This, || {
            let node = Node::new(&act.dir, no_janitor()).unwrap();
            let reader = join(&node, &act.flink, childs(what));
            eventually("admission", || reader.is_admitted());
            // Takes notice of it.
            let _ = reader.take().unwrap().as_ref().map(number);
            (node, reader)
        });
    }
    let node = Node::new(&act.dir, no_janitor()).unwrap();
    if what == "mark" {
        mark(act, &node);
    }
    let reader = open(&node, &act.flink, childs(what));
    say("served");
    let next = || {
        let sample = reader.take_within(SOON).unwrap().unwrap();
        say(format!("took {}", number(&sample)));
        sample
    };
    if what == "hold" {
        let held = [next(), next()];
        assert_eq!(held.each_ref().map(number), [1, 2]);
        say("holds 2");
        stay();
    }
    await_go();
    match what {
        "take" => act.risk(Threads::This, || {
            drop(next());
            // Kept while others are taken, and let go of out of order.
            let (second, third) = (next(), next());
            let fourth = next();
            drop(third);
            number(&fourth);
            drop(fourth);
            drop(second);
            let fifth = next();
            [fifth, next()]
        }),
        "sleep" => {
            (0..there(what)).for_each(|_| drop(next()));
            act.risk(Threads::This, || {
                for _ in 0..2 {
                    assert!(reader.take_within(Duration::from_millis(3)).unwrap().is_none());
                }
                say("sleeps");
                next()
            })
        }
        "miss" => act.risk(Threads::This, || {
            let mut taken = 0;
            while reader.losses().lost + reader.losses().replaced == 0 || taken < 3 {
                if let Some(sample) = reader.take().unwrap() {
                    number(&sample);
                    taken += 1;
                }
            }
            assert!(reader.losses().lost == 0, "replaced, as KEEP_LAST says");
        }),
        "return" => {
            drop(next());
            say("is to be disconnected");
            await_go();
            act.risk(Threads::This, || {
                while reader.disconnections() == 0 {
                    assert!(reader.take().unwrap().is_none());
                }
                reader.take().unwrap().as_ref().map(number)
            })
        }
        "follow" => {
            (0..there(what)).for_each(|_| drop(next()));
            say("is to be led on");
            await_go();
            act.risk(Threads::This, next)
        }
        "leave" => act.risk(Threads::This, || {
            let (reader, node) = (reader, node);
            let held = [(); 2].map(|()| reader.take_within(SOON).unwrap().unwrap());
            drop(held);
            drop(reader);
            drop(node);
        }),
        other => panic!("no such role: {other}"),
    }
}

/// A reader that works by handles, and marks out of order.
fn mark(act: &Act, node: &Arc<Node>) -> ! {
    let consumer = PosixSlotAllocator::attach(node, &act.flink, None).unwrap();
    let index = consumer.add_reader(&childs("mark")).unwrap();
    say("served");
    await_go();
    act.risk(Threads::This, || {
        let mut handles = Vec::new();
        for sample in 1..=3 {
            let handle = consumer.next_unread_slot(index).unwrap().unwrap();
            let (_, bytes) = consumer.read_slot(handle).unwrap();
            assert_eq!(number_in(&bytes), sample);
            say(format!("took {sample}"));
            consumer.mark_read(handle, index).unwrap();
            handles.push(handle);
        }
        drop(consumer);
    })
}

/// A writer, and another reader, before, while and after one dies that does `what`.
fn dies(what: &'static str) {
    every_point(what, |trial| {
        let pins = what == "follow";
        let flow = if what == "miss" { FlowPolicy::keep_last } else { FlowPolicy::keep_all };
        let max_held = if pins { SLOTS } else { 3 };
        let mut options = options().slots(SLOTS).readers(1, max_held).flow(flow(SOON));
        if pins {
            options = options.misbehaves_after(Duration::from_millis(20));
        }
        let node = trial.home.node();
        let (writer, flink) = create(&node, &options);
        let owner = writer.handle();
        let other = open(&trial.home.node(), &flink, ReaderOptions::default());
        let pinning = ReaderOptions { max_held: 8, reliable: false, ..ReaderOptions::default() };
        let pinning = pins.then(|| open(&node, &flink, pinning));
        let mut child = trial.child(&format!("reader {what}"), &flink);
        if what != "join" {
            child.expect("served");
            eventually("admission", || childs_entry(&owner).is_some());
        }
        let progress = AtomicU64::new(0);
        // How far the writer may go, for the time being.
        let allowed = AtomicU64::new(if what == "join" { u64::MAX } else { there(what) });
        let is_dead = AtomicBool::new(false);
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                let other = other;
                receive_and_tell(&other, u64::MAX, false, &progress)
            });
            let writing = scope.spawn(|| {
                let mut written = Vec::new();
                let mut more = 2 * SLOTS;
                while more > 0 {
                    if is_dead.load(Ordering::Relaxed) {
                        more -= 1;
                    } else if writer.head() >= allowed.load(Ordering::Relaxed) {
                        thread::sleep(Duration::from_micros(100));
                        continue;
                    }
                    written.push(publish_timed(&writer, [&progress]));
                }
                (writer, written)
            });
            if what != "join" {
                let there = if what == "miss" { 20 } else { there(what) };
                allowed.store(there, Ordering::Relaxed);
                eventually("what is there", || progress.load(Ordering::Relaxed) >= there);
                child.go_on();
            }
            let goes_on = !["sleep", "return", "follow"].contains(&what);
            if goes_on {
                allowed.store(u64::MAX, Ordering::Relaxed);
            }
            let mut held = Vec::new();
            while ["return", "follow"].contains(&what) && child.line().starts_with("took") {}
            match what {
                "return" => owner.mark_reader_disconnected(childs_entry(&owner).unwrap()).unwrap(),
                "follow" => {
                    held.extend(std::iter::from_fn(|| pinning.as_ref()?.take().ok()?));
                    assert_eq!(held.len(), SLOTS as usize);
                }
                _ => {}
            }
            if ["return", "follow"].contains(&what) {
                child.go_on();
                allowed.store(u64::MAX, Ordering::Relaxed);
            }
            let death = trial.death_after(&mut child, |line| {
                if line == "sleeps" {
                    allowed.store(u64::MAX, Ordering::Relaxed);
                }
            });
            is_dead.store(true, Ordering::Relaxed);
            let (writer, written) = writing.join().unwrap();
            expect_unblocked(trial, &written, death.at);

            // It is found out at the second look at the latest, if it had only come half-way.
            writer.serve(true);
            writer.serve(true);
            let left = writer.readers();
            assert_eq!(left.len(), 1, "{left:?}");
            let lost = writer.take_events().into_iter().rev().find_map(|event| match event {
                OwnerEvent::ReaderLost { guid: CHILDS, why, resend_from, .. } => {
                    Some((why, resend_from as u64))
                }
                _ => None,
            });
            let took = death.last("took");
            match (what, lost) {
                ("join", None) => {}
                ("leave", Some((ReaderLoss::Left | ReaderLoss::Died, from))) => {
                    assert!((1..=3).contains(&from), "again from {from}");
                }
                // Again what it may not have been done with, and everything behind that.
                ("mark", Some((ReaderLoss::Left, from))) => assert_eq!(from, 4),
                ("take" | "sleep" | "mark", Some((ReaderLoss::Died, from))) => {
                    assert!((took..=took + 1).contains(&from), "took {took}, again from {from}");
                }
                (_, Some((why, from))) => {
                    assert!(why != ReaderLoss::Left && from >= took, "{why:?}, {took}, {from}");
                }
                (_, None) => panic!("nobody told the writer"),
            }

            // Others come as ever.
            let next = open(&node, &flink, ReaderOptions::default());
            let number = publish(&writer).unwrap();
            receive(&next, number, false).expect(number, number, true);
            drop(writer);
            let other = other.join().unwrap();
            other.expect(1, number, what != "miss");
            for (number, at) in &other.samples {
                if let Some((_, published)) = written.get(*number as usize - 1) {
                    trial.expect_within(ASLEEP, *published, *at, "a reader slept");
                }
            }
            assert!(held.iter().map(crate::samples::number).eq(1..=held.len() as u64));
        });
    });
}

/// What is there before the reader's life is at risk.
fn there(what: &str) -> u64 {
    // Everybody but who pins the slots is done with all of them.
    if what == "follow" { SLOTS.into() } else { 6 }
}

/// The entry of the child's reader, if it is served.
fn childs_entry(owner: &OwnerHandle) -> Option<ReaderIndex> {
    let served = |(_, status, entry): &(ReaderIndex, EntryStatus, ReaderEntry)| {
        *status == EntryStatus::Admitted && entry.guid == CHILDS
    };
    Some(owner.readers().into_iter().find(served)?.0)
}

#[test]
fn a_reader_that_dies_while_it_joins() {
    dies("join");
}

#[test]
fn a_reader_that_dies_while_it_takes_and_releases() {
    dies("take");
}

#[test]
fn a_reader_that_dies_while_it_marks_samples_as_read() {
    dies("mark");
}

#[test]
fn a_reader_that_dies_while_it_sleeps() {
    dies("sleep");
}

#[test]
fn a_reader_that_dies_while_samples_go_by() {
    dies("miss");
}

#[test]
fn a_reader_that_dies_while_it_returns() {
    dies("return");
}

#[test]
fn a_reader_that_dies_while_it_follows_its_writer() {
    dies("follow");
}

#[test]
fn a_reader_that_dies_while_it_leaves() {
    dies("leave");
}
