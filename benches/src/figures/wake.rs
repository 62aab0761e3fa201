//! How long a sample takes to a reader that sleeps: from before the loan to when it was read.

use std::fs::read_to_string;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use dds_shm::shm::monotonic_ns;

use super::{Cell, Outcome};
use crate::board::Board;
use crate::ends::{Ends, send_next};
use crate::error::{BenchError, Result, io};
use crate::messages::{Job, Load, Report};
use crate::pair::{Channel, Pair};
use crate::samples::{Samples, read};
use crate::statistics::quantile_of;
use crate::transport::{Receiver as _, Transport};
use crate::waiting::{LIMIT, Partner, spin_until};

/// From when the sleeper was seen asleep: its processor has come to rest then.
const ASLEEP_FOR: Duration = Duration::from_micros(50);

/// The longest sleep: short enough to notice a lost wake within a round.
const SLEEP: Duration = Duration::from_secs(1);

/// Wakes of a round; each takes some 100 us of waiting.
pub(super) fn count(most: u64) -> u64 {
    most.min(200)
}

/// Nanoseconds; the median of the round.
pub(super) fn measure(pair: &mut Pair, channel: &mut Channel, cell: &Cell) -> Result<Outcome> {
    let count = channel.plan.messages;
    let load = Load { size: cell.size, touched: cell.touched(), warm_up: count / 10, count };
    pair.board.progress().store(0, Relaxed);
    pair.board.phase().store(0, Relaxed);
    pair.order_work(channel, Job::Sleep, load)?;
    let sleeper = pair.process.id();
    let mut partner = Partner::Child(&mut pair.process);
    let mut taken = channel.side.rouse(&load, sleeper, &pair.board, &mut partner)?;
    pair.report_done()?;
    let p99 = Some(quantile_of(&mut taken, 0.99));
    Ok(Outcome { p99, ..Outcome::of(quantile_of(&mut taken, 0.5)) })
}

/// The first process's part.
pub(crate) fn rouse<T: Transport>(
    ends: &mut Ends<T>,
    load: &Load,
    sleeper: u32,
    board: &Board,
    partner: &mut Partner<'_>,
) -> Result<Vec<f64>> {
    let sender = ends.sender()?;
    let mut samples = Samples::new(load.size);
    let mut taken = Vec::new();
    for k in 1..=load.warm_up + load.count {
        spin_until("a reader that wants to sleep", partner, || {
            Ok(board.phase().load(Acquire) == k)
        })?;
        spin_until("a reader that sleeps", partner, || is_asleep(sleeper))?;
        let asleep = Instant::now();
        while asleep.elapsed() < ASLEEP_FOR {}
        let start = monotonic_ns();
        send_next(sender, &mut samples, load, partner)?;
        spin_until("a reader that wakes", partner, || Ok(board.progress().load(Acquire) == k))?;
        if k > load.warm_up {
            taken.push(board.stamp().load(Relaxed).saturating_sub(start) as f64);
        }
    }
    Ok(taken)
}

/// Whether the main thread of a process sleeps, as the kernel sees it.
fn is_asleep(process: u32) -> Result<bool> {
    let path = format!("/proc/{process}/stat");
    let stat = read_to_string(&path).map_err(io(format!("read {path}")))?;
    Ok(stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('S')))
}

/// The second process's part.
pub(crate) fn sleep<T: Transport>(
    ends: &mut Ends<T>,
    load: &Load,
    board: &Board,
    partner: &mut Partner<'_>,
) -> Result<Report> {
    let receiver = ends.receiver()?;
    for k in 1..=load.warm_up + load.count {
        board.phase().store(k, Release);
        let since = Instant::now();
        while receiver.take(|bytes| read(bytes, load.touched))?.is_none() {
            receiver.sleep(SLEEP)?;
            if since.elapsed() > LIMIT {
                partner.check()?;
                return Err(BenchError::Stuck { what: "a sample to wake up for", limit: LIMIT });
            }
        }
        board.stamp().store(monotonic_ns(), Relaxed);
        board.progress().store(k, Release);
    }
    Ok(Report::Done)
}
