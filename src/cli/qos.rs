//! The QoS policies that the arguments of `pub` and `sub` have in common.

use clap::{Args, ValueEnum};
use dds_shm::wire::qos::{self, EndpointQos, History};

#[derive(Clone, Debug, Args)]
pub(crate) struct QosArgs {
    /// RELIABILITY
    #[arg(long, value_enum, default_value_t = Reliability::Reliable)]
    reliability: Reliability,
    /// DURABILITY
    #[arg(long, value_enum, default_value_t = Durability::Volatile)]
    durability: Durability,
    /// HISTORY KEEP_LAST with so many samples; default 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    depth: Option<i32>,
    /// HISTORY KEEP_ALL
    #[arg(long, conflicts_with = "depth")]
    keep_all: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Reliability {
    Reliable,
    #[value(alias = "best_effort")]
    BestEffort,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Durability {
    Volatile,
    #[value(alias = "transient_local")]
    TransientLocal,
}

impl QosArgs {
    /// As policies, with the other ones as `defaults` has them.
    pub(crate) fn over(&self, mut defaults: EndpointQos) -> EndpointQos {
        defaults.reliability = match self.reliability {
            Reliability::Reliable => qos::Reliability::reliable(),
            Reliability::BestEffort => qos::Reliability::best_effort(),
        };
        defaults.durability = match self.durability {
            Durability::Volatile => qos::Durability::Volatile,
            Durability::TransientLocal => qos::Durability::TransientLocal,
        };
        defaults.history = if self.keep_all {
            History::keep_all()
        } else {
            History::keep_last(self.depth.unwrap_or(1))
        };
        defaults
    }
}
