//! SPDP, SEDP and liveliness data.

use dds_shm::discovery::{find_locator, participant_version, qos_digest, reader_version};
use dds_shm::wire::{
    Endianness, EndpointData, EndpointRole, ParticipantData, ParticipantMessageData, VendorId,
};

/// Data that is understood can be written again and is then the same.
pub fn run(input: &[u8]) {
    for role in [EndpointRole::Writer, EndpointRole::Reader] {
        let Ok(data) = EndpointData::from_pl_cdr(role, input) else { continue };
        for vendor in [VendorId::ZERO_DDS, VendorId::CYCLONE_DDS, VendorId::RTI_CONNEXT] {
            let _ = find_locator(&data, vendor);
        }
        let _ = (reader_version(&data), qos_digest(role, &data.qos));
        for endianness in [Endianness::Little, Endianness::Big] {
            // It may not fit: strings grow by their terminating NUL, where it was left out.
            let Ok(octets) = data.to_pl_cdr(endianness) else { continue };
            assert_eq!(EndpointData::from_pl_cdr(role, &octets).as_ref(), Ok(&data));
        }
    }
    if let Ok(data) = ParticipantData::from_pl_cdr(input) {
        let _ = participant_version(&data);
        for endianness in [Endianness::Little, Endianness::Big] {
            let Ok(octets) = data.to_pl_cdr(endianness) else { continue };
            assert_eq!(ParticipantData::from_pl_cdr(&octets).as_ref(), Ok(&data));
        }
    }
    if let Ok(guid) = EndpointData::key_from_pl_cdr(input) {
        let octets = EndpointData::key_to_pl_cdr(guid, Endianness::Big).expect("a short list");
        assert_eq!(EndpointData::key_from_pl_cdr(&octets), Ok(guid));
    }
    if let Ok(guid) = ParticipantData::key_from_pl_cdr(input) {
        let octets = ParticipantData::key_to_pl_cdr(guid, Endianness::Big).expect("a short list");
        assert_eq!(ParticipantData::key_from_pl_cdr(&octets), Ok(guid));
    }
    if let Ok(data) = ParticipantMessageData::from_cdr(input)
        && let Ok(octets) = data.to_cdr(Endianness::Little)
    {
        assert_eq!(ParticipantMessageData::from_cdr(&octets), Ok(data));
    }
}
