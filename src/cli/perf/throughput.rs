//! `perf throughput`: as many samples as fit through a reliable writer that loses nothing.

use std::sync::atomic::Ordering;

use dds_shm::shm::monotonic_ns;
use serde::Serialize;

use super::endpoint::{Load, Sender};
use super::peer::{Order, Report};
use super::spin::spin_until;
use super::{CliError, Common, Pair, slots_for, unexpected};
use crate::cli::output::{print_json, progress};
use crate::cli::quantity::{grouped, median};

/// Slots, while samples are small: room for a writer that is interrupted now and then, and not more
/// than the processors' own caches hold.
const SLOTS: u32 = 512;

#[derive(Debug, Serialize)]
struct Throughput {
    size: u32,
    samples_per_s: u64,
    sent: u64,
    received: u64,
    lost: u64,
}

#[derive(Debug)]
struct Round {
    samples_per_s: f64,
    received: u64,
    lost: u64,
}

pub(super) fn run(pair: &mut Pair, args: &Common) -> Result<(), CliError> {
    let load = args.load(slots_for(args.size, SLOTS));
    let octets = if load.touched { u64::from(load.size) } else { 0 };
    let count = args.effort.iterations(500_000, octets).into();
    let bar = progress("throughput", args.effort.rounds.into());
    let mut rounds = Vec::new();
    for _ in 0..args.effort.rounds {
        rounds.push(round(pair, load, count)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let result = Throughput {
        size: args.size,
        samples_per_s: median(rounds.iter().map(|round| round.samples_per_s)).round() as u64,
        sent: count * rounds.len() as u64,
        received: rounds.iter().map(|round| round.received).sum(),
        lost: rounds.iter().map(|round| round.lost).sum(),
    };
    if args.json {
        return print_json(&result);
    }
    let rates = rounds.iter().map(|round| round.samples_per_s);
    let (low, high) = rates.fold((f64::MAX, 0f64), |(a, b), x| (a.min(x), b.max(x)));
    eprintln!(
        "{} B: {} samples/s (rounds {}..{}), {:.2} GB/s; sent {}, received {}, lost {}",
        result.size,
        grouped(result.samples_per_s),
        grouped(low as u64),
        grouped(high as u64),
        result.samples_per_s as f64 * f64::from(result.size) / 1e9,
        grouped(result.sent),
        grouped(result.received),
        grouped(result.lost),
    );
    Ok(())
}

fn round(pair: &mut Pair, load: Load, count: u64) -> Result<Round, CliError> {
    let mut sender = Sender::create(&pair.node, load)?;
    let flink = sender.flink().to_owned();
    pair.child.order(&Order::Attach { flink, load, answers: false })?;
    pair.child.report()?;
    pair.board.done().store(0, Ordering::Relaxed);
    pair.child.order(&Order::Count { count })?;
    let start = monotonic_ns();
    for k in 1..=count {
        sender.send(k)?;
    }
    let done = pair.board.done();
    spin_until(|| done.load(Ordering::Acquire) == count, || pair.child.check())?;
    let taken = monotonic_ns().saturating_sub(start).max(1);
    let Report::Counted { received, lost } = pair.child.report()? else {
        return Err(unexpected("Count"));
    };
    pair.child.order(&Order::Detach)?;
    pair.child.report()?;
    Ok(Round { samples_per_s: count as f64 * 1e9 / taken as f64, received, lost })
}
