//! `perf fanout`: what loan and publish cost the writer while more and more readers keep up.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use dds_shm::shm::{monotonic_ns, ticks};
use serde::Serialize;

use super::endpoint::{Load, Sender};
use super::peer::Order;
use super::spin::spin_until;
use super::{CliError, FanoutArgs, Pair, slots_for};
use crate::cli::output::{print_json, progress, table};
use crate::cli::quantity::median;

/// Samples that are published at a stretch, while the readers take: half a ring, so that nobody waits
/// for room.
const BATCH: u64 = 32;

#[derive(Debug, Serialize)]
struct Fanout {
    publish_ns: BTreeMap<u32, u64>,
    per_reader_ns: f64,
}

pub(super) fn run(pair: &mut Pair, args: &FanoutArgs) -> Result<(), CliError> {
    let counts = reader_counts(args.readers);
    let batches = args.effort.iterations(300, 0).into();
    let bar = progress("fan-out", u64::from(args.effort.rounds) * counts.len() as u64);
    let mut costs: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for _ in 0..args.effort.rounds {
        for readers in &counts {
            let slots = slots_for(args.size, 64).max(2 * BATCH as u32);
            let load = Load { size: args.size, touched: false, readers: *readers, slots };
            costs.entry(*readers).or_default().push(round(pair, load, batches)?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let medians: BTreeMap<u32, f64> =
        costs.into_iter().map(|(readers, costs)| (readers, median(costs))).collect();
    let per_reader = per_reader(&medians);
    if args.json {
        return print_json(&Fanout {
            publish_ns: medians.iter().map(|(n, cost)| (*n, cost.round() as u64)).collect(),
            per_reader_ns: (per_reader * 100.0).round() / 100.0,
        });
    }
    let mut rows = vec![vec!["readers".to_owned(), "loan + publish".to_owned()]];
    rows.extend(medians.iter().map(|(n, cost)| vec![n.to_string(), format!("{cost:.1} ns")]));
    eprint!("{}", table(&rows));
    eprintln!("{per_reader:.2} ns more per reader");
    Ok(())
}

/// 1, 2, 4 … and the most.
fn reader_counts(most: u32) -> Vec<u32> {
    let mut counts: Vec<u32> =
        (0..).map(|power| 1 << power).take_while(|count| *count < most).collect();
    counts.push(most);
    counts
}

/// How much the cost grows from one reader to the most, per reader.
fn per_reader(medians: &BTreeMap<u32, f64>) -> f64 {
    match (medians.first_key_value(), medians.last_key_value()) {
        (Some((few, low)), Some((many, high))) if many > few => {
            (high - low) / f64::from(many - few)
        }
        _ => 0.0,
    }
}

/// Nanoseconds for loan and publish of one sample; the median over the batches.
fn round(pair: &mut Pair, load: Load, batches: u64) -> Result<f64, CliError> {
    let mut sender = Sender::create(&pair.node, load)?;
    let flink = sender.flink().to_owned();
    pair.child.order(&Order::Attach { flink, load, answers: false })?;
    pair.child.report()?;
    pair.board.done().store(0, Ordering::Relaxed);
    pair.child.order(&Order::Follow { batches, batch: BATCH })?;
    let mut taken = Vec::with_capacity(batches as usize);
    let started = (ticks(), monotonic_ns());
    for batch in 1..=batches {
        let start = ticks();
        for k in 0..BATCH {
            sender.send(k)?;
        }
        taken.push(ticks().wrapping_sub(start) as f64);
        let done = pair.board.done();
        spin_until(|| done.load(Ordering::Acquire) == batch, || pair.child.check())?;
    }
    let all_ticks = ticks().wrapping_sub(started.0).max(1) as f64;
    let ns_per_tick = monotonic_ns().saturating_sub(started.1).max(1) as f64 / all_ticks;
    pair.child.report()?;
    pair.child.order(&Order::Detach)?;
    pair.child.report()?;
    Ok(median(taken) * ns_per_tick / BATCH as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reader_counts_double_up_to_the_most() {
        assert_eq!(reader_counts(1), [1]);
        assert_eq!(reader_counts(16), [1, 2, 4, 8, 16]);
        assert_eq!(reader_counts(5), [1, 2, 4, 5]);
    }

    #[test]
    fn the_slope_is_from_one_reader_to_the_most() {
        assert_eq!(per_reader(&BTreeMap::from([(1, 30.0), (2, 99.0), (16, 60.0)])), 2.0);
        assert_eq!(per_reader(&BTreeMap::from([(1, 30.0)])), 0.0);
    }
}
