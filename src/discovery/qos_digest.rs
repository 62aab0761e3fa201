//! A number that stands for a QoS where a few octets have to do.

use super::fnv::fnv1a_64;
use crate::wire::qos::EndpointQos;
use crate::wire::{Endianness, EndpointData, EndpointRole, EntityId, Guid, GuidPrefix, WireError};

/// A number for a quick look whether two QoS are the same: FNV-1a-64 of the little-endian SEDP payload
/// of an endpoint that has this QoS, an all-zero GUID with the kind of a keyed user endpoint, and
/// empty names.
///
/// # Errors
/// If the QoS cannot be announced: a partition with a NUL in its name, or too many of them.
pub fn qos_digest(role: EndpointRole, qos: &EndpointQos) -> Result<u64, WireError> {
    let entity_id = match role {
        EndpointRole::Writer => EntityId::user_writer(0, true),
        EndpointRole::Reader => EntityId::user_reader(0, true),
    };
    let guid = Guid::new(GuidPrefix::UNKNOWN, entity_id);
    let data = EndpointData { qos: qos.clone(), ..EndpointData::new(role, guid, "", "") };
    Ok(fnv1a_64(&data.to_pl_cdr(Endianness::Little)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_tells_different_qos_apart() {
        let qos = EndpointQos::writer_default();
        let digest = |role, qos: &EndpointQos| qos_digest(role, qos).unwrap();
        let mut deeper = qos.clone();
        deeper.history.depth = 7;
        let of = digest(EndpointRole::Writer, &qos);
        assert_eq!(of, digest(EndpointRole::Writer, &qos.clone()));
        assert_ne!(of, digest(EndpointRole::Writer, &deeper));
        assert_ne!(of, digest(EndpointRole::Reader, &qos));
    }
}
