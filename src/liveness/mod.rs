//! Nodes, lock files, proof of death, bells.
//!
//! | file | what |
//! |---|---|
//! | `names` | [`NodeId`], [`SegmentName`]: whose an object is, by its name |
//! | `runtime_dir` | [`RuntimeDir`]: where the nodes of one user keep their files |
//! | `node` | [`Node`]: this process, its lock, its bell and its service thread |
//! | `peer` | [`PeerNode`]: another one, and whether it is alive |
//! | `doorbell` | sleeping and waking: the algorithm, over any two shared words |
//! | `bell` | [`Bell`], [`RemoteBell`]: the object in which a node sleeps |
//! | `flink` | files that name a segment |
//! | `inspect` | a look at the nodes of this host, for people |
//! | `janitor` | removing what the dead left behind |
#![forbid(unsafe_code)]

pub mod bell;
pub mod doorbell;
mod error;
pub mod flink;
pub mod inspect;
pub mod janitor;
pub mod names;
mod node;
mod peer;
mod runtime_dir;

pub use bell::{Bell, BellBit, RemoteBell};
pub use error::LivenessError;
pub use janitor::{SweepOptions, recovery_lock, sweep};
pub use names::{NodeId, SegmentName};
pub use node::{BitLease, Node, NodeOptions, Serve, Serviced, TICK, spawn_quiet};
pub use peer::PeerNode;
pub use runtime_dir::{DIR_VARIABLE, RuntimeDir};
