//! How long a reader that is killed with its hands full stops a writer that loses nothing: the longest
//! publish that follows.

use std::time::{Duration, Instant};

use super::{Cell, Outcome};
use crate::ends::{Ends, try_send_next};
use crate::error::Result;
use crate::messages::{Job, Load, Report};
use crate::pair::{Channel, Pair};
use crate::samples::Samples;
use crate::transport::{RECOVERY_LIMIT, Receiver as _, Transport};

/// Samples that wait when the reader is killed, at most.
pub(super) const DEPTH: u32 = 16;

/// Nanoseconds. Kills the second process.
pub(super) fn measure(pair: &mut Pair, channel: &mut Channel, cell: &Cell) -> Result<Outcome> {
    let load = |count| Load { size: cell.size, touched: true, warm_up: 0, count };
    channel.side.insist(&load(u64::from(DEPTH)))?;
    pair.order_work(channel, Job::Hoard, load(0))?;
    pair.report_done()?;
    pair.kill()?;
    let longest = channel.side.insist(&load(u64::from(8 * DEPTH)))?;
    Ok(match longest {
        Some(longest) => Outcome::of(longest.as_nanos() as f64),
        None => Outcome { gave_up: true, ..Outcome::of(RECOVERY_LIMIT.as_nanos() as f64) },
    })
}

/// The first process's part.
pub(crate) fn insist<T: Transport>(ends: &mut Ends<T>, load: &Load) -> Result<Option<Duration>> {
    let sender = ends.sender()?;
    let mut samples = Samples::new(load.size);
    let mut longest = Duration::ZERO;
    for _ in 0..load.count {
        let started = Instant::now();
        if !try_send_next(sender, &mut samples, RECOVERY_LIMIT)? {
            return Ok(None);
        }
        longest = longest.max(started.elapsed());
    }
    Ok(Some(longest))
}

/// The second process's part.
pub(crate) fn hoard<T: Transport>(ends: &mut Ends<T>) -> Result<Report> {
    for receiver in ends.receivers() {
        receiver.hoard()?;
    }
    Ok(Report::Done)
}
