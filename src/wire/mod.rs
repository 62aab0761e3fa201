//! RTPS on the wire: values, QoS policies, CDR, parameter lists, messages.
//!
//! Everything here is built and parsed with `byteorder`, in both byte orders, from and to bytes in
//! memory: no socket, no clock. What comes from the network gives an error, never a panic, and
//! claims no more memory than it brought. Clauses are those of DDSI-RTPS 2.5 unless another text
//! is named.
#![forbid(unsafe_code)]

pub mod cdr;
mod duration;
mod endianness;
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
mod protocol_version;
pub mod qos;
mod representation_id;
mod sequence_number;
mod sequence_number_set;
mod status_info;
mod time;
mod vendor_id;

pub use duration::Duration;
pub use endianness::Endianness;
pub use entity_id::{EntityId, EntityKind};
pub use error::WireError;
pub use guid::{Guid, GuidPrefix, ParseGuidError};
pub use inline_qos::InlineQos;
pub use key_hash::{InstanceHandle, KeyHash};
pub use locator::{Locator, LocatorKind};
pub use parameter_id::ParameterId;
pub use parameter_list::{MAX_PARAMETER_LENGTH, Parameter, ParameterList, ParameterListBuilder};
pub use protocol_version::ProtocolVersion;
pub use representation_id::RepresentationId;
pub use sequence_number::SequenceNumber;
pub use sequence_number_set::{SEQUENCE_NUMBER_SET_BITS, SequenceNumberSet};
pub use status_info::StatusInfo;
pub use time::Time;
pub use vendor_id::VendorId;
