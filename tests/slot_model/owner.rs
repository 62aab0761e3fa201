//! The owner: its writer thread and its service thread, which exclude each other.

use dds_shm::slots::{
    EntryStatus, Full, Inconsistent, OwnerCore, ReaderIndex, ReaderSet, Request, SlotIndex,
    SlotWord,
};
use dds_shm::sync::{Ordering, Words};

use crate::automaton::{Event, Program, View};
use crate::config::Config;
use crate::mutant::{Mutant, Who};
use crate::words::{Backend, JUNK, ModelWords};

/// How far the owner is on its way to sleep for space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Space {
    /// It has what it needs.
    Enough,
    /// It found no slot.
    Full,
    /// It said so on the bell, found no slot again, and is about to sleep at this generation.
    Announced(u32),
    /// It sleeps.
    Asleep,
}

/// The owner between operations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct OwnerLocal {
    pub(crate) core: OwnerCore,
    pub(crate) loans: Vec<SlotIndex>,
    pub(crate) space: Space,
    discards: u8,
    /// How often the lease of each entry may still expire.
    leases: Vec<u8>,
    /// Killed, and not yet followed by another: the next operation is its successor's.
    pub(crate) fallen: bool,
}

/// An operation of the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum OwnerOp {
    Reserve,
    /// Takes the next slot ahead of time.
    Ahead,
    /// Writes the payload of a loan and commits it.
    Publish(SlotIndex),
    /// Writes some of the payload of a loan and gives it back.
    Discard(SlotIndex),
    Drop,
    /// Announces that it waits for space and looks again.
    Announce,
    Sleep(u32),
    Wake,
    /// Looks at what the reader of an entry asks for.
    Serve(ReaderIndex),
    /// The lease of the reader of an entry expired.
    Expire(ReaderIndex),
    /// The reader of an entry is proven dead.
    Bury(ReaderIndex),
    /// Goes on where the killed owner stopped.
    Adopt,
}

pub(crate) struct OwnerProgram {
    pub(crate) config: Config,
    pub(crate) mutant: Mutant,
    pub(crate) slots: Vec<SlotIndex>,
}

impl OwnerProgram {
    /// The owner of a fresh segment.
    pub(crate) fn fresh(&self) -> OwnerLocal {
        let Config { slots, entries, depth, until_read, discards, lease, leases, .. } = self.config;
        let mut core = OwnerCore::new(slots, entries, depth);
        if until_read {
            core.keep_until_read(depth);
        }
        OwnerLocal {
            core,
            loans: Vec::new(),
            space: Space::Enough,
            discards,
            leases: (0..entries).map(|e| if lease >> e & 1 == 1 { leases } else { 0 }).collect(),
            fallen: false,
        }
    }

    /// What a killed owner leaves to its successor: nothing but what may still happen.
    pub(crate) fn fallen(&self, killed: &OwnerLocal) -> OwnerLocal {
        let (discards, leases) = (killed.discards, killed.leases.clone());
        OwnerLocal { discards, leases, fallen: true, ..self.fresh() }
    }

    /// Which readers' unread samples stay.
    fn may_block(&self) -> ReaderSet {
        let waits = self.config.waits && self.mutant != Mutant::OwnerWaitsForNobody;
        if waits { ReaderSet::ALL } else { ReaderSet::EMPTY }
    }

    /// An operation, without the check that the mutant leaves out.
    fn checked<R>(
        &self,
        core: &mut OwnerCore,
        during: &str,
        operation: impl FnOnce(&mut OwnerCore) -> R,
    ) -> R {
        match self.mutant.check(during) {
            Some(check) => core.without(check, operation),
            None => operation(core),
        }
    }

    /// The reader actor whose node is in an entry.
    fn actor(node: u64) -> usize {
        node as usize - 1
    }

    fn admit(
        &self,
        core: &mut OwnerCore,
        words: &ModelWords<'_>,
        node: u64,
        reader: ReaderIndex,
    ) -> Event {
        let actor = Self::actor(node);
        let blocking = self.config.blocking >> actor & 1 == 1;
        let history = self.config.history >> actor & 1 == 1;
        // The RTPS number plays no part in the protocol.
        let start =
            self.checked(core, "admit", |core| core.admit(words, reader, blocking, history, 0));
        Event::Admitted { entry: reader, start }
    }

    /// What the owner's service does when a reader asks for something.
    fn serve(&self, core: &mut OwnerCore, words: &ModelWords<'_>, reader: ReaderIndex) -> Event {
        let node = words.load(SlotWord::Node(reader), Ordering::Acquire);
        let request = words.load(SlotWord::Request(reader), Ordering::Acquire);
        if node == 0 {
            return Event::Quiet;
        }
        let fits = request >> 8 == core.epoch(reader);
        let asked = request & 0xff;
        match core.status(reader) {
            EntryStatus::Vacant if asked == Request::Join as u64 && fits => {
                if self.config.refuse >> Self::actor(node) & 1 == 1 {
                    core.refuse(words, reader);
                    return Event::Quiet;
                }
                self.admit(core, words, node, reader)
            }
            EntryStatus::Disconnected if asked == Request::Return as u64 && fits => {
                self.checked(core, "readmit", |core| core.readmit(words, reader, 0));
                Event::Readmitted { entry: reader }
            }
            _ if asked == Request::Leave as u64 => {
                core.vacate(words, reader);
                Event::Vacated { entry: reader }
            }
            _ => Event::Quiet,
        }
    }

    fn reserve(&self, local: &mut OwnerLocal, words: &ModelWords<'_>) -> Result<Event, Full> {
        let before = local.core.clone();
        let slot =
            self.checked(&mut local.core, "reserve", |core| core.reserve(words, self.may_block()))?;
        local.loans.push(slot);
        local.space = Space::Enough;
        Ok(Event::Replaced { seq: before.seq(slot) })
    }

    /// The service thread tells a writer thread that waits for space to look again.
    fn look_again(&self, local: &mut OwnerLocal, words: &ModelWords<'_>) {
        if local.space != Space::Enough && self.config.bell {
            words.ring();
        }
    }

    pub(crate) fn words<'a>(&'a self, op: OwnerOp, backend: &'a dyn Backend) -> ModelWords<'a> {
        let during = name(op);
        ModelWords::new(backend, Who::Owner, during, self.config.bell, self.mutant, &self.slots)
    }

    fn perform(&self, local: &mut OwnerLocal, op: OwnerOp, words: &ModelWords<'_>) -> Event {
        let OwnerLocal { core, loans, .. } = local;
        match op {
            OwnerOp::Reserve => self.reserve(local, words).unwrap_or_else(|Full| {
                local.space = Space::Full;
                Event::Quiet
            }),
            OwnerOp::Ahead => {
                let before = core.clone();
                let slot = self.checked(core, "ahead", |core| core.reserve_ahead(words));
                let Some(slot) = slot else { return Event::Quiet };
                loans.push(slot);
                local.space = Space::Enough;
                Event::Replaced { seq: before.seq(slot) }
            }
            OwnerOp::Publish(slot) => {
                let number = core.head() + 1;
                let write = || (0..2).for_each(|half| words.write_half(slot, half, number));
                let late = self.mutant == Mutant::OwnerPublishesBeforeItHasWritten;
                if !late {
                    write();
                }
                let covered = core.connected();
                let seq = core.commit(words, slot, [0; 16]);
                if late {
                    write();
                }
                give_back(loans, slot);
                Event::Committed { seq, covered }
            }
            OwnerOp::Discard(slot) => {
                words.write_half(slot, 0, JUNK);
                core.discard(slot);
                give_back(loans, slot);
                local.discards -= 1;
                Event::Quiet
            }
            OwnerOp::Drop => {
                local.space = Space::Enough;
                Event::Dropped { seq: core.drop_sample(words) }
            }
            OwnerOp::Announce => {
                let looks = self.mutant != Mutant::OwnerSleepsWithoutALook;
                let mut event = None;
                let asleep = words.announce(&mut || {
                    event = looks.then(|| self.reserve(local, words).ok()).flatten();
                    event.is_some()
                });
                if let Some(generation) = asleep {
                    local.space = Space::Announced(generation);
                }
                event.unwrap_or(Event::Quiet)
            }
            OwnerOp::Sleep(generation) => {
                local.space = if words.sleep(generation) { Space::Asleep } else { Space::Full };
                Event::Quiet
            }
            OwnerOp::Wake => {
                words.awake();
                local.space = Space::Full;
                Event::Quiet
            }
            OwnerOp::Serve(reader) => {
                let event = self.serve(core, words, reader);
                if event != Event::Quiet {
                    self.look_again(local, words);
                }
                event
            }
            OwnerOp::Expire(reader) => {
                local.leases[reader.get()] -= 1;
                let event = if self.mutant == Mutant::ExpiryFreesTheEntry {
                    core.vacate(words, reader);
                    Event::Vacated { entry: reader }
                } else {
                    core.disconnect(words, reader);
                    Event::Disconnected { entry: reader }
                };
                self.look_again(local, words);
                event
            }
            OwnerOp::Adopt => {
                let blocking = |reader| {
                    let node = words.load(SlotWord::Node(reader), Ordering::Relaxed);
                    node != 0 && self.config.blocking >> Self::actor(node) & 1 == 1
                };
                match OwnerCore::adopt(words, core.clone(), |_| [0; 16], blocking) {
                    Ok(mut adopted) => {
                        if self.mutant == Mutant::AdoptionForgetsTheHistory {
                            adopted.forget_instance(&[0; 16]);
                        }
                        let connected = adopted.connected();
                        (local.core, local.fallen) = (adopted, false);
                        Event::Adopted { connected }
                    }
                    Err(Inconsistent { seq, head, .. }) => Event::Inconsistent { seq, head },
                }
            }
            OwnerOp::Bury(reader) => {
                core.vacate(words, reader);
                self.look_again(local, words);
                Event::Vacated { entry: reader }
            }
        }
    }
}

/// One loan of a slot is over; there is no other, but under a mutant.
fn give_back(loans: &mut Vec<SlotIndex>, slot: SlotIndex) {
    if let Some(at) = loans.iter().position(|loan| *loan == slot) {
        loans.remove(at);
    }
}

/// What an operation is called.
pub(crate) fn name(op: OwnerOp) -> &'static str {
    match op {
        OwnerOp::Reserve | OwnerOp::Announce => "reserve",
        OwnerOp::Ahead => "ahead",
        OwnerOp::Publish(_) => "publish",
        OwnerOp::Discard(_) => "discard",
        OwnerOp::Drop => "drop",
        OwnerOp::Sleep(_) => "sleep",
        OwnerOp::Wake => "wake",
        OwnerOp::Serve(_) => "serve",
        OwnerOp::Expire(_) => "expire",
        OwnerOp::Bury(_) => "bury",
        OwnerOp::Adopt => "adopt",
    }
}

impl Program for OwnerProgram {
    type Local = OwnerLocal;
    type Op = OwnerOp;

    fn options(&self, local: &OwnerLocal) -> Vec<OwnerOp> {
        let config = &self.config;
        let mut options = Vec::new();
        if local.fallen {
            return vec![OwnerOp::Adopt];
        }
        let wanted = local.core.head() + (local.loans.len() as u64) < config.samples;
        match local.space {
            Space::Asleep => options.push(OwnerOp::Wake),
            Space::Announced(generation) => options.push(OwnerOp::Sleep(generation)),
            Space::Full if config.bell => options.push(OwnerOp::Announce),
            _ => {
                if wanted && local.loans.len() < config.loans {
                    options.push(OwnerOp::Reserve);
                    if config.ahead {
                        options.push(OwnerOp::Ahead);
                    }
                }
                if config.drops && local.space == Space::Full {
                    options.push(OwnerOp::Drop);
                }
            }
        }
        if matches!(local.space, Space::Enough | Space::Full) {
            for slot in &local.loans {
                options.push(OwnerOp::Publish(*slot));
                if local.discards > 0 {
                    options.push(OwnerOp::Discard(*slot));
                }
            }
        }
        for reader in (0..config.entries).filter_map(ReaderIndex::new) {
            if local.leases[reader.get()] > 0 && local.core.connected().contains(reader) {
                options.push(OwnerOp::Expire(reader));
            }
            options.push(OwnerOp::Serve(reader));
            options.push(OwnerOp::Bury(reader));
        }
        options
    }

    fn run(&self, local: &mut OwnerLocal, op: OwnerOp, backend: &dyn Backend) -> Event {
        let words = self.words(op, backend);
        let event = self.perform(local, op, &words);
        words.finish();
        event
    }

    fn view(&self, local: &OwnerLocal, op: Option<OwnerOp>) -> View {
        View {
            during: op.map(name),
            head: local.core.head(),
            loans: local.loans.len(),
            ..View::default()
        }
    }
}
