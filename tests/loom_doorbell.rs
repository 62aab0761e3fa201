//! The doorbell under loom: every interleaving, and every order in which the memory model lets
//! stores be seen. A lost wake is a deadlock, which loom reports.
//!
//! What is published is modelled as a swap: loom misorders a plain store after a concurrent
//! read-modify-write.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use dds_shm::liveness::doorbell::{self, Doorbell, FutexWords, Slept};
use dds_shm::shm::futex::FutexWait;
use dds_shm::sync::{Ordering, Words};
use loom::sync::atomic::{AtomicU32, fence};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

#[derive(Clone, Copy)]
enum Word {
    Generation,
    Waiters,
}

const BELL: Doorbell<Word> = Doorbell { generation: Word::Generation, waiters: Word::Waiters };

/// The words, and the kernel's queue of who sleeps on them.
struct Model {
    generation: AtomicU32,
    waiters: AtomicU32,
    queue: Mutex<()>,
    woken: Condvar,
    fences: bool,
}

impl Model {
    fn new(fences: bool) -> Model {
        Model {
            generation: AtomicU32::new(0),
            waiters: AtomicU32::new(0),
            queue: Mutex::new(()),
            woken: Condvar::new(),
            fences,
        }
    }

    fn word(&self, word: Word) -> &AtomicU32 {
        match word {
            Word::Generation => &self.generation,
            Word::Waiters => &self.waiters,
        }
    }
}

impl Words<Word> for Model {
    fn load(&self, word: Word, order: Ordering) -> u64 {
        self.word(word).load(order).into()
    }
    fn store(&self, word: Word, value: u64, order: Ordering) {
        self.word(word).store(value as u32, order);
    }
    fn swap(&self, word: Word, value: u64, order: Ordering) -> u64 {
        self.word(word).swap(value as u32, order).into()
    }
    fn fetch_add(&self, word: Word, value: u64, order: Ordering) -> u64 {
        self.word(word).fetch_add(value as u32, order).into()
    }
    fn fetch_or(&self, word: Word, bits: u64, order: Ordering) -> u64 {
        self.word(word).fetch_or(bits as u32, order).into()
    }
    fn fetch_and(&self, word: Word, bits: u64, order: Ordering) -> u64 {
        self.word(word).fetch_and(bits as u32, order).into()
    }
    fn compare_exchange(&self, word: Word, current: u64, new: u64) -> Result<u64, u64> {
        self.word(word)
            .compare_exchange(current as u32, new as u32, Ordering::AcqRel, Ordering::Acquire)
            .map(u64::from)
            .map_err(u64::from)
    }
    fn fence(&self, order: Ordering) {
        if self.fences {
            fence(order);
        }
    }
}

impl FutexWords<Word> for Model {
    /// As in the kernel: the comparison and the queueing are one step for wakers.
    fn futex_wait(&self, word: Word, expected: u32, _timeout: Option<Duration>) -> FutexWait {
        let queue = self.queue.lock().unwrap();
        if self.word(word).load(Ordering::Relaxed) != expected {
            return FutexWait::Changed;
        }
        drop(self.woken.wait(queue).unwrap());
        FutexWait::Woken
    }

    fn futex_wake_all(&self, _word: Word) {
        let _queue = self.queue.lock().unwrap();
        self.woken.notify_all();
    }
}

fn publish(model: &Model, data: &AtomicU32) {
    data.swap(1, Ordering::Release);
    model.fence(Ordering::SeqCst);
    doorbell::ring(model, BELL, || {});
}

fn await_data(model: &Model, data: &AtomicU32) {
    let mut ready = || data.load(Ordering::Acquire) != 0;
    while doorbell::sleep_once(model, BELL, None, &mut ready) != Slept::Ready {}
}

fn check(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(body);
}

/// `sleepers` threads that wait for something of their own each, and as many wakers.
fn one_each(sleepers: usize, fences: bool) {
    let model = Arc::new(Model::new(fences));
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
    check(|| one_each(1, true));
}

#[test]
fn two_sleepers_on_one_bell_are_not_forgotten() {
    check(|| one_each(2, true));
}

#[test]
fn a_sleeper_hears_two_wakers() {
    check(|| {
        let model = Arc::new(Model::new(true));
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

#[test]
fn without_the_fences_a_wake_is_lost() {
    const CHILD: &str = "DDS_SHM_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        check(|| one_each(1, false));
        return;
    }
    // In a process of its own: loom reports the deadlock with a panic that ends in an abort.
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "without_the_fences_a_wake_is_lost", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("deadlock"), "{said}");
}
