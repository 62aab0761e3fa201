//! One way, half of a round trip: a sample there, a sample back, busy polling.

use super::{Cell, Outcome};
use crate::ends::{Ends, send_next};
use crate::error::{BenchError, Result};
use crate::messages::{Job, Load, Report};
use crate::pair::{Channel, Pair};
use crate::samples::{Samples, read};
use crate::statistics::quantile_of;
use crate::stopwatch::Stopwatch;
use crate::transport::{Receiver as _, Transport};
use crate::waiting::{Partner, spin_for};

/// Octets of the samples of a round, at most: they fit one page of LLMP, and copies take a second.
const OCTETS: u64 = 192 << 20;

/// Round trips of a round: fewer if each moves many octets.
pub(super) fn count(cell: &Cell, most: u64) -> u64 {
    let octets = u64::from(cell.size) * if cell.touched() { 4 } else { 1 };
    (OCTETS / octets).clamp(most.min(40), most)
}

/// The median and the 99th percentile of a round, nanoseconds.
pub(super) fn measure(pair: &mut Pair, channel: &mut Channel, cell: &Cell) -> Result<Outcome> {
    let load = Load {
        size: cell.size,
        touched: cell.touched(),
        warm_up: channel.side.warm_up()?,
        count: channel.plan.messages,
    };
    pair.order_work(channel, Job::Echo, load)?;
    let mut taken = channel.side.ping(&load, &mut pair.partner())?;
    pair.report_done()?;
    let value = quantile_of(&mut taken, 0.5) / 2.0;
    Ok(Outcome { p99: Some(quantile_of(&mut taken, 0.99) / 2.0), ..Outcome::of(value) })
}

/// The first process's part.
pub(crate) fn ping<T: Transport>(
    ends: &mut Ends<T>,
    load: &Load,
    partner: &mut Partner<'_>,
) -> Result<Vec<f64>> {
    let (sender, receiver) = ends.both()?;
    let mut samples = Samples::new(load.size);
    let mut taken = Stopwatch::new(load.count);
    let all = load.warm_up + load.count;
    for k in 1..=all {
        if k <= load.warm_up + 1 {
            taken.start();
        }
        send_next(sender, &mut samples, load, partner)?;
        let take = || receiver.take(|bytes| read(bytes, load.touched));
        let number = spin_for("an answer", partner, take)?;
        if k > load.warm_up {
            taken.lap();
        }
        if load.touched && number != k {
            return Err(BenchError::Protocol(format!("answer {number} to sample {k}")));
        }
    }
    Ok(taken.finish())
}

/// The second process's part.
pub(crate) fn echo<T: Transport>(
    ends: &mut Ends<T>,
    load: &Load,
    partner: &mut Partner<'_>,
) -> Result<Report> {
    let (sender, receiver) = ends.both()?;
    let mut samples = Samples::new(load.size);
    for _ in 0..load.warm_up + load.count {
        let take = || receiver.take(|bytes| read(bytes, load.touched));
        spin_for("a sample to answer", partner, take)?;
        send_next(sender, &mut samples, load, partner)?;
    }
    Ok(Report::Done)
}
