//! `perf`: two processes, and beside every number what the bare machine does in the same seconds.
//!
//! Numbers of shared memory depend on the machine, on which of its processors are used, and on what
//! else runs. So everything is measured in short rounds, the bare machine and ours in turn, and the
//! medians over the rounds are compared.
//!
//! * Floor of the latency: a cache line thrown to and fro between the two processes, over a ring of
//!   64 lines: one store and the loads that wait for it, no protocol at all.
//! * Floor of the wake: a store and `FUTEX_WAKE`, to a process that sleeps in `FUTEX_WAIT`.

mod board;
mod endpoint;
mod fanout;
mod latency;
mod peer;
mod round_trips;
mod spin;
mod throughput;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use dds_shm::liveness::{Node, NodeOptions, RuntimeDir};

use super::child::{Child, Role};
use super::{CliError, pinning, quantity, signals};
use board::Board;
use endpoint::Load;
pub(crate) use peer::run as child;
use peer::{NodeNumber, Order, Report};

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// How long a sample takes to the other process: busy-polling, and waking a sleeper
    Latency(Common),
    /// How many samples per second a reliable writer gets across, nothing lost
    Throughput(Common),
    /// What loan and publish cost while readers keep up, from one to N
    Fanout(FanoutArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Octets of a sample (K, M for KiB, MiB)
    #[arg(long, default_value = "64", value_parser = quantity::parse_bytes)]
    size: u32,
    /// Readers of each segment, all on one thread of their process
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    readers: u32,
    /// Loan, publish, take and release only, instead of writing and reading every octet
    #[arg(long)]
    untouched: bool,
    #[command(flatten)]
    effort: Effort,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct FanoutArgs {
    /// The most readers
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=64))]
    readers: u32,
    /// Octets of a sample, which are not written
    #[arg(long, default_value = "64", value_parser = quantity::parse_bytes)]
    size: u32,
    #[command(flatten)]
    effort: Effort,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
struct Effort {
    /// Rounds; the medians over them count
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Round trips, samples or batches of a round; default: as many as take some milliseconds
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    iterations: Option<u32>,
}

impl Effort {
    /// How many iterations a round has: `most`, or fewer if each moves many octets.
    fn iterations(&self, most: u32, octets: u64) -> u32 {
        const OCTETS_PER_ROUND: u64 = 128 << 20;
        let affordable = OCTETS_PER_ROUND / octets.max(1);
        self.iterations.unwrap_or_else(|| affordable.clamp(50, most.into()) as u32)
    }
}

/// Runs one measurement.
pub(crate) fn run(command: &Command) -> Result<ExitCode, CliError> {
    signals::catch(|| {})?;
    let mut pair = Pair::start()?;
    match command {
        Command::Latency(args) => latency::run(&mut pair, args),
        Command::Throughput(args) => throughput::run(&mut pair, args),
        Command::Fanout(args) => fanout::run(&mut pair, args),
    }
    .map(|()| ExitCode::SUCCESS)
}

/// The two processes of a measurement, from the side of the one that takes the time.
#[derive(Debug)]
struct Pair {
    // Dropped in this order: the other process goes first.
    child: Child<Order, Report>,
    child_node: NodeNumber,
    board: Board,
    node: Arc<Node>,
}

impl Pair {
    fn start() -> Result<Self, CliError> {
        let dir = RuntimeDir::of_process()?;
        // Its service thread is there before this thread is pinned, and so stays free to go where
        // nobody measures.
        let node = new_node(&dir)?;
        let board = Board::create(node.id())?;
        let cpus = pinning::two_cpus();
        let mut child = Child::start(Role::Perf, cpus.map(|[_, cpu]| cpu))?;
        match cpus {
            Some([cpu, _]) => pinning::pin(cpu),
            None => {
                eprintln!("one processor only: both sides share it, and the numbers say little")
            }
        }
        child.order(&Order::Meet { board: board.name().to_owned() })?;
        let Report::Met { node: child_node } = child.report()? else {
            return Err(unexpected("the first order"));
        };
        Ok(Self { child, child_node, board, node })
    }

    /// Makes the child attach to a segment, and waits until each side serves the other.
    fn settle(&mut self, mut ready: impl FnMut() -> bool) -> Result<(), CliError> {
        spin::spin_until(&mut ready, || self.child.check())
    }
}

fn new_node(dir: &RuntimeDir) -> Result<Arc<Node>, CliError> {
    Ok(Node::new(dir, NodeOptions::default())?)
}

fn unexpected(to: &str) -> CliError {
    CliError::Protocol { text: format!("another report than is due to {to}") }
}

/// Slots of a segment: 64, or as many as fit 16 MiB, but not fewer than four.
fn slots_for(size: u32, most: u32) -> u32 {
    ((16 << 20) / size.max(64)).clamp(4, most)
}

impl Common {
    fn load(&self, slots: u32) -> Load {
        Load { size: self.size, touched: !self.untouched, readers: self.readers, slots }
    }
}
