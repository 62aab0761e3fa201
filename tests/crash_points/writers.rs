//! Writers that die: publishing, waiting, closing; making, adopting, replacing a segment; serving.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use dds_shm::crash_points::Threads;
use dds_shm::liveness::{LivenessError, Node};
use dds_shm::shm::ShmError;
use dds_shm::slots::{OwnerEvent, ReaderLoss, SlotWriter};
use dds_shm::{
    FlowPolicy, PosixSlotAllocator, ReaderOptions, SampleInfo, SegmentOptions, SlotError,
};

use crate::samples::{
    Plan, create, durable, join, number, open, options, publish, receive, receive_and_tell, restart,
};
use crate::support::{SOON, await_go, eventually, no_janitor, say, stay};
use crate::sweep::{Act, every_point};

/// The options of the writer that does `what`.
fn plan(what: &str) -> Plan {
    let last = FlowPolicy::keep_last(SOON);
    let short = FlowPolicy::keep_all(Duration::from_millis(120));
    let (options, is_durable, is_complete) = match what {
        "publish" | "adopt" | "serve" | "first durable" => (durable(), true, true),
        "overwrite" => (durable().slots(10).flow(last), true, false),
        "wait" => (durable().slots(8).flow(short), true, true),
        "drop" => (options().slots(4).flow(FlowPolicy::best_effort()), false, false),
        "close" | "start" | "take over" | "first" => (options(), false, true),
        "replace" => (pinned(options()), false, true),
        "replace durable" => (pinned(durable()), true, true),
        other => panic!("no such plan: {other}"),
    };
    Plan { options, is_durable, is_complete }
}

/// How much the writer has published when its life begins to be at risk.
fn warm(what: &str) -> u64 {
    match what {
        // Once round the ring, so that slots are taken from who had them.
        "publish" => 20,
        "first" | "first durable" => 5,
        _ if what.starts_with("replace") => 6,
        _ => 3,
    }
}

/// Left behind is who holds all six slots.
fn pinned(options: SegmentOptions) -> SegmentOptions {
    options.slots(6).readers(1, 6).misbehaves_after(Duration::from_millis(20))
}

pub(crate) fn act(act: &Act, what: &str) {
    let node = Node::new(&act.dir, no_janitor()).unwrap();
    let options = plan(what).options;
    if what == "start" || what == "take over" {
        act.risk(Threads::This, || create(&node, &options));
    }
    if what == "adopt" {
        act.risk(Threads::This, || {
            let (writer, _) = create(&node, &options);
            publish_up_to(&writer, writer.head() + 2);
            writer
        });
    }
    let (writer, flink) = create(&node, &options);
    say(flink.display());
    await_go();
    publish_up_to(&writer, warm(what));
    if what == "publish" {
        await_go();
    }
    match what {
        "publish" => act.risk(Threads::This, || {
            for _ in 0..3 {
                // Nobody says when a reader sleeps.
                thread::sleep(Duration::from_millis(3));
                say(format!("published {}", publish(&writer).unwrap()));
            }
        }),
        "overwrite" => act.risk(Threads::This, || publish_up_to(&writer, 13)),
        "wait" => act.risk(Threads::This, || {
            let error = loop {
                match publish(&writer) {
                    Ok(number) => say(format!("published {number}")),
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, SlotError::Timeout { .. }), "{error}");
        }),
        "drop" => act.risk(Threads::This, || {
            let loans: Vec<_> = std::iter::from_fn(|| writer.loan().ok()).collect();
            assert!(!loans.is_empty());
            for _ in 0..2 {
                assert_eq!(writer.write(b"nobody gets it", &SampleInfo::default()).unwrap(), None);
            }
            drop(loans);
            publish_up_to(&writer, writer.head() + 2);
        }),
        "close" => act.risk(Threads::This, || {
            drop(writer);
            drop(node);
        }),
        "replace" | "replace durable" => {
            say("pinned");
            await_go();
            act.risk(Threads::This, || publish_up_to(&writer, 10))
        }
        "serve" => act.risk(Threads::All, || serve(&writer)),
        "first" | "first durable" => stay(),

        other => panic!("no such role: {other}"),
    }
}

fn publish_up_to(writer: &SlotWriter, last: u64) {
    while writer.head() < last {
        say(format!("published {}", publish(writer).unwrap()));
    }
}

/// Admits the visitor, disconnects it, serves it again, lets it go.
fn serve(writer: &SlotWriter) {
    let until = |what, wanted: fn(&OwnerEvent) -> bool| {
        eventually(what, || writer.take_events().iter().any(wanted));
    };
    drop(writer.take_events());
    say("ready");
    let mut index = None;
    eventually("a visitor", || {
        index = writer.take_events().into_iter().find_map(|event| match event {
            OwnerEvent::ReaderAttached { reader, .. } => Some(reader),
            _ => None,
        });
        index.is_some()
    });
    writer.mark_reader_disconnected(index.unwrap()).unwrap();
    say("disconnected");
    until("its return", |event| matches!(event, OwnerEvent::ReaderReturned { .. }));
    say("returned");
    until("its leave", |event| {
        matches!(event, OwnerEvent::ReaderLost { why: ReaderLoss::Left, .. })
    });
}

/// A writer with three readers in this process: two that sleep until there is something, of which one
/// keeps each sample while it takes the next, and one that looks when a successor has come.
fn dies(what: &'static str) {
    every_point(what, |trial| {
        let plan = plan(what);
        let mut child = trial.child(&format!("writer {what}"), Path::new(""));
        let flink = PathBuf::from(child.line());
        let node = trial.home.node();
        let patient = open(&node, &flink, ReaderOptions::default());
        let asleep =
            [false, true].map(|keeps| (open(&node, &flink, ReaderOptions::default()), keeps));
        let committed = thread::scope(|scope| {
            let asleep = asleep
                .map(|(reader, keeps)| scope.spawn(move || receive(&reader, u64::MAX, keeps)));
            child.go_on();
            if what == "publish" {
                receive(&patient, warm(what), false).expect(1, warm(what), true);
                child.go_on();
            }
            let death = trial.death(&mut child);
            let committed = death.last("published");
            for received in asleep.map(|thread| thread.join().unwrap()) {
                received.expect(1, committed, plan.is_complete).expect_soon_after(&death, trial);
                assert!(received.lost_writer.is_some());
            }
            committed
        });
        let read = if what == "publish" { warm(what) } else { 0 };
        restart(trial, &plan, committed, read, vec![patient]);
    });
}

#[test]
fn a_writer_that_dies_while_it_publishes() {
    dies("publish");
}

#[test]
fn a_writer_that_dies_while_it_overwrites() {
    dies("overwrite");
}

#[test]
fn a_writer_that_dies_while_it_waits_for_space() {
    dies("wait");
}

#[test]
fn a_writer_that_dies_while_it_drops_samples() {
    dies("drop");
}

#[test]
fn a_writer_that_dies_while_it_leaves() {
    dies("close");
}

#[test]
fn a_writer_that_dies_while_it_starts() {
    every_point("start", |trial| {
        let plan = plan("start");
        let flink = trial.home.dir.segments().join(format!("{}.flink", "07".repeat(16)));
        let mut child = trial.child("writer start", &flink);
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            // Whoever looks for it meanwhile finds it whole, or not at all.
            let node = trial.home.node();
            let attaching = scope.spawn(|| {
                let node = node;
                while !is_over.load(Ordering::Relaxed) {
                    let options = ReaderOptions::default();
                    match PosixSlotAllocator::open_reader(&node, &flink, None, options) {
                        Ok(reader) => return Some(reader),
                        Err(SlotError::WriterLost) => return None,
                        Err(SlotError::Shm(ShmError::NotFound { .. })) => {}
                        Err(SlotError::Liveness(LivenessError::Shm(ShmError::NotFound {
                            ..
                        }))) => {}
                        Err(error) => panic!("half-made: {error}"),
                    }
                }
                None
            });
            let death = trial.death(&mut child);
            is_over.store(true, Ordering::Relaxed);
            if let Some(reader) = attaching.join().unwrap() {
                receive(&reader, u64::MAX, false)
                    .expect(1, 0, true)
                    .expect_soon_after(&death, trial);
            }
        });
        restart(trial, &plan, 0, 0, Vec::new());
    });
}

/// A writer and a reader of its segment die; who takes the segment over dies, too, while a reader lives
/// on that has taken `read` samples and holds the last of these.
fn dies_taking_over(what: &'static str) {
    every_point(what, |trial| {
        let plan = plan(what);
        let first = if plan.is_durable { "writer first durable" } else { "writer first" };
        let mut first = trial.safe_child(first, Path::new(""));
        let flink = PathBuf::from(first.line());
        let node = trial.home.node();
        let patient = open(&node, &flink, ReaderOptions::default());
        let mut dead = trial.safe_child("reader hold", &flink);
        dead.expect("served");
        first.go_on();
        while first.line() != "published 5" {}
        while dead.line() != "holds 2" {}
        trial.kill(&mut dead);
        trial.kill(&mut first);

        let held = patient.take().unwrap().unwrap();
        let mut child = trial.child(&format!("writer {what}"), &flink);
        let death = trial.death(&mut child);
        assert_eq!(number(&held), 1);
        drop(held);
        restart(trial, &plan, death.last("published").max(5), 1, vec![patient]);
    });
}

#[test]
fn a_writer_that_dies_while_it_adopts() {
    dies_taking_over("adopt");
}

#[test]
fn a_writer_that_dies_while_it_takes_a_name_over() {
    dies_taking_over("take over");
}

/// A writer that leaves a reader behind, and with it the memory: its segment gets another locator.
fn dies_replacing(what: &'static str) {
    every_point(what, |trial| {
        let plan = plan(what);
        let mut child = trial.child(&format!("writer {what}"), Path::new(""));
        let flink = PathBuf::from(child.line());
        let node = trial.home.node();
        let pinning = ReaderOptions { max_held: 6, reliable: false, ..ReaderOptions::default() };
        let pinning = open(&node, &flink, pinning);
        let honest = open(&node, &flink, ReaderOptions::default());
        child.go_on();
        while child.line() != "pinned" {}
        let held: Vec<_> = std::iter::from_fn(|| pinning.take().ok().flatten()).collect();
        assert_eq!(held.len(), 6);
        let progress = &AtomicU64::new(0);
        let committed = thread::scope(|scope| {
            let honest = scope.spawn(move || receive_and_tell(&honest, u64::MAX, false, progress));
            // Who has none of them is not left behind.
            eventually("an honest reader", || progress.load(Ordering::Relaxed) == 6);
            child.go_on();
            let death = trial.death(&mut child);
            let committed = death.last("published");
            let honest = honest.join().unwrap();
            honest.expect(1, committed, true).expect_soon_after(&death, trial);
            committed
        });
        assert!(held.iter().map(number).eq(1..=6));
        // Whoever adopts the memory that they are in is not to be held up for good.
        drop(held);
        restart(trial, &plan, committed.max(6), 0, Vec::new());
    });
}

#[test]
fn a_writer_that_dies_while_it_leaves_a_reader_behind() {
    dies_replacing("replace");
}

#[test]
fn a_durable_writer_that_dies_while_it_leaves_a_reader_behind() {
    dies_replacing("replace durable");
}

#[test]
fn a_writer_that_dies_while_it_serves_a_reader() {
    every_point("serve", |trial| {
        let plan = plan("serve");
        let mut child = trial.child("writer serve", Path::new(""));
        let flink = PathBuf::from(child.line());
        let node = trial.home.node();
        let patient = open(&node, &flink, ReaderOptions::default());
        child.go_on();
        let mut visitor = None;
        let death = trial.death_after(&mut child, |line| match line {
            "ready" => visitor = Some(join(&trial.home.node(), &flink, ReaderOptions::default())),
            // Notices that it is not served any more, and asks.
            "disconnected" => assert!(visitor.as_ref().unwrap().take().unwrap().is_none()),
            "returned" => visitor = None,
            _ => {}
        });
        if let Some(visitor) = visitor {
            let received = receive(&visitor, u64::MAX, false);
            received.expect(4, 3, true).expect_soon_after(&death, trial);
        }
        restart(trial, &plan, death.last("published"), 0, vec![patient]);
    });
}
