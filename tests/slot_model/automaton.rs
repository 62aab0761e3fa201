//! An actor as an automaton, made by running the protocol's own code.
//!
//! An actor in the middle of an operation is the state it had before the operation, which
//! operation it is, and the values that its accesses returned so far. The protocol's code is
//! deterministic given these, so its next access is found by running the operation again from its
//! start with the old answers. Each such run is done once and remembered: the exploration itself
//! goes from local state to local state without running the code again.
//!
//! Many answers make no difference to what follows (which other number was in the slot, once it is
//! not the wanted one). Two points of an operation are taken for one when they are about to make
//! the same access and go on in the same way under each of a set of [`Guess`]es. An exploration
//! can also be run without this, and then checks that it was right.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use dds_shm::slots::{Looked, ReaderIndex, ReaderSet, SlotWord};

use crate::words::{Access, Backend, Replay, Stop, Word};

/// What an operation came to, as far as the model's book-keeping needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// Nothing to note.
    Quiet,
    /// A slot was taken, and with it the sample it held (0 for none).
    Replaced { seq: u64 },
    /// A sample was published, covering these entries.
    Committed { seq: u64, covered: ReaderSet },
    /// A number was given to a sample that found no slot.
    Dropped { seq: u64 },
    /// An entry was admitted, to be served from `start` on.
    Admitted { entry: ReaderIndex, start: u64 },
    /// An entry was disconnected.
    Disconnected { entry: ReaderIndex },
    /// An entry is served again.
    Readmitted { entry: ReaderIndex },
    /// An entry was freed.
    Vacated { entry: ReaderIndex },
    /// A killed owner's segment was taken over, with these readers served.
    Adopted { connected: ReaderSet },
    /// It was not: this number cannot be under this head.
    Inconsistent { seq: u64, head: u64 },
    /// A reader that wanted `want` got `seq`.
    Sample { want: u64, seq: u64 },
    /// A reader that wanted `seq` copied these halves of a payload and found them good.
    Copied { seq: u64, halves: [u64; 2] },
    /// A reader's position went from `from` to `to`, and it was told that it missed so many.
    Missed { entry: ReaderIndex, from: u64, to: u64, told: u64, owner_dead: bool },
    /// A reader was told that its entry is lost.
    Evicted,
}

/// What the invariants look at in a local state.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// The operation under way.
    pub(crate) during: Option<&'static str>,
    /// The entry this reader has, if any.
    pub(crate) entry: Option<ReaderIndex>,
    /// Samples it may be looking at right now.
    pub(crate) protected: Vec<Looked>,
    /// Samples it has not let go of.
    pub(crate) in_use: Vec<Looked>,
    /// The next number it wants.
    pub(crate) want: u64,
    /// Whether it is served, as far as it knows.
    pub(crate) served: bool,
    /// Numbers given out by this owner.
    pub(crate) head: u64,
    /// Slots on loan.
    pub(crate) loans: usize,
}

/// An actor's program: its operations, each a call of the protocol's code.
pub(crate) trait Program {
    /// State between operations.
    type Local: Clone + Eq + Hash + Debug;
    /// An operation.
    type Op: Copy + Eq + Hash + Debug;

    /// The operations that may come next.
    fn options(&self, local: &Self::Local) -> Vec<Self::Op>;
    /// Performs one.
    fn run(&self, local: &mut Self::Local, op: Self::Op, backend: &dyn Backend) -> Event;
    /// What there is to know of a local state.
    fn view(&self, local: &Self::Local, op: Option<Self::Op>) -> View;
}

/// How the rest of the world might go on answering; see the head of this file.
#[derive(Clone, Copy, Debug)]
struct Guess {
    seq: u64,
    /// Whether sequence numbers are what the reader wants.
    wanted: bool,
    head: u64,
    hold: u64,
    cursor: u64,
    reading: u64,
    other: u64,
}

const NOTHING: Guess =
    Guess { seq: 0, wanted: false, head: 0, hold: 0, cursor: 0, reading: 0, other: 0 };

const GUESSES: [Guess; 9] = [
    NOTHING,
    Guess { head: 40, cursor: 60, ..NOTHING },
    Guess { hold: 63, ..NOTHING },
    Guess { hold: 63, head: 40, cursor: 60, ..NOTHING },
    Guess { seq: 39, head: 50, reading: 62, other: 1, ..NOTHING },
    Guess { wanted: true, head: 40, ..NOTHING },
    // Disconnected, in each epoch that there is.
    Guess { other: 0x102, ..NOTHING },
    Guess { other: 0x202, ..NOTHING },
    Guess { other: 0x302, ..NOTHING },
];

/// Answers what is not in the log by a guess, and notes how the operation goes on.
struct Probe<'a> {
    log: &'a [u64],
    at: Cell<usize>,
    guess: Guess,
    want: u64,
    course: RefCell<DefaultHasher>,
}

impl Backend for Probe<'_> {
    fn ask(&self, access: Access) -> u64 {
        let at = self.at.get();
        self.at.set(at + 1);
        if let Some(value) = self.log.get(at) {
            return *value;
        }
        access.hash(&mut *self.course.borrow_mut());
        match access {
            Access::Load(Word::Shared(word)) => match word {
                SlotWord::Seq(_) if self.guess.wanted => self.want,
                SlotWord::Seq(_) => self.guess.seq,
                SlotWord::Head => self.guess.head,
                SlotWord::Hold(_) => self.guess.hold,
                SlotWord::Cursor(_) => self.guess.cursor,
                SlotWord::Reading(_) => self.guess.reading,
                _ => self.guess.other,
            },
            Access::Exchange(_, current, _) => current,
            Access::Swap(..) => 1,
            _ => 0,
        }
    }
}

/// An operation that may start: where it leads at once.
pub(crate) struct Start<Op> {
    pub(crate) op: Op,
    pub(crate) node: u32,
    /// Set if it is over without any access.
    pub(crate) event: Option<Event>,
}

struct Node<P: Program> {
    local: u32,
    running: Option<(P::Op, Vec<u64>)>,
    pending: Option<Access>,
    /// How it goes on under the guesses.
    course: u64,
    /// Where it goes by the answer to its pending access.
    next: Vec<(u64, u32, Option<Event>)>,
    starts: Option<Vec<Start<P::Op>>>,
    view: View,
}

/// What makes a node: the state before the operation; which operation; the next access; how it
/// goes on; and in an exact exploration the whole log.
type Key<P> = (u32, Option<<P as Program>::Op>, Option<Access>, u64, Option<Vec<u64>>);

/// Where an answer leads.
type Lead<P> = (Key<P>, Option<Event>);

/// All local states of one actor that were reached so far.
pub(crate) struct Automaton<P: Program> {
    pub(crate) program: P,
    locals: Vec<P::Local>,
    local_ids: HashMap<P::Local, u32>,
    nodes: Vec<Node<P>>,
    node_ids: HashMap<Key<P>, u32>,
    /// The last panic of the protocol's code, which is a bug by itself.
    panicked: Option<String>,
    /// Whether each log is a node of its own.
    exact: bool,
    /// In an exact exploration: where nodes that would be one without it lead, by answer.
    joint: HashMap<(Key<P>, u64), Lead<P>>,
}

impl<P: Program> Automaton<P> {
    pub(crate) fn new(program: P, exact: bool) -> Self {
        Self {
            exact,
            joint: HashMap::new(),
            program,
            locals: Vec::new(),
            local_ids: HashMap::new(),
            nodes: Vec::new(),
            node_ids: HashMap::new(),
            panicked: None,
        }
    }

    /// The idle node of a local state.
    pub(crate) fn idle(&mut self, local: P::Local) -> u32 {
        let local = self.intern(local);
        self.node(local, None, None)
    }

    pub(crate) fn local(&self, node: u32) -> &P::Local {
        &self.locals[self.nodes[node as usize].local as usize]
    }

    pub(crate) fn view(&self, node: u32) -> &View {
        &self.nodes[node as usize].view
    }

    pub(crate) fn pending(&self, node: u32) -> Option<Access> {
        self.nodes[node as usize].pending
    }

    pub(crate) fn running(&self, node: u32) -> Option<P::Op> {
        self.nodes[node as usize].running.as_ref().map(|(op, _)| *op)
    }

    /// What to say when there is a node that is neither idle nor about to make an access.
    pub(crate) fn panic_text(&self) -> String {
        format!("PANIC: {}", self.panicked.as_deref().unwrap_or_default())
    }

    /// The operations that can start from an idle node.
    pub(crate) fn starts(&mut self, node: u32) -> &[Start<P::Op>] {
        let at = node as usize;
        if self.nodes[at].starts.is_none() {
            let local = self.nodes[at].local;
            let options = self.program.options(&self.locals[local as usize]);
            let starts = options
                .into_iter()
                .map(|op| {
                    let (node, event) = self.advance(local, op, Vec::new());
                    Start { op, node, event }
                })
                .collect();
            self.nodes[at].starts = Some(starts);
        }
        self.nodes[at].starts.as_deref().unwrap_or_default()
    }

    /// Where an answer to the pending access of a node leads; an event if its operation is over.
    pub(crate) fn step(&mut self, node: u32, answer: u64) -> (u32, Option<Event>) {
        let entry = &self.nodes[node as usize];
        if let Some((_, to, event)) = entry.next.iter().find(|(value, ..)| *value == answer) {
            return (*to, *event);
        }
        let Some((op, mut log)) = entry.running.clone() else {
            unreachable!("an idle node has no pending access")
        };
        let local = entry.local;
        log.push(answer);
        let (to, event) = self.advance(local, op, log);
        self.nodes[node as usize].next.push((answer, to, event));
        if self.exact {
            let (from, leads) = (self.joint_key(node), (self.joint_key(to), event));
            let before = self.joint.entry((from, answer)).or_insert_with(|| leads.clone());
            assert!(*before == leads, "taken for one, and they are not: more guesses are needed");
        }
        (to, event)
    }

    /// The key that a node would have if the exploration was not exact.
    fn joint_key(&self, node: u32) -> Key<P> {
        let Node { local, running, pending, course, .. } = &self.nodes[node as usize];
        (*local, running.as_ref().map(|(op, _)| *op), *pending, *course, None)
    }

    fn advance(&mut self, local: u32, op: P::Op, log: Vec<u64>) -> (u32, Option<Event>) {
        let mut after = self.locals[local as usize].clone();
        let replay = Replay::new(&log);
        let outcome = catch_unwind(AssertUnwindSafe(|| self.program.run(&mut after, op, &replay)));
        let pending = replay.pending.take();
        match outcome {
            Ok(event) => {
                let after = self.intern(after);
                (self.node(after, None, None), Some(event))
            }
            Err(cause) => {
                if !cause.is::<Stop>() {
                    let text = cause.downcast_ref::<String>().cloned();
                    let text = text.or_else(|| cause.downcast_ref::<&str>().map(|s| s.to_string()));
                    self.panicked = Some(text.unwrap_or_default());
                }
                (self.node(local, Some((op, log)), pending), None)
            }
        }
    }

    fn intern(&mut self, local: P::Local) -> u32 {
        if let Some(id) = self.local_ids.get(&local) {
            return *id;
        }
        let id = self.locals.len() as u32;
        self.locals.push(local.clone());
        self.local_ids.insert(local, id);
        id
    }

    fn node(
        &mut self,
        local: u32,
        running: Option<(P::Op, Vec<u64>)>,
        pending: Option<Access>,
    ) -> u32 {
        let op = running.as_ref().map(|(op, _)| *op);
        let course = running.as_ref().map_or(0, |(op, log)| self.course(local, *op, log));
        let log = running.as_ref().filter(|_| self.exact).map(|(_, log)| log.clone());
        let key = (local, op, pending, course, log);
        if let Some(id) = self.node_ids.get(&key) {
            return *id;
        }
        let id = self.nodes.len() as u32;
        let view = self.program.view(&self.locals[local as usize], op);
        let (next, starts) = Default::default();
        self.nodes.push(Node { local, running, pending, course, next, starts, view });
        self.node_ids.insert(key, id);
        id
    }

    /// How an operation goes on under every guess.
    fn course(&self, local: u32, op: P::Op, log: &[u64]) -> u64 {
        let local = &self.locals[local as usize];
        let want = self.program.view(local, None).want;
        let mut all = DefaultHasher::new();
        for guess in GUESSES {
            let (at, course) = Default::default();
            let probe = Probe { log, at, guess, want, course };
            let mut after = local.clone();
            // A panic is found when the operation really comes to it.
            let run = AssertUnwindSafe(|| self.program.run(&mut after, op, &probe));
            catch_unwind(run).ok().hash(&mut all);
            after.hash(&mut all);
            probe.course.borrow().finish().hash(&mut all);
        }
        all.finish()
    }
}
