//! What a run found, as it is written down.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::figures::{Cell, Figure, Outcome};
use crate::machine::Machine;
use crate::statistics::{Summary, quantile_of};
use crate::transports::Contender;

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) rounds: u32,
    pub(crate) rows: Vec<Row>,
}

/// One contender in one cell.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) contender: Contender,
    #[serde(flatten)]
    pub(crate) cell: Cell,
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
}

/// What came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Measured(Measured),
    /// It has no part in the figure, and why.
    Cannot(String),
    /// It failed every time; what it said last.
    Failed(String),
}

/// Values in the unit of the figure: nanoseconds, samples per second, octets.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    #[serde(flatten)]
    pub(crate) summary: Summary,
    /// Of each round in which it did not fail.
    pub(crate) rounds: BTreeMap<u32, f64>,
    /// The median over the rounds of their 99th percentiles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99: Option<f64>,
    /// Octets present, where the value is what is reserved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) present: Option<f64>,
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    pub(crate) out_of_order: u64,
    /// Rounds in which the value is when we gave up.
    pub(crate) gave_up: u32,
    /// Rounds that failed.
    pub(crate) failures: Vec<String>,
}

/// The rounds of one contender in one cell.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    outcomes: BTreeMap<u32, Outcome>,
    failures: Vec<String>,
}

impl Rounds {
    pub(crate) fn succeeded(&mut self, round: u32, outcome: Outcome) {
        self.outcomes.insert(round, outcome);
    }

    pub(crate) fn failed(&mut self, why: String) {
        self.failures.push(why);
    }

    /// How often it failed.
    pub(crate) fn failures(&self) -> usize {
        self.failures.len()
    }

    pub(crate) fn verdict(self) -> Verdict {
        let rounds: BTreeMap<u32, f64> =
            self.outcomes.iter().map(|(round, outcome)| (*round, outcome.value)).collect();
        let values: Vec<f64> = rounds.values().copied().collect();
        let Some(summary) = Summary::of(&values) else {
            return Verdict::Failed(self.failures.last().cloned().unwrap_or_default());
        };
        let outcomes = || self.outcomes.values();
        let median = |of: fn(&Outcome) -> Option<f64>| {
            let mut values: Vec<f64> = outcomes().filter_map(of).collect();
            (!values.is_empty()).then(|| quantile_of(&mut values, 0.5))
        };
        Verdict::Measured(Measured {
            summary,
            p99: median(|outcome| outcome.p99),
            present: median(|outcome| outcome.present),
            sent: outcomes().map(|outcome| outcome.sent).sum(),
            lost: outcomes().map(|outcome| outcome.lost).sum(),
            out_of_order: outcomes().map(|outcome| outcome.out_of_order).sum(),
            gave_up: outcomes().filter(|outcome| outcome.gave_up).count() as u32,
            rounds,
            failures: self.failures,
        })
    }
}

impl Results {
    /// The cells of a figure, in their order.
    pub(crate) fn cells(&self, figure: Figure) -> Vec<Cell> {
        let mut cells: Vec<Cell> =
            self.rows.iter().map(|row| row.cell).filter(|cell| cell.figure == figure).collect();
        cells.sort_unstable();
        cells.dedup();
        cells
    }

    /// Who was asked for a figure.
    pub(crate) fn contenders(&self, figure: Figure) -> Vec<Contender> {
        let rows = self.rows.iter().filter(|row| row.cell.figure == figure);
        let mut contenders: Vec<Contender> = rows.map(|row| row.contender).collect();
        contenders.sort_unstable();
        contenders.dedup();
        contenders
    }

    /// What came of one contender in one cell.
    pub(crate) fn verdict(&self, contender: Contender, cell: &Cell) -> Option<&Verdict> {
        let row = self.rows.iter().find(|row| row.contender == contender && row.cell == *cell);
        row.map(|row| &row.verdict)
    }

    /// The same, if it was measured.
    pub(crate) fn measured(&self, contender: Contender, cell: &Cell) -> Option<&Measured> {
        match self.verdict(contender, cell)? {
            Verdict::Measured(measured) => Some(measured),
            Verdict::Cannot(_) | Verdict::Failed(_) => None,
        }
    }
}

impl Measured {
    /// How many times another's value it is: the median over the rounds that both have, because what the
    /// machine does changes from round to round.
    pub(crate) fn times(&self, other: &Measured) -> Option<f64> {
        let ratio = |(round, value): (&u32, &f64)| Some(value / other.rounds.get(round)?);
        let ratios: Vec<f64> = self.rounds.iter().filter_map(ratio).collect();
        Summary::of(&ratios).map(|summary| summary.median)
    }
}
