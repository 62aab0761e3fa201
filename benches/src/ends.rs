//! One process's side of the channels of a transport, and the loops that are run over them.

use std::time::{Duration, Instant};

use crate::board::Board;
use crate::error::{BenchError, Result};
use crate::figures::{fanout, latency, recovery, throughput, wake};
use crate::messages::{Job, Load, Report};
use crate::samples::Samples;
use crate::transport::{Place, Plan, Receiver as _, Sender, Transport};
use crate::waiting::{Partner, spin_until};

/// A side, whatever the transport: whole loops, so that what is inside of them is not behind a pointer.
pub(crate) trait Side {
    /// Makes a channel; how the other process finds it.
    fn offer(&mut self, plan: &Plan) -> Result<String>;
    /// Joins a channel; what its sender has to hear of each receiver.
    fn join(&mut self, plan: &Plan, address: &str) -> Result<Vec<String>>;
    /// Waits until everything that was offered or joined is ready.
    fn settle(&mut self, answers: &[String], partner: &mut Partner<'_>) -> Result<()>;
    /// Samples to send before the clock starts.
    fn warm_up(&self) -> Result<u64>;
    /// Lets go of all channels.
    fn close(&mut self);

    /// The second process's part.
    fn work(
        &mut self,
        job: Job,
        load: &Load,
        board: &Board,
        partner: &mut Partner<'_>,
    ) -> Result<Report>;
    /// The first process's part of a latency: nanoseconds of each round trip.
    fn ping(&mut self, load: &Load, partner: &mut Partner<'_>) -> Result<Vec<f64>>;
    /// Of a throughput: nanoseconds for all.
    fn push(&mut self, load: &Load, board: &Board, partner: &mut Partner<'_>) -> Result<u64>;
    /// Of a fan-out: nanoseconds per sample, of each batch.
    fn publish(
        &mut self,
        load: &Load,
        board: &Board,
        partner: &mut Partner<'_>,
    ) -> Result<Vec<f64>>;
    /// Of a wake: nanoseconds of each.
    fn rouse(
        &mut self,
        load: &Load,
        sleeper: u32,
        board: &Board,
        partner: &mut Partner<'_>,
    ) -> Result<Vec<f64>>;
    /// Of a recovery: sends until a few rings are full. The longest that one took; `None`: too long.
    fn insist(&mut self, load: &Load) -> Result<Option<Duration>>;
}

/// See the head of the file.
pub(crate) struct Ends<T: Transport> {
    // In front of the transport that they belong to.
    sender: Option<(T::Sender, Plan)>,
    receivers: Vec<T::Receiver>,
    transport: T,
}

impl<T: Transport> Ends<T> {
    pub(crate) fn start(place: &Place) -> Result<Self> {
        Ok(Self { sender: None, receivers: Vec::new(), transport: T::start(place)? })
    }

    /// The sender.
    pub(crate) fn sender(&mut self) -> Result<&mut T::Sender> {
        self.sender.as_mut().map(|(sender, _)| sender).ok_or_else(none)
    }

    /// The receivers.
    pub(crate) fn receivers(&mut self) -> &mut [T::Receiver] {
        &mut self.receivers
    }

    /// The first receiver.
    pub(crate) fn receiver(&mut self) -> Result<&mut T::Receiver> {
        self.receivers.first_mut().ok_or_else(none)
    }

    /// The ends of a round trip.
    pub(crate) fn both(&mut self) -> Result<(&mut T::Sender, &mut T::Receiver)> {
        match (&mut self.sender, self.receivers.first_mut()) {
            (Some((sender, _)), Some(receiver)) => Ok((sender, receiver)),
            _ => Err(none()),
        }
    }
}

fn none() -> BenchError {
    BenchError::Protocol("an order for a channel that is not there".to_owned())
}

/// Sends the next sample, as soon as there is room for it.
#[inline(always)]
pub(crate) fn send_next<S: Sender>(
    sender: &mut S,
    samples: &mut Samples,
    load: &Load,
    partner: &mut Partner<'_>,
) -> Result<()> {
    let mut send = |samples: &Samples| {
        if load.touched {
            sender.send_copy(samples.current())
        } else {
            sender.send_untouched(load.size as usize)
        }
    };
    if !send(samples)? {
        spin_until("room for a sample", partner, || send(samples))?;
    }
    samples.advance();
    Ok(())
}

/// Sends the next sample, or says that there was no room for `limit`.
pub(crate) fn try_send_next<S: Sender>(
    sender: &mut S,
    samples: &mut Samples,
    limit: Duration,
) -> Result<bool> {
    let started = Instant::now();
    while !sender.send_copy(samples.current())? {
        if started.elapsed() >= limit {
            return Ok(false);
        }
    }
    samples.advance();
    Ok(true)
}

impl<T: Transport> Side for Ends<T> {
    fn offer(&mut self, plan: &Plan) -> Result<String> {
        let sender = self.transport.sender(plan)?;
        let address = sender.address()?;
        self.sender = Some((sender, plan.clone()));
        Ok(address)
    }

    fn join(&mut self, plan: &Plan, address: &str) -> Result<Vec<String>> {
        for index in 0..plan.readers {
            self.receivers.push(self.transport.receiver(plan, address, index)?);
        }
        self.receivers.iter().map(|receiver| receiver.answer()).collect()
    }

    fn settle(&mut self, answers: &[String], partner: &mut Partner<'_>) -> Result<()> {
        if let Some((sender, plan)) = &mut self.sender {
            sender.meet(answers)?;
            spin_until("a sender's readers", partner, || sender.is_ready(plan.readers))?;
        }
        for receiver in &mut self.receivers {
            spin_until("a receiver's sender", partner, || receiver.is_ready())?;
        }
        Ok(())
    }

    fn warm_up(&self) -> Result<u64> {
        self.sender.as_ref().map(|(sender, plan)| sender.warm_up(plan)).ok_or_else(none)
    }

    fn close(&mut self) {
        self.receivers.clear();
        self.sender = None;
    }

    fn work(
        &mut self,
        job: Job,
        load: &Load,
        board: &Board,
        partner: &mut Partner<'_>,
    ) -> Result<Report> {
        match job {
            Job::Echo => latency::echo(self, load, partner),
            Job::Drain => throughput::drain(self, load, board, partner),
            Job::Follow => fanout::follow(self, load, board, partner),
            Job::Sleep => wake::sleep(self, load, board, partner),
            Job::Hoard => recovery::hoard(self),
        }
    }

    fn ping(&mut self, load: &Load, partner: &mut Partner<'_>) -> Result<Vec<f64>> {
        latency::ping(self, load, partner)
    }

    fn push(&mut self, load: &Load, board: &Board, partner: &mut Partner<'_>) -> Result<u64> {
        throughput::push(self, load, board, partner)
    }

    fn publish(
        &mut self,
        load: &Load,
        board: &Board,
        partner: &mut Partner<'_>,
    ) -> Result<Vec<f64>> {
        fanout::publish(self, load, board, partner)
    }

    fn rouse(
        &mut self,
        load: &Load,
        sleeper: u32,
        board: &Board,
        partner: &mut Partner<'_>,
    ) -> Result<Vec<f64>> {
        wake::rouse(self, load, sleeper, board, partner)
    }

    fn insist(&mut self, load: &Load) -> Result<Option<Duration>> {
        recovery::insist(self, load)
    }
}
