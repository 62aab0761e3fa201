//! A process with the same rights writes into everything it can open, while others go on: their
//! control objects, their bells, their flinks and node files.
//!
//! What it may reach is that nothing gets through: errors, evictions, lost samples. What it may not:
//! the end of a process, a panic, a call that takes longer than it says, or something left behind.
//! `scripts/hostile.sh` does for minutes what `cargo test` does for seconds.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/stall.rs"]
mod stall;
mod support;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dds_shm::liveness::{Node, NodeId, RuntimeDir, sweep};
use dds_shm::slots::{MAX_READERS, SlotReader};
use dds_shm::types::TypeHash;
use dds_shm::{
    FlowPolicy, PosixSlotAllocator, ReaderOptions, SampleInfo, SegmentOptions, SlotError,
};
use rand::seq::IndexedRandom as _;
use support::{Child, Home, await_go, eventually, no_janitor, remains, role, say};

const SLOTS: usize = 8;
const SIZE: usize = 256;
/// How long the waiting writer and the readers wait.
const WAIT: Duration = Duration::from_millis(20);
/// The longest that a call that waits for [`WAIT`] may take, on a machine that does much else.
const CAP: Duration = Duration::from_secs(2);

/// Where the words of `.ctl` are: see spec-notes/segment-format.md.
mod ctl {
    pub(crate) const SPACE_BELL: u64 = 0x80;
    pub(crate) const REQUESTS: u64 = 0x100;
    pub(crate) const TABLE: u64 = 0x200;
    pub(crate) const ENTRY: u64 = 128;
    pub(crate) const CURSOR: u64 = 0;
    pub(crate) const READING: u64 = 8;
    pub(crate) const NODE: u64 = 64;
    pub(crate) const REQUEST: u64 = 72;
    /// GUID, uid, QoS digest, bell bit and the rest.
    pub(crate) const WHO: std::ops::Range<u64> = 80..128;
    pub(crate) const HOLDS: u64 = TABLE + super::MAX_READERS as u64 * ENTRY;
}

/// Every word of a control object of which somebody's progress depends, readers below `readers`.
fn control_words(readers: u64) -> Vec<u64> {
    let mut words = vec![ctl::SPACE_BELL, ctl::REQUESTS];
    for entry in (0..readers).map(|reader| ctl::TABLE + reader * ctl::ENTRY) {
        let own = [ctl::CURSOR, ctl::READING, ctl::NODE, ctl::REQUEST];
        words.extend(own.map(|at| entry + at));
        words.extend(ctl::WHO.step_by(8).map(|at| entry + at));
    }
    words.extend((0..SLOTS as u64).map(|slot| ctl::HOLDS + 8 * slot));
    words
}

/// Values that mean something somewhere.
fn values(head: u64) -> Vec<u64> {
    const CLAIM: u64 = 1 << 63;
    let mut values =
        vec![0, 1, 2, 3, CLAIM, CLAIM - 1, u64::MAX, u64::MAX - 1, u64::from(u32::MAX)];
    values.extend([head.wrapping_sub(1), head, head + 1, head + 2, head | CLAIM, head + (1 << 40)]);
    // An epoch and a code: states and requests.
    values.extend((0..6).flat_map(|epoch| (0..5).map(move |code| epoch << 8 | code)));
    values.extend((0..64).step_by(9).map(|bit| 1 << bit));
    values
}

/// What the attacker has open.
struct Target {
    control: File,
    data: File,
}

impl Target {
    /// The objects that the flink names now: a writer that is held up goes on in others.
    fn of(flink: &Path) -> Target {
        let name = fs::read_to_string(flink).unwrap();
        let open = |end: &str| {
            let path = format!("/dev/shm/{}.{end}", name.lines().next().unwrap());
            File::options().read(true).write(true).open(path).unwrap()
        };
        Target { control: open("ctl"), data: open("dat") }
    }

    fn head(&self) -> u64 {
        let mut octets = [0; 8];
        self.data.read_exact_at(&mut octets, 0x100).unwrap();
        u64::from_le_bytes(octets)
    }

    /// Each word gets each value once.
    fn every_field_every_value(&self) {
        for at in control_words(6) {
            for value in values(self.head()) {
                self.control.write_all_at(&value.to_le_bytes(), at).unwrap();
            }
            thread::yield_now();
        }
    }

    fn random(&self) {
        let len = self.control.metadata().unwrap().len();
        for _ in 0..2_000 {
            let at = match rand::random_range(0..3) {
                0 => rand::random_range(ctl::SPACE_BELL / 8..len / 8) * 8,
                _ => *control_words(6).choose(&mut rand::rng()).unwrap(),
            };
            let value = match rand::random_range(0..3) {
                0 => rand::random(),
                _ => *values(self.head()).choose(&mut rand::rng()).unwrap(),
            };
            self.control.write_all_at(&value.to_le_bytes(), at).unwrap();
        }
    }

    /// The identity line is wrong for a moment: whoever attaches now refuses it.
    fn another_identity(&self) {
        let mut line = [0; 64];
        self.control.read_exact_at(&mut line, 0).unwrap();
        self.control.write_all_at(&rand::random::<[u8; 8]>(), rand::random_range(0..56)).unwrap();
        thread::sleep(Duration::from_millis(2));
        self.control.write_all_at(&line, 0).unwrap();
    }
}

/// Puts something else in the place of a file, and then the file back.
fn replace_for_a_moment(path: &Path, home: &Home) {
    let aside = home.path("aside");
    if fs::rename(path, &aside).is_err() {
        return;
    }
    match rand::random_range(0..4) {
        0 => fs::write(path, "dds-shm-00000000000000ab-00001234\n").unwrap(),
        1 => symlink("/etc/passwd", path).unwrap(),
        2 => nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        _ => {}
    }
    thread::sleep(Duration::from_millis(2));
    fs::rename(&aside, path).unwrap();
}

/// Words of a bell: both bells, the bits, and now and then what it says of itself.
fn ring_wildly(bell: &File) {
    for _ in 0..500 {
        let at = match rand::random_range(0..8) {
            0 => rand::random_range(0..512),
            1..4 => *[64, 68, 128, 132].choose(&mut rand::rng()).unwrap(),
            _ => 192 + 4 * rand::random_range(0..32),
        };
        let value: u32 = if rand::random() { rand::random() } else { rand::random_range(0..2) };
        bell.write_all_at(&value.to_le_bytes(), at).unwrap();
    }
}

/// What a victim did, and how long its longest call took, but for what the machine was late.
#[derive(Default)]
struct Tally {
    attached: u64,
    done: u64,
    refused: u64,
    longest: Duration,
}

impl Tally {
    fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = call();
        let end = Instant::now();
        let mut took = end - start;
        if took > self.longest && took > 2 * WAIT {
            took = took.saturating_sub(stall::between(start, end));
        }
        self.longest = self.longest.max(took);
        result
    }

    fn tell(&self) {
        let longest = self.longest.as_millis();
        say(format!("{} {} {} {longest}", self.attached, self.done, self.refused));
    }

    fn hear(line: &str) -> Tally {
        let mut numbers = line.split(' ').map(|number| number.parse().unwrap());
        let mut next = || numbers.next().unwrap();
        let (attached, done, refused) = (next(), next(), next());
        Tally { attached, done, refused, longest: Duration::from_millis(next()) }
    }
}

fn options(policy: &str) -> SegmentOptions {
    let flow = match policy {
        "waits" => FlowPolicy::keep_all(WAIT),
        _ => FlowPolicy::best_effort(),
    };
    SegmentOptions::new("Topic", "Type", TypeHash::of_layout("u8[256]"), SIZE as u32)
        .layout("u8[256]")
        .slots(SLOTS as u32)
        .flow(flow)
        .misbehaves_after(Duration::from_millis(500))
}

fn write(node: &Arc<Node>, policy: &str, stop: &AtomicBool) -> Tally {
    let owner = PosixSlotAllocator::create(node, &options(policy)).unwrap();
    say(owner.flink_path().display());
    let writer = owner.into_writer().unwrap();
    let mut tally = Tally::default();
    while !stop.load(Ordering::Relaxed) {
        let sample = [tally.done as u8; SIZE];
        match tally.time(|| writer.write(&sample, &SampleInfo::default())) {
            Ok(_) => tally.done += 1,
            Err(SlotError::Timeout { .. }) => tally.refused += 1,
            Err(error) => panic!("{error}"),
        }
        let _ = (writer.readers(), writer.take_events());
    }
    tally
}

/// Takes samples, and attaches again whenever it is told that it is over.
fn read(node: &Arc<Node>, flink: &Path, stop: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    while !stop.load(Ordering::Relaxed) {
        let keeps = rand::random_range(1..3);
        let options = ReaderOptions { max_held: keeps, ..ReaderOptions::default() };
        let opened = tally.time(|| PosixSlotAllocator::open_reader(node, flink, None, options));
        match opened {
            Ok(reader) => {
                if tally.attached == 0 {
                    say("attached");
                }
                tally.attached += 1;
                take(&reader, keeps, stop, &mut tally);
            }
            // The flink or the identity is not what it was, or every entry looks taken.
            Err(_) => {
                tally.refused += 1;
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
    tally
}

fn take(reader: &SlotReader, keeps: usize, stop: &AtomicBool, tally: &mut Tally) {
    let (mut held, mut copy) = (Vec::new(), Vec::new());
    let mut idle = 0;
    while !stop.load(Ordering::Relaxed) && idle < 20 {
        match tally.time(|| reader.take_within(WAIT)) {
            Ok(Some(sample)) => {
                idle = 0;
                tally.done += 1;
                assert!(sample.bytes().len() <= SIZE);
                let _ = sample.copy_checked(&mut copy);
                held.push(sample);
                if held.len() == keeps {
                    held.swap_remove(0);
                }
            }
            Ok(None) => idle += 1,
            Err(SlotError::TooManyHeld { .. }) => held.clear(),
            Err(_) => {
                tally.refused += 1;
                return;
            }
        }
    }
}

#[test]
#[ignore = "run by other tests, in a process of its own"]
fn another_process() {
    let Some((role, argument, dir)) = role() else { return };
    // A panic anywhere, also in the service thread, which would survive it, ends the process.
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        tell(info);
        std::process::abort();
    }));
    stall::watch();
    let node = Node::new(&RuntimeDir::create(&dir).unwrap(), no_janitor()).unwrap();
    say(node.id());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let victim = scope.spawn(|| match role.as_str() {
            "writer" => write(&node, &argument, &stop),
            _ => read(&node, Path::new(&argument), &stop),
        });
        await_go();
        stop.store(true, Ordering::Relaxed);
        victim.join().unwrap().tell();
    });
}

/// A victim and the file of its node, and its bell.
struct Victim {
    process: Child,
    node: NodeId,
    bell: File,
}

impl Victim {
    fn new(home: &Home, role: &str, argument: &str) -> Victim {
        let process = home.child(role, argument);
        let id = process.line();
        let node = id.parse::<NodeId>().unwrap();
        let bell = format!("/dev/shm/dds-shm-{id}.bell");
        let bell = File::options().write(true).open(bell).unwrap();
        Victim { process, node, bell }
    }
}

fn attack(policy: &str) {
    let seconds = std::env::var("DDS_SHM_HOSTILE_SECONDS").ok().and_then(|text| text.parse().ok());
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(4));
    let home = Home::new();
    let writer = Victim::new(&home, "writer", policy);
    let flink = PathBuf::from(writer.process.line());
    let mut victims = vec![writer];
    for _ in 0..2 {
        let reader = Victim::new(&home, "reader", flink.to_str().unwrap());
        reader.process.expect("attached");
        victims.push(reader);
    }
    let mut rounds = 0;
    while rounds == 0 || Instant::now() < until {
        let target = Target::of(&flink);
        target.every_field_every_value();
        target.random();
        target.another_identity();
        for victim in &victims {
            ring_wildly(&victim.bell);
            replace_for_a_moment(&home.dir.nodes().join(victim.node.to_string()), &home);
        }
        replace_for_a_moment(&flink, &home);
        rounds += 1;
    }
    let mut tallies = Vec::new();
    for victim in &mut victims {
        victim.process.go_on();
        let tally = Tally::hear(&victim.process.line());
        assert!(victim.process.ends_well());
        assert!(tally.longest < CAP, "{:?}", tally.longest);
        assert!(tally.done > 0, "{} refused", tally.refused);
        let Tally { attached, done, refused, longest } = tally;
        tallies.push(format!("{attached} attached, {done} done, {refused} refused, {longest:?}"));
    }
    println!("{policy}: {rounds} rounds; writer and readers, longest call: {}", tallies.join("; "));

    // Everything works for who starts now, and the janitor finds what the attack has confused.
    starts_afresh(&home);
    let ids = victims.iter().map(|victim| victim.node);
    for id in ids.collect::<Vec<_>>() {
        sweep(&home.dir, &support::removing(Duration::ZERO)).unwrap();
        assert_eq!(remains(&home.dir, id), Vec::<PathBuf>::new());
    }
}

fn starts_afresh(home: &Home) {
    let node = home.node();
    let owner = PosixSlotAllocator::create(&node, &options("waits")).unwrap();
    let flink = owner.flink_path().to_owned();
    let writer = owner.into_writer().unwrap();
    let reader =
        PosixSlotAllocator::open_reader(&node, &flink, None, ReaderOptions::default()).unwrap();
    eventually("admission", || reader.is_admitted());
    writer.write(&[7; SIZE], &SampleInfo::default()).unwrap();
    assert_eq!(reader.take().unwrap().unwrap().bytes(), [7; SIZE]);
}

#[test]
fn an_overwriting_writer_and_its_readers_survive_whatever_is_written_under_them() {
    attack("overwrites");
}

#[test]
fn a_waiting_writer_and_its_readers_survive_whatever_is_written_under_them() {
    attack("waits");
}
