//! Samples per second, written and read, nothing lost if the transport can do that.

use std::hint::black_box;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use dds_shm::shm::monotonic_ns;

use super::{Cell, Outcome};
use crate::board::Board;
use crate::ends::{Ends, send_next};
use crate::error::{BenchError, Result};
use crate::messages::{Job, Load, Received, Report};
use crate::pair::{Channel, Pair};
use crate::samples::{Samples, fold, read};
use crate::transport::{Receiver as _, Transport};
use crate::waiting::{LIMIT, LOOKS, Partner, STAY, spin_until};

/// Octets that are moved in a round, at most.
const OCTETS: u64 = 192 << 20;

/// What is on the board when the second process has finished.
const FINISHED: u64 = u64::MAX;

/// How long nothing comes until nothing will: what has not come then is lost.
const QUIET: Duration = Duration::from_millis(100);

/// Samples of a round.
pub(super) fn count(cell: &Cell, most: u64) -> u64 {
    (OCTETS / u64::from(cell.size)).clamp(most.min(40), most)
}

/// Samples per second that arrived.
pub(super) fn measure(pair: &mut Pair, channel: &mut Channel, cell: &Cell) -> Result<Outcome> {
    let warm_up = channel.side.warm_up()?;
    let load =
        Load { size: cell.size, touched: cell.touched(), warm_up, count: channel.plan.messages };
    let (taken, received) = transfer(pair, channel, load)?;
    let arrived = received.samples.saturating_sub(warm_up);
    Ok(Outcome {
        sent: load.count,
        lost: load.count.saturating_sub(arrived),
        out_of_order: received.out_of_order,
        ..Outcome::of(arrived as f64 * 1e9 / taken.max(1) as f64)
    })
}

/// Sends and takes everything: nanoseconds, and what arrived.
pub(super) fn transfer(
    pair: &mut Pair,
    channel: &mut Channel,
    load: Load,
) -> Result<(u64, Received)> {
    pair.board.progress().store(0, Relaxed);
    pair.board.sent().store(0, Relaxed);
    pair.order_work(channel, Job::Drain, load)?;
    let mut partner = Partner::Child(&mut pair.process);
    let taken = channel.side.push(&load, &pair.board, &mut partner)?;
    match pair.report()? {
        Report::Drained(received) => Ok((taken, received)),
        other => Err(BenchError::Protocol(format!("{other:?} to Drain"))),
    }
}

/// What one processor does alone: copies each sample in and reads it, samples per second.
pub(super) fn memcpy_alone(cell: &Cell, count: u64) -> Outcome {
    let mut samples = Samples::new(cell.size);
    let mut slots = vec![vec![0; cell.size as usize]; 64];
    let mut start = 0;
    for k in 0..2 * count {
        if k == count {
            start = monotonic_ns();
        }
        let slot = &mut slots[k as usize % 64];
        slot.copy_from_slice(samples.current());
        black_box(fold(black_box(slot)));
        samples.advance();
    }
    let taken = monotonic_ns().saturating_sub(start).max(1);
    Outcome { sent: count, ..Outcome::of(count as f64 * 1e9 / taken as f64) }
}

/// The first process's part.
pub(crate) fn push<T: Transport>(
    ends: &mut Ends<T>,
    load: &Load,
    board: &Board,
    partner: &mut Partner<'_>,
) -> Result<u64> {
    let sender = ends.sender()?;
    let mut samples = Samples::new(load.size);
    for _ in 0..load.warm_up {
        send_next(sender, &mut samples, load, partner)?;
    }
    spin_until("the warm-up", partner, || Ok(board.progress().load(Acquire) >= load.warm_up))?;
    let start = monotonic_ns();
    for _ in 0..load.count {
        send_next(sender, &mut samples, load, partner)?;
    }
    board.sent().store(load.warm_up + load.count, Release);
    spin_until("the last sample", partner, || Ok(board.progress().load(Acquire) == FINISHED))?;
    Ok(board.stamp().load(Relaxed).saturating_sub(start))
}

/// The second process's part.
pub(crate) fn drain<T: Transport>(
    ends: &mut Ends<T>,
    load: &Load,
    board: &Board,
    partner: &mut Partner<'_>,
) -> Result<Report> {
    let receiver = ends.receiver()?;
    let all = load.warm_up + load.count;
    let mut received = Received::default();
    let mut expected = 1;
    let mut looks = 0u32;
    let mut quiet_since = None;
    while received.samples < all {
        if let Some(number) = receiver.take(|bytes| read(bytes, load.touched))? {
            received.samples += 1;
            received.out_of_order += u64::from(load.touched && number != expected);
            expected = number + 1;
            if received.samples == load.warm_up {
                board.progress().store(received.samples, Release);
            }
            (looks, quiet_since) = (0, None);
            continue;
        }
        looks = looks.wrapping_add(1);
        if !looks.is_multiple_of(LOOKS) {
            continue;
        }
        let now = monotonic_ns();
        let quiet = Duration::from_nanos(now - *quiet_since.get_or_insert(now));
        if quiet < STAY {
            continue;
        }
        std::thread::yield_now();
        partner.check()?;
        if board.sent().load(Acquire) == all && quiet > QUIET {
            break;
        }
        if quiet > LIMIT {
            return Err(BenchError::Stuck { what: "a sample", limit: LIMIT });
        }
    }
    let end = quiet_since.filter(|_| received.samples < all).unwrap_or_else(monotonic_ns);
    board.stamp().store(end, Relaxed);
    board.progress().store(FINISHED, Release);
    Ok(Report::Drained(received))
}
