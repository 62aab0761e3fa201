//! Small scenarios: a reader thread or two, and the owner in the main thread.

use std::cell::Cell;
use std::time::Duration;

use dds_shm::liveness::doorbell::{self, Doorbell, FutexWords, Slept};
use dds_shm::shm::futex::FutexWait;
use dds_shm::slots::{
    Located, Looked, OwnerCore, ReaderCore, ReaderSet, Request, SlotWord, Taken, claim_entry,
};
use dds_shm::sync::{Ordering, Words};
use loom::sync::Arc;
use loom::thread;

use crate::segment::{Segment, Stage, View, Weak, Who};

/// A scenario, and how many preemptions per execution a usual test run tries.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) preemptions: usize,
    pub(crate) body: fn(Weak),
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "take and slow reserve", preemptions: 3, body: take_and_slow_reserve },
    Scenario { name: "take and fast reserve", preemptions: 3, body: take_and_fast_reserve },
    Scenario { name: "keep and slow reserve", preemptions: 2, body: keep_and_slow_reserve },
    Scenario { name: "keep and fast reserve", preemptions: 2, body: keep_and_fast_reserve },
    Scenario { name: "put back", preemptions: 1, body: put_back },
    Scenario { name: "disconnection while reading", preemptions: 3, body: disconnect_reading },
    Scenario { name: "disconnection while holding", preemptions: 2, body: disconnect_holding },
    Scenario { name: "sample elsewhere", preemptions: 3, body: sample_elsewhere },
    Scenario { name: "scan", preemptions: 3, body: scan },
    Scenario { name: "drop", preemptions: 3, body: drop_sample },
    Scenario { name: "adoption", preemptions: 2, body: adoption },
    Scenario { name: "admission and slow reserve", preemptions: 2, body: admission },
    Scenario { name: "request", preemptions: 3, body: request },
    Scenario { name: "requests", preemptions: 3, body: requests },
    Scenario { name: "return", preemptions: 3, body: readmission },
    Scenario { name: "entry reuse", preemptions: 3, body: entry_reuse },
    Scenario { name: "copy without hazard", preemptions: 3, body: copy },
    Scenario { name: "space bell, release", preemptions: 3, body: bell_release },
    Scenario { name: "space bell, next take", preemptions: 3, body: bell_next_take },
    Scenario { name: "space bell, lowered hazard", preemptions: 2, body: bell_hazard },
];

impl Scenario {
    pub(crate) fn named(name: &str) -> &'static Self {
        let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
        found.unwrap_or_else(|| panic!("no scenario {name}"))
    }
}

/// Runs a reader beside an owner.
fn together(
    stage: Stage,
    weak: Weak,
    reader: impl FnOnce(&View<'_>, ReaderCore) + Send + 'static,
    owner: impl FnOnce(&View<'_>, &mut OwnerCore),
) -> (Arc<Segment>, OwnerCore) {
    let segment = Arc::new(stage.build());
    let Stage { owner: mut core, mut readers, .. } = stage;
    let first = readers.remove(0);
    let others = Arc::clone(&segment);
    let thread = thread::spawn(move || reader(&others.seen_by(Who::Reader, weak), first));
    owner(&segment.seen_by(Who::Owner, weak), &mut core);
    thread.join().expect("the reader");
    (segment, core)
}

/// Publishes one more sample if a slot can be had in `tries` passes.
fn publish(words: &View<'_>, core: &mut OwnerCore, may_block: ReaderSet, tries: usize) -> bool {
    for _ in 0..tries {
        if let Ok(slot) = core.reserve(words, may_block) {
            words.segment.write(slot, core.head() + 1);
            core.commit(words, slot, [0; 16]);
            return true;
        }
    }
    false
}

/// Takes a sample if there is one, and looks at it.
fn take(words: &View<'_>, core: &mut ReaderCore) -> Option<Looked> {
    let Taken::Sample(sample) = core.take(words, false) else { return None };
    words.segment.read(sample.slot, sample.seq);
    Some(sample)
}

fn take_and_release(words: &View<'_>, mut core: ReaderCore) {
    for _ in 0..3 {
        if let Some(sample) = take(words, &mut core) {
            core.release(words, sample);
        }
    }
}

/// Takes two, so that the first is kept by a hold bit; lets go of the first late.
fn keep(words: &View<'_>, mut core: ReaderCore) {
    let first = take(words, &mut core);
    let second = take(words, &mut core);
    for sample in first.into_iter().chain(second) {
        words.segment.read(sample.slot, sample.seq);
        core.release(words, sample);
    }
    if let Some(third) = take(words, &mut core) {
        core.release(words, third);
    }
}

/// Two slots, both with a sample that the reader has not taken.
fn full(blocking: bool) -> Stage {
    Stage::new(2, 1, &[blocking]).publish().publish()
}

fn take_and_slow_reserve(weak: Weak) {
    together(full(false), weak, take_and_release, |words, core| {
        publish(words, core, ReaderSet::EMPTY, 2);
    });
}

fn take_and_fast_reserve(weak: Weak) {
    together(full(true), weak, take_and_release, |words, core| {
        publish(words, core, ReaderSet::ALL, 2);
    });
}

fn keep_and_slow_reserve(weak: Weak) {
    together(full(false), weak, keep, |words, core| {
        publish(words, core, ReaderSet::EMPTY, 2);
    });
}

fn keep_and_fast_reserve(weak: Weak) {
    together(full(true), weak, keep, |words, core| {
        publish(words, core, ReaderSet::ALL, 2);
    });
}

/// One reader makes the owner put a sample back, which it has just published; another reads it.
fn put_back(weak: Weak) {
    let stage = Stage::new(1, 2, &[false, false]);
    let segment = Arc::new(stage.build());
    let Stage { owner: mut core, readers, .. } = stage;
    let threads: Vec<_> = readers
        .into_iter()
        .map(|mut reader| {
            let segment = Arc::clone(&segment);
            thread::spawn(move || {
                let words = segment.seen_by(Who::Reader, weak);
                if let Some(sample) = take(&words, &mut reader) {
                    reader.release(&words, sample);
                }
            })
        })
        .collect();
    let words = segment.seen_by(Who::Owner, Weak::Nothing);
    publish(&words, &mut core, ReaderSet::EMPTY, 1);
    if let Ok(slot) = core.reserve(&segment.seen_by(Who::Owner, weak), ReaderSet::EMPTY) {
        words.segment.write(slot, core.head() + 1);
        core.commit(&words, slot, [0; 16]);
    }
    for thread in threads {
        thread.join().expect("a reader");
    }
}

fn disconnect_reading(weak: Weak) {
    together(full(true), weak, take_and_release, |words, core| {
        core.disconnect(words, Stage::entry(0));
        publish(words, core, ReaderSet::ALL, 2);
    });
}

fn disconnect_holding(weak: Weak) {
    together(full(true), weak, keep, |words, core| {
        core.disconnect(words, Stage::entry(0));
        publish(words, core, ReaderSet::ALL, 2);
    });
}

/// The next sample is not in the slot where the reader expects it.
fn sample_elsewhere(weak: Weak) {
    let stage = Stage::new(2, 1, &[true]).skip_a_slot();
    let reader = |words: &View<'_>, mut core: ReaderCore| {
        for _ in 0..2 {
            match core.take(words, false) {
                Taken::Sample(sample) => {
                    words.segment.read(sample.slot, sample.seq);
                    core.release(words, sample);
                }
                Taken::Nothing => {}
                Taken::Missed(missed) => panic!("{missed} reported missed that are there"),
            }
        }
    };
    together(stage, weak, reader, |words, core| {
        publish(words, core, ReaderSet::ALL, 1);
    });
}

/// Two samples appear while a reader scans for the first; the directory tells nothing.
fn scan(weak: Weak) {
    let stage = Stage::new(3, 1, &[true]).skip_a_slot();
    let reader = |words: &View<'_>, mut core: ReaderCore| {
        if let Taken::Missed(missed) = core.take(words, false) {
            panic!("{missed} reported missed that are there");
        }
    };
    together(stage, weak, reader, |words, core| {
        publish(words, core, ReaderSet::ALL, 1);
        publish(words, core, ReaderSet::ALL, 1);
    });
}

/// A sample is published, not where the reader expects it, and the next one is dropped.
fn drop_sample(weak: Weak) {
    let stage = Stage::new(2, 1, &[true]).skip_a_slot();
    let reader = |words: &View<'_>, mut core: ReaderCore| {
        if let Taken::Missed(missed) = core.take(words, false) {
            panic!("{missed} reported missed that are there");
        }
    };
    together(stage, weak, reader, |words, core| {
        let strong = words.segment.seen_by(Who::Owner, Weak::Nothing);
        publish(&strong, core, ReaderSet::ALL, 1);
        core.drop_sample(words);
    });
}

/// The last that an owner does before it is killed is the number of a sample, and not the head; another
/// adopts the segment while a reader looks.
fn adoption(weak: Weak) {
    let mut stage = Stage::new(2, 1, &[true]).skip_a_slot();
    let slot = stage.alone(|words, owner| owner.reserve(words, ReaderSet::ALL)).expect("a slot");
    let segment = Arc::new(stage.build());
    let dead = {
        let segment = Arc::clone(&segment);
        thread::spawn(move || {
            let words = segment.seen_by(Who::Owner, Weak::Nothing);
            segment.write(slot, 1);
            words.store(SlotWord::Seq(slot), 1, Ordering::Release);
        })
    };
    let reader = {
        let segment = Arc::clone(&segment);
        let mut core = stage.readers.remove(0);
        thread::spawn(move || {
            let words = segment.seen_by(Who::Reader, weak);
            match core.take(&words, false) {
                Taken::Sample(sample) => words.segment.read(sample.slot, sample.seq),
                Taken::Nothing => {}
                Taken::Missed(missed) => panic!("{missed} reported missed that are there"),
            }
        })
    };
    let words = segment.seen_by(Who::Owner, weak);
    // What is in a slot says which instance it is of.
    let instance = |slot| {
        words.segment.read(slot, 1);
        [0; 16]
    };
    let fresh = OwnerCore::new(2, 1, 0);
    OwnerCore::adopt(&words, fresh, instance, |_| true).expect("consistent");
    for thread in [dead, reader] {
        thread.join().expect("a thread");
    }
}

/// A reader finds itself admitted while the owner goes on.
fn admission(weak: Weak) {
    let mut stage = Stage::new(1, 1, &[]).publish();
    let claim = stage.alone(|words, _| claim_entry(words, 1, 1, |_| {})).expect("a free entry");
    let segment = Arc::new(stage.build());
    let mut core = stage.owner;
    let others = Arc::clone(&segment);
    let thread = thread::spawn(move || {
        let words = others.seen_by(Who::Reader, weak);
        if let Ok(mut reader) = ReaderCore::admitted(&words, claim, 1, 1) {
            assert_eq!(reader.want(), 2, "it starts behind what there was");
            match reader.take(&words, false) {
                Taken::Sample(sample) => {
                    words.segment.read(sample.slot, sample.seq);
                    reader.release(&words, sample);
                }
                Taken::Nothing | Taken::Missed(_) => {}
            }
        }
    });
    let words = segment.seen_by(Who::Owner, weak);
    core.admit(&words, Stage::entry(0), false, false, 0);
    publish(&words, &mut core, ReaderSet::EMPTY, 1);
    publish(&words, &mut core, ReaderSet::EMPTY, 1);
    thread.join().expect("the reader");
}

/// Who a reader is, is written before it asks.
fn request(weak: Weak) {
    let stage = Stage::new(1, 1, &[]);
    let segment = Arc::new(stage.build());
    let others = Arc::clone(&segment);
    let thread = thread::spawn(move || {
        let words = others.seen_by(Who::Reader, weak);
        claim_entry(&words, 1, 7, |_| words.segment.describe(7)).expect("a free entry");
    });
    let words = segment.seen_by(Who::Owner, weak);
    let request = words.load(SlotWord::Request(Stage::entry(0)), Ordering::Acquire);
    if request & 0xff == Request::Join as u64 {
        assert_eq!(words.segment.description(), 7);
    }
    thread.join().expect("the reader");
}

/// An owner that has seen how many requests there were does not look again.
fn requests(weak: Weak) {
    let segment = Arc::new(Stage::new(1, 1, &[]).build());
    let others = Arc::clone(&segment);
    let thread = thread::spawn(move || {
        claim_entry(&others.seen_by(Who::Reader, weak), 1, 7, |_| {}).expect("a free entry");
    });
    let words = segment.seen_by(Who::Owner, weak);
    if words.load(SlotWord::Requests, Ordering::Acquire) != 0 {
        let request = words.load(SlotWord::Request(Stage::entry(0)), Ordering::Relaxed);
        assert_eq!(request & 0xff, Request::Join as u64, "the owner overlooks a request");
    }
    thread.join().expect("the reader");
}

/// A reader finds itself served again.
fn readmission(weak: Weak) {
    let mut stage = Stage::new(1, 1, &[true]);
    stage.alone(|words, owner| owner.disconnect(words, Stage::entry(0)));
    let reader = |words: &View<'_>, mut core: ReaderCore| {
        if core.rejoin(words) == Ok(true) {
            let start_sn = words.load(SlotWord::StartSn(core.index()), Ordering::Relaxed);
            assert_eq!(start_sn, 7, "it does not know where it starts");
        }
    };
    together(stage, weak, reader, |words, core| {
        core.readmit(words, Stage::entry(0), 7);
    });
}

/// An entry is freed while another reader claims it.
fn entry_reuse(weak: Weak) {
    let stage = Stage::new(1, 1, &[true]).leave(0);
    let segment = Arc::new(stage.build());
    let mut core = stage.owner;
    let others = Arc::clone(&segment);
    let thread = thread::spawn(move || {
        let words = others.seen_by(Who::Reader, weak);
        claim_entry(&words, 1, 7, |_| {}).is_some()
    });
    let words = segment.seen_by(Who::Owner, weak);
    core.vacate(&words, Stage::entry(0));
    let claimed = thread.join().expect("the reader");
    if claimed {
        let request = words.load(SlotWord::Request(Stage::entry(0)), Ordering::Acquire);
        let wanted = core.epoch(Stage::entry(0)) << 8 | Request::Join as u64;
        assert_eq!(request, wanted, "the owner does not see that it was asked");
    }
}

/// A reader copies without a hazard, and looks again.
fn copy(weak: Weak) {
    let stage = Stage::new(1, 0, &[]).publish();
    let segment = Arc::new(stage.build());
    // Payloads of their own: a copy may race, so they are not loom's cells.
    let halves = Arc::new([1, 1].map(loom::sync::atomic::AtomicU64::new));
    let mut core = stage.owner;
    let others = (Arc::clone(&segment), Arc::clone(&halves));
    let thread = thread::spawn(move || {
        let (segment, halves) = others;
        let words = segment.seen_by(Who::Reader, weak);
        let Located::At(slot) = ReaderCore::locate(&words, 1, 1, false) else { return };
        let copy = [0, 1].map(|half: usize| halves[half].load(Ordering::Relaxed));
        words.fence(Ordering::Acquire);
        if words.load(SlotWord::Seq(slot), Ordering::Relaxed) == 1 {
            assert_eq!(copy, [1, 1], "a torn copy was accepted");
        }
    });
    let words = segment.seen_by(Who::Owner, weak);
    let slot = core.reserve(&words, ReaderSet::EMPTY).expect("nobody reads");
    for half in &*halves {
        half.store(2, Ordering::Relaxed);
    }
    core.commit(&words, slot, [0; 16]);
    thread.join().expect("the reader");
}

const SPACE: Doorbell<SlotWord> =
    Doorbell { generation: SlotWord::SpaceGeneration, waiters: SlotWord::SpaceWaiters };

/// The words with a futex in which nobody sleeps: at which generation one would have is noted.
struct Bell<'a> {
    words: View<'a>,
    sleeps_at: Cell<Option<u32>>,
}

impl Words<SlotWord> for Bell<'_> {
    fn load(&self, word: SlotWord, order: Ordering) -> u64 {
        self.words.load(word, order)
    }

    fn store(&self, word: SlotWord, value: u64, order: Ordering) {
        self.words.store(word, value, order);
    }

    fn swap(&self, word: SlotWord, value: u64, order: Ordering) -> u64 {
        self.words.swap(word, value, order)
    }

    fn fetch_add(&self, word: SlotWord, value: u64, order: Ordering) -> u64 {
        self.words.fetch_add(word, value, order)
    }

    fn fetch_or(&self, word: SlotWord, bits: u64, order: Ordering) -> u64 {
        self.words.fetch_or(word, bits, order)
    }

    fn fetch_and(&self, word: SlotWord, bits: u64, order: Ordering) -> u64 {
        self.words.fetch_and(word, bits, order)
    }

    fn compare_exchange(&self, word: SlotWord, current: u64, new: u64) -> Result<u64, u64> {
        self.words.compare_exchange(word, current, new)
    }

    fn fence(&self, order: Ordering) {
        self.words.fence(order);
    }
}

impl FutexWords<SlotWord> for Bell<'_> {
    fn futex_wait(&self, _: SlotWord, expected: u32, _: Option<Duration>) -> FutexWait {
        self.sleeps_at.set(Some(expected));
        FutexWait::Interrupted
    }

    fn futex_wake_all(&self, _: SlotWord) {}
}

/// A full owner goes to sleep while a reader does something and then owes nothing more.
fn bell(stage: Stage, weak: Weak, reader: fn(&View<'_>, &mut ReaderCore)) {
    let sleeps_at = Cell::new(None);
    let loaned = Cell::new(false);
    let (segment, mut core) = together(
        stage,
        weak,
        move |words, mut core| {
            reader(words, &mut core);
            core.settle(words);
            if core.must_ring() {
                let bell = Bell { words: *words, sleeps_at: Cell::new(None) };
                bell.fence(Ordering::SeqCst);
                doorbell::ring(&bell, SPACE, || {});
            }
        },
        |words, core| {
            let bell = Bell { words: *words, sleeps_at: Cell::new(None) };
            let mut ready = || core.reserve(words, ReaderSet::ALL).is_ok();
            let slept = doorbell::sleep_once(&bell, SPACE, None, &mut ready);
            loaned.set(slept == Slept::Ready);
            sleeps_at.set(bell.sleeps_at.get());
        },
    );
    let words = segment.seen_by(Who::Owner, Weak::Nothing);
    if let Some(generation) = sleeps_at.get() {
        let woken = words.load(SlotWord::SpaceGeneration, Ordering::Acquire) as u32 != generation;
        let space = core.reserve(&words, ReaderSet::ALL).is_ok();
        assert!(woken || !space, "the owner sleeps beside free space");
    } else {
        assert!(loaned.get());
    }
}

fn bell_release(weak: Weak) {
    bell(Stage::new(1, 1, &[true]).publish(), weak, |words, core| {
        if let Some(sample) = take(words, core) {
            core.release(words, sample);
        }
    });
}

/// The look at the bell comes with the fence of the next take.
fn bell_next_take(weak: Weak) {
    bell(full(true), weak, |words, core| {
        if let Some(first) = take(words, core) {
            core.release(words, first);
        }
        take(words, core);
    });
}

/// The reader may be overtaken: its hazard alone holds the owner up, if at all.
fn bell_hazard(weak: Weak) {
    bell(Stage::new(1, 1, &[false]).publish(), weak, |words, core| {
        if let Some(sample) = take(words, core) {
            core.release(words, sample);
        }
    });
}
