//! RTPS on the wire: values, QoS policies, CDR, parameter lists, messages.
//!
//! Everything here is built and parsed with `byteorder`, in both byte orders, from and to bytes in
//! memory: no socket, no clock. What comes from the network gives an error, never a panic, and
//! claims no more memory than it brought. Clauses are those of DDSI-RTPS 2.5 unless another text
//! is named.
#![forbid(unsafe_code)]

mod builtin_endpoint_set;
pub mod cdr;
mod discovery_list;
mod duration;
mod endianness;
mod endpoint_data;
mod entity_id;
mod error;
mod fraction;
mod guid;
mod inline_qos;
mod key_hash;
mod locator;
pub mod message;
mod parameter_id;
mod parameter_list;
mod participant_data;
mod participant_message_data;
mod protocol_version;
pub mod qos;
mod representation_id;
mod sequence_number;
mod sequence_number_set;
mod status_info;
mod time;
mod vendor_id;

pub use builtin_endpoint_set::BuiltinEndpointSet;
pub use duration::Duration;
pub use endianness::Endianness;
pub use endpoint_data::{EndpointData, EndpointRole};
pub use entity_id::{EntityId, EntityKind};
pub use error::WireError;
pub use guid::{Guid, GuidPrefix, ParseGuidError};
pub use inline_qos::InlineQos;
pub use key_hash::{InstanceHandle, KeyHash};
pub use locator::{Locator, LocatorKind};
pub use parameter_id::ParameterId;
pub use parameter_list::{MAX_PARAMETER_LENGTH, Parameter, ParameterList, ParameterListBuilder};
pub use participant_data::ParticipantData;
pub use participant_message_data::{ParticipantMessageData, ParticipantMessageKind};
pub use protocol_version::ProtocolVersion;
pub use representation_id::RepresentationId;
pub use sequence_number::SequenceNumber;
pub use sequence_number_set::{SEQUENCE_NUMBER_SET_BITS, SequenceNumberSet};
pub use status_info::StatusInfo;
pub use time::Time;
pub use vendor_id::VendorId;
