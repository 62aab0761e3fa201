//! The model's memory, and the [`Words`] through which the protocol's own code is driven over it
//! one access at a time.

use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::time::Duration;

use dds_shm::liveness::doorbell::{self, Doorbell, FutexWords, Slept};
use dds_shm::shm::futex::FutexWait;
use dds_shm::slots::{CLAIM, SlotIndex, SlotWord};
use dds_shm::sync::{Ordering, Words};

use crate::layout::Layout;
use crate::mutant::{Kind, Mutant, Rule, Who};

/// A word of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Word {
    /// A word of the protocol.
    Shared(SlotWord),
    /// One half of the payload of a slot: the sequence number of the sample it belongs to.
    Payload(SlotIndex, u8),
    /// The kernel's: whether the owner sleeps on its space bell.
    Asleep,
}

/// What a half that belongs to no sample holds.
pub(crate) const JUNK: u64 = 63;

/// One step of an actor on shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    Load(Word),
    Store(Word, u64),
    Swap(Word, u64),
    Add(Word, u64),
    Or(Word, u64),
    And(Word, u64),
    Exchange(Word, u64, u64),
    /// `FUTEX_WAIT` on the space bell with this value: falls asleep, or returns at once.
    Sleep(u32),
    /// Return from `FUTEX_WAIT`: possible once somebody woke the sleeper.
    Awake,
    /// `FUTEX_WAKE` on the space bell.
    Wake,
}

impl Access {
    /// The word, and what is done to it, for mutants.
    fn site(self) -> Option<(Kind, SlotWord)> {
        Some(match self {
            Self::Load(Word::Shared(word)) => (Kind::Load, word),
            Self::Store(Word::Shared(word), _) => (Kind::Store, word),
            Self::Swap(Word::Shared(word), _) => (Kind::Swap, word),
            Self::Add(Word::Shared(word), _) => (Kind::Add, word),
            Self::Or(Word::Shared(word), _) => (Kind::Or, word),
            Self::And(Word::Shared(word), _) => (Kind::And, word),
            Self::Exchange(Word::Shared(word), _, _) => (Kind::Exchange, word),
            _ => return None,
        })
    }
}

/// Room for the words of every configuration.
pub(crate) const ROOM: usize = 48;

/// Where each word of the model is in its [`Memory`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places(pub(crate) Layout);

impl Places {
    pub(crate) fn at(&self, word: Word) -> usize {
        let model = self.0.words();
        match word {
            Word::Shared(word) => self.0.at(word),
            Word::Asleep => model,
            Word::Payload(slot, half) => model + 1 + slot.get() * 2 + usize::from(half),
        }
    }

    pub(crate) fn fits(&self) -> bool {
        self.0.words() + 1 + self.0.slots * 2 <= ROOM
    }
}

/// Every shared word, one byte each: the values of a model are small, but for the claim bit and
/// the `epoch << 8 | code` words, which are folded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory(pub(crate) [u8; ROOM]);

fn fold(value: u64) -> u8 {
    let byte = if value & CLAIM != 0 {
        0x80 | value
    } else if value >= 0x100 {
        0x40 | (value >> 8) << 2 | value & 3
    } else {
        value
    } as u8;
    assert_eq!(unfold(byte), value, "the model has no room for this value");
    byte
}

fn unfold(byte: u8) -> u64 {
    let value = u64::from(byte);
    if byte & 0x80 != 0 {
        CLAIM | value & 0x7f
    } else if byte & 0x40 != 0 {
        (value & 0x3f) >> 2 << 8 | value & 3
    } else {
        value
    }
}

impl Memory {
    pub(crate) const ZERO: Self = Self([0; ROOM]);

    pub(crate) fn get(&self, at: usize) -> u64 {
        unfold(self.0[at])
    }

    pub(crate) fn set(&mut self, at: usize, value: u64) {
        self.0[at] = fold(value);
    }

    pub(crate) fn load(&self, places: Places, word: SlotWord) -> u64 {
        self.get(places.at(Word::Shared(word)))
    }

    /// Performs one access and returns what it returns; `None` if it cannot happen now.
    pub(crate) fn perform(&mut self, places: Places, access: Access) -> Option<u64> {
        let mut change = |word: Word, new: &dyn Fn(u64) -> u64| {
            let at = places.at(word);
            let old = self.get(at);
            self.set(at, new(old));
            old
        };
        Some(match access {
            Access::Load(word) => change(word, &|old| old),
            Access::Store(word, value) => {
                change(word, &|_| value);
                0
            }
            Access::Swap(word, value) => change(word, &|_| value),
            // Only the space bell's generation is added to. It wraps like the real one, and later
            // than anybody between its load and its sleep can be overtaken.
            Access::Add(word, value) => change(word, &|old| (old + value) % 16),
            Access::Or(word, bits) => change(word, &|old| old | bits),
            Access::And(word, bits) => change(word, &|old| old & bits),
            Access::Exchange(word, current, new) => {
                change(word, &|old| if old == current { new } else { old })
            }
            Access::Sleep(expected) => {
                let now = change(Word::Shared(SlotWord::SpaceGeneration), &|old| old);
                change(Word::Asleep, &|_| u64::from(now == u64::from(expected)));
                u64::from(now == u64::from(expected))
            }
            Access::Awake => {
                if change(Word::Asleep, &|old| old) != 0 {
                    return None;
                }
                0
            }
            Access::Wake => {
                change(Word::Asleep, &|_| 0);
                0
            }
        })
    }
}

/// Thrown by [`Replay`] when an operation comes to an access that has not happened yet.
pub(crate) struct Stop;

/// The words of the space bell.
const SPACE: Doorbell<SlotWord> =
    Doorbell { generation: SlotWord::SpaceGeneration, waiters: SlotWord::SpaceWaiters };

/// Answers the accesses of an operation from the log of those that happened; at the first one
/// that did not, notes it and unwinds.
pub(crate) struct Replay<'a> {
    log: &'a [u64],
    at: Cell<usize>,
    pub(crate) pending: Cell<Option<Access>>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(log: &'a [u64]) -> Self {
        Self { log, at: Cell::new(0), pending: Cell::new(None) }
    }

    /// How many accesses there were.
    pub(crate) fn asked(&self) -> usize {
        self.at.get()
    }
}

/// Whoever performs accesses for an operation.
pub(crate) trait Backend {
    fn ask(&self, access: Access) -> u64;
}

impl Backend for Replay<'_> {
    fn ask(&self, access: Access) -> u64 {
        let at = self.at.get();
        self.at.set(at + 1);
        match self.log.get(at) {
            Some(value) => *value,
            None => {
                self.pending.set(Some(access));
                resume_unwind(Box::new(Stop))
            }
        }
    }
}

/// Performs accesses at once, all in a row: for the start of a model and for "what if" questions.
pub(crate) struct Direct {
    pub(crate) places: Places,
    pub(crate) memory: RefCell<Memory>,
}

impl Backend for Direct {
    fn ask(&self, access: Access) -> u64 {
        self.memory.borrow_mut().perform(self.places, access).unwrap_or(0)
    }
}

/// The shared words as the protocol's code sees them, bent by a mutant if there is one.
pub(crate) struct ModelWords<'a> {
    backend: &'a dyn Backend,
    who: Who,
    during: &'static str,
    /// Whether the space bell is part of this model; without it nobody ever waits for space.
    bell: bool,
    mutant: Mutant,
    slots: &'a [SlotIndex],
    /// First values loaded, for [`Rule::Stale`] and [`Rule::Early`].
    seen: RefCell<Vec<(SlotWord, u64)>>,
    /// The access put off by [`Rule::Late`].
    late: Cell<Option<Access>>,
    /// For [`Rule::NoScan`]: loads of sequence numbers since the directory was looked at.
    after_dir: Cell<Option<u32>>,
    /// For [`Rule::OneLook`]: the hazard that was just set.
    hazard: Cell<u64>,
    /// The generation at which the owner was about to sleep.
    sleeps_at: Cell<Option<u32>>,
}

impl<'a> ModelWords<'a> {
    pub(crate) fn new(
        backend: &'a dyn Backend,
        who: Who,
        during: &'static str,
        bell: bool,
        mutant: Mutant,
        slots: &'a [SlotIndex],
    ) -> Self {
        let (seen, late, after_dir, hazard, sleeps_at) = Default::default();
        Self { backend, who, during, bell, mutant, slots, seen, late, after_dir, hazard, sleeps_at }
    }

    /// What is still put off happens at the end of the operation.
    pub(crate) fn finish(&self) {
        if let Some(access) = self.late.take() {
            self.backend.ask(access);
        }
    }

    pub(crate) fn write_half(&self, slot: SlotIndex, half: u8, value: u64) {
        self.backend.ask(Access::Store(Word::Payload(slot, half), value));
    }

    pub(crate) fn read_half(&self, slot: SlotIndex, half: u8) -> u64 {
        self.backend.ask(Access::Load(Word::Payload(slot, half)))
    }

    /// Sleeps on the space bell; whether it fell asleep.
    pub(crate) fn sleep(&self, generation: u32) -> bool {
        self.backend.ask(Access::Sleep(generation)) != 0
    }

    pub(crate) fn awake(&self) {
        self.backend.ask(Access::Awake);
    }

    /// Rings the space bell, as who saw its flag does.
    pub(crate) fn ring(&self) {
        doorbell::ring(self, SPACE, || {});
    }

    /// Announces a sleep on the space bell and looks again; at which generation the sleep then
    /// begins, if it does.
    pub(crate) fn announce(&self, ready: &mut impl FnMut() -> bool) -> Option<u32> {
        match doorbell::sleep_once(self, SPACE, None, ready) {
            Slept::Ready => None,
            Slept::Woken | Slept::TimedOut => self.sleeps_at.take(),
        }
    }

    fn ask(&self, access: Access) -> u64 {
        let Some((kind, word)) = access.site() else { return self.backend.ask(access) };
        // The service looks at the requests themselves; the counter only saves it work.
        if word == SlotWord::Requests {
            return 0;
        }
        if !self.bell && matches!(word, SlotWord::SpaceWaiters | SlotWord::SpaceGeneration) {
            return 0;
        }
        let hits = |site: &crate::mutant::Site| site.is(self.who, self.during, kind, word);
        match self.mutant.rule() {
            Rule::Answer(site, answer) if hits(&site) => {
                return answer(self.backend.ask(access));
            }
            Rule::Drop(site, values) if hits(&site) => {
                if let Access::Store(_, value) = access
                    && !values(value)
                {
                    return self.backend.ask(access);
                }
                return 0;
            }
            Rule::Write(site, write) if hits(&site) => {
                if let Access::Store(word, value) = access {
                    return self.backend.ask(Access::Store(word, write(value)));
                }
            }
            Rule::Stale(site) if hits(&site) => {
                if let Some(value) = self.recall(word) {
                    return value;
                }
                let value = self.backend.ask(access);
                self.seen.borrow_mut().push((word, value));
                return value;
            }
            Rule::Early { holds_before } => {
                if holds_before.is(self.who, self.during, kind, word)
                    && self.seen.borrow().is_empty()
                {
                    for slot in self.slots {
                        let hold = SlotWord::Hold(*slot);
                        let value = self.backend.ask(Access::Load(Word::Shared(hold)));
                        self.seen.borrow_mut().push((hold, value));
                    }
                }
                if kind == Kind::Load
                    && let Some(value) = self.recall(word)
                {
                    return value;
                }
            }
            Rule::Late { what, after } => {
                if hits(&what) {
                    self.late.set(Some(access));
                    return 0;
                }
                if hits(&after) {
                    let value = self.backend.ask(access);
                    self.finish();
                    return value;
                }
            }
            Rule::NoScan if self.who == Who::Reader && kind == Kind::Load => match word {
                SlotWord::Dir(_) => self.after_dir.set(Some(0)),
                SlotWord::Seq(_) => match self.after_dir.get() {
                    Some(0) => self.after_dir.set(Some(1)),
                    Some(_) if self.during == "take" => return 0,
                    _ => {}
                },
                // A hazard store follows: the directory was right.
                _ => {}
            },
            Rule::NoScan if self.who == Who::Reader => self.after_dir.set(None),
            Rule::OneLook if self.who == Who::Reader => match (access, word) {
                (Access::Store(_, seq), SlotWord::Reading(_)) => self.hazard.set(seq),
                (Access::Load(_), SlotWord::Seq(_)) if self.hazard.get() != 0 => {
                    return self.hazard.take();
                }
                _ => {}
            },
            Rule::BlindClaim => {
                if let Access::Exchange(word, _, new) = access {
                    let old = self.backend.ask(Access::Load(word));
                    if old == 0 {
                        self.backend.ask(Access::Store(word, new));
                    }
                    return old;
                }
            }
            _ => {}
        }
        self.backend.ask(access)
    }

    fn recall(&self, word: SlotWord) -> Option<u64> {
        self.seen.borrow().iter().find(|(seen, _)| *seen == word).map(|(_, value)| *value)
    }
}

impl Words<SlotWord> for ModelWords<'_> {
    fn load(&self, word: SlotWord, _: Ordering) -> u64 {
        self.ask(Access::Load(Word::Shared(word)))
    }

    fn store(&self, word: SlotWord, value: u64, _: Ordering) {
        self.ask(Access::Store(Word::Shared(word), value));
    }

    fn swap(&self, word: SlotWord, value: u64, _: Ordering) -> u64 {
        self.ask(Access::Swap(Word::Shared(word), value))
    }

    fn fetch_add(&self, word: SlotWord, value: u64, _: Ordering) -> u64 {
        self.ask(Access::Add(Word::Shared(word), value))
    }

    fn fetch_or(&self, word: SlotWord, bits: u64, _: Ordering) -> u64 {
        self.ask(Access::Or(Word::Shared(word), bits))
    }

    fn fetch_and(&self, word: SlotWord, bits: u64, _: Ordering) -> u64 {
        self.ask(Access::And(Word::Shared(word), bits))
    }

    fn compare_exchange(&self, word: SlotWord, current: u64, new: u64) -> Result<u64, u64> {
        let old = self.ask(Access::Exchange(Word::Shared(word), current, new));
        if old == current { Ok(old) } else { Err(old) }
    }

    /// Every access is sequentially consistent here; the fences are loom's matter.
    fn fence(&self, _: Ordering) {}
}

impl FutexWords<SlotWord> for ModelWords<'_> {
    /// Notes at which generation the sleep would begin, and returns as if interrupted: the sleep
    /// itself is an operation of its own, so that the service thread can come in between.
    fn futex_wait(&self, _: SlotWord, expected: u32, _: Option<Duration>) -> FutexWait {
        self.sleeps_at.set(Some(expected));
        FutexWait::Interrupted
    }

    fn futex_wake_all(&self, _: SlotWord) {
        self.backend.ask(Access::Wake);
    }
}
