//! `perf latency`: a sample to the other process and back.

use std::sync::atomic::Ordering;

use dds_shm::liveness::RemoteBell;
use dds_shm::shm::monotonic_ns;
use nix::unistd::geteuid;
use serde::Serialize;

use super::board::Direction;
use super::endpoint::{Load, Receivers, Sender};
use super::peer::{Order, Report};
use super::round_trips::{OneWay, RoundTrips};
use super::spin::{pause_ns, spin_until};
use super::{CliError, Common, Pair, slots_for, unexpected};
use crate::cli::output::{nanoseconds, print_json, progress, table};
use crate::cli::quantity::median;

/// From the moment when the sleeper says that it goes to sleep until it surely does.
const ASLEEP_AFTER_NS: u64 = 25_000;
/// Wakes of a round; each takes some 50 us of waiting.
const WAKES: u32 = 150;

#[derive(Debug, Serialize)]
struct Latency {
    size: u32,
    touched: bool,
    one_way_ns: Percentiles,
    floor_ns: u64,
    ratio: f64,
    wake_ns: u64,
    wake_floor_ns: u64,
    wake_ratio: f64,
}

#[derive(Debug, Serialize)]
struct Percentiles {
    p50: u64,
    p99: u64,
}

/// What one round found; nanoseconds.
#[derive(Debug)]
struct Round {
    floor: OneWay,
    ours: OneWay,
    wake_floor: f64,
    wake: f64,
}

pub(super) fn run(pair: &mut Pair, args: &Common) -> Result<(), CliError> {
    let load = args.load(slots_for(args.size, 64));
    let octets = if load.touched { u64::from(load.size) * 4 } else { 0 };
    let count = args.effort.iterations(20_000, octets);
    let bar = progress("latency", args.effort.rounds.into());
    let mut state = Floors::default();
    let mut rounds = Vec::new();
    for _ in 0..args.effort.rounds {
        rounds.push(round(pair, &mut state, load, count)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    report(&rounds, args)
}

fn report(rounds: &[Round], args: &Common) -> Result<(), CliError> {
    let over = |value: fn(&Round) -> f64| median(rounds.iter().map(value));
    let (ours, p99) = (over(|r| r.ours.p50), over(|r| r.ours.p99));
    let (floor, floor_p99) = (over(|r| r.floor.p50), over(|r| r.floor.p99));
    let (wake, wake_floor) = (over(|r| r.wake), over(|r| r.wake_floor));
    if args.json {
        let ns = |value: f64| value.round() as u64;
        return print_json(&Latency {
            size: args.size,
            touched: !args.untouched,
            one_way_ns: Percentiles { p50: ns(ours), p99: ns(p99) },
            floor_ns: ns(floor),
            ratio: hundredths(ours / floor),
            wake_ns: ns(wake),
            wake_floor_ns: ns(wake_floor),
            wake_ratio: hundredths(wake / wake_floor),
        });
    }
    let range = |ratio: fn(&Round) -> f64| {
        let ratios = rounds.iter().map(ratio);
        let (low, high) = ratios.fold((f64::MAX, 0f64), |(a, b), x| (a.min(x), b.max(x)));
        format!("{low:.2}..{high:.2}")
    };
    let row = |cells: [&str; 5]| cells.map(str::to_owned).to_vec();
    let ratio = |ours: f64, floor: f64| format!("{:.2}", ours / floor);
    eprint!(
        "{}",
        table(&[
            row(["one way", "p50", "p99", "ratio", "of the rounds"]),
            row(["bare cache line", &nanoseconds(floor), &nanoseconds(floor_p99), "", ""]),
            row([
                &format!(
                    "{} B {}",
                    args.size,
                    if args.untouched { "untouched" } else { "touched" }
                ),
                &nanoseconds(ours),
                &nanoseconds(p99),
                &ratio(ours, floor),
                &range(|r| r.ours.p50 / r.floor.p50),
            ]),
            row(["bare futex wake", &nanoseconds(wake_floor), "", "", ""]),
            row([
                "wake of a reader",
                &nanoseconds(wake),
                "",
                &ratio(wake, wake_floor),
                &range(|r| r.wake / r.wake_floor),
            ]),
        ])
    );
    Ok(())
}

fn hundredths(ratio: f64) -> f64 {
    (ratio * 100.0).round() / 100.0
}

/// Where the words of the board are: no value comes twice.
#[derive(Debug, Default)]
struct Floors {
    lines: u64,
    futex: u32,
}

fn round(pair: &mut Pair, floors: &mut Floors, load: Load, count: u32) -> Result<Round, CliError> {
    let warm_up = count / 10;
    let wakes = count.min(WAKES);
    let total = u64::from(warm_up + count);
    // No shorter than 2,000 round trips even where few samples are sent: it is compared with.
    let floor_count = total.max(2_200);

    let floor = floor_round_trips(pair, floors, floor_count)?;
    // New segments every round: where their pages are makes a difference.
    let mut sender = Sender::create(&pair.node, load)?;
    pair.child.order(&Order::Attach { flink: sender.flink().to_owned(), load, answers: true })?;
    // The child waits to be admitted, which this process's service thread does.
    let Report::Attached { answers: Some(flink) } = pair.child.report()? else {
        return Err(unexpected("Attach"));
    };
    let receivers = Receivers::open(&pair.node, &flink, load)?;
    pair.settle(|| receivers.is_ready())?;

    let ours = round_trips(pair, &mut sender, &receivers, total, warm_up as usize)?;
    let wake_floor = floor_wakes(pair, floors, wakes)?;
    let wake = wakes_of_reader(pair, &mut sender, wakes)?;

    drop(receivers);
    pair.child.order(&Order::Detach)?;
    pair.child.report()?;
    Ok(Round { floor, ours, wake_floor, wake })
}

fn floor_round_trips(pair: &mut Pair, floors: &mut Floors, count: u64) -> Result<OneWay, CliError> {
    let first = floors.lines;
    floors.lines += count;
    pair.child.order(&Order::FloorRoundTrips { first, count })?;
    let mut taken = RoundTrips::start(count as usize);
    for k in first + 1..=first + count {
        pair.board.line(Direction::Ping, k).store(k, Ordering::Release);
        let pong = pair.board.line(Direction::Pong, k);
        spin_until(|| pong.load(Ordering::Acquire) == k, || pair.child.check())?;
        taken.lap();
    }
    let taken = taken.stop(count as usize / 10)?;
    pair.child.report()?;
    Ok(taken)
}

fn round_trips(
    pair: &mut Pair,
    sender: &mut Sender,
    receivers: &Receivers,
    count: u64,
    warm_up: usize,
) -> Result<OneWay, CliError> {
    pair.child.order(&Order::Answer { count })?;
    let mut taken = RoundTrips::start(count as usize);
    for k in 1..=count {
        sender.send(k)?;
        for reader in 0..receivers.len() {
            while receivers.take(reader)?.is_none() {
                pair.child.check()?;
            }
        }
        taken.lap();
    }
    let taken = taken.stop(warm_up)?;
    pair.child.report()?;
    Ok(taken)
}

/// Nanoseconds from a bare store and wake to the first instruction behind the sleep; the median.
fn floor_wakes(pair: &mut Pair, floors: &mut Floors, count: u32) -> Result<f64, CliError> {
    let first = floors.futex;
    floors.futex = first.wrapping_add(count);
    pair.child.order(&Order::FloorWakes { first, count })?;
    let mut taken = Vec::with_capacity(count as usize);
    for k in first + 1..=first + count {
        let phase = pair.board.phase();
        spin_until(|| phase.load(Ordering::Acquire) == u64::from(k), || pair.child.check())?;
        pause_ns(ASLEEP_AFTER_NS);
        let start = monotonic_ns();
        pair.board.wake(k);
        taken.push(woken_after(pair, start, k.into())?);
    }
    pair.child.report()?;
    Ok(median(taken))
}

/// The same from before the loan to when the reader has its sample; the median.
fn wakes_of_reader(pair: &mut Pair, sender: &mut Sender, count: u32) -> Result<f64, CliError> {
    let bell = RemoteBell::open(pair.child_node.0, geteuid().as_raw())?;
    pair.board.done().store(0, Ordering::Relaxed);
    pair.child.order(&Order::Sleep { count: count.into() })?;
    let mut taken = Vec::with_capacity(count as usize);
    for k in 1..=count {
        spin_until(|| bell.sleeps(), || pair.child.check())?;
        pause_ns(ASLEEP_AFTER_NS);
        let start = monotonic_ns();
        sender.send_line()?;
        taken.push(woken_after(pair, start, k.into())?);
    }
    pair.child.report()?;
    Ok(median(taken))
}

fn woken_after(pair: &mut Pair, start: u64, k: u64) -> Result<f64, CliError> {
    let done = pair.board.done();
    spin_until(|| done.load(Ordering::Acquire) == k, || pair.child.check())?;
    Ok(pair.board.stamp().load(Ordering::Relaxed).saturating_sub(start) as f64)
}
