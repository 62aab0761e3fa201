//! RTPS messages: a header and submessages. RTPS 2.5, 8.3 and 9.4.

mod ack_nack;
mod builder;
mod data;
mod data_frag;
mod gap;
mod header;
mod heartbeat;
mod reader;
mod submessage;
#[cfg(test)]
mod tests;

pub use ack_nack::AckNack;
pub use builder::{MessageBuilder, OutgoingData};
pub use data::{Data, DataPayload};
pub use data_frag::DataFrag;
pub use gap::Gap;
pub use header::RtpsHeader;
pub use heartbeat::Heartbeat;
pub use reader::{MessageReader, Received, ReceiverState};
pub use submessage::{Submessage, SubmessageKind};
