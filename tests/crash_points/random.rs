//! Thousands of deaths at random: writers that adopt what their predecessors left, readers that come
//! again and again, janitors, some killed from outside at any moment, some at a point of their own.
//!
//! `cargo test` does a few of them; `scripts/kill.sh` goes on for as long as it is told.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dds_shm::discovery::RegistrySweeper;
use dds_shm::liveness::{Node, NodeOptions, RuntimeDir, SweepOptions, sweep};
use dds_shm::shm::monotonic_ns;
use dds_shm::slots::{OwnerEvent, ReaderLoss, SlotReader};
use dds_shm::{FlowPolicy, PosixSlotAllocator, ReaderOptions, SegmentOptions, SlotError};
use nix::sys::signal::Signal;

use crate::samples::{Plan, create, durable, number, publish, restart};
use crate::stall;
use crate::support::{Child, SOON, no_janitor, say, stay};
use crate::sweep::{ASLEEP, Act, BLOCKED, TRIES, Trial};

/// How many are killed in `cargo test`; `DDS_SHM_KILLS` says otherwise.
const KILLS: usize = 150;
/// Who is there at any time, if not being started again.
const CAST: [&str; 9] = [
    "writer 0", "reader 0", "reader 0", "reader 0", "writer 1", "reader 1", "reader 1", "janitor",
    "janitor",
];
/// A process that is to die at a point of its own gets one of its first so many.
const POINTS: u64 = 4000;
/// Nobody is left to live for longer.
const OLD: Duration = Duration::from_millis(1500);
/// So much later than it happens a death may be noticed, in nanoseconds.
const NOTICED: u64 = 5_000_000;
/// Worth telling: much longer than a sample takes, and less than what is promised.
const LONG: Duration = Duration::from_millis(50);

/// Writer 0 loses nothing and waits; writer 1 replaces what is not read.
fn options(dir: &RuntimeDir, writer: &str) -> SegmentOptions {
    let flink = dir.segments().join(format!("{writer}.durable.flink"));
    let options = durable().flink(flink);
    if writer == "0" { options } else { options.slots(8).flow(FlowPolicy::keep_last(SOON)) }
}

pub(crate) fn act(act: &Act, what: &str) {
    // Ends with the test, however that ends.
    thread::spawn(|| stay());
    act.live_dangerously();
    match what.split_once(' ') {
        Some(("writer", which)) => write(act, which),
        Some(("reader", which)) => read(act, which),
        _ => loop {
            let mut options = SweepOptions { remove: true, ..SweepOptions::default() };
            options.helpers.push(Arc::new(RegistrySweeper));
            sweep(&act.dir, &options).unwrap();
            thread::sleep(Duration::from_millis(10));
        },
    }
}

fn write(act: &Act, which: &str) {
    let node = Node::new(&act.dir, NodeOptions::default()).unwrap();
    let (writer, _) = create(&node, &options(&act.dir, which));
    let owner = writer.handle();
    // When it last let go of somebody dead. Who lives may be in its way, too, and for longer.
    let freed = Arc::new(AtomicU64::new(0));
    let noticed = Arc::clone(&freed);
    thread::spawn(move || {
        loop {
            let dead = |event: &OwnerEvent| {
                matches!(event, OwnerEvent::ReaderLost { why: ReaderLoss::Died, .. })
            };
            if owner.take_events().iter().any(dead) {
                noticed.store(monotonic_ns(), Ordering::Relaxed);
            }
            thread::sleep(Duration::from_millis(1));
        }
    });
    loop {
        let started = monotonic_ns();
        publish(&writer).unwrap();
        let written = monotonic_ns();
        let freed = freed.load(Ordering::Relaxed).min(written);
        if Duration::from_nanos(freed.saturating_sub(started)) > LONG {
            say(format!("blocked {started} {freed}"));
        }
        // One processor is to be left for each of the others, now and then.
        thread::sleep(Duration::from_micros(rand::random_range(0..300)));
    }
}

fn read(act: &Act, which: &str) {
    let node = Node::new(&act.dir, no_janitor()).unwrap();
    let mut last = 0;
    let mut taken = 0;
    loop {
        let Some(reader) = find(&node, act, which) else { continue };
        let watch = reader.watch();
        let mut held = VecDeque::new();
        // Of this attachment: the last number, and what was missed by then.
        let mut before: Option<(u64, u64)> = None;
        let mut epoch = None;
        loop {
            match reader.take_within(SOON) {
                Ok(Some(sample)) => {
                    let number = number(&sample);
                    let slept =
                        monotonic_ns().saturating_sub(sample.header().source_timestamp as u64);
                    if Duration::from_nanos(slept) > ASLEEP / 2 {
                        say(format!("slept {} {}", monotonic_ns() - slept, monotonic_ns()));
                    }
                    let missed = reader.losses().lost + reader.losses().replaced;
                    if let Some((before, missed_before)) = before {
                        let gap = missed - missed_before;
                        assert_eq!(number, before + 1 + gap, "after {before}, missed {gap}");
                    }
                    assert!(number > last, "{number} after {last}");
                    assert!(which != "0" || missed == 0, "missed {missed}");
                    (before, last, epoch) =
                        (Some((number, missed)), number, Some(sample.header().owner_epoch));
                    held.push_back(sample);
                    // As many as it may hold, less one, that the next can be taken.
                    while held.len() > rand::random_range(0..=1) {
                        held.pop_front();
                    }
                    taken += 1;
                    if taken % 256 == 0 {
                        say("took 256");
                    }
                }
                Ok(None) => {}
                Err(SlotError::WriterLost) => break,
                Err(error) => panic!("{error}"),
            }
        }
        // Everything that the dead writer had published came, unless another goes on already.
        let head = watch.head();
        assert!(
            epoch != Some(watch.owner_epoch()) || head <= last,
            "{head} was published, and {last} was the last that came"
        );
        held.clear();
    }
}

fn find(node: &Arc<Node>, act: &Act, which: &str) -> Option<SlotReader> {
    let flink = act.dir.segments().join(format!("{which}.durable.flink"));
    let opened = PosixSlotAllocator::open_reader(node, &flink, None, ReaderOptions::default());
    opened
        .inspect_err(|error| {
            // It is being made or adopted, or its owner is dead and nobody has come yet.
            assert!(!matches!(error, SlotError::Format(_)), "{error}");
            thread::sleep(Duration::from_millis(2));
        })
        .ok()
}

/// One of the cast, alive, or to come again.
struct Player {
    role: &'static str,
    child: Option<Child>,
    /// When it is to be killed from outside; or when it comes again.
    next: Instant,
}

/// What was seen of everybody.
#[derive(Default)]
struct Tally {
    /// When somebody was found dead.
    deaths: Vec<u64>,
    by_own_hand: usize,
    taken: u64,
    /// From when to when writers were blocked for long.
    blocked: Vec<(u64, u64)>,
    longest: [Duration; 2],
    /// Times that were long, while this machine had time for everybody or not.
    late: Vec<String>,
}

impl Tally {
    /// Hears what a child says of itself.
    fn hear(&mut self, role: &str, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["took", count] => self.taken += count.parse::<u64>().unwrap(),
            ["blocked", from, to] => {
                self.blocked.push((from.parse().unwrap(), to.parse().unwrap()));
            }
            ["slept", from, to] => {
                self.expect_within(role, ASLEEP, from.parse().unwrap(), to.parse().unwrap());
            }
            _ => {}
        }
    }

    /// Looks at the writers that were blocked, with every death known. Returns how many times count.
    fn expect_unblocked(&mut self) -> usize {
        let mut counted = 0;
        for (from, to) in std::mem::take(&mut self.blocked) {
            // Whose death was noticed just after it may have been dead for a while before: nothing
            // is known then.
            let noticed = |death: &&u64| (from..to + NOTICED).contains(*death);
            let death = self.deaths.iter().filter(noticed).max().copied().unwrap_or(from);
            if death < to {
                counted += 1;
                self.expect_within("writer", BLOCKED, death, to);
            }
        }
        counted
    }

    fn expect_within(&mut self, role: &str, bound: Duration, from: u64, to: u64) {
        let took = Duration::from_nanos(to - from);
        let stall = stall::between(instant(from), instant(to));
        if stall.is_zero() {
            let longest = &mut self.longest[usize::from(bound == ASLEEP)];
            *longest = took.max(*longest);
        }
        if took > bound + stall {
            self.late.push(format!("{role}: {took:?}, promised {bound:?}; stalled {stall:?}"));
        }
    }
}

/// The moment of a time that another process told.
fn instant(ns: u64) -> Instant {
    Instant::now() - Duration::from_nanos(monotonic_ns().saturating_sub(ns))
}

fn soon(most_ms: u64) -> Instant {
    Instant::now() + Duration::from_micros(rand::random_range(0..most_ms * 1000))
}

impl Player {
    /// Lets it come again if it is time for that, or go.
    fn play(&mut self, trial: &Trial, tally: &mut Tally) {
        let Some(child) = &mut self.child else {
            if Instant::now() >= self.next {
                let own_hand = rand::random();
                let point = if own_hand { rand::random_range(1..POINTS) } else { 0 };
                let role = format!("random {}", self.role);
                self.child = Some(trial.home.child(&role, &format!("{point} ")));
                self.next = if own_hand { Instant::now() + OLD } else { soon(300) };
            }
            return;
        };
        let is_over = Instant::now() >= self.next;
        if is_over {
            child.kill();
        }
        let Some(status) = child.has_ended() else {
            child.said().for_each(|line| tally.hear(self.role, &line));
            return;
        };
        tally.by_own_hand += usize::from(!is_over);
        trial.note_nodes();
        while let Some(line) = child.says() {
            tally.hear(self.role, &line);
        }
        let dead_for = child.ended_at().unwrap().elapsed().as_nanos() as u64;
        tally.deaths.push(monotonic_ns() - dead_for);
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{}: {status}", self.role);
        self.child = None;
        // Now and then nobody comes for so long that it is noticed.
        self.next = if rand::random_ratio(1, 50) { soon(3000) } else { soon(20) };
    }
}

#[test]
fn anybody_dies_at_any_time() {
    let kills = std::env::var("DDS_SHM_KILLS").ok().map_or(KILLS, |kills| kills.parse().unwrap());
    stall::watch();
    let mut late = Vec::new();
    for _ in 0..TRIES {
        late = play(kills);
        if late.is_empty() {
            return;
        }
    }
    panic!("each of {TRIES} times somebody was held up for too long: {late:#?}");
}

/// Returns what did not come in time.
fn play(kills: usize) -> Vec<String> {
    let started = Instant::now();
    let trial = Trial::new("random", 0);
    let player = |role| Player { role, child: None, next: soon(20) };
    let mut cast = CAST.map(player);
    let mut tally = Tally::default();
    while tally.deaths.len() < kills {
        cast.iter_mut().for_each(|player| player.play(&trial, &mut tally));
        thread::sleep(Duration::from_millis(1));
    }
    for player in &mut cast {
        if let Some(child) = &mut player.child {
            trial.kill(child);
        }
    }
    let counted = tally.expect_unblocked();
    // Both go on as ever, and then nothing is left.
    for which in ["0", "1"] {
        let options = options(&trial.home.dir, which);
        let plan = Plan { options, is_durable: true, is_complete: which == "0" };
        let head = {
            let (writer, _) = create(&trial.home.node(), &plan.options);
            writer.head()
        };
        restart(&trial, &plan, head, head, Vec::new());
    }
    trial.expect_nothing_left();
    let Tally { deaths, by_own_hand, taken, longest: [blocked, asleep], mut late, .. } = tally;
    late.extend(trial.take_late());
    eprintln!(
        "{} killed in {:?}, {by_own_hand} of them at points of their own; {taken} samples taken; \
         {counted} times a writer was blocked by the dead for over {LONG:?}, undisturbed for up to {blocked:?}; \
         samples late by up to {asleep:?}; \
         beyond what is promised: {late:#?}",
        deaths.len(),
        started.elapsed(),
    );
    late
}
