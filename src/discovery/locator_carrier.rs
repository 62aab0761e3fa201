//! The three ways in which discovery data carries a [`ShmLocator`].
//!
//! Not every DDS implementation lets an application add a parameter to its announcements, but each
//! lets it set properties or user data. The value is the same everywhere; where it has to be text it
//! is lowercase hexadecimal.

use super::shm_locator::{LocatorError, ShmLocator};
use super::user_data;
use crate::wire::{EndpointData, EndpointRole, ParameterId, ParticipantData, VendorId};

/// Name of the property, and key of the pair in user data, that carry a locator.
pub const LOCATOR_KEY: &str = "dds_shm.locator";
/// Name of the property, and key of the pair in user data, by which a participant or a reader says
/// that it can read segments: the highest segment format, in decimal.
pub const VERSION_KEY: &str = "dds_shm.version";
/// The segment format that this version reads.
pub const SHM_VERSION: u32 = 1;

/// Vendors whose parameter 0x8001 means something else (RTI: PLUGIN_PROMISCUITY_KIND, ADLINK and
/// OpenSplice: WRITER_INFO).
const OTHER_MEANING_OF_8001: [VendorId; 5] = [
    VendorId::RTI_CONNEXT,
    VendorId::RTI_CONNEXT_MICRO,
    VendorId::OPENSPLICE,
    VendorId::VORTEX_CAFE,
    VendorId::VORTEX_LITE,
];

/// How a publication carries its locator.
///
/// ```
/// use dds_shm::discovery::{LocatorCarrier, LocatorPath, ShmLocator, find_locator};
/// use dds_shm::wire::{EndpointData, EndpointRole, EntityId, Guid, GuidPrefix, VendorId};
/// # use dds_shm::discovery::{HostIdentity, SegmentFormat, SegmentHints};
/// # let hints = SegmentHints {
/// #     format: SegmentFormat::V1, flags: 0, slot_capacity: 64, incarnation: [7; 16],
/// #     type_hash: None, host: HostIdentity::UNKNOWN,
/// # };
///
/// let guid = Guid::new(GuidPrefix([1; 12]), EntityId::user_writer(1, false));
/// let mut publication = EndpointData::new(EndpointRole::Writer, guid, "Pose", "geometry::Pose");
/// let locator = ShmLocator {
///     hostname_hash: 0x4049_c22c,
///     uid: 1000,
///     slot_count: 16,
///     slot_stride: 128,
///     path: LocatorPath::new("/dev/shm/dds-shm-1000/segments/pose.flink")?,
///     segment: Some(hints),
/// };
/// LocatorCarrier::UserData.put(&locator, &mut publication)?;
/// assert_eq!(find_locator(&publication, VendorId::RUST_DDS)?, Some(locator));
/// # Ok::<(), dds_shm::discovery::LocatorError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LocatorCarrier {
    /// A vendor parameter; [`ParameterId::SHM_LOCATOR`] unless a host needs another.
    Parameter(ParameterId),
    /// A property.
    Property,
    /// A pair in user data, behind what is there.
    UserData,
}

impl Default for LocatorCarrier {
    fn default() -> Self {
        Self::Parameter(ParameterId::SHM_LOCATOR)
    }
}

impl LocatorCarrier {
    /// Puts the locator into a publication, in the place of one that is there in the same carrier.
    ///
    /// # Errors
    /// [`LocatorError::BadParameterId`] if the parameter is not a vendor's, or must be understood:
    /// whoever does not know it would drop the whole publication.
    pub fn put(
        self,
        locator: &ShmLocator,
        publication: &mut EndpointData,
    ) -> Result<(), LocatorError> {
        let value = locator.encode();
        match self {
            Self::Parameter(id) => {
                if !id.is_vendor_specific() || id.must_understand() {
                    return Err(LocatorError::BadParameterId(id));
                }
                publication.vendor_parameters.retain(|(found, _)| *found != id);
                publication.vendor_parameters.push((id, value));
            }
            Self::Property => {
                publication.properties.retain(|(name, _)| name != LOCATOR_KEY);
                publication.properties.push((LOCATOR_KEY.to_owned(), to_hex(&value)));
            }
            Self::UserData => {
                user_data::set(&mut publication.user_data, LOCATOR_KEY, &to_hex(&value));
            }
        }
        Ok(())
    }
}

/// Finds the locator of a publication in whichever carrier has one: parameter 0x8001, property, user
/// data, in this order.
///
/// `vendor` is that of the RTPS message which the publication came in.
///
/// # Errors
/// What is wrong with the first one, if none is good.
pub fn find_locator(
    publication: &EndpointData,
    vendor: VendorId,
) -> Result<Option<ShmLocator>, LocatorError> {
    find_locator_in(publication, vendor, ParameterId::SHM_LOCATOR)
}

/// As [`find_locator`], looking at the parameter `id` before 0x8001.
///
/// # Errors
/// As [`find_locator`].
pub fn find_locator_in(
    publication: &EndpointData,
    vendor: VendorId,
    id: ParameterId,
) -> Result<Option<ShmLocator>, LocatorError> {
    let parameter =
        |id| publication.vendor_parameter(id).and_then(|v| from_parameter(v, vendor, id));
    let property = || {
        let value = publication.properties.iter().find(|(name, _)| name == LOCATOR_KEY);
        value.map(|(_, value)| from_text(value.as_bytes()))
    };
    let pair = || user_data::get(&publication.user_data, LOCATOR_KEY).map(from_text);
    let other = (id != ParameterId::SHM_LOCATOR).then_some(id);
    let candidates =
        [other.and_then(parameter), parameter(ParameterId::SHM_LOCATOR), property(), pair()];
    let mut first_error = None;
    for candidate in candidates.into_iter().flatten() {
        match candidate {
            Ok(locator) => return Ok(Some(locator)),
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    first_error.map_or(Ok(None), Err)
}

/// `None` if the parameter is somebody else's.
fn from_parameter(
    value: &[u8],
    vendor: VendorId,
    id: ParameterId,
) -> Option<Result<ShmLocator, LocatorError>> {
    let is_8001 = id == ParameterId::SHM_LOCATOR;
    if is_8001 && OTHER_MEANING_OF_8001.contains(&vendor) {
        return None;
    }
    let is_zerodds = is_8001 && vendor == VendorId::ZERO_DDS;
    match ShmLocator::decode(value) {
        Ok(locator) if locator.segment.is_none() && !is_zerodds => None,
        // Octets that are no locator at all are another vendor's parameter, not an error of ours.
        Err(_) if !is_zerodds && !ShmLocator::has_trailer(value) => None,
        result => Some(result),
    }
}

fn from_text(hex: &[u8]) -> Result<ShmLocator, LocatorError> {
    let locator = ShmLocator::decode(&from_hex(hex)?)?;
    // The name is ours, so the trailer has to be there.
    if locator.segment.is_some() { Ok(locator) } else { Err(LocatorError::NoTrailer) }
}

/// Says in an announcement of ours that segments can be read.
pub(crate) fn announce_version(participant: &mut ParticipantData) {
    participant.properties.retain(|(name, _)| name != VERSION_KEY);
    participant.properties.push((VERSION_KEY.to_owned(), SHM_VERSION.to_string()));
}

/// Says in the announcement of a reader that it can read segments. For hosts that cannot say so of
/// the participant.
pub fn announce_reader_version(subscription: &mut EndpointData) {
    subscription.properties.retain(|(name, _)| name != VERSION_KEY);
    subscription.properties.push((VERSION_KEY.to_owned(), SHM_VERSION.to_string()));
}

/// The segment format that a participant says it can read.
pub fn participant_version(participant: &ParticipantData) -> Option<u32> {
    version_in(&participant.properties, &participant.user_data)
}

/// The segment format that a reader says it can read; a writer says it by its locator.
pub fn reader_version(endpoint: &EndpointData) -> Option<u32> {
    (endpoint.role == EndpointRole::Reader)
        .then(|| version_in(&endpoint.properties, &endpoint.user_data))
        .flatten()
}

fn version_in(properties: &[(String, String)], octets: &[u8]) -> Option<u32> {
    let property = properties.iter().find(|(name, _)| name == VERSION_KEY);
    let text = match property {
        Some((_, value)) => value.as_str(),
        None => std::str::from_utf8(user_data::get(octets, VERSION_KEY)?).ok()?,
    };
    text.parse().ok().filter(|version| *version > 0)
}

fn to_hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn from_hex(digits: &[u8]) -> Result<Vec<u8>, LocatorError> {
    let digit = |octet: u8| (octet as char).to_digit(16).map(|value| value as u8);
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(LocatorError::NotHex);
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect::<Option<_>>()
        .ok_or(LocatorError::NotHex)
}

#[cfg(test)]
mod tests {
    use super::super::host_identity::HostIdentity;
    use super::super::shm_locator::{LocatorPath, SegmentHints};
    use super::*;
    use crate::types::SegmentFormat;
    use crate::wire::{Endianness, EntityId, Guid, GuidPrefix};
    use proptest::prelude::*;

    const ALL: [LocatorCarrier; 4] = [
        LocatorCarrier::Parameter(ParameterId::SHM_LOCATOR),
        LocatorCarrier::Parameter(ParameterId(0xb7f1)),
        LocatorCarrier::Property,
        LocatorCarrier::UserData,
    ];

    fn publication() -> EndpointData {
        let guid = Guid::new(GuidPrefix([1; 12]), EntityId::user_writer(1, false));
        EndpointData::new(EndpointRole::Writer, guid, "Pose", "geometry::Pose")
    }

    fn locator(path: &str) -> ShmLocator {
        ShmLocator {
            hostname_hash: 1,
            uid: 2,
            slot_count: 3,
            slot_stride: 4,
            path: LocatorPath::new(path).unwrap(),
            segment: Some(SegmentHints {
                format: SegmentFormat::V1,
                flags: 0,
                slot_capacity: 64,
                incarnation: [7; 16],
                type_hash: None,
                host: HostIdentity { boot_id_hash: 8, shm_device: 9 },
            }),
        }
    }

    fn of_zerodds() -> Vec<u8> {
        ShmLocator { segment: None, ..locator("/run/zdds/pose.flink") }.encode()
    }

    fn find(publication: &EndpointData, vendor: VendorId) -> Option<ShmLocator> {
        find_locator_in(publication, vendor, ParameterId(0xb7f1)).unwrap()
    }

    #[test]
    fn every_carrier_brings_the_locator_over_the_wire() {
        for carrier in ALL {
            for endianness in [Endianness::Little, Endianness::Big] {
                let mut sent = publication();
                sent.user_data = b"typehash=RIHS01_00".to_vec();
                carrier.put(&locator("/a"), &mut sent).unwrap();
                carrier.put(&locator("/b"), &mut sent).unwrap();
                let payload = sent.to_pl_cdr(endianness).unwrap();
                let received = EndpointData::from_pl_cdr(EndpointRole::Writer, &payload).unwrap();
                assert_eq!(find(&received, VendorId::EMBEDDED), Some(locator("/b")), "{carrier:?}");
                assert!(received.user_data.starts_with(b"typehash=RIHS01_00"));
            }
        }
        assert_eq!(find(&publication(), VendorId::EMBEDDED), None);
    }

    #[test]
    fn the_parameter_is_not_ours_from_vendors_that_use_it_otherwise() {
        let mut publication = publication();
        LocatorCarrier::default().put(&locator("/a"), &mut publication).unwrap();
        for vendor in OTHER_MEANING_OF_8001 {
            assert_eq!(find(&publication, vendor), None, "{vendor}");
        }
        LocatorCarrier::Property.put(&locator("/b"), &mut publication).unwrap();
        assert_eq!(find(&publication, VendorId::RTI_CONNEXT), Some(locator("/b")));
        assert_eq!(find(&publication, VendorId::CYCLONE_DDS), Some(locator("/a")));
    }

    #[test]
    fn a_value_without_our_magic_counts_from_zerodds_only() {
        let mut publication = publication();
        publication.vendor_parameters.push((ParameterId::SHM_LOCATOR, of_zerodds()));
        let found = find(&publication, VendorId::ZERO_DDS).unwrap();
        assert_eq!((found.path.as_str(), found.segment), ("/run/zdds/pose.flink", None));
        assert_eq!(find(&publication, VendorId::CYCLONE_DDS), None);
        assert_eq!(find(&publication, VendorId::UNKNOWN), None);
        publication.vendor_parameters[0].0 = ParameterId(0xb7f1);
        assert_eq!(find(&publication, VendorId::ZERO_DDS), None);
        for text in [LocatorCarrier::Property, LocatorCarrier::UserData] {
            let mut publication = self::publication();
            let headless = ShmLocator::decode(&of_zerodds()).unwrap();
            text.put(&headless, &mut publication).unwrap();
            let found = find_locator(&publication, VendorId::ZERO_DDS);
            assert_eq!(found, Err(LocatorError::NoTrailer));
        }
    }

    #[test]
    fn somebody_elses_parameter_is_no_error_and_a_damaged_one_of_ours_is() {
        let mut publication = publication();
        publication.vendor_parameters.push((ParameterId::SHM_LOCATOR, vec![1, 0, 0, 0]));
        assert_eq!(find_locator(&publication, VendorId::FAST_DDS), Ok(None));
        let mut damaged = locator("/a").encode();
        damaged.truncate(damaged.len() - 4);
        publication.vendor_parameters[0].1 = damaged;
        assert!(find_locator(&publication, VendorId::FAST_DDS).is_err());
        LocatorCarrier::UserData.put(&locator("/good"), &mut publication).unwrap();
        assert_eq!(find_locator(&publication, VendorId::FAST_DDS), Ok(Some(locator("/good"))));
    }

    #[test]
    fn a_parameter_that_peers_would_stumble_over_is_refused() {
        for id in [0x0001, 0x7001, 0xc001, 0xffff] {
            let carrier = LocatorCarrier::Parameter(ParameterId(id));
            assert_eq!(
                carrier.put(&locator("/a"), &mut publication()),
                Err(LocatorError::BadParameterId(ParameterId(id)))
            );
        }
    }

    #[test]
    fn a_reader_or_its_participant_says_what_it_reads() {
        let guid = Guid::new(GuidPrefix([1; 12]), EntityId::PARTICIPANT);
        let mut participant = ParticipantData::new(guid, VendorId::EMBEDDED);
        assert_eq!(participant_version(&participant), None);
        announce_version(&mut participant);
        assert_eq!(participant_version(&participant), Some(SHM_VERSION));

        let guid = Guid::new(GuidPrefix([1; 12]), EntityId::user_reader(1, false));
        let mut reader = EndpointData::new(EndpointRole::Reader, guid, "T", "U");
        assert_eq!(reader_version(&reader), None);
        reader.user_data = b"typehash=1;dds_shm.version=3;".to_vec();
        assert_eq!(reader_version(&reader), Some(3));
        for nonsense in ["dds_shm.version=0", "dds_shm.version=-1", "dds_shm.version=\u{fc}"] {
            reader.user_data = nonsense.as_bytes().to_vec();
            assert_eq!(reader_version(&reader), None);
        }
        announce_reader_version(&mut reader);
        assert_eq!(reader_version(&reader), Some(SHM_VERSION));
    }

    proptest! {
        #[test]
        fn no_content_of_the_carriers_panics(parameter: Vec<u8>, text: String, octets: Vec<u8>) {
            let mut publication = publication();
            publication.vendor_parameters.push((ParameterId::SHM_LOCATOR, parameter));
            publication.properties.push((LOCATOR_KEY.to_owned(), text));
            publication.user_data = [b"dds_shm.locator=", &octets[..]].concat();
            let _ = find_locator(&publication, VendorId::ZERO_DDS);
            let _ = find_locator(&publication, VendorId::EMBEDDED);
        }
    }
}
