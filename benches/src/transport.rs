//! What is asked of a transport under test.
//!
//! A channel goes one way: one sender, in one process, and any number of receivers, in the other. For a
//! round trip there are two. Every transport is asked for the same work: loan room for a sample, fill it
//! (or not), publish, take, read (or not), give back.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::figures::Figure;
use crate::waiting::LIMIT;

/// Where the transports of a run keep their files, and what their names begin with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) prefix: String,
}

/// A channel to be made. Each transport makes of it what serves it best.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// No other channel of the run has it.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) figure: Figure,
    /// Octets of a sample.
    pub(crate) size: u32,
    /// Receivers, all in one process.
    pub(crate) readers: u32,
    /// Samples that may have to wait until they are taken.
    pub(crate) depth: u32,
    /// Samples that will be sent, warming up not counted.
    pub(crate) messages: u64,
}

impl Plan {
    /// How long a sender waits for room before it gives up.
    pub(crate) fn patience(&self) -> Duration {
        if self.figure == Figure::Recovery { RECOVERY_LIMIT } else { LIMIT }
    }

    /// Receivers sleep while there is nothing.
    pub(crate) fn sleeps(&self) -> bool {
        self.figure == Figure::Wake
    }
}

/// How long a writer is given to get over a killed reader.
pub(crate) const RECOVERY_LIMIT: Duration = Duration::from_secs(3);

/// Why a transport has no part in a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// It cannot do what is measured.
    Cannot(&'static str),
    /// There is nothing to be measured, or another row has it.
    NoRow,
}

/// A transport under test, in one process.
pub(crate) trait Transport: Sized + 'static {
    type Sender: Sender;
    type Receiver: Receiver;

    /// Joins whatever the processes that use the transport have in common.
    fn start(place: &Place) -> Result<Self>;

    /// Why it has no part in a figure, if it has none.
    fn absence(figure: Figure) -> Option<Absence> {
        let _ = figure;
        None
    }

    /// Makes a channel.
    fn sender(&self, plan: &Plan) -> Result<Self::Sender>;

    /// Joins a channel of the other process as the receiver `index`, from 0.
    fn receiver(&self, plan: &Plan, address: &str, index: u32) -> Result<Self::Receiver>;
}

/// The sending end of a channel.
pub(crate) trait Sender {
    /// How the other process finds the channel.
    fn address(&self) -> Result<String>;

    /// Hears what the receivers answered when they joined.
    fn meet(&mut self, answers: &[String]) -> Result<()> {
        let _ = answers;
        Ok(())
    }

    /// Whether so many receivers get what is sent from now on.
    fn is_ready(&mut self, readers: u32) -> Result<bool>;

    /// Samples to send before anything is measured, until the memory that will be used has been used.
    fn warm_up(&self, plan: &Plan) -> u64 {
        u64::from(2 * plan.depth)
    }

    /// Loans room for `len` octets and publishes it as it is. `false`: no room now.
    fn send_untouched(&mut self, len: usize) -> Result<bool>;

    /// Publishes a sample into which `bytes` were written once. `false`: no room now.
    fn send_copy(&mut self, bytes: &[u8]) -> Result<bool>;
}

/// The receiving end of a channel.
pub(crate) trait Receiver {
    /// What the sender has to hear.
    fn answer(&self) -> Result<String> {
        Ok(String::new())
    }

    /// Whether it gets what is sent from now on.
    fn is_ready(&mut self) -> Result<bool> {
        Ok(true)
    }

    /// Takes the next sample, lets `read` look at it in place, and gives it back. `None`: nothing now.
    fn take<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<Option<R>>;

    /// Sleeps until there may be something to take.
    fn sleep(&mut self, at_most: Duration) -> Result<()> {
        std::thread::sleep(at_most.min(Duration::from_millis(1)));
        Ok(())
    }

    /// Takes as many samples as it is allowed to and never gives them back. How many.
    fn hoard(&mut self) -> Result<usize>;
}
