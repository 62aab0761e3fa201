//! The reader's side of the slot protocol: take, keep, release, gap, and the requests to the owner.
//!
//! A reader stores to its own entry and to its own bit of the hold words, never to a slot. Every
//! value it loads is a claim of somebody else: it is compared with what the reader wants, and used
//! as an index only when it is below the slot count the reader checked at attach.

use super::owner::tagged;
use super::{CLAIM, EntryStatus, ReaderIndex, Request, SlotIndex, SlotWord};
use crate::sync::{Ordering, Words};

/// Where a sequence number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Located {
    /// In this slot, when it was looked at.
    At(SlotIndex),
    /// Not published yet, or under the owner's claim: neither a sample nor a gap now.
    NotYet,
    /// In no slot any more. The smallest number that is still there, and where, or the number after
    /// the head.
    Gone {
        /// The next number worth wanting.
        next: u64,
        /// Where it was seen.
        at: Option<SlotIndex>,
    },
}

/// What a take found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing new.
    Nothing,
    /// This sample is protected until it is released.
    Sample(Looked),
    /// So many samples went by unread since the last one; take again.
    Missed(u64),
}

/// A sample under a reader's protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Looked {
    /// Its sequence number.
    pub seq: u64,
    /// Its slot.
    pub slot: SlotIndex,
}

/// Why a reader is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotServed {
    /// The owner has not admitted it yet.
    Pending,
    /// The owner disconnected it (lease expiry, dispose); it may ask to return.
    Disconnected,
    /// The owner refused it.
    Refused,
    /// Its entry is somebody else's or nobody's: the owner took it for dead.
    Evicted,
}

/// An entry that its reader claimed, and under which epoch: whoever has it later has it under
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    index: ReaderIndex,
    epoch: u64,
}

impl Claim {
    /// The entry.
    #[must_use]
    pub fn index(self) -> ReaderIndex {
        self.index
    }

    /// What became of it, by its `State` word.
    ///
    /// # Errors
    /// [`NotServed`] if it is not served, or not yet.
    pub fn check<W: Words<SlotWord>>(self, words: &W) -> Result<(), NotServed> {
        let state = words.load(SlotWord::State(self.index), Ordering::Acquire);
        // An admission is the next epoch; another one without a look of this reader's is not
        // possible, because a reader asks for it.
        match (EntryStatus::of(state), (state >> 8).wrapping_sub(self.epoch)) {
            (Some(EntryStatus::Admitted | EntryStatus::Disconnected), 1) => Ok(()),
            (Some(EntryStatus::Vacant), 0) => Err(NotServed::Pending),
            (Some(EntryStatus::Refused), 0) => Err(NotServed::Refused),
            _ => Err(NotServed::Evicted),
        }
    }

    /// Gives the entry back: its reader was refused, or does not wait for its admission any longer.
    pub fn withdraw<W: Words<SlotWord>>(self, words: &W) {
        let [join, leave] = [Request::Join, Request::Leave].map(|request| request as u8);
        let (join, leave) = (tagged(self.epoch, join), tagged(self.epoch, leave));
        // If something else is asked there, the entry is another reader's by now.
        if words.compare_exchange(SlotWord::Request(self.index), join, leave).is_ok() {
            words.fetch_add(SlotWord::Requests, 1, Ordering::Release);
        }
    }
}

/// Claims a free entry of the reader table for `node`. `describe` writes who the reader is, before
/// the owner is asked.
///
/// Returns the claim, or `None` if each of `capacity` entries is taken.
pub fn claim_entry<W: Words<SlotWord>>(
    words: &W,
    capacity: usize,
    node: u64,
    describe: impl FnOnce(ReaderIndex),
) -> Option<Claim> {
    let index = (0..capacity).filter_map(ReaderIndex::new).find(|reader| {
        words.load(SlotWord::Node(*reader), Ordering::Relaxed) == 0
            && words.compare_exchange(SlotWord::Node(*reader), 0, node).is_ok()
    })?;
    describe(index);
    let epoch = words.load(SlotWord::State(index), Ordering::Acquire) >> 8;
    ask(words, index, epoch, Request::Join);
    Some(Claim { index, epoch })
}

/// Gives back, in the memory that the owner went on in, the entry of a reader that leaves.
pub(crate) fn leave_entry<W: Words<SlotWord>>(words: &W, reader: ReaderIndex) {
    let epoch = words.load(SlotWord::State(reader), Ordering::Acquire) >> 8;
    ask(words, reader, epoch, Request::Leave);
}

/// Takes a request to leave away, so that one alone acts on it: the owner that goes on in other memory,
/// or the reader that finds that it did. True for that one.
pub(crate) fn take_leave<W: Words<SlotWord>>(words: &W, reader: ReaderIndex) -> bool {
    let request = words.load(SlotWord::Request(reader), Ordering::Acquire);
    request & 0xff == Request::Leave as u64
        && words.compare_exchange(SlotWord::Request(reader), request, 0).is_ok()
}

fn ask<W: Words<SlotWord>>(words: &W, reader: ReaderIndex, epoch: u64, request: Request) {
    // Release: the owner that sees the request sees the description.
    words.store(SlotWord::Request(reader), tagged(epoch, request as u8), Ordering::Release);
    words.fetch_add(SlotWord::Requests, 1, Ordering::Release);
}

/// The reader-private half of the slot protocol for one attachment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReaderCore {
    index: ReaderIndex,
    slots: u32,
    /// The `State` word under which this reader was admitted; another value: not served.
    served_as: u64,
    /// The next number to take.
    want: u64,
    /// Where it should be: the slot after the last one.
    position: SlotIndex,
    /// Numbers at or below it that are not there were never for this reader.
    join_head: u64,
    /// The sample under the hazard word.
    reading: Option<Looked>,
    /// Samples under hold bits.
    held: Vec<Looked>,
    /// Released, or lowered its hazard, since the owner's space bell was last looked at behind a
    /// fence.
    pub(super) owes_look: bool,
    /// Seen waiting for space: the caller rings.
    ring_space: bool,
}

impl ReaderCore {
    /// The reader that made a claim, if the owner has admitted it; also if it was
    /// disconnected since, which is then to be noticed as ever.
    ///
    /// # Errors
    /// [`NotServed`] says why not.
    pub fn admitted<W: Words<SlotWord>>(
        words: &W,
        claim: Claim,
        slots: u32,
        max_held: usize,
    ) -> Result<Self, NotServed> {
        claim.check(words)?;
        let Claim { index, epoch } = claim;
        let start = words.load(SlotWord::Start(index), Ordering::Relaxed).max(1);
        if start >= CLAIM {
            // No number of a sample: the owner is not to be believed.
            return Err(NotServed::Evicted);
        }
        Ok(Self {
            index,
            slots,
            served_as: tagged(epoch + 1, EntryStatus::Admitted as u8),
            want: start,
            position: SlotIndex((start % u64::from(slots)) as u32),
            join_head: words.load(SlotWord::JoinHead(index), Ordering::Relaxed),
            reading: None,
            held: Vec::with_capacity(max_held),
            owes_look: false,
            ring_space: false,
        })
    }

    /// This reader's place in the reader table.
    #[must_use]
    pub fn index(&self) -> ReaderIndex {
        self.index
    }

    /// The next sequence number it wants.
    #[must_use]
    pub fn want(&self) -> u64 {
        self.want
    }

    /// How many samples it has under its protection.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.held.len() + usize::from(self.reading.is_some())
    }

    /// Whether the owner serves it. One load of a line that seldom changes.
    ///
    /// # Errors
    /// [`NotServed`] says why not.
    #[inline]
    pub fn check_served<W: Words<SlotWord>>(&self, words: &W) -> Result<(), NotServed> {
        let state = words.load(SlotWord::State(self.index), Ordering::Acquire);
        if state == self.served_as { Ok(()) } else { Err(self.not_served(state)) }
    }

    #[cold]
    fn not_served(&self, state: u64) -> NotServed {
        let epoch = self.served_as >> 8;
        match EntryStatus::of(state) {
            Some(EntryStatus::Disconnected) if state >> 8 == epoch => NotServed::Disconnected,
            // Readmitted, and perhaps disconnected again since; `rejoin` takes the new epoch over.
            // Nobody else can have the entry under it: it takes two more epochs to give it away.
            Some(EntryStatus::Admitted | EntryStatus::Disconnected) if state >> 8 == epoch + 1 => {
                NotServed::Disconnected
            }
            _ => NotServed::Evicted,
        }
    }

    /// Asks the owner to serve this reader again, or takes over that it does. True when it does.
    ///
    /// # Errors
    /// [`NotServed::Evicted`] when the entry is lost.
    pub fn rejoin<W: Words<SlotWord>>(&mut self, words: &W) -> Result<bool, NotServed> {
        let state = words.load(SlotWord::State(self.index), Ordering::Acquire);
        let epoch = self.served_as >> 8;
        if state == self.served_as {
            return Ok(true);
        }
        match EntryStatus::of(state) {
            Some(EntryStatus::Admitted) if state >> 8 == epoch + 1 => {
                self.served_as = state;
                Ok(true)
            }
            Some(EntryStatus::Disconnected) if [epoch, epoch + 1].contains(&(state >> 8)) => {
                // With the next epoch: it was served again, and disconnected before it noticed.
                self.served_as = tagged(state >> 8, EntryStatus::Admitted as u8);
                ask(words, self.index, state >> 8, Request::Return);
                Ok(false)
            }
            _ => Err(NotServed::Evicted),
        }
    }

    /// This reader in the next incarnation of the segment, where the owner put it at the same index
    /// and epoch: it uses nothing there yet, and wants what comes next.
    #[must_use]
    pub fn moved(&self, slots: u32) -> Self {
        Self {
            slots,
            position: SlotIndex(0),
            reading: None,
            held: Vec::with_capacity(self.held.capacity()),
            owes_look: false,
            ring_space: false,
            ..self.clone()
        }
    }

    /// Everything below `next` is done: for a reader that copies and marks, and takes nothing.
    pub fn advance<W: Words<SlotWord>>(&mut self, words: &W, next: u64) {
        if next > self.want {
            self.want = next;
            words.store(SlotWord::Cursor(self.index), next, Ordering::Release);
            self.owes_look = true;
            self.settle(words);
        }
    }

    /// How many of the numbers in `from..to` were for this reader: what was published after it
    /// joined, not history that was gone by then.
    #[must_use]
    pub fn owed(&self, from: u64, to: u64) -> u64 {
        to.saturating_sub(from.max(self.join_head.saturating_add(1)))
    }

    /// Tells the owner that this reader goes away. Everything it used is released first.
    pub fn leave<W: Words<SlotWord>>(&mut self, words: &W) {
        while let Some(sample) = self.reading.or_else(|| self.held.last().copied()) {
            self.release(words, sample);
        }
        self.settle(words);
        ask(words, self.index, self.served_as >> 8, Request::Leave);
    }

    /// Whether the next sample is where it is expected: one load, of the only line that a poll
    /// touches. False says nothing of a sample that the owner put elsewhere; [`Self::take`] does.
    #[inline]
    pub fn poll<W: Words<SlotWord>>(&self, words: &W) -> bool {
        words.load(SlotWord::Seq(self.position), Ordering::Relaxed) == self.want
    }

    /// Whether a take would find something: a sample or a gap. For who is about to sleep: one load, of
    /// a line that says it of all slots.
    pub fn has_next<W: Words<SlotWord>>(&self, words: &W) -> bool {
        words.load(SlotWord::Head, Ordering::Acquire) >= self.want
    }

    /// Finds `want`. `owner_dead`: nobody will finish a claim any more.
    pub fn locate<W: Words<SlotWord>>(
        words: &W,
        slots: u32,
        want: u64,
        owner_dead: bool,
    ) -> Located {
        // Acquire, before the directory and the slots: everything up to `head` is then visible, and
        // what is not there is gone.
        let head = words.load(SlotWord::Head, Ordering::Acquire);
        if head < want || head >= CLAIM - 1 {
            // (No owner ever comes so far: garbage.)
            return Located::NotYet;
        }
        let entry = SlotIndex((want % u64::from(slots)) as u32);
        let dir = words.load(SlotWord::Dir(entry), Ordering::Relaxed);
        if dir < u64::from(slots) {
            let slot = SlotIndex(dir as u32);
            let seq = words.load(SlotWord::Seq(slot), Ordering::Acquire);
            if seq == want {
                return Located::At(slot);
            }
            if seq == want | CLAIM && !owner_dead {
                return Located::NotYet;
            }
        }
        Self::scan(words, slots, want, head, owner_dead)
    }

    #[cold]
    fn scan<W: Words<SlotWord>>(
        words: &W,
        slots: u32,
        want: u64,
        head: u64,
        owner_dead: bool,
    ) -> Located {
        let mut best: Option<(u64, SlotIndex)> = None;
        for slot in (0..slots).map(SlotIndex) {
            let mut seq = words.load(SlotWord::Seq(slot), Ordering::Acquire);
            if seq & CLAIM != 0 {
                // Under the claim of a living owner it may yet come back.
                seq = if owner_dead { 0 } else { seq & !CLAIM };
            }
            if (want..=head).contains(&seq) && best.is_none_or(|(least, _)| seq < least) {
                best = Some((seq, slot));
            }
        }
        match best {
            Some((seq, slot)) if seq == want => Located::At(slot),
            Some((seq, slot)) => Located::Gone { next: seq, at: Some(slot) },
            None => Located::Gone { next: head.saturating_add(1), at: None },
        }
    }

    /// Takes the next sample: it can be read in place until it is released. A sample that is still
    /// under the hazard of the last take is kept by a hold bit.
    #[inline]
    pub fn take<W: Words<SlotWord>>(&mut self, words: &W, owner_dead: bool) -> Taken {
        if self.reading.is_some() {
            self.keep(words);
        }
        let want = self.want;
        let mut slot = self.position;
        if words.load(SlotWord::Seq(slot), Ordering::Acquire) != want {
            match Self::locate(words, self.slots, want, owner_dead) {
                Located::At(found) => slot = found,
                Located::NotYet => {
                    self.settle(words);
                    return Taken::Nothing;
                }
                Located::Gone { next, at } => {
                    self.settle(words);
                    return self.skip(words, next, at);
                }
            }
        }
        // Its payload travels while the fence below waits.
        words.expect_read(SlotWord::Seq(slot));
        words.store(SlotWord::Reading(self.index), want, Ordering::Release);
        // With the owner's fence between its claim and its look at the hazards: either the owner
        // sees this hazard, or the second look below sees the claim.
        words.fence(Ordering::SeqCst);
        self.look_at_space(words);
        if words.load(SlotWord::Seq(slot), Ordering::Acquire) != want {
            words.store(SlotWord::Reading(self.index), 0, Ordering::Release);
            // The owner may have seen the hazard, put the sample back and gone to sleep.
            self.owes_look = true;
            return Taken::Nothing;
        }
        let looked = Looked { seq: want, slot };
        self.reading = Some(looked);
        self.want = want + 1;
        self.position = slot.next(self.slots);
        Taken::Sample(looked)
    }

    #[cold]
    fn skip<W: Words<SlotWord>>(&mut self, words: &W, next: u64, at: Option<SlotIndex>) -> Taken {
        let missed = self.owed(self.want, next);
        self.want = next;
        if let Some(slot) = at {
            self.position = slot;
        }
        words.store(SlotWord::Cursor(self.index), next, Ordering::Release);
        self.owes_look = true;
        Taken::Missed(missed)
    }

    /// Keeps the sample under the hazard by a hold bit, so that the hazard is free for the next.
    fn keep<W: Words<SlotWord>>(&mut self, words: &W) {
        let Some(sample) = self.reading.take() else { return };
        // This order is necessary: bit, cursor, hazard. The owner looks the other way round.
        words.fetch_or(SlotWord::Hold(sample.slot), self.index.bit(), Ordering::Relaxed);
        words.store(SlotWord::Cursor(self.index), sample.seq + 1, Ordering::Release);
        words.store(SlotWord::Reading(self.index), 0, Ordering::Release);
        self.held.push(sample);
    }

    /// Lets go of a sample, in any order. Not of one that is not in use: nothing happens then.
    #[inline]
    pub fn release<W: Words<SlotWord>>(&mut self, words: &W, sample: Looked) {
        if self.reading == Some(sample) {
            self.reading = None;
            words.store(SlotWord::Cursor(self.index), sample.seq + 1, Ordering::Release);
            words.store(SlotWord::Reading(self.index), 0, Ordering::Release);
        } else if let Some(at) = self.held.iter().position(|held| *held == sample) {
            self.held.swap_remove(at);
            let bits = !self.index.bit();
            words.fetch_and(SlotWord::Hold(sample.slot), bits, Ordering::Release);
        } else {
            return;
        }
        self.owes_look = true;
        // Without a fence this look can be too early; the fenced one comes with the next take, poll
        // or sleep. It is here for a reader that works on something else for a while.
        if words.load(SlotWord::SpaceWaiters, Ordering::Relaxed) != 0 {
            self.ring_space = true;
        }
    }

    /// The look at the space bell that a release owes, behind its own fence.
    #[inline]
    pub fn settle<W: Words<SlotWord>>(&mut self, words: &W) {
        if self.owes_look {
            words.fence(Ordering::SeqCst);
            self.look_at_space(words);
        }
    }

    #[inline]
    fn look_at_space<W: Words<SlotWord>>(&mut self, words: &W) {
        if self.owes_look {
            self.owes_look = false;
            self.ring_space |= words.load(SlotWord::SpaceWaiters, Ordering::Relaxed) != 0;
        }
    }

    /// Whether the owner was seen waiting for space since the last call: ring the space bell.
    #[inline]
    pub fn must_ring(&mut self) -> bool {
        std::mem::take(&mut self.ring_space)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::{Geometry, OwnerCore};
    use super::*;
    use crate::shm::Memory;
    use crate::slots::memory::SegmentMemory;

    #[test]
    fn numbers_and_directory_entries_that_cannot_be_lead_nowhere() {
        let geometry = Geometry::plan(2, 8, 1, 0).unwrap();
        let [dat, ctl] = [geometry.dat_len(), geometry.ctl_len()].map(|len| len as usize);
        let words = SegmentMemory::new(Memory::heap(dat), Memory::heap(ctl), geometry).unwrap();
        let set = |word, value| words.store(word, value, Ordering::Relaxed);
        let locate = || ReaderCore::locate(&words, 2, 1, false);
        for dir in [2, u64::from(u32::MAX)] {
            set(SlotWord::Head, 1);
            set(SlotWord::Dir(SlotIndex(1)), dir);
            set(SlotWord::Seq(SlotIndex(0)), 0);
            assert_eq!(locate(), Located::Gone { next: 2, at: None });
            set(SlotWord::Seq(SlotIndex(0)), 1);
            assert_eq!(locate(), Located::At(SlotIndex(0)));
        }
        for head in [CLAIM - 1, CLAIM, u64::MAX] {
            set(SlotWord::Head, head);
            assert_eq!(locate(), Located::NotYet);
        }
        let claim = claim_entry(&words, 1, 7, |_| {}).unwrap();
        OwnerCore::new(2, 1, 0).admit(&words, claim.index(), false, false, 0);
        set(SlotWord::Start(claim.index()), CLAIM);
        assert_eq!(ReaderCore::admitted(&words, claim, 2, 1), Err(NotServed::Evicted));
    }

    #[test]
    fn an_entry_that_another_reader_has_by_now_is_not_taken_for_ones_own() {
        let geometry = Geometry::plan(1, 8, 1, 0).unwrap();
        let [dat, ctl] = [geometry.dat_len(), geometry.ctl_len()].map(|len| len as usize);
        let words = SegmentMemory::new(Memory::heap(dat), Memory::heap(ctl), geometry).unwrap();
        let mut owner = OwnerCore::new(1, 1, 0);
        let first = claim_entry(&words, 1, 7, |_| {}).unwrap();
        assert_eq!(first.check(&words), Err(NotServed::Pending));
        owner.refuse(&words, first.index());
        assert_eq!(first.check(&words), Err(NotServed::Refused));
        // It did not look for a minute.
        owner.vacate(&words, first.index());
        assert_eq!(first.check(&words), Err(NotServed::Evicted));
        let second = claim_entry(&words, 1, 8, |_| {}).unwrap();
        owner.admit(&words, second.index(), false, false, 0);
        assert_eq!(ReaderCore::admitted(&words, first, 1, 1), Err(NotServed::Evicted));
        assert!(ReaderCore::admitted(&words, second, 1, 1).is_ok());
        first.withdraw(&words);
        let asked = words.load(SlotWord::Request(second.index()), Ordering::Relaxed);
        assert_eq!(asked & 0xff, Request::Join as u64, "the first does not speak for the second");
    }
}
