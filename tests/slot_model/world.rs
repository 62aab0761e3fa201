//! The whole: memory, owner, readers, and the steps that each state allows.

use std::cell::RefCell;
use std::fmt::Write as _;

use dds_shm::slots::{
    CLAIM, EntryStatus, OwnerCore, ReaderCore, ReaderIndex, ReaderSet, Request, SlotIndex, SlotWord,
};

use crate::automaton::{Automaton, Event, Program};
use crate::config::Config;
use crate::layout::Layout;
use crate::mutant::{Mutant, Who};
use crate::owner::{OwnerOp, OwnerProgram};
use crate::reader::{Phase, ReaderOp, ReaderProgram};
use crate::rules::Broken;
use crate::words::{Access, Direct, Memory, ModelWords, Places, Word};

/// The most readers in a model.
pub(crate) const READERS: usize = 3;
/// The local state of an actor that was killed.
pub(crate) const DEAD: u32 = u32::MAX;

/// A set of sequence numbers below 16.
pub(crate) type Numbers = u16;

/// One state of a model.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) memory: Memory,
    pub(crate) owner: u32,
    pub(crate) readers: [u32; READERS],
    /// Numbers whose samples were published.
    pub(crate) published: Numbers,
    /// Numbers the owner gave up: replaced, dropped, or lost in a crash.
    pub(crate) given_up: Numbers,
    /// Numbers that the reader of an entry must get: published or kept for it while it was served
    /// as a blocking reader.
    pub(crate) due: [Numbers; READERS],
    /// Numbers under the claim of an owner that was killed: a reader that knows of its death may
    /// count them as missed.
    pub(crate) doubtful: Numbers,
    /// Actors that are dead: readers by bit, and [`OWNER`].
    pub(crate) dead: u8,
    /// How many owners were killed.
    pub(crate) owner_deaths: u8,
}

/// The owner's bit among the dead.
pub(crate) const OWNER: u8 = 0x80;

impl State {
    /// Its identity in one word, for hashing.
    pub(crate) fn digest(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut mix = |word: u64| {
            hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        };
        for chunk in self.memory.0.chunks_exact(8) {
            mix(chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
        let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        let join = |high: Numbers, low: Numbers| u32::from(high) << 16 | u32::from(low);
        mix(pair(self.owner, self.readers[0]));
        mix(pair(self.readers[1], self.readers[2]));
        let dead = join(u16::from(self.dead), u16::from(self.owner_deaths));
        mix(pair(join(self.published, self.given_up), dead));
        mix(pair(join(self.due[0], self.due[1]), join(self.due[2], self.doubtful)));
        hash ^ hash >> 31
    }
}

/// Who made a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    Owner,
    Reader(usize),
    /// The owner's sleep is cut, which is for wakers that are killed or stopped half-way.
    Cut,
    /// A fault: nobody can count on it.
    Fault,
}

/// One step from a state.
pub(crate) struct Step {
    pub(crate) to: State,
    pub(crate) actor: Actor,
}

/// What one actor can do in a state.
struct Move<Op> {
    op: Op,
    /// The access it makes, with its answer; an operation need not make any.
    access: Option<(Access, u64)>,
    /// Whether it only can because its sleep is cut.
    cut: bool,
    memory: Memory,
    node: u32,
    event: Option<Event>,
}

/// The moves of one actor, of which `may` says whether the rest of the world gives reason for an
/// operation to start.
fn moves<P: Program>(
    automaton: &mut Automaton<P>,
    places: Places,
    memory: &Memory,
    at: u32,
    may: impl Fn(&P::Local, P::Op) -> bool,
) -> Result<Vec<Move<P::Op>>, Broken> {
    let starts: Vec<(P::Op, u32, Option<Event>)> = if let Some(op) = automaton.running(at) {
        vec![(op, at, None)]
    } else {
        let all = automaton.starts(at).iter().map(|start| (start.op, start.node, start.event));
        let all = all.collect::<Vec<_>>();
        all.into_iter().filter(|(op, ..)| may(automaton.local(at), *op)).collect()
    };
    let mut moves = Vec::with_capacity(starts.len());
    for (op, node, event) in starts {
        if event.is_some() {
            moves.push(Move { op, access: None, cut: false, memory: *memory, node, event });
            continue;
        }
        let Some(access) = automaton.pending(node) else { return Err(automaton.panic_text()) };
        let mut memory = *memory;
        let answer = memory.perform(places, access);
        let cut = answer.is_none();
        if cut {
            memory.perform(places, Access::Wake);
        }
        let answer = answer.unwrap_or_default();
        let (node, event) = automaton.step(node, answer);
        if event.is_none() && automaton.pending(node).is_none() {
            return Err(automaton.panic_text());
        }
        moves.push(Move { op, access: Some((access, answer)), cut, memory, node, event });
    }
    Ok(moves)
}

/// One configuration with one mutant (or none).
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) places: Places,
    pub(crate) owner: Automaton<OwnerProgram>,
    pub(crate) readers: Vec<Automaton<ReaderProgram>>,
    pub(crate) slots: Vec<SlotIndex>,
    /// Whether steps are described; only for printing a trace.
    pub(crate) tell: bool,
    pub(crate) told: Vec<String>,
}

/// Every slot of a segment: only an owner can make them.
fn all_slots(places: Places) -> Vec<SlotIndex> {
    let direct = Direct { places, memory: RefCell::new(Memory::ZERO) };
    let words = ModelWords::new(&direct, Who::Owner, "", false, Mutant::None, &[]);
    // A throw-away owner of a free segment, which gives each slot once.
    let mut core = OwnerCore::new(places.0.slots as u32, 0, 0);
    std::iter::from_fn(|| core.reserve(&words, ReaderSet::EMPTY).ok()).collect()
}

impl World {
    pub(crate) fn new(config: Config, mutant: Mutant, exact: bool) -> Self {
        let places = Places(Layout { slots: config.slots as usize, entries: config.entries });
        assert!(places.fits() && config.readers <= READERS && config.samples < 16);
        let slots = all_slots(places);
        let owner = OwnerProgram { config, mutant, slots: slots.clone() };
        let reader = |actor| ReaderProgram { config, mutant, actor, slots: slots.clone() };
        Self {
            config,
            places,
            owner: Automaton::new(owner, exact),
            readers: (0..config.readers).map(|a| Automaton::new(reader(a), exact)).collect(),
            slots,
            tell: false,
            told: Vec::new(),
        }
    }

    /// The entries of the reader table.
    pub(crate) fn entries(&self) -> impl Iterator<Item = ReaderIndex> + use<> {
        (0..self.config.entries).filter_map(ReaderIndex::new)
    }

    /// The start: readers that do not join later have been admitted.
    pub(crate) fn start(&mut self) -> State {
        let direct = Direct { places: self.places, memory: RefCell::new(Memory::ZERO) };
        let mut owner = self.owner.program.fresh();
        let mut readers = [DEAD; READERS];
        for (actor, automaton) in self.readers.iter_mut().enumerate() {
            let mut local = automaton.program.outside();
            if self.config.join >> actor & 1 == 0 {
                automaton.program.run(&mut local, ReaderOp::Claim, &direct);
                if let Phase::Waiting(claim) = local.phase {
                    let serve = OwnerOp::Serve(claim.index());
                    self.owner.program.run(&mut owner, serve, &direct);
                }
                automaton.program.run(&mut local, ReaderOp::Enter, &direct);
                assert_eq!(local.phase, Phase::Served);
            }
            readers[actor] = automaton.idle(local);
        }
        State {
            memory: direct.memory.into_inner(),
            owner: self.owner.idle(owner),
            readers,
            published: 0,
            given_up: 0,
            due: [0; READERS],
            doubtful: 0,
            dead: 0,
            owner_deaths: 0,
        }
    }

    /// All steps that are possible in a state.
    ///
    /// # Errors
    /// A step that breaks a rule.
    pub(crate) fn steps(&mut self, state: &State, out: &mut Vec<Step>) -> Result<(), Broken> {
        out.clear();
        self.told.clear();
        if state.owner != DEAD {
            self.owner_steps(state, out)?;
        }
        for actor in 0..self.readers.len() {
            if state.readers[actor] != DEAD {
                self.reader_steps(state, actor, out)?;
            }
        }
        self.faults(state, out);
        Ok(())
    }

    fn owner_steps(&mut self, state: &State, out: &mut Vec<Step>) -> Result<(), Broken> {
        let places = self.places;
        let load = |word| state.memory.load(places, word);
        // What the outside gives the owner reason for.
        let may = |core: &OwnerCore, op| match op {
            OwnerOp::Serve(reader) => {
                let request = load(SlotWord::Request(reader));
                let (fits, asked) = (request >> 8 == core.epoch(reader), request & 0xff);
                match core.status(reader) {
                    _ if asked == Request::Leave as u64 => true,
                    EntryStatus::Vacant => fits && asked == Request::Join as u64,
                    EntryStatus::Disconnected => fits && asked == Request::Return as u64,
                    _ => false,
                }
            }
            OwnerOp::Bury(reader) => {
                let node = load(SlotWord::Node(reader));
                node != 0 && state.dead >> (node - 1) & 1 == 1
            }
            _ => true,
        };
        let before = self.owner.view(state.owner).during;
        let moves = moves(&mut self.owner, places, &state.memory, state.owner, |local, op| {
            may(&local.core, op)
        })?;
        for Move { op, access, cut, memory, node, event } in moves {
            let mut to = State { memory, owner: node, ..*state };
            let tell = || format!("owner {op:?}: {access:x?}");
            let during = before.unwrap_or_else(|| crate::owner::name(op));
            self.follow(state, &mut to, access, event, Some(during), None)
                .map_err(|broken| format!("{broken}\n    at {}", tell()))?;
            let actor = if cut { Actor::Cut } else { Actor::Owner };
            self.push(state, to, actor, out, tell);
        }
        Ok(())
    }

    fn reader_steps(
        &mut self,
        state: &State,
        actor: usize,
        out: &mut Vec<Step>,
    ) -> Result<(), Broken> {
        let places = self.places;
        let load = |word| state.memory.load(places, word);
        let at = state.readers[actor];
        let moves = moves(&mut self.readers[actor], places, &state.memory, at, |local, op| {
            match op {
                ReaderOp::Take(owner_dead) | ReaderOp::Copy(owner_dead) => {
                    owner_dead == (state.dead & OWNER != 0)
                }
                // Once it has asked, it asks again only when the owner did something.
                ReaderOp::Rejoin if local.phase == Phase::Asked => {
                    local.core.as_ref().map(ReaderCore::index).is_some_and(|entry| {
                        load(SlotWord::State(entry)) >> 8 != load(SlotWord::Request(entry)) >> 8
                    })
                }
                _ => true,
            }
        })?;
        for Move { op, access, memory, node, event, .. } in moves {
            let mut to = State { memory, ..*state };
            to.readers[actor] = node;
            let tell = || format!("reader {actor} {op:?}: {access:x?}");
            self.follow(state, &mut to, access, event, None, Some(actor))
                .map_err(|broken| format!("{broken}\n    at {}", tell()))?;
            self.push(state, to, Actor::Reader(actor), out, tell);
        }
        Ok(())
    }

    fn faults(&mut self, state: &State, out: &mut Vec<Step>) {
        for actor in 0..self.readers.len() {
            if self.config.kill >> actor & 1 == 1 && state.readers[actor] != DEAD {
                let mut to = *state;
                to.readers[actor] = DEAD;
                to.dead |= 1 << actor;
                self.push(state, to, Actor::Fault, out, || format!("reader {actor} is killed"));
            }
        }
        if state.owner != DEAD && state.owner_deaths < self.config.owner_kills {
            let mut to = State {
                owner: DEAD,
                dead: state.dead | OWNER,
                owner_deaths: state.owner_deaths + 1,
                ..*state
            };
            if self.config.adopt {
                let fallen = self.owner.program.fallen(self.owner.local(state.owner));
                to.owner = self.owner.idle(fallen);
            }
            to.memory.set(self.places.at(Word::Asleep), 0);
            for slot in &self.slots {
                let seq = state.memory.load(self.places, SlotWord::Seq(*slot));
                if seq & CLAIM != 0 {
                    to.doubtful |= 1 << (seq & !CLAIM);
                }
            }
            self.push(state, to, Actor::Fault, out, || "the owner is killed".to_owned());
        }
    }

    fn push(
        &mut self,
        from: &State,
        to: State,
        actor: Actor,
        out: &mut Vec<Step>,
        tell: impl FnOnce() -> String,
    ) {
        if to == *from {
            return;
        }
        if self.tell {
            self.told.push(tell());
        }
        out.push(Step { to, actor });
    }

    /// A state, for people.
    pub(crate) fn describe(&self, state: &State) -> String {
        let load = |word| state.memory.load(self.places, word);
        let mut text = format!("    head {}", load(SlotWord::Head));
        for slot in &self.slots {
            let (seq, hold) = (load(SlotWord::Seq(*slot)), load(SlotWord::Hold(*slot)));
            let _ = write!(text, "; slot {slot}: seq {seq:x} hold {hold:x}");
        }
        for entry in self.entries() {
            let _ = write!(
                text,
                "\n    entry {entry}: node {} request {:x} state {:x} cursor {} reading {} due {:b}",
                load(SlotWord::Node(entry)),
                load(SlotWord::Request(entry)),
                load(SlotWord::State(entry)),
                load(SlotWord::Cursor(entry)),
                load(SlotWord::Reading(entry)),
                state.due[entry.get()]
            );
        }
        if state.owner != DEAD {
            let _ = write!(text, "\n    owner {:?}", self.owner.local(state.owner));
        }
        for (actor, automaton) in self.readers.iter().enumerate() {
            if state.readers[actor] != DEAD {
                let local = automaton.local(state.readers[actor]);
                let _ = write!(text, "\n    reader {actor} {local:?}");
            }
        }
        text
    }
}
