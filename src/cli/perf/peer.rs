//! The other process of a measurement: does what it is told, at once and without a pause.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dds_shm::liveness::{Node, NodeId, RuntimeDir};
use dds_shm::shm::monotonic_ns;
use serde::{Deserialize, Serialize};

use super::board::{Board, Direction};
use super::endpoint::{Load, Receivers, Sender};
use super::spin::spin_until;
use super::{CliError, new_node, unexpected};
use crate::cli::child::obey;

/// What the child is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Become a node, and open the board.
    Meet { board: String },
    /// Throw the lines `first + 1 ..= first + count` back.
    FloorRoundTrips { first: u64, count: u64 },
    /// Sleep on the bare futex until it is `first + 1 ..= first + count`, and say when.
    FloorWakes { first: u32, count: u32 },
    /// Attach to a segment; with `answers`, make one for the other direction.
    Attach { flink: PathBuf, load: Load, answers: bool },
    /// Answer so many samples.
    Answer { count: u64 },
    /// Sleep for so many samples, and say when each was there.
    Sleep { count: u64 },
    /// Take so many samples for every reader, and say how many came. They are numbered from 1.
    Count { count: u64 },
    /// Take `batches * batch` samples for every reader, and say when a batch is done.
    Follow { batches: u64, batch: u64 },
    /// Let go of the segments.
    Detach,
}

/// What it says then.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    Met { node: NodeNumber },
    Attached { answers: Option<PathBuf> },
    Counted { received: u64, lost: u64 },
    Done,
}

/// A node id on its way through JSON.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct NodeNumber(pub(super) NodeId);

impl TryFrom<String> for NodeNumber {
    type Error = dds_shm::liveness::names::NotAName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<NodeNumber> for String {
    fn from(node: NodeNumber) -> Self {
        node.0.to_string()
    }
}

struct Peer {
    node: Arc<Node>,
    board: Board,
    receivers: Option<Receivers>,
    sender: Option<Sender>,
}

/// Obeys until the parent has no more orders. `pin` is called once the node's service thread is
/// there, which is to stay free.
pub(crate) fn run(pin: impl FnOnce()) -> Result<(), CliError> {
    let mut pin = Some(pin);
    let mut peer = None;
    obey(|order: Order| match (order, &mut peer) {
        (Order::Meet { board }, _) => {
            let node = new_node(&RuntimeDir::of_process()?)?;
            if let Some(pin) = pin.take() {
                pin();
            }
            let id = NodeNumber(node.id());
            let board = Board::open(&board)?;
            peer = Some(Peer { node, board, receivers: None, sender: None });
            Ok(Report::Met { node: id })
        }
        (order, Some(peer)) => peer.carry_out(order),
        (_, None) => Err(unexpected("an order before the first")),
    })
}

/// The parent kills us when it gives up.
fn go_on() -> Result<(), CliError> {
    Ok(())
}

impl Peer {
    fn carry_out(&mut self, order: Order) -> Result<Report, CliError> {
        match order {
            Order::Meet { .. } => return Err(unexpected("a second first order")),
            Order::FloorRoundTrips { first, count } => {
                for k in first + 1..=first + count {
                    let ping = self.board.line(Direction::Ping, k);
                    spin_until(|| ping.load(Ordering::Acquire) == k, go_on)?;
                    self.board.line(Direction::Pong, k).store(k, Ordering::Release);
                }
            }
            Order::FloorWakes { first, count } => {
                for k in first + 1..=first + count {
                    self.board.phase().store(k.into(), Ordering::Release);
                    self.board.sleep_until(k);
                    self.board.stamp().store(monotonic_ns(), Ordering::Relaxed);
                    self.board.done().store(k.into(), Ordering::Release);
                }
            }
            Order::Attach { flink, load, answers } => return self.attach(&flink, load, answers),
            Order::Answer { count } => self.answer(count)?,
            Order::Sleep { count } => self.sleep(count)?,
            Order::Count { count } => return self.count(count),
            Order::Follow { batches, batch } => self.follow(batches, batch)?,
            Order::Detach => {
                self.receivers = None;
                self.sender = None;
            }
        }
        Ok(Report::Done)
    }

    fn attach(
        &mut self,
        flink: &std::path::Path,
        load: Load,
        answers: bool,
    ) -> Result<Report, CliError> {
        let receivers = Receivers::open(&self.node, flink, load)?;
        spin_until(|| receivers.is_ready(), go_on)?;
        self.receivers = Some(receivers);
        self.sender = if answers { Some(Sender::create(&self.node, load)?) } else { None };
        let answers = self.sender.as_ref().map(|sender| sender.flink().to_owned());
        Ok(Report::Attached { answers })
    }

    fn receivers(&self) -> Result<&Receivers, CliError> {
        self.receivers.as_ref().ok_or_else(|| unexpected("an order before Attach"))
    }

    fn answer(&mut self, count: u64) -> Result<(), CliError> {
        let (Some(receivers), Some(sender)) = (&self.receivers, &mut self.sender) else {
            return Err(unexpected("an order before Attach"));
        };
        spin_until(|| sender.is_ready(), go_on)?;
        for k in 1..=count {
            receivers.take_all()?;
            sender.send(k)?;
        }
        Ok(())
    }

    fn sleep(&self, count: u64) -> Result<(), CliError> {
        let receivers = self.receivers()?;
        for k in 1..=count {
            while !receivers.first().wait(Duration::from_secs(1)) {}
            let sample = receivers.take_first_line()?;
            self.board.stamp().store(monotonic_ns(), Ordering::Relaxed);
            drop(sample);
            receivers.take_rest()?;
            self.board.done().store(k, Ordering::Release);
        }
        Ok(())
    }

    fn count(&self, count: u64) -> Result<Report, CliError> {
        let receivers = self.receivers()?;
        let readers = receivers.len();
        let mut received = vec![0u64; readers];
        let mut lost = vec![0u64; readers];
        let mut wrong = 0;
        let mut left = readers;
        while left > 0 {
            for reader in 0..readers {
                if received[reader] + lost[reader] >= count {
                    continue;
                }
                match receivers.take(reader)? {
                    Some(number) => {
                        received[reader] += 1;
                        let expected = received[reader] + lost[reader];
                        wrong += u64::from(number != 0 && number != expected);
                    }
                    None => lost[reader] = receivers.lost(reader),
                }
                left -= usize::from(received[reader] + lost[reader] >= count);
            }
        }
        self.board.done().store(count, Ordering::Release);
        let received: u64 = received.iter().sum();
        Ok(Report::Counted { received: received - wrong, lost: lost.iter().sum::<u64>() + wrong })
    }

    fn follow(&self, batches: u64, batch: u64) -> Result<(), CliError> {
        let receivers = self.receivers()?;
        for done in 1..=batches {
            for _ in 0..batch {
                receivers.take_all()?;
            }
            self.board.done().store(done, Ordering::Release);
        }
        Ok(())
    }
}
