//! The doorbell, and the sleeping of ZDS2 segments, under loom: every interleaving, and every order in
//! which the memory model lets stores be seen. A lost wake is a deadlock, which loom reports.
//!
//! What is published is modelled as a swap: loom misorders a plain store after a concurrent
//! read-modify-write.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/exploration.rs"]
mod exploration;

use std::time::Duration;

use dds_shm::liveness::doorbell::{self, Doorbell, FutexWords, Slept};
use dds_shm::shm::futex::FutexWait;
use dds_shm::slots::{Zds2Word, bump, sleep};
use dds_shm::sync::{Ordering, Words};
use exploration::holds;
use loom::sync::atomic::{AtomicU32, fence};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

#[derive(Clone, Copy)]
enum Word {
    Generation,
    Waiters,
}

const BELL: Doorbell<Word> = Doorbell { generation: Word::Generation, waiters: Word::Waiters };

/// What is wrong with the bell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seed {
    Nothing,
    NoFences,
    NoSleepersFence,
    NoWakersFence,
    /// The sleeper does not look again.
    NoSecondLook,
    /// The sleeper does not say that it sleeps.
    NoFlag,
    /// The waker does not take the flag.
    FlagLeft,
    /// The waker does not change the generation.
    NoGeneration,
    /// The waker changes the generation before it takes the flag.
    GenerationFirst,
    /// The waker wakes nobody.
    NoWake,
    /// The sleeper looks at the generation last of all.
    GenerationLate,
    /// The waker rings before there is anything.
    RungFirst,
}

/// Each of these loses a wake.
const SEEDS: [Seed; 9] = [
    Seed::NoSleepersFence,
    Seed::NoWakersFence,
    Seed::NoSecondLook,
    Seed::NoFlag,
    Seed::NoGeneration,
    Seed::GenerationFirst,
    Seed::NoWake,
    Seed::GenerationLate,
    Seed::RungFirst,
];

/// The words, and the kernel's queue of who sleeps on them.
struct Model {
    generation: AtomicU32,
    waiters: AtomicU32,
    queue: Mutex<()>,
    woken: Condvar,
    seed: Seed,
}

impl Model {
    fn new(seed: Seed) -> Model {
        Model {
            generation: AtomicU32::new(0),
            waiters: AtomicU32::new(0),
            queue: Mutex::new(()),
            woken: Condvar::new(),
            seed,
        }
    }

    fn word(&self, word: impl Named) -> &AtomicU32 {
        match word.name() {
            Word::Generation => &self.generation,
            Word::Waiters => &self.waiters,
        }
    }
}

/// Names one of the two words.
trait Named: Copy {
    fn name(self) -> Word;
}

impl Named for Word {
    fn name(self) -> Word {
        self
    }
}

impl Named for Zds2Word {
    fn name(self) -> Word {
        match self {
            Zds2Word::Generation => Word::Generation,
            Zds2Word::Sleepers => Word::Waiters,
            other => panic!("{other:?} has no part in it"),
        }
    }
}

impl<W: Named> Words<W> for Model {
    fn load(&self, word: W, order: Ordering) -> u64 {
        self.word(word).load(order).into()
    }
    fn store(&self, word: W, value: u64, order: Ordering) {
        if self.seed == Seed::NoFlag {
            return;
        }
        self.word(word).store(value as u32, order);
    }
    fn swap(&self, word: W, value: u64, order: Ordering) -> u64 {
        match self.seed {
            Seed::FlagLeft => return self.word(word).load(Ordering::Relaxed).into(),
            Seed::GenerationFirst => drop(self.generation.fetch_add(1, order)),
            _ => {}
        }
        self.word(word).swap(value as u32, order).into()
    }
    fn fetch_add(&self, word: W, value: u64, order: Ordering) -> u64 {
        if matches!(self.seed, Seed::NoGeneration | Seed::GenerationFirst) {
            return 0;
        }
        self.word(word).fetch_add(value as u32, order).into()
    }
    fn fetch_or(&self, word: W, bits: u64, order: Ordering) -> u64 {
        self.word(word).fetch_or(bits as u32, order).into()
    }
    fn fetch_and(&self, word: W, bits: u64, order: Ordering) -> u64 {
        self.word(word).fetch_and(bits as u32, order).into()
    }
    fn compare_exchange(&self, word: W, current: u64, new: u64) -> Result<u64, u64> {
        self.word(word)
            .compare_exchange(current as u32, new as u32, Ordering::AcqRel, Ordering::Acquire)
            .map(u64::from)
            .map_err(u64::from)
    }
    /// The waker of a bell has a fence of its own, see [`publish`].
    fn fence(&self, order: Ordering) {
        if !matches!(self.seed, Seed::NoFences | Seed::NoSleepersFence) {
            fence(order);
        }
    }
}

impl<W: Named> FutexWords<W> for Model {
    /// As in the kernel: the comparison and the queueing are one step for wakers.
    fn futex_wait(&self, word: W, expected: u32, _timeout: Option<Duration>) -> FutexWait {
        let queue = self.queue.lock().unwrap();
        let changed = self.word(word).load(Ordering::Relaxed) != expected;
        if changed && self.seed != Seed::GenerationLate {
            return FutexWait::Changed;
        }
        drop(self.woken.wait(queue).unwrap());
        FutexWait::Woken
    }

    fn futex_wake_all(&self, _word: W) {
        if self.seed == Seed::NoWake {
            return;
        }
        let _queue = self.queue.lock().unwrap();
        self.woken.notify_all();
    }
}

fn publish(model: &Model, data: &AtomicU32) {
    if model.seed == Seed::RungFirst {
        doorbell::ring(model, BELL, || {});
    }
    data.swap(1, Ordering::Release);
    if model.seed != Seed::NoWakersFence {
        fence(Ordering::SeqCst);
    }
    if model.seed != Seed::RungFirst {
        doorbell::ring(model, BELL, || {});
    }
}

fn await_data(model: &Model, data: &AtomicU32) {
    let is_there = || data.load(Ordering::Acquire) != 0;
    let mut ready = || model.seed != Seed::NoSecondLook && is_there();
    while !is_there() && doorbell::sleep_once(model, BELL, None, &mut ready) != Slept::Ready {}
}

/// `sleepers` threads that wait for something of their own each, and as many wakers.
fn one_each(sleepers: usize, seed: Seed) {
    let model = Arc::new(Model::new(seed));
    let data = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
    let threads: Vec<_> = (0..sleepers)
        .map(|index| {
            let (model, data) = (Arc::clone(&model), Arc::clone(&data));
            thread::spawn(move || await_data(&model, &data[index]))
        })
        .collect();
    for index in 0..sleepers {
        publish(&model, &data[index]);
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_sleeper_is_not_forgotten() {
    holds("a sleeper", 3, || one_each(1, Seed::Nothing));
}

#[test]
fn two_sleepers_on_one_bell_are_not_forgotten() {
    holds("two sleepers", 3, || one_each(2, Seed::Nothing));
}

#[test]
fn a_sleeper_hears_two_wakers() {
    holds("two wakers", 3, || {
        let model = Arc::new(Model::new(Seed::Nothing));
        let data = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
        let waker = {
            let (model, data) = (Arc::clone(&model), Arc::clone(&data));
            thread::spawn(move || publish(&model, &data[1]))
        };
        let sleeper = {
            let (model, data) = (Arc::clone(&model), Arc::clone(&data));
            thread::spawn(move || data.iter().for_each(|word| await_data(&model, word)))
        };
        publish(&model, &data[0]);
        waker.join().unwrap();
        sleeper.join().unwrap();
    });
}

/// `sleepers` threads that wait for a sample of a ZDS2 segment, and one that publishes it.
fn zds2(sleepers: usize, seed: Seed) {
    let model = Arc::new(Model::new(seed));
    let data = Arc::new(AtomicU32::new(0));
    let threads: Vec<_> = (0..sleepers)
        .map(|_| {
            let (model, data) = (Arc::clone(&model), Arc::clone(&data));
            thread::spawn(move || {
                loop {
                    let seen = model.load(Zds2Word::Generation, Ordering::Acquire) as u32;
                    if data.load(Ordering::Acquire) != 0 {
                        return;
                    }
                    sleep(&*model, seen, Duration::MAX);
                }
            })
        })
        .collect();
    data.swap(1, Ordering::Release);
    bump(&*model);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(model.load(Zds2Word::Sleepers, Ordering::Relaxed), 0);
}

#[test]
fn who_sleeps_at_a_zds2_segment_is_woken() {
    holds("ZDS2, a sleeper", 3, || zds2(1, Seed::Nothing));
    holds("ZDS2, two sleepers", 3, || zds2(2, Seed::Nothing));
}

#[test]
fn every_seeded_bug_loses_a_wake() {
    for (at, seed) in SEEDS.into_iter().enumerate() {
        // With the generation first, it is another sleeper's flag that is taken.
        let sleepers = 1 + usize::from(seed == Seed::GenerationFirst);
        fails_in_a_child("every_seeded_bug_loses_a_wake", at, move || one_each(sleepers, seed));
    }
}

/// It costs every publication after the first sleep a system call, and nothing else.
#[test]
fn a_flag_that_is_left_loses_nothing() {
    holds("a flag that is left", 3, || one_each(1, Seed::FlagLeft));
}

#[test]
fn without_the_fences_a_wake_of_zds2_is_lost() {
    fails_in_a_child("without_the_fences_a_wake_of_zds2_is_lost", 0, || zds2(1, Seed::NoFences));
}

/// Runs a model that must deadlock, as the test of this name; `number` tells its models apart.
fn fails_in_a_child(test: &str, number: usize, body: impl Fn() + Send + Sync + 'static) {
    const CHILD: &str = "DDS_SHM_TEST_CHILD";
    if let Ok(wanted) = std::env::var(CHILD) {
        if wanted == number.to_string() {
            holds(test, 3, body);
        }
        return;
    }
    // In a process of its own: loom reports the deadlock with a panic that ends in an abort.
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, number.to_string())
        .output()
        .unwrap();
    assert!(!output.status.success(), "{test} {number}: nothing is lost");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("deadlock"), "{said}");
}
