//! A reader: joins, takes, keeps, releases in any order, is disconnected and returns, leaves.

use dds_shm::slots::{
    Claim, Located, Looked, NotServed, ReaderCore, SlotIndex, SlotWord, Taken, claim_entry,
};
use dds_shm::sync::{Ordering, Words};

use crate::automaton::{Event, Program, View};
use crate::config::Config;
use crate::mutant::{Mutant, Who};
use crate::words::{Backend, ModelWords, Replay};

/// How far a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// It has no entry.
    Outside,
    /// It claimed an entry and waits for the owner.
    Waiting(Claim),
    /// It is served.
    Served,
    /// It was told that it is disconnected.
    Away,
    /// It asked to return.
    Asked,
    /// It was refused.
    Refused(Claim),
    /// It left, or lost its entry.
    Gone,
}

/// A reader between operations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ReaderLocal {
    pub(crate) phase: Phase,
    pub(crate) core: Option<ReaderCore>,
    /// What the application has not let go of, oldest first.
    in_use: Vec<Looked>,
}

/// An operation of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ReaderOp {
    Claim,
    /// Looks whether it has been admitted.
    Enter,
    /// Takes the next sample; whether its owner is proven dead.
    Take(bool),
    /// Copies the next sample without a hazard, and marks it; whether its owner is proven dead.
    Copy(bool),
    Release(Looked),
    /// Looks at the space bell before it waits for samples.
    Settle,
    Rejoin,
    Leave,
    /// Gives back an entry under which it is not served.
    Withdraw,
}

pub(crate) struct ReaderProgram {
    pub(crate) config: Config,
    pub(crate) mutant: Mutant,
    pub(crate) actor: usize,
    pub(crate) slots: Vec<SlotIndex>,
}

impl ReaderProgram {
    pub(crate) fn outside(&self) -> ReaderLocal {
        ReaderLocal { phase: Phase::Outside, core: None, in_use: Vec::new() }
    }

    fn has(&self, mask: u8) -> bool {
        mask >> self.actor & 1 == 1
    }

    /// The id of this reader's node.
    pub(crate) fn node(&self) -> u64 {
        self.actor as u64 + 1
    }

    fn take(&self, local: &mut ReaderLocal, words: &ModelWords<'_>, owner_dead: bool) -> Event {
        let Some(core) = &mut local.core else { return Event::Quiet };
        if self.config.unsettled()
            && let Err(why) = core.check_served(words)
        {
            return turned_away(local, why);
        }
        let want = core.want();
        match core.take(words, owner_dead) {
            Taken::Nothing => {
                if self.mutant == Mutant::FailedTakeOwesNothing {
                    core.forget_look();
                }
                Event::Quiet
            }
            Taken::Sample(looked) => {
                local.in_use.push(looked);
                Event::Sample { want, seq: looked.seq }
            }
            Taken::Missed(told) => {
                let (entry, to) = (core.index(), core.want());
                Event::Missed { entry, from: want, to, told, owner_dead }
            }
        }
    }

    /// What a backend does for who copies: finds, copies, looks again, marks.
    fn copy(&self, local: &mut ReaderLocal, words: &ModelWords<'_>, owner_dead: bool) -> Event {
        let Some(core) = &mut local.core else { return Event::Quiet };
        if self.config.unsettled()
            && let Err(why) = core.check_served(words)
        {
            return turned_away(local, why);
        }
        let (entry, want) = (core.index(), core.want());
        match ReaderCore::locate(words, self.config.slots, want, owner_dead) {
            Located::NotYet => Event::Quiet,
            Located::Gone { next, .. } => {
                let told = core.owed(want, next);
                core.advance(words, next);
                Event::Missed { entry, from: want, to: next, told, owner_dead }
            }
            Located::At(slot) => {
                let is_there = |order| words.load(SlotWord::Seq(slot), order) == want;
                if !is_there(Ordering::Acquire) {
                    return Event::Quiet;
                }
                let halves = [words.read_half(slot, 0), words.read_half(slot, 1)];
                words.fence(Ordering::Acquire);
                if !is_there(Ordering::Relaxed) {
                    return Event::Quiet;
                }
                core.advance(words, want + 1);
                Event::Copied { seq: want, halves }
            }
        }
    }

    fn perform(&self, local: &mut ReaderLocal, op: ReaderOp, words: &ModelWords<'_>) -> Event {
        match op {
            ReaderOp::Claim => {
                if let Some(claim) = claim_entry(words, self.config.entries, self.node(), |_| {}) {
                    local.phase = Phase::Waiting(claim);
                }
                Event::Quiet
            }
            ReaderOp::Enter => {
                let Phase::Waiting(claim) = local.phase else { return Event::Quiet };
                match ReaderCore::admitted(words, claim, self.config.slots, self.config.holds) {
                    Ok(core) => {
                        local.core = Some(core);
                        local.phase = Phase::Served;
                        Event::Quiet
                    }
                    Err(NotServed::Pending) => Event::Quiet,
                    Err(why) => turned_away(local, why),
                }
            }
            ReaderOp::Take(owner_dead) => self.take(local, words, owner_dead),
            ReaderOp::Copy(owner_dead) => self.copy(local, words, owner_dead),
            ReaderOp::Release(sample) => {
                if let Some(core) = &mut local.core {
                    core.release(words, sample);
                }
                local.in_use.retain(|used| *used != sample);
                Event::Quiet
            }
            ReaderOp::Settle => {
                if let Some(core) = &mut local.core {
                    core.settle(words);
                }
                Event::Quiet
            }
            ReaderOp::Rejoin => {
                let Some(core) = &mut local.core else { return Event::Quiet };
                // It looks whether it is served before anything else.
                if let Err(why @ NotServed::Evicted) = core.check_served(words) {
                    return turned_away(local, why);
                }
                match core.rejoin(words) {
                    Ok(true) => local.phase = Phase::Served,
                    Ok(false) => local.phase = Phase::Asked,
                    Err(why) => return turned_away(local, why),
                }
                Event::Quiet
            }
            ReaderOp::Withdraw => {
                if let Phase::Waiting(claim) | Phase::Refused(claim) = local.phase {
                    claim.withdraw(words);
                }
                Event::Quiet
            }
            ReaderOp::Leave => {
                if let Some(core) = &mut local.core {
                    core.leave(words);
                }
                Event::Quiet
            }
        }
    }

    /// Whether a reader still owes the space bell a look: settling would load something.
    pub(crate) fn owes_look(&self, local: &ReaderLocal) -> bool {
        let Some(core) = &local.core else { return false };
        let replay = Replay::new(&[0]);
        let words = ModelWords::new(&replay, Who::Reader, "", true, Mutant::None, &self.slots);
        core.clone().settle(&words);
        replay.asked() > 0
    }

    /// The words as this reader's code sees them.
    fn words<'a>(&'a self, op: ReaderOp, backend: &'a dyn Backend) -> ModelWords<'a> {
        let during = name(op);
        ModelWords::new(backend, Who::Reader, during, self.config.bell, self.mutant, &self.slots)
    }
}

fn turned_away(local: &mut ReaderLocal, why: NotServed) -> Event {
    match why {
        NotServed::Disconnected => {
            local.phase = Phase::Away;
            Event::Quiet
        }
        NotServed::Pending => Event::Quiet,
        NotServed::Refused => {
            if let Phase::Waiting(claim) = local.phase {
                local.phase = Phase::Refused(claim);
            }
            Event::Quiet
        }
        NotServed::Evicted => {
            local.phase = Phase::Gone;
            Event::Evicted
        }
    }
}

fn name(op: ReaderOp) -> &'static str {
    match op {
        ReaderOp::Claim => "claim",
        ReaderOp::Enter => "enter",
        ReaderOp::Take(_) => "take",
        ReaderOp::Copy(_) => "copy",
        ReaderOp::Release(_) => "release",
        ReaderOp::Settle => "settle",
        ReaderOp::Rejoin => "rejoin",
        ReaderOp::Leave => "leave",
        ReaderOp::Withdraw => "withdraw",
    }
}

impl Program for ReaderProgram {
    type Local = ReaderLocal;
    type Op = ReaderOp;

    fn options(&self, local: &ReaderLocal) -> Vec<ReaderOp> {
        let config = &self.config;
        let mut options = Vec::new();
        match local.phase {
            Phase::Outside => return vec![ReaderOp::Claim],
            Phase::Waiting(_) if self.has(config.leave) => {
                return vec![ReaderOp::Enter, ReaderOp::Withdraw];
            }
            Phase::Waiting(_) => return vec![ReaderOp::Enter],
            Phase::Refused(_) => return vec![ReaderOp::Withdraw],
            Phase::Gone => return Vec::new(),
            Phase::Served => {
                let more = local.in_use.is_empty()
                    || self.has(config.keep) && local.in_use.len() <= config.holds;
                let wants = local.core.as_ref().is_some_and(|core| core.want() <= config.samples);
                if more && (wants || config.unsettled()) {
                    let how = if self.has(config.copies) { ReaderOp::Copy } else { ReaderOp::Take };
                    options.push(how(false));
                    if self.mutant != Mutant::ReaderWaitsForTheDead {
                        options.push(how(true));
                    }
                }
            }
            Phase::Away | Phase::Asked => {
                if self.has(config.returns) {
                    options.push(ReaderOp::Rejoin);
                }
            }
        }
        if config.bell && self.owes_look(local) {
            options.push(ReaderOp::Settle);
        }
        options.extend(local.in_use.iter().map(|sample| ReaderOp::Release(*sample)));
        if self.has(config.leave) {
            options.push(ReaderOp::Leave);
        }
        options
    }

    fn run(&self, local: &mut ReaderLocal, op: ReaderOp, backend: &dyn Backend) -> Event {
        let words = self.words(op, backend);
        let event = self.perform(local, op, &words);
        words.finish();
        if let Some(core) = &mut local.core {
            if !self.config.bell {
                // Nobody waits for space in this model: the look that is owed changes nothing.
                core.settle(&words);
            }
            if core.must_ring() {
                words.ring();
            }
        }
        if matches!(op, ReaderOp::Leave | ReaderOp::Withdraw) {
            // The entry is the owner's from here on.
            *local = ReaderLocal { phase: Phase::Gone, ..self.outside() };
        }
        event
    }

    fn view(&self, local: &ReaderLocal, op: Option<ReaderOp>) -> View {
        let leaving = op == Some(ReaderOp::Leave);
        let letting_go = |sample: &Looked| leaving || op == Some(ReaderOp::Release(*sample));
        View {
            during: op.map(name),
            entry: match local.phase {
                Phase::Waiting(claim) | Phase::Refused(claim) => Some(claim.index()),
                _ => local.core.as_ref().map(ReaderCore::index),
            },
            protected: local.in_use.iter().filter(|sample| !letting_go(sample)).copied().collect(),
            in_use: local.in_use.clone(),
            want: local.core.as_ref().map_or(0, ReaderCore::want),
            served: local.phase == Phase::Served,
            ..View::default()
        }
    }
}
