#![doc = include_str!("../README.md")]

mod abi;
mod complaint;
mod cyclone;
mod entry;
mod gate;
mod guard;
mod instance;
mod log;
mod node_id;
mod options;
mod outsize;
mod plan;
mod qos;
mod reader;
mod receiver;
mod topic;
mod type_description;
mod type_layout;
mod writer;

pub use entry::dds_shm_create_psmx;
pub use node_id::exchange_domain;
pub use topic::ANY_TYPE;
