//! The turn between the writer's thread and the others, under loom: every interleaving, and every
//! order in which the memory model lets stores be seen. What both work on is a cell in which loom
//! notices a use that does not happen before the next.
//!
//! Both of its fences are modelled as `fence(SeqCst)`: what the light one and `membarrier` are
//! together, by what the kernel promises, and what they are each where there is no `membarrier`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/exploration.rs"]
mod exploration;

use dds_shm::sync::Ordering;
use dds_shm::sync::turn::{self, TurnWord, TurnWords};
use exploration::{explore, holds};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, fence};
use loom::thread;

/// What is left out of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    LightFence,
    HeavyFence,
    Acquire(TurnWord),
    Release(TurnWord),
}

struct Model {
    inside: AtomicU64,
    guest: AtomicU64,
    without: Without,
    value: UnsafeCell<u32>,
}

impl Model {
    fn word(&self, word: TurnWord) -> &AtomicU64 {
        match word {
            TurnWord::Inside => &self.inside,
            TurnWord::Guest => &self.guest,
        }
    }

    fn order(&self, word: TurnWord, order: Ordering) -> Ordering {
        let weak = match order {
            Ordering::Acquire => self.without == Without::Acquire(word),
            Ordering::Release => self.without == Without::Release(word),
            _ => false,
        };
        if weak { Ordering::Relaxed } else { order }
    }

    fn add(&self) {
        // SAFETY: loom panics if it is not one after the other.
        self.value.with_mut(|value| unsafe { *value += 1 });
    }
}

impl TurnWords for Model {
    fn load(&self, word: TurnWord, order: Ordering) -> u64 {
        self.word(word).load(self.order(word, order))
    }
    fn store(&self, word: TurnWord, value: u64, order: Ordering) {
        // As a swap: loom misorders a plain store after a concurrent read-modify-write.
        self.word(word).swap(value, self.order(word, order));
    }
    fn swap(&self, word: TurnWord, value: u64, order: Ordering) -> u64 {
        self.word(word).swap(value, self.order(word, order))
    }
    fn light_fence(&self) {
        if self.without != Without::LightFence {
            fence(Ordering::SeqCst);
        }
    }
    fn heavy_fence(&self) {
        if self.without != Without::HeavyFence {
            fence(Ordering::SeqCst);
        }
    }
}

/// The regular comes `visits` times; `guests` others come once each.
fn meet(visits: u32, guests: u32, without: Without) {
    let model = Arc::new(Model {
        inside: AtomicU64::new(0),
        guest: AtomicU64::new(0),
        without,
        value: UnsafeCell::new(0),
    });
    let threads: Vec<_> = (0..guests)
        .map(|_| {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                turn::enter_as_guest(&*model, || false, thread::yield_now);
                model.add();
                turn::leave_as_guest(&*model);
            })
        })
        .collect();
    for _ in 0..visits {
        turn::enter(&*model, thread::yield_now);
        model.add();
        turn::leave(&*model);
    }
    for thread in threads {
        thread.join().unwrap();
    }
    // SAFETY: nobody else is left.
    model.value.with(|value| assert_eq!(unsafe { *value }, visits + guests));
}

#[test]
fn one_at_a_time() {
    holds("turn", 3, || meet(2, 1, Without::Nothing));
}

#[test]
fn one_guest_after_the_other() {
    holds("turn, two guests", 3, || meet(0, 2, Without::Nothing));
}

#[test]
fn every_fence_and_order_is_needed() {
    let parts = [
        Without::LightFence,
        Without::HeavyFence,
        Without::Acquire(TurnWord::Inside),
        Without::Acquire(TurnWord::Guest),
        Without::Release(TurnWord::Inside),
        Without::Release(TurnWord::Guest),
    ];
    for without in parts {
        let said = explore("turn", 3, move || meet(2, 1, without)).unwrap();
        assert!(said.contains("Causality violation"), "{without:?}: {said:?}");
    }
}
