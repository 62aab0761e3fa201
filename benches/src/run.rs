//! All measurements, in rounds: in each, every contender in turn, so that all of them meet whatever the
//! machine is doing.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::cpu;
use crate::error::{BenchError, Result};
use crate::figures::{Cell, Figure, Outcome, measure};
use crate::machine::Machine;
use crate::pair::Pair;
use crate::results::{Results, Rounds, Row, Verdict};
use crate::transport::{Absence, Place};
use crate::transports::Contender;

/// A contender that failed so often in a cell is not asked again.
const PATIENCE: usize = 3;

/// Recovery, of those who do not recover, takes as long as they are given.
const RECOVERY_ROUNDS: u32 = 5;

/// What is to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    pub(crate) figures: Vec<Figure>,
    pub(crate) contenders: Vec<Contender>,
    pub(crate) rounds: u32,
    /// Samples of a round of the cheapest kind.
    pub(crate) samples: u64,
    pub(crate) cpus: Option<[usize; 2]>,
}

/// Measures everything.
pub(crate) fn run(extent: &Extent, place: &Place) -> Result<Results> {
    let cpus = match (extent.cpus, cpu::allowed()?.as_slice()) {
        (Some(cpus), _) => cpus,
        (None, [first, second, ..]) => [*first, *second],
        (None, _) => {
            let text = "two processors are needed: the two sides of a measurement are busy polling";
            return Err(BenchError::Protocol(text.to_owned()));
        }
    };
    let machine = Machine::look(cpus);
    let cells: Vec<Cell> = extent.figures.iter().flat_map(|figure| Cell::of(*figure)).collect();
    let mut all: BTreeMap<(Cell, Contender), Rounds> = BTreeMap::new();
    let mut pair = None;
    for round in 0..extent.rounds {
        eprintln!("round {} of {}", round + 1, extent.rounds);
        for cell in &cells {
            if cell.figure == Figure::Recovery && round >= RECOVERY_ROUNDS {
                continue;
            }
            // Another one first each time.
            let mut contenders = extent.contenders.clone();
            contenders.rotate_left(round as usize % extent.contenders.len().max(1));
            for contender in contenders {
                let rounds = all.entry((*cell, contender)).or_default();
                if contender.absence(cell.figure).is_some() || rounds.failures() >= PATIENCE {
                    continue;
                }
                match once(&mut pair, place, cpus, contender, cell, extent.samples) {
                    Ok(outcome) => rounds.succeeded(round, outcome),
                    Err(error) => {
                        eprintln!("{contender:?} in {cell:?}: {error}");
                        rounds.failed(error.to_string());
                    }
                }
            }
        }
    }
    let row = |((cell, contender), rounds): ((Cell, Contender), Rounds)| {
        let verdict = match contender.absence(cell.figure) {
            Some(Absence::NoRow) => return None,
            Some(Absence::Cannot(why)) => Verdict::Cannot(why.to_owned()),
            None => rounds.verdict(),
        };
        Some(Row { contender, cell, verdict })
    };
    let rows = all.into_iter().filter_map(row);
    Ok(Results { machine, rounds: extent.rounds, rows: rows.collect() })
}

/// One round of one contender. After a failure both processes are made anew; a contender that panics has
/// failed.
fn once(
    pair: &mut Option<Pair>,
    place: &Place,
    cpus: [usize; 2],
    contender: Contender,
    cell: &Cell,
    samples: u64,
) -> Result<Outcome> {
    // Who is killed should not have been anything else before, nor have to be it afterwards.
    let mut own = None;
    let pair = if cell.figure == Figure::Recovery { &mut own } else { pair };
    let mut attempt = || {
        let started = match pair.take() {
            Some(pair) => pair,
            None => Pair::start(place, cpus)?,
        };
        let pair = pair.insert(started);
        measure(pair, contender, cell, samples).map_err(|error| pair.why(error))
    };
    let result = catch_unwind(AssertUnwindSafe(&mut attempt)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(BenchError::Transport { what: "panic", reason: text.unwrap_or_default() })
    });
    if result.is_err() {
        *pair = None;
    }
    result
}
