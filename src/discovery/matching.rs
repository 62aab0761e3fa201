//! Whether a writer and a reader belong together.

use crate::wire::EndpointData;
use crate::wire::qos::incompatible_policies;

/// Whether these are a writer and a reader of one topic and type, in a common partition, whose QoS
/// agree. Says nothing about layouts of the type in memory.
pub(crate) fn match_each_other(one: &EndpointData, other: &EndpointData) -> bool {
    use crate::wire::EndpointRole::{Reader, Writer};
    let (writer, reader) = match (one.role, other.role) {
        (Writer, Reader) => (one, other),
        (Reader, Writer) => (other, one),
        _ => return false,
    };
    writer.topic_name == reader.topic_name
        && writer.type_name == reader.type_name
        && writer.qos.partition.matches(&reader.qos.partition)
        && incompatible_policies(&writer.qos, &reader.qos).is_empty()
}
