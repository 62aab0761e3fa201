//! What the first process has the second one do, and what that says then: lines of JSON.

use serde::{Deserialize, Serialize};

use crate::mappings::Mapping;
use crate::transport::{Place, Plan};
use crate::transports::Contender;

/// What the second process is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Open the board, and keep files at a place.
    Meet { board: String, place: Place },
    /// Start a transport.
    Start { contender: Contender },
    /// Join a channel; with `both_ways`, make one for the other direction.
    Join { contender: Contender, plan: Plan, address: String, both_ways: bool },
    /// Wait until everything that was joined or made is ready.
    Settle { contender: Contender, answers: Vec<String> },
    /// Its part of a measurement.
    Work { contender: Contender, job: Job, load: Load },
    /// Say what shared memory is mapped.
    ListMappings,
    /// Let go of the channels.
    Close { contender: Contender },
}

/// The second process's part of a measurement.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Answer each sample with one.
    Echo,
    /// Take everything, as fast as it comes.
    Drain,
    /// Take everything for each of the receivers.
    Follow,
    /// Sleep for each sample.
    Sleep,
    /// Take as much as is allowed, and keep it.
    Hoard,
}

/// How much is sent, and how.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Octets of a sample.
    pub(crate) size: u32,
    /// All octets are written and read.
    pub(crate) touched: bool,
    /// Samples before the clock starts.
    pub(crate) warm_up: u64,
    /// Samples, or batches of them.
    pub(crate) count: u64,
}

/// What the second process says when it is done.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    Done,
    Joined { answers: Vec<String>, address: Option<String> },
    Drained(Received),
    Mappings(Vec<Mapping>),
}

/// What arrived.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Received {
    pub(crate) samples: u64,
    /// Samples that did not come right behind the one with the number before.
    pub(crate) out_of_order: u64,
}
