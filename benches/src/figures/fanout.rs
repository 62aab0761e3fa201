//! What loan and publish cost the writer while more and more readers keep up.
//!
//! Samples are published in batches of half a ring, while the readers, all on the other processor, take
//! them; between batches they catch up, so that nobody waits for room.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{Cell, Outcome};
use crate::board::Board;
use crate::ends::{Ends, send_next};
use crate::error::Result;
use crate::messages::{Job, Load, Report};
use crate::pair::{Channel, Pair};
use crate::samples::{Samples, read};
use crate::statistics::quantile_of;
use crate::stopwatch::Stopwatch;
use crate::transport::{Receiver as _, Transport};
use crate::waiting::{Partner, spin_for, spin_until};

/// Samples of a batch.
const BATCH: u64 = 32;

/// Room for two batches.
pub(super) const DEPTH: u32 = 2 * BATCH as u32;

/// Samples of a round.
pub(super) fn count(most: u64) -> u64 {
    (most / 4).next_multiple_of(BATCH)
}

/// Nanoseconds for loan and publish of one sample; the median over the batches.
pub(super) fn measure(pair: &mut Pair, channel: &mut Channel, cell: &Cell) -> Result<Outcome> {
    let batches = (channel.plan.messages / BATCH).max(8);
    let load = Load {
        size: cell.size,
        touched: cell.touched(),
        warm_up: batches / 8,
        count: batches - batches / 8,
    };
    pair.board.progress().store(0, Relaxed);
    pair.order_work(channel, Job::Follow, load)?;
    let mut partner = Partner::Child(&mut pair.process);
    let mut taken = channel.side.publish(&load, &pair.board, &mut partner)?;
    pair.report_done()?;
    Ok(Outcome::of(quantile_of(&mut taken, 0.5)))
}

/// The first process's part.
pub(crate) fn publish<T: Transport>(
    ends: &mut Ends<T>,
    load: &Load,
    board: &Board,
    partner: &mut Partner<'_>,
) -> Result<Vec<f64>> {
    let sender = ends.sender()?;
    let mut samples = Samples::new(load.size);
    let mut taken = Stopwatch::new(load.count);
    for batch in 1..=load.warm_up + load.count {
        taken.start();
        for _ in 0..BATCH {
            send_next(sender, &mut samples, load, partner)?;
        }
        if batch > load.warm_up {
            taken.lap();
        }
        let caught_up = || Ok(board.progress().load(Acquire) == batch);
        spin_until("readers that catch up", partner, caught_up)?;
    }
    Ok(taken.finish().iter().map(|batch| batch / BATCH as f64).collect())
}

/// The second process's part.
pub(crate) fn follow<T: Transport>(
    ends: &mut Ends<T>,
    load: &Load,
    board: &Board,
    partner: &mut Partner<'_>,
) -> Result<Report> {
    for batch in 1..=load.warm_up + load.count {
        for _ in 0..BATCH {
            for receiver in ends.receivers() {
                let take = || receiver.take(|bytes| read(bytes, load.touched));
                spin_for("a sample of the batch", partner, take)?;
            }
        }
        board.progress().store(batch, Release);
    }
    Ok(Report::Done)
}
