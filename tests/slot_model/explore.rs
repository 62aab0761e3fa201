//! Breadth-first search over all states, and backward reachability for what must remain possible.

use std::time::{Duration, Instant};

use hashbrown::HashTable;

use crate::config::Config;
use crate::mutant::Mutant;
use crate::world::{Actor, State, Step, World};

/// What an exploration found.
pub(crate) struct Report {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    pub(crate) took: Duration,
    /// The first violation, with how it came about.
    pub(crate) broken: Option<String>,
}

struct Edge {
    from: u32,
    to: u32,
    actor: Actor,
}

/// The steps that lead to `last`, one a line, and the state it is.
fn trace(world: &mut World, states: &[State], parents: &[u32], last: u32) -> String {
    let mut path = vec![last];
    while let Some(parent) = path.last().map(|at| parents[*at as usize])
        && parent != u32::MAX
    {
        path.push(parent);
    }
    path.reverse();
    world.tell = true;
    let mut text = String::new();
    let mut steps = Vec::new();
    for pair in path.windows(2) {
        let (from, to) = (&states[pair[0] as usize], &states[pair[1] as usize]);
        // The last step of the path may be one of several from a state in which another breaks a
        // rule: what was told before that still counts.
        let _ = world.steps(from, &mut steps);
        let told = steps.iter().position(|step| step.to == *to).and_then(|at| world.told.get(at));
        text.push_str("    ");
        text.push_str(told.map_or("?", String::as_str));
        text.push('\n');
    }
    world.tell = false;
    text.push_str(&world.describe(&states[last as usize]));
    text
}

/// Explores a configuration up to `limit` states.
pub(crate) fn explore(config: Config, mutant: Mutant, exact: bool, limit: usize) -> Report {
    let begun = Instant::now();
    let mut world = World::new(config, mutant, exact);
    let mut states: Vec<State> = Vec::new();
    let mut parents: Vec<u32> = Vec::new();
    let mut index: HashTable<u32> = HashTable::new();
    let mut edges: Vec<Edge> = Vec::new();
    let mut steps: Vec<Step> = Vec::new();
    let mut count = 0;

    let start = world.start();
    index.insert_unique(start.digest(), 0, |_| 0);
    states.push(start);
    parents.push(u32::MAX);

    let mut at = 0;
    let mut broken = None;
    while at < states.len() {
        let state = states[at];
        let found = world.check(&state).and_then(|()| world.steps(&state, &mut steps));
        if let Err(what) = found {
            let path = trace(&mut world, &states, &parents, at as u32);
            broken = Some(format!("{what}\n{path}"));
            break;
        }
        for step in &steps {
            let hash = step.to.digest();
            let known = index.find(hash, |other| states[*other as usize] == step.to).copied();
            let to = known.unwrap_or_else(|| {
                let to = states.len() as u32;
                states.push(step.to);
                parents.push(at as u32);
                index.insert_unique(hash, to, |other| states[*other as usize].digest());
                to
            });
            if step.actor != Actor::Fault {
                edges.push(Edge { from: at as u32, to, actor: step.actor });
            }
            count += 1;
        }
        at += 1;
        if states.len() > limit {
            broken = Some(format!("more than {limit} states: nothing broken so far"));
            break;
        }
    }
    drop(index);
    if broken.is_none() {
        broken = never_done(&mut world, &states, &parents, &edges);
    }
    Report { states: states.len(), steps: count, took: begun.elapsed(), broken }
}

/// Looks for states from which the end cannot be reached, with everybody's help; and for states in
/// which the owner is stuck because of readers that may not hold it up.
fn never_done(
    world: &mut World,
    states: &[State],
    parents: &[u32],
    edges: &[Edge],
) -> Option<String> {
    let back = Reverse::new(states.len(), edges);
    let can_end = back.reach(
        |at| world.is_goal(&states[at]),
        |from, actor| actor != Actor::Cut || world.had_a_death(&states[from]),
    );
    if let Some(stuck) = (0..states.len()).find(|at| !can_end[*at]) {
        let how_many = can_end.iter().filter(|can| !**can).count();
        let path = trace(world, states, parents, stuck as u32);
        return Some(format!("HANG: {how_many} states cannot come to the end, first\n{path}"));
    }
    let alone = back.reach(
        |at| world.is_owner_done(&states[at]),
        |from, actor| match actor {
            Actor::Owner | Actor::Cut => true,
            Actor::Reader(actor) => world.may_hold_up(&states[from], actor),
            Actor::Fault => false,
        },
    );
    let stuck = |at: &usize| !alone[*at] && !world.is_pinned(&states[*at]);
    let stuck = (0..states.len()).find(stuck)?;
    let path = trace(world, states, parents, stuck as u32);
    Some(format!("BLOCKED: the owner needs a reader that may not hold it up\n{path}"))
}

/// Edges by where they lead.
struct Reverse {
    offsets: Vec<u32>,
    from: Vec<(u32, Actor)>,
}

impl Reverse {
    fn new(states: usize, edges: &[Edge]) -> Self {
        let mut offsets = vec![0u32; states + 1];
        for edge in edges {
            offsets[edge.to as usize + 1] += 1;
        }
        for at in 0..states {
            offsets[at + 1] += offsets[at];
        }
        let mut next = offsets.clone();
        let mut from = vec![(0, Actor::Fault); edges.len()];
        for edge in edges {
            let at = &mut next[edge.to as usize];
            from[*at as usize] = (edge.from, edge.actor);
            *at += 1;
        }
        Self { offsets, from }
    }

    /// The states from which one of `target` can be reached by edges that `allowed` lets pass.
    fn reach(
        &self,
        target: impl Fn(usize) -> bool,
        allowed: impl Fn(usize, Actor) -> bool,
    ) -> Vec<bool> {
        let states = self.offsets.len() - 1;
        let mut can: Vec<bool> = (0..states).map(target).collect();
        let mut todo: Vec<usize> = (0..states).filter(|at| can[*at]).collect();
        while let Some(at) = todo.pop() {
            let edges = self.offsets[at] as usize..self.offsets[at + 1] as usize;
            for (from, actor) in &self.from[edges] {
                let from = *from as usize;
                if !can[from] && allowed(from, *actor) {
                    can[from] = true;
                    todo.push(from);
                }
            }
        }
        can
    }
}
