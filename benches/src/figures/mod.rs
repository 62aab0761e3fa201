//! What is measured, one figure per file: the parts of both processes, and how a round is run.

pub(crate) mod fanout;
pub(crate) mod latency;
mod memory;
pub(crate) mod recovery;
pub(crate) mod throughput;
pub(crate) mod wake;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::pair::Pair;
use crate::transport::Plan;
use crate::transports::Contender;

/// A figure.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Figure {
    /// One way, samples loaned and taken, neither written nor read
    LatencyUntouched,
    /// One way, every octet written and read
    LatencyTouched,
    /// Samples per second, written and read
    Throughput,
    /// Loan and publish, while 1 to 32 readers keep up
    Fanout,
    /// One way to a reader that sleeps
    Wake,
    /// Shared memory of a channel
    Memory,
    /// The longest publish behind the death of a reader
    Recovery,
}

impl Figure {
    /// All of them, in the order of the report.
    pub(crate) fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// What its files are called.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::LatencyUntouched => "latency-untouched",
            Self::LatencyTouched => "latency-touched",
            Self::Throughput => "throughput",
            Self::Fanout => "fanout",
            Self::Wake => "wake",
            Self::Memory => "memory",
            Self::Recovery => "recovery",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::LatencyUntouched => "One way, loaned, untouched",
            Self::LatencyTouched => "One way, written and read",
            Self::Throughput => "Throughput, written and read",
            Self::Fanout => "Loan and publish, 1 to 32 readers",
            Self::Wake => "Wake of a sleeping reader",
            Self::Memory => "Shared memory of a channel",
            Self::Recovery => "Reader killed with its hands full",
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::LatencyUntouched | Self::LatencyTouched | Self::Wake => "ns",
            Self::Throughput => "samples/s",
            Self::Fanout => "ns per sample",
            Self::Memory => "reserved",
            Self::Recovery => "longest publish",
        }
    }

    /// What the numbers are, in a sentence or two.
    pub(crate) fn explanation(self) -> &'static str {
        match self {
            Self::LatencyUntouched => {
                "Half of a round trip, busy polling: loan, publish, take, give back, in both \
                 directions. No octet of the payload is written or read."
            }
            Self::LatencyTouched => {
                "The same, and every octet is copied into the loan and read where it lies."
            }
            Self::Throughput => {
                "One writer, one reader, every octet written and read; the writer waits for the \
                 reader where the transport can do that. Samples that did not arrive are lost; \
                 samples that did not arrive behind the one sent before are out of order."
            }
            Self::Fanout => {
                "What loan and publish of 64 octets cost the writer, in batches of 32, while all \
                 readers, on the other processor, take."
            }
            Self::Wake => {
                "From before the loan to when a reader that slept has read the sample, 64 octets. The \
                 processor of the reader had come to rest."
            }
            Self::Memory => {
                "Mapped for one channel with one reader, and what of it is present after all of it was \
                 used. What belongs to a process, however many channels it has, is not counted."
            }
            Self::Recovery => {
                "A writer that loses nothing, and a reader that took all it may keep and is killed: \
                 the longest publish that follows."
            }
        }
    }

    /// Whether the bare machine is what the others are multiples of.
    pub(crate) fn has_floor(self) -> bool {
        matches!(self, Self::LatencyUntouched | Self::LatencyTouched | Self::Wake)
    }
}

/// A column of the tables: figure, size, readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(crate) struct Cell {
    pub(crate) figure: Figure,
    pub(crate) size: u32,
    pub(crate) readers: u32,
    pub(crate) depth: u32,
}

impl Cell {
    /// All cells of a figure.
    pub(crate) fn of(figure: Figure) -> Vec<Self> {
        let cell = |size, readers, depth| Self { figure, size, readers, depth };
        let (kib, mib) = (1 << 10, 1 << 20);
        match figure {
            Figure::LatencyUntouched | Figure::LatencyTouched => {
                [64, kib, 4 * kib, 64 * kib, mib].map(|size| cell(size, 1, 1)).to_vec()
            }
            Figure::Throughput => [64, 4 * kib].map(|size| cell(size, 1, 64)).to_vec(),
            Figure::Fanout => {
                [1, 2, 4, 8, 16, 32].map(|readers| cell(64, readers, fanout::DEPTH)).to_vec()
            }
            Figure::Wake => vec![cell(64, 1, 16)],
            Figure::Memory => vec![cell(64, 1, 64), cell(mib, 1, 4)],
            Figure::Recovery => vec![cell(64, 1, recovery::DEPTH)],
        }
    }

    /// Whether octets are written and read.
    pub(crate) fn touched(&self) -> bool {
        !matches!(self.figure, Figure::LatencyUntouched | Figure::Fanout)
    }

    /// Samples of a round, of `most` for the smallest.
    fn messages(&self, most: u64) -> u64 {
        match self.figure {
            Figure::LatencyUntouched | Figure::LatencyTouched => latency::count(self, most),
            Figure::Throughput => throughput::count(self, 25 * most),
            Figure::Fanout => fanout::count(most),
            Figure::Wake => wake::count(most),
            Figure::Memory => 2 * u64::from(self.depth),
            Figure::Recovery => u64::from(9 * self.depth),
        }
    }
}

/// What one round of one contender found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// In the unit of the figure.
    pub(crate) value: f64,
    /// The 99th percentile, where `value` is the median.
    pub(crate) p99: Option<f64>,
    /// Octets present, where `value` is what is reserved.
    pub(crate) present: Option<f64>,
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    pub(crate) out_of_order: u64,
    /// `value` is when we gave up.
    pub(crate) gave_up: bool,
}

impl Outcome {
    fn of(value: f64) -> Self {
        Self { value, ..Self::default() }
    }
}

/// Measures one cell of one contender once; `most`: samples of a round of the cheapest kind.
pub(crate) fn measure(
    pair: &mut Pair,
    contender: Contender,
    cell: &Cell,
    most: u64,
) -> Result<Outcome> {
    let messages = cell.messages(most);
    if (contender, cell.figure) == (Contender::Bare, Figure::Throughput) {
        return Ok(throughput::memcpy_alone(cell, messages));
    }
    let plan = Plan {
        name: pair.new_name(),
        figure: cell.figure,
        size: cell.size,
        readers: cell.readers,
        depth: cell.depth,
        messages,
    };
    pair.meet(contender)?;
    let before = if cell.figure == Figure::Memory { memory::mapped(pair)? } else { Vec::new() };
    let both_ways = matches!(cell.figure, Figure::LatencyUntouched | Figure::LatencyTouched);
    let mut channel = pair.open(contender, plan, both_ways)?;
    let outcome = match cell.figure {
        Figure::LatencyUntouched | Figure::LatencyTouched => {
            latency::measure(pair, &mut channel, cell)
        }
        Figure::Throughput => throughput::measure(pair, &mut channel, cell),
        Figure::Fanout => fanout::measure(pair, &mut channel, cell),
        Figure::Wake => wake::measure(pair, &mut channel, cell),
        Figure::Memory => memory::measure(pair, &mut channel, cell, &before),
        Figure::Recovery => recovery::measure(pair, &mut channel, cell),
    }?;
    pair.close(channel)?;
    Ok(outcome)
}
