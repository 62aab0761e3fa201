//! The owner's side of the slot protocol: reserve, commit, drop, admission, disconnection.
//!
//! The algorithm is a ring with per-reader cursors, a hazard word per reader (Michael, "Hazard
//! Pointers", 2004) and hold bits per slot; `spec-notes/slot-protocol.md` has the argument. The
//! owner keeps a private copy of everything that only it writes and never loads it from the
//! segment, so that nobody else can change its mind.

use super::history::{History, InstanceKey};
use super::{CLAIM, MAX_READERS, ReaderIndex, ReaderSet, SlotIndex, SlotWord};
use crate::sync::{Ordering, Words};

/// No slot is free: each is on loan, kept as history, unread by a reader that may block, or in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The status byte of an entry's `State` word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntryStatus {
    /// Nobody's, or claimed and not yet admitted.
    Vacant = 0,
    /// Its reader is served.
    Admitted = 1,
    /// Its reader's lease expired: it blocks nobody, and what it reads or holds stays.
    Disconnected = 2,
    /// The owner will not serve it: its node cannot be watched, or it asked for what there is not.
    Refused = 3,
}

impl EntryStatus {
    /// The status in a `State` word, if it is one.
    #[must_use]
    pub fn of(word: u64) -> Option<Self> {
        [Self::Vacant, Self::Admitted, Self::Disconnected, Self::Refused]
            .into_iter()
            .find(|status| *status as u64 == word & 0xff)
    }
}

/// What a reader asks of the owner in its `Request` word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Request {
    /// Nothing.
    None = 0,
    /// To be admitted.
    Join = 1,
    /// To be served again after a disconnection.
    Return = 2,
    /// To be forgotten: it reads and holds nothing any more. Counts under any epoch: a reader may
    /// leave before it notices that it has been admitted, or readmitted.
    Leave = 3,
}

/// The state byte of the `OwnerState` word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OwnerState {
    /// Being made or adopted.
    Starting = 0,
    /// Published to.
    Alive = 1,
    /// Closed by its owner: no more will come.
    Closed = 2,
    /// Replaced by another incarnation: take what is left, then follow the flink.
    Replaced = 3,
}

impl OwnerState {
    /// The state in an `OwnerState` word, if it is one.
    #[must_use]
    pub fn of(word: u64) -> Option<Self> {
        [Self::Starting, Self::Alive, Self::Closed, Self::Replaced]
            .into_iter()
            .find(|state| *state as u64 == word & 0xff)
    }
}

/// An epoch and a small code in one word.
pub(crate) const fn tagged(epoch: u64, code: u8) -> u64 {
    epoch << 8 | code as u64
}

/// What the owner knows of one entry; the truth, of which the entry's `State` word is a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) epoch: u64,
    pub(super) status: EntryStatus,
    /// The last value loaded of its cursor. Cursors never go back, so it is a lower bound.
    pub(super) seen: u64,
}

/// The owner-private half of the slot protocol for one segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnerCore {
    pub(super) slots: u32,
    /// Highest sequence number given out.
    pub(super) head: u64,
    /// `(head + 1) % slots`, kept to save the division.
    pub(super) next_dir: SlotIndex,
    /// Where the search for a slot starts.
    pub(super) position: SlotIndex,
    /// What each slot holds, 0 for nothing: never loaded from the segment.
    pub(super) seqs: Vec<u64>,
    pub(super) loaned: Vec<bool>,
    pub(super) entries: Vec<Entry>,
    /// Readers whose hazard and holds count: admitted or disconnected, not proven dead.
    pub(super) live: ReaderSet,
    /// Readers that are served: admitted and not disconnected.
    pub(super) connected: ReaderSet,
    /// Readers that may hold up the owner while connected.
    pub(super) blocking: ReaderSet,
    /// A lower bound of every live reader's cursor. Thrown away at admission and return.
    pub(super) min_seen: u64,
    pub(super) history: History,
}

impl OwnerCore {
    /// The owner of a fresh segment.
    #[must_use]
    pub fn new(slots: u32, reader_capacity: usize, history_depth: usize) -> Self {
        debug_assert!(slots > 0 && reader_capacity <= MAX_READERS);
        Self {
            slots,
            head: 0,
            next_dir: SlotIndex(1 % slots),
            position: SlotIndex(1 % slots),
            seqs: vec![0; slots as usize],
            loaned: vec![false; slots as usize],
            entries: vec![
                Entry { epoch: 0, status: EntryStatus::Vacant, seen: 0 };
                reader_capacity.min(MAX_READERS)
            ],
            live: ReaderSet::EMPTY,
            connected: ReaderSet::EMPTY,
            blocking: ReaderSet::EMPTY,
            min_seen: 0,
            history: History::new(slots, history_depth),
        }
    }

    /// Keeps the last `depth` samples of each instance, however many instances there are, until every
    /// connected reader that was admitted as blocking has read them: RELIABLE with KEEP_LAST. To be said
    /// before the first sample.
    pub fn keep_until_read(&mut self, depth: usize) {
        self.history = History::until_read(self.slots, depth);
    }

    /// Highest sequence number given out.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Readers that the next commit covers.
    #[must_use]
    pub fn connected(&self) -> ReaderSet {
        self.connected
    }

    /// The lowest cursor of a connected reader that was admitted as blocking, as far as the owner has
    /// looked; 0 if there is none.
    #[must_use]
    pub fn slowest(&self) -> u64 {
        let readers = self.connected.and(self.blocking);
        readers.iter().map(|reader| self.entries[reader.get()].seen).min().unwrap_or(0)
    }

    /// Readers whose hazards and holds count.
    #[must_use]
    pub fn live(&self) -> ReaderSet {
        self.live
    }

    /// Epoch of an entry.
    #[must_use]
    pub fn epoch(&self, reader: ReaderIndex) -> u64 {
        self.entries[reader.get()].epoch
    }

    /// Status of an entry.
    #[must_use]
    pub fn status(&self, reader: ReaderIndex) -> EntryStatus {
        self.entries[reader.get()].status
    }

    /// What a slot holds, 0 for nothing.
    #[must_use]
    pub fn seq(&self, slot: SlotIndex) -> u64 {
        self.seqs[slot.get()]
    }

    /// Whether `slot` is on loan.
    #[must_use]
    pub fn is_loaned(&self, slot: SlotIndex) -> bool {
        self.loaned.get(slot.get()).copied().unwrap_or(false)
    }

    /// How many instances have kept samples, and whether `key` is one of them.
    pub(crate) fn instances(&self, key: &InstanceKey) -> (usize, bool) {
        (self.history.instances(), self.history.knows(key))
    }

    /// A slot the owner will come to `ahead` commits from now, if it could be taken at once: worth
    /// prefetching, and nobody else's line.
    #[inline]
    #[must_use]
    pub fn upcoming(&self, ahead: u32) -> Option<SlotIndex> {
        let mut slot = self.position.0 + ahead;
        if slot >= self.slots {
            slot -= self.slots;
        }
        let slot = SlotIndex(slot);
        (slot.0 < self.slots && self.seqs[slot.get()] < self.min_seen).then_some(slot)
    }

    /// Takes a slot to write the next sample into.
    ///
    /// `may_block` says which readers' unread samples are not to be replaced; of those only
    /// connected readers that were admitted as blocking count. One pass over the ring, no retry.
    ///
    /// # Errors
    /// [`Full`]: every slot is on loan, kept, unread by a blocking reader, or in use.
    #[inline]
    pub fn reserve<W: Words<SlotWord>>(
        &mut self,
        words: &W,
        may_block: ReaderSet,
    ) -> Result<SlotIndex, Full> {
        // One snapshot: a reader disconnected half-way through must be either waited for or asked
        // for its hazard, never neither. Nobody changes these sets while the owner is in here.
        let blocking = self.connected.and(self.blocking).and(may_block);
        let mut slot = self.position;
        let mut looked = ReaderSet::EMPTY;
        for _ in 0..self.slots {
            if self.try_take(words, slot, blocking, &mut looked) {
                self.empty(words, slot);
                return Ok(slot);
            }
            slot = slot.next(self.slots);
        }
        Err(Full)
    }

    #[inline]
    fn try_take<W: Words<SlotWord>>(
        &mut self,
        words: &W,
        slot: SlotIndex,
        blocking: ReaderSet,
        looked: &mut ReaderSet,
    ) -> bool {
        if self.loaned[slot.get()] || self.history.keeps(slot) {
            return false;
        }
        let old = self.seqs[slot.get()];
        let mut behind = ReaderSet::EMPTY;
        if old >= self.min_seen && old != 0 {
            behind = self.look_at_cursors(words, old, looked);
            if !behind.and(blocking).is_empty()
                || (self.history.keeps_until_read(slot)
                    && !behind.and(self.connected).and(self.blocking).is_empty())
            {
                return false;
            }
        }
        // After the cursors: a reader sets its hold bit before it moves its cursor on, so that who
        // is seen beyond `old` is seen holding it.
        if words.load(SlotWord::Hold(slot), Ordering::Acquire) & self.live.bits() != 0 {
            return false;
        }
        behind.is_empty() || self.claim(words, slot, old, behind)
    }

    /// Loads the cursors that are not known to be beyond `old`, each once in a pass over the ring;
    /// who is still not beyond it?
    #[cold]
    fn look_at_cursors<W: Words<SlotWord>>(
        &mut self,
        words: &W,
        old: u64,
        looked: &mut ReaderSet,
    ) -> ReaderSet {
        let mut behind = ReaderSet::EMPTY;
        let mut min = u64::MAX;
        for reader in self.live.iter() {
            let entry = &mut self.entries[reader.get()];
            if entry.seen <= old && !looked.contains(reader) {
                looked.insert(reader);
                // Acquire: what the reader did with the sample happens before the slot is reused.
                entry.seen =
                    entry.seen.max(words.load(SlotWord::Cursor(reader), Ordering::Acquire));
            }
            if entry.seen <= old {
                behind.insert(reader);
            }
            min = min.min(entry.seen);
        }
        self.min_seen = min;
        behind
    }

    /// Asks the readers in `behind` for a slot whose sample they have not consumed; puts it back if
    /// one of them uses it.
    #[cold]
    fn claim<W: Words<SlotWord>>(
        &self,
        words: &W,
        slot: SlotIndex,
        old: u64,
        behind: ReaderSet,
    ) -> bool {
        words.store(SlotWord::Seq(slot), old | CLAIM, Ordering::Relaxed);
        // With the reader's fence between its hazard and its second look: either the reader sees
        // the claim, or the owner sees the hazard.
        words.fence(Ordering::SeqCst);
        let mut used = false;
        for reader in behind.iter() {
            used |= words.load(SlotWord::Reading(reader), Ordering::Acquire) == old;
        }
        // After the hazards: a reader sets its hold bit before it lowers its hazard.
        used |= words.load(SlotWord::Hold(slot), Ordering::Acquire) & self.live.bits() != 0;
        if used {
            words.store(SlotWord::Seq(slot), old, Ordering::Release);
        }
        !used
    }

    /// Publishes the sample in `slot`, whose header and payload are written. Returns its sequence
    /// number. The caller fences and rings the bells.
    #[inline]
    pub fn commit<W: Words<SlotWord>>(
        &mut self,
        words: &W,
        slot: SlotIndex,
        instance: InstanceKey,
    ) -> u64 {
        debug_assert!(self.loaned[slot.get()]);
        let seq = self.next_seq();
        let dir = self.next_dir;
        self.advance_head();
        words.store(SlotWord::Dir(dir), u64::from(slot.0), Ordering::Relaxed);
        words.store(SlotWord::Seq(slot), seq, Ordering::Release);
        words.store(SlotWord::Head, seq, Ordering::Release);
        self.seqs[slot.get()] = seq;
        self.loaned[slot.get()] = false;
        self.history.enter(instance, slot);
        seq
    }

    /// Takes the slot that comes next ahead of time, if nobody can want its sample any more: the
    /// quick way of [`Self::reserve`] alone. The line that a reader is going to poll is then written
    /// once while it polls, by the commit, and not twice.
    #[inline]
    pub fn reserve_ahead<W: Words<SlotWord>>(&mut self, words: &W) -> Option<SlotIndex> {
        let slot = self.position;
        let old = self.seqs[slot.get()];
        if self.loaned[slot.get()]
            || self.history.keeps(slot)
            || (old != 0 && old >= self.min_seen)
            || words.load(SlotWord::Hold(slot), Ordering::Acquire) & self.live.bits() != 0
        {
            return None;
        }
        self.empty(words, slot);
        Some(slot)
    }

    /// Makes `slot`, whose sample nobody uses or can want, a loan.
    #[inline]
    fn empty<W: Words<SlotWord>>(&mut self, words: &W, slot: SlotIndex) {
        if self.seqs[slot.get()] != 0 {
            words.store(SlotWord::Seq(slot), 0, Ordering::Relaxed);
            self.seqs[slot.get()] = 0;
            self.history.was_read(slot);
        }
        // A reader that copies without a hazard re-checks `seq` behind an Acquire fence: it must see
        // the 0 if it saw a byte of what is written next.
        words.fence(Ordering::Release);
        self.loaned[slot.get()] = true;
        self.position = slot.next(self.slots);
    }

    /// Gives a sequence number to a sample that finds no slot, so that readers count it.
    pub fn drop_sample<W: Words<SlotWord>>(&mut self, words: &W) -> u64 {
        let seq = self.next_seq();
        self.advance_head();
        words.store(SlotWord::Head, seq, Ordering::Release);
        seq
    }

    /// Gives a loan back unpublished; its slot stays empty until the ring comes round.
    pub fn discard(&mut self, slot: SlotIndex) {
        debug_assert!(self.loaned[slot.get()]);
        self.loaned[slot.get()] = false;
    }

    /// Lets go of the kept samples of an instance.
    pub fn forget_instance(&mut self, instance: &InstanceKey) {
        self.history.forget(instance);
    }

    const fn next_seq(&self) -> u64 {
        self.head + 1
    }

    const fn advance_head(&mut self) {
        self.head += 1;
        self.next_dir = self.next_dir.next(self.slots);
    }

    /// The slot of the oldest kept sample.
    #[must_use]
    pub fn oldest_kept(&self) -> Option<SlotIndex> {
        self.history
            .slots()
            .filter(|slot| self.seqs[slot.get()] != 0)
            .min_by_key(|slot| self.seqs[slot.get()])
    }

    /// Admits the reader that claimed an entry. `history`: it wants the samples that are kept.
    /// `start_sn`: the RTPS sequence number that the next sample, or the oldest kept one, has.
    ///
    /// Returns the first sequence number that is for it.
    pub fn admit<W: Words<SlotWord>>(
        &mut self,
        words: &W,
        reader: ReaderIndex,
        blocking: bool,
        history: bool,
        start_sn: i64,
    ) -> u64 {
        let oldest = self.oldest_kept().filter(|_| history);
        let start = oldest.map_or(self.head + 1, |slot| self.seqs[slot.get()]);
        words.store(SlotWord::Cursor(reader), start, Ordering::Relaxed);
        words.store(SlotWord::Reading(reader), 0, Ordering::Relaxed);
        words.store(SlotWord::Start(reader), start, Ordering::Relaxed);
        words.store(SlotWord::StartSn(reader), start_sn as u64, Ordering::Relaxed);
        words.store(SlotWord::JoinHead(reader), self.head, Ordering::Relaxed);
        self.live.insert(reader);
        self.connected.insert(reader);
        if blocking {
            self.blocking.insert(reader);
        } else {
            self.blocking.remove(reader);
        }
        self.entries[reader.get()].seen = start;
        // A late joiner may start below every cursor seen so far.
        self.min_seen = 0;
        self.enter_state(words, reader, EntryStatus::Admitted, true);
        start
    }

    /// Tells a reader that claimed an entry that it will not be served.
    pub fn refuse<W: Words<SlotWord>>(&mut self, words: &W, reader: ReaderIndex) {
        self.enter_state(words, reader, EntryStatus::Refused, false);
    }

    /// The reader's lease expired, or its participant was disposed of: it blocks nobody any more.
    /// What it reads or holds stays.
    pub fn disconnect<W: Words<SlotWord>>(&mut self, words: &W, reader: ReaderIndex) {
        if self.connected.contains(reader) {
            self.connected.remove(reader);
            self.enter_state(words, reader, EntryStatus::Disconnected, false);
        }
    }

    /// A disconnected reader that was only paused is served again. Returns the first sequence
    /// number that is for it again.
    pub fn readmit<W: Words<SlotWord>>(
        &mut self,
        words: &W,
        reader: ReaderIndex,
        start_sn: i64,
    ) -> u64 {
        self.connected.insert(reader);
        // It was not waited for, and its cursor may be below what was seen of the others.
        self.min_seen = 0;
        words.store(SlotWord::StartSn(reader), start_sn as u64, Ordering::Relaxed);
        self.enter_state(words, reader, EntryStatus::Admitted, true);
        self.head + 1
    }

    /// Frees the entry of a reader that left or is proven dead, and everything it held.
    pub fn vacate<W: Words<SlotWord>>(&mut self, words: &W, reader: ReaderIndex) {
        self.live.remove(reader);
        self.connected.remove(reader);
        self.blocking.remove(reader);
        for slot in 0..self.slots {
            words.fetch_and(SlotWord::Hold(SlotIndex(slot)), !reader.bit(), Ordering::AcqRel);
        }
        words.store(SlotWord::Reading(reader), 0, Ordering::Relaxed);
        self.enter_state(words, reader, EntryStatus::Vacant, true);
        // Only now, and not moved before it: an owner killed in between must leave to its successor
        // a wish to leave, not an entry that seems to be served of a reader that has left.
        words.store(SlotWord::Request(reader), 0, Ordering::Release);
        // Release, with the claimer's CAS: it finds the entry as it is left here.
        words.store(SlotWord::Node(reader), 0, Ordering::Release);
    }

    fn enter_state<W: Words<SlotWord>>(
        &mut self,
        words: &W,
        reader: ReaderIndex,
        status: EntryStatus,
        next_epoch: bool,
    ) {
        let entry = &mut self.entries[reader.get()];
        entry.epoch += u64::from(next_epoch);
        entry.status = status;
        words.store(SlotWord::State(reader), tagged(entry.epoch, status as u8), Ordering::Release);
    }
}
