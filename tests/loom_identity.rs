//! Attaching to a segment that is being made, under loom: either it is not one yet, or its identity
//! is whole.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/exploration.rs"]
mod exploration;

use std::collections::HashMap;

use dds_shm::slots::{
    FormatError, Identity, IdentityWord, IdentityWords, publish_identity, read_identity,
};
use dds_shm::sync::Ordering;
use dds_shm::types::TypeHash;
use dds_shm::{InMemorySlotAllocator, SegmentOptions};
use exploration::{explore, holds};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, fence};
use loom::thread;

/// What is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    Release(IdentityWord),
    Acquire,
}

/// Both objects, with the words that are not 0 in the end.
struct Model {
    words: HashMap<IdentityWord, AtomicU64>,
    without: Without,
}

impl IdentityWords for Model {
    fn load(&self, word: IdentityWord) -> u64 {
        self.words.get(&word).map_or(0, |word| word.load(Ordering::Relaxed))
    }
    fn store(&self, word: IdentityWord, value: u64, order: Ordering) {
        let weak = self.without == Without::Release(word);
        if let Some(word) = self.words.get(&word) {
            word.store(value, if weak { Ordering::Relaxed } else { order });
        }
    }
    fn acquire(&self) {
        if self.without != Without::Acquire {
            fence(Ordering::Acquire);
        }
    }
}

/// The words of an identity, as they are when it is written.
struct Written(std::cell::RefCell<Vec<IdentityWord>>);

impl IdentityWords for Written {
    fn load(&self, _word: IdentityWord) -> u64 {
        0
    }
    fn store(&self, word: IdentityWord, value: u64, _order: Ordering) {
        if value != 0 {
            self.0.borrow_mut().push(word);
        }
    }
    fn acquire(&self) {}
}

fn identity() -> Identity {
    let options = SegmentOptions::new("T", "U", TypeHash::of_layout("u32"), 4).layout("u32");
    InMemorySlotAllocator::create(&options).unwrap().identity().clone()
}

/// The scenario of one attaching reader.
fn attach_beside_create(without: Without) -> impl Fn() + Send + Sync + 'static {
    let identity = identity();
    let (dat_len, ctl_len) = (identity.geometry.dat_len(), identity.geometry.ctl_len());
    let written = Written(Vec::new().into());
    publish_identity(&written, &identity);
    let words = written.0.into_inner();
    move || {
        let words = words.iter().map(|word| (*word, AtomicU64::new(0))).collect();
        let model = Arc::new(Model { words, without });
        let owner = {
            let (model, identity) = (Arc::clone(&model), identity.clone());
            thread::spawn(move || publish_identity(&*model, &identity))
        };
        match read_identity(&*model, dat_len, ctl_len) {
            Ok(found) => assert_eq!(found, identity),
            Err(error) => assert_eq!(error, FormatError::Magic { found: 0 }),
        }
        owner.join().unwrap();
    }
}

#[test]
fn an_identity_is_found_whole_or_not_at_all() {
    holds("attach beside create", 2, attach_beside_create(Without::Nothing));
}

#[test]
fn both_orders_are_needed() {
    for without in [Without::Release(IdentityWord::Dat(0)), Without::Acquire] {
        let missed = explore("attach beside create", 2, attach_beside_create(without));
        assert!(missed.is_some(), "{without:?} was not missed");
    }
}
