//! What must never be, and what must always remain possible.

use std::cell::RefCell;

use dds_shm::slots::{CLAIM, EntryStatus, ReaderIndex, ReaderSet, SlotWord};

use crate::automaton::{Event, Program};
use crate::owner::{OwnerOp, Space};
use crate::reader::Phase;
use crate::words::{Access, Direct, Word};
use crate::world::{DEAD, Numbers, OWNER, State, World};

/// What is broken.
pub(crate) type Broken = String;

fn below(number: u64) -> Numbers {
    ((1u32 << number) - 1) as Numbers
}

fn has(numbers: Numbers, number: u64) -> bool {
    numbers >> number & 1 == 1
}

impl World {
    /// Follows one step: the rules about its access and about what its operation came to.
    ///
    /// # Errors
    /// What the step breaks.
    pub(crate) fn follow(
        &self,
        from: &State,
        to: &mut State,
        access: Option<(Access, u64)>,
        event: Option<Event>,
        owner_during: Option<&str>,
        reader: Option<usize>,
    ) -> Result<(), Broken> {
        if let Some((Access::Store(Word::Shared(word), new), _)) = access {
            let old = from.memory.load(self.places, word);
            match word {
                SlotWord::Seq(_) if owner_during == Some("publish") => {
                    if has(from.published | from.given_up, new) {
                        return Err(format!("REUSED: number {new} was given out before"));
                    }
                    to.published |= 1 << new;
                }
                // A reader that began to look while the last owner was dead does not know that
                // there is another one, and what is under its claim.
                SlotWord::Seq(_) if new & CLAIM != 0 && from.owner_deaths > 0 => {
                    to.doubtful |= 1 << (new & !CLAIM);
                }
                SlotWord::Head if new < old => {
                    return Err(format!("HEAD: went back from {old} to {new}"));
                }
                SlotWord::Cursor(_) if reader.is_some() && new < old => {
                    return Err(format!("CURSOR: went back from {old} to {new}"));
                }
                _ => {}
            }
        }
        match event {
            Some(event) => self.note(from, to, event),
            None => Ok(()),
        }
    }

    fn note(&self, from: &State, to: &mut State, event: Event) -> Result<(), Broken> {
        let memory = to.memory;
        let load = |word| memory.load(self.places, word);
        // Whether the owner waits for the reader of an entry while it is served.
        let waited_for = |entry| {
            let node = load(SlotWord::Node(entry));
            self.config.waits && node != 0 && self.config.blocking >> (node - 1) & 1 == 1
        };
        match event {
            Event::Quiet | Event::Replaced { seq: 0 } => {}
            Event::Replaced { seq } => {
                to.given_up |= 1 << seq;
                let newer = (from.published & !below(seq + 1)).count_ones() as usize;
                let is_wanted = |entry| {
                    let node = load(SlotWord::Node(entry));
                    node != 0
                        && self.config.blocking >> (node - 1) & 1 == 1
                        && EntryStatus::of(load(SlotWord::State(entry)))
                            == Some(EntryStatus::Admitted)
                        && load(SlotWord::Cursor(entry)) <= seq
                };
                if newer < self.config.depth
                    && (!self.config.until_read || self.entries().any(is_wanted))
                {
                    return Err(format!("HISTORY: sample {seq} is replaced, and should be kept"));
                }
            }
            Event::Committed { seq, covered } => {
                for entry in self.entries().filter(|entry| covered.contains(*entry)) {
                    if waited_for(entry) {
                        to.due[entry.get()] |= 1 << seq;
                    }
                }
            }
            Event::Dropped { seq } => to.given_up |= 1 << seq,
            Event::Admitted { entry, start } if waited_for(entry) => {
                to.due[entry.get()] = to.published & !to.given_up & !below(start);
            }
            Event::Readmitted { entry } if waited_for(entry) => {
                let cursor = load(SlotWord::Cursor(entry));
                to.due[entry.get()] = to.published & !to.given_up & !below(cursor);
            }
            Event::Admitted { .. } | Event::Readmitted { .. } => {}
            Event::Disconnected { entry } | Event::Vacated { entry } => to.due[entry.get()] = 0,
            Event::Adopted { connected } => {
                to.dead &= !OWNER;
                for entry in connected.iter().filter(|entry| waited_for(*entry)) {
                    let cursor = load(SlotWord::Cursor(entry));
                    to.due[entry.get()] = to.published & !to.given_up & !below(cursor);
                }
            }
            Event::Inconsistent { seq, head } => {
                return Err(format!("INCONSISTENT: {seq} under head {head} after a crash"));
            }
            Event::Sample { want, seq } => {
                if seq != want || !has(to.published, seq) {
                    return Err(format!("ORDER: wanted {want}, got {seq}"));
                }
            }
            Event::Copied { seq, halves } => {
                if halves != [seq; 2] || !has(to.published, seq) {
                    return Err(format!("TORN: a copy of sample {seq} is of {halves:?}"));
                }
            }
            Event::Missed { entry, from: first, to: next, told, owner_dead } => {
                let doubtful = if owner_dead { to.doubtful } else { 0 };
                for number in first..next {
                    if has(to.due[entry.get()], number) {
                        return Err(format!("LOSS: entry {entry} was to get {number}"));
                    }
                    if !has(to.given_up | doubtful, number) {
                        return Err(format!("FALSE GAP: {number} was never given up"));
                    }
                }
                let join_head = load(SlotWord::JoinHead(entry));
                let count = (first..next).filter(|number| *number > join_head).count() as u64;
                if told != count {
                    return Err(format!("COUNT: {count} samples missed, told {told}"));
                }
            }
            Event::Evicted => {
                return Err("EVICTED: a living reader is told that its entry is lost".to_owned());
            }
        }
        Ok(())
    }

    /// Rules about states.
    ///
    /// # Errors
    /// What is broken in this state.
    pub(crate) fn check(&self, state: &State) -> Result<(), Broken> {
        let load = |word| state.memory.load(self.places, word);
        for (actor, automaton) in self.readers.iter().enumerate() {
            if state.readers[actor] == DEAD {
                continue;
            }
            let view = automaton.view(state.readers[actor]);
            for sample in &view.protected {
                for half in 0..2 {
                    let found = state.memory.get(self.places.at(Word::Payload(sample.slot, half)));
                    if found != sample.seq {
                        let seq = sample.seq;
                        return Err(format!(
                            "TORN: reader {actor} uses sample {seq}, its payload is of {found}"
                        ));
                    }
                }
            }
            let Some(entry) = view.entry else { continue };
            for slot in &self.slots {
                let held = load(SlotWord::Hold(*slot)) & entry.bit() != 0;
                if held && !view.in_use.iter().any(|used| used.slot == *slot) {
                    return Err(format!("STRAY: hold bit of reader {actor} on slot {slot}"));
                }
            }
            let idle = view.during.is_none() && view.in_use.is_empty() && view.served;
            if idle && load(SlotWord::Reading(entry)) != 0 {
                return Err(format!("STRAY: hazard of reader {actor}"));
            }
        }
        if self.config.bell { self.check_bell(state) } else { Ok(()) }
    }

    /// Nobody sleeps beside free space once every reader has done the look it owes.
    fn check_bell(&self, state: &State) -> Result<(), Broken> {
        let asleep = state.memory.get(self.places.at(Word::Asleep)) != 0;
        if !asleep || state.owner == DEAD || self.owner.view(state.owner).during.is_some() {
            return Ok(());
        }
        for (automaton, id) in self.readers.iter().zip(state.readers) {
            // A reader killed between its release and its look cannot wake anybody: the cut of the
            // owner's sleep is for that.
            if id == DEAD
                || automaton.view(id).during.is_some()
                || automaton.program.owes_look(automaton.local(id))
            {
                return Ok(());
            }
        }
        let mut local = self.owner.local(state.owner).clone();
        let direct = Direct { places: self.places, memory: RefCell::new(state.memory) };
        self.owner.program.run(&mut local, OwnerOp::Reserve, &direct);
        if local.space == Space::Enough {
            return Err("LOST WAKE: the owner sleeps, and there is space".to_owned());
        }
        Ok(())
    }

    /// Whether the owner has done all it has to.
    pub(crate) fn is_owner_done(&self, state: &State) -> bool {
        if state.owner == DEAD {
            return !self.config.adopt;
        }
        let view = self.owner.view(state.owner);
        view.during.is_none() && view.head == self.config.samples && view.loans == 0
    }

    /// Whether everything is done: all numbers given out, all readers at the end.
    pub(crate) fn is_goal(&self, state: &State) -> bool {
        // Dead for good.
        let owner_dead = state.owner == DEAD;
        let (head, connected) = if owner_dead {
            (state.memory.load(self.places, SlotWord::Head), ReaderSet::ALL)
        } else {
            let core = &self.owner.local(state.owner).core;
            (core.head(), core.connected())
        };
        self.is_owner_done(state)
            && self.readers.iter().zip(state.readers).enumerate().all(|(actor, (automaton, id))| {
                if id == DEAD {
                    return true;
                }
                let view = automaton.view(id);
                view.during.is_none()
                    && view.in_use.is_empty()
                    && match automaton.local(id).phase {
                        // Who comes back does not believe that it is served when it is not.
                        Phase::Served => {
                            let comes_back = self.config.returns >> actor & 1 == 1;
                            let served = view.entry.is_some_and(|entry| connected.contains(entry));
                            view.want > head && (served || !comes_back)
                        }
                        Phase::Gone => true,
                        // Only one that comes back must come to the end.
                        Phase::Away => self.config.returns == 0,
                        Phase::Outside => owner_dead || self.no_entry_left(state),
                        Phase::Waiting(_) | Phase::Refused(_) | Phase::Asked => owner_dead,
                    }
            })
    }

    /// Whether every entry is in use, by a reader that has not gone.
    ///
    /// An owner that is killed when it has all but freed an entry leaves one that looks as if its
    /// reader was about to ask: it is free once that reader's process is dead.
    fn no_entry_left(&self, state: &State) -> bool {
        state.owner_deaths > 0
            || self.entries().all(|entry| {
                let node = state.memory.load(self.places, SlotWord::Node(entry)) as usize;
                let in_it = node.checked_sub(1).map(|actor| (actor, state.readers[actor]));
                in_it.is_some_and(|(actor, id)| {
                    id != DEAD && self.readers[actor].local(id).phase != Phase::Gone
                })
            })
    }

    /// Whether somebody was killed.
    pub(crate) fn had_a_death(&self, state: &State) -> bool {
        state.dead != 0
    }

    /// Whether a reader may hold the owner up in this state: blocking, served, alive.
    pub(crate) fn may_hold_up(&self, state: &State, actor: usize) -> bool {
        let id = state.readers[actor];
        if state.owner == DEAD || id == DEAD {
            return false;
        }
        let connected = self.owner.local(state.owner).core.connected();
        let entry = self.readers[actor].view(id).entry;
        self.config.waits
            && self.config.blocking >> actor & 1 == 1
            && entry.is_some_and(|entry| connected.contains(entry))
    }

    /// Whether every slot is on loan, kept as history, or pinned by what readers that may not hold
    /// the owner up look at or hold.
    pub(crate) fn is_pinned(&self, state: &State) -> bool {
        if state.owner == DEAD {
            return true;
        }
        let load = |word| state.memory.load(self.places, word);
        let core = &self.owner.local(state.owner).core;
        let others: Vec<ReaderIndex> = (0..self.readers.len())
            .filter(|actor| state.readers[*actor] != DEAD && !self.may_hold_up(state, *actor))
            .filter_map(|actor| self.readers[actor].view(state.readers[actor]).entry)
            .collect();
        let pinned = self.slots.iter().filter(|slot| {
            let seq = load(SlotWord::Seq(**slot)) & !CLAIM;
            core.is_loaned(**slot)
                || others.iter().any(|entry| {
                    let reading = load(SlotWord::Reading(*entry));
                    load(SlotWord::Hold(**slot)) & entry.bit() != 0
                        || reading != 0 && [seq, core.seq(**slot)].contains(&reading)
                })
        });
        pinned.count() + self.config.depth >= self.slots.len()
    }
}
