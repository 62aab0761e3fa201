//! The plugin: DDS writers as segments, DDS readers attached to them, whatever the host.
//!
//! | file | what |
//! |---|---|
//! | `transport`, `inner`, `builder`, `config`, `error` | [`ShmTransport`]: what a host makes, and tells of others |
//! | `writer`, `writer_handle`, `writer_shared` | [`ShmWriter`]: who reads it, covered sets, locator |
//! | `reader`, `reader_handle`, `reader_shared`, `attachment`, `link`, `sample`, `stable_vec` | [`ShmReader`]: takes from many writers |
//! | `data_writer`, `data_reader` | both for samples of one flat type |
//! | `matching`, `duty` | who matches whom, and what is left to the host; no I/O |
//! | `switch` | between network and shared memory, nothing lost and nothing twice; no I/O |
//! | `segment_locator` | from a segment to its locator, and back |
//! | `segment_plan` | QoS as flow policy and size of a segment; no I/O |
//! | `embedded`, `announcement` | [`EmbeddedParticipant`]: the transport with discovery of our own |
//! | `reachability`, `event` | by which way, why not, and what happened |
//!
//! QoS and switching: `spec-notes/qos.md`.
#![forbid(unsafe_code)]

mod announcement;
mod attachment;
mod builder;
mod config;
mod data_reader;
mod data_writer;
mod duty;
mod embedded;
mod error;
mod event;
mod inner;
mod link;
mod matching;
mod reachability;
mod reader;
mod reader_handle;
mod reader_shared;
mod sample;
mod segment_locator;
mod segment_plan;
mod stable_vec;
mod switch;
#[expect(clippy::module_inception, reason = "the structure after which the room is named")]
mod transport;
mod writer;
mod writer_handle;
mod writer_shared;

pub use builder::ShmTransportBuilder;
pub use config::{ReaderConfig, WriterConfig};
pub use data_reader::{DataSample, ShmDataReader};
pub use data_writer::{DataLoan, ShmDataWriter};
pub use duty::HostDuty;
pub use embedded::EmbeddedParticipant;
pub use error::TransportError;
pub use event::{ReaderLoss, TransportEvent, TransportEvents};
pub use reachability::{Mismatch, NetworkReason, Reachability, TypeHashMismatch};
pub use reader::ShmReader;
pub use reader_handle::ReaderHandle;
pub use sample::ShmSample;
pub use segment_locator::{attach_by_locator, locator_of};
pub use switch::{Switch, Verdict};
pub use transport::ShmTransport;
pub use writer::{ShmLoan, ShmWriter};
pub use writer_handle::WriterHandle;
