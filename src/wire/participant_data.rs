//! What SPDP says about a participant.

use super::discovery_list::{
    Properties, Seen, keep_vendor_parameter, key_from_payload, key_payload,
};
use super::{
    BuiltinEndpointSet, Duration, Endianness, Guid, Locator, ParameterId, ParameterList,
    ParameterListBuilder, ProtocolVersion, VendorId, WireError,
};

/// SPDPdiscoveredParticipantData: what a participant announces about itself.
///
/// RTPS 2.5, 8.5.3.2 and 9.6.3.2. A field whose parameter is absent has the default of Table 9.19.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantData {
    /// What it speaks.
    pub protocol_version: ProtocolVersion,
    /// Who made it.
    pub vendor_id: VendorId,
    /// Its GUID: always that of a participant.
    pub guid: Guid,
    /// Its domain; `None`: that of whoever hears it.
    pub domain_id: Option<u32>,
    /// Its domain tag; participants with different tags are in different domains.
    pub domain_tag: String,
    /// Which builtin endpoints it has; none if it does not say.
    pub builtin_endpoint_set: BuiltinEndpointSet,
    /// QoS of its builtin endpoints; bit 0: its liveliness reader is best effort.
    pub builtin_endpoint_qos: u32,
    /// Where it hears discovery messages.
    pub metatraffic_unicast_locators: Vec<Locator>,
    /// Where it hears discovery messages to many.
    pub metatraffic_multicast_locators: Vec<Locator>,
    /// Where its endpoints hear samples, unless they say otherwise.
    pub default_unicast_locators: Vec<Locator>,
    /// Where its endpoints hear samples to many, unless they say otherwise.
    pub default_multicast_locators: Vec<Locator>,
    /// It is gone when nothing has been heard of it for so long.
    pub lease_duration: Duration,
    /// Its readers need QoS inline with every sample.
    pub expects_inline_qos: bool,
    /// Grows when it asserts its liveliness by hand.
    pub manual_liveliness_count: i32,
    /// USER_DATA of the application.
    pub user_data: Vec<u8>,
    /// A name for people.
    pub entity_name: String,
    /// Names and values.
    pub properties: Vec<(String, String)>,
    /// Parameters with the vendor bit, in their order, as they are (with padding at the end). What
    /// they mean depends on [`ParticipantData::vendor_id`].
    pub vendor_parameters: Vec<(ParameterId, Vec<u8>)>,
}

impl ParticipantData {
    /// How long a participant lives that does not say.
    pub const DEFAULT_LEASE_DURATION: Duration = Duration::from_secs(100);

    /// A participant that says nothing but who it is.
    pub fn new(guid: Guid, vendor_id: VendorId) -> Self {
        Self {
            protocol_version: ProtocolVersion::default(),
            vendor_id,
            guid,
            domain_id: None,
            domain_tag: String::new(),
            builtin_endpoint_set: BuiltinEndpointSet::default(),
            builtin_endpoint_qos: 0,
            metatraffic_unicast_locators: Vec::new(),
            metatraffic_multicast_locators: Vec::new(),
            default_unicast_locators: Vec::new(),
            default_multicast_locators: Vec::new(),
            lease_duration: Self::DEFAULT_LEASE_DURATION,
            expects_inline_qos: false,
            manual_liveliness_count: 0,
            user_data: Vec::new(),
            entity_name: String::new(),
            properties: Vec::new(),
            vendor_parameters: Vec::new(),
        }
    }

    /// Reads the payload of a DATA of SPDP.
    ///
    /// # Errors
    ///
    /// If it is no parameter list, the GUID is missing or not that of a participant, a parameter
    /// that is known is malformed or comes twice, or one must be understood and is not known
    /// ([`WireError::MustUnderstand`]). The announcement is then to be ignored as a whole.
    pub fn from_pl_cdr(payload: &[u8]) -> Result<Self, WireError> {
        use ParameterId as Id;
        let list = ParameterList::from_payload(payload)?;
        let mut data = Self::new(Guid::UNKNOWN, VendorId::UNKNOWN);
        let mut guid = None;
        let mut seen = Seen::default();
        for parameter in list.iter() {
            let p = &parameter;
            match p.id.known_as() {
                Id::PROTOCOL_VERSION => data.protocol_version = seen.once(p)?,
                Id::VENDOR_ID => data.vendor_id = seen.once(p)?,
                Id::PARTICIPANT_GUID => guid = Some(seen.once(p)?),
                Id::DOMAIN_ID => data.domain_id = Some(seen.once(p)?),
                Id::DOMAIN_TAG => data.domain_tag = seen.once(p)?,
                Id::BUILTIN_ENDPOINT_SET => {
                    data.builtin_endpoint_set = BuiltinEndpointSet(seen.once(p)?);
                }
                Id::BUILTIN_ENDPOINT_QOS => data.builtin_endpoint_qos = seen.once(p)?,
                Id::METATRAFFIC_UNICAST_LOCATOR => {
                    data.metatraffic_unicast_locators.push(p.read()?);
                }
                Id::METATRAFFIC_MULTICAST_LOCATOR => {
                    data.metatraffic_multicast_locators.push(p.read()?);
                }
                Id::DEFAULT_UNICAST_LOCATOR => data.default_unicast_locators.push(p.read()?),
                Id::DEFAULT_MULTICAST_LOCATOR => data.default_multicast_locators.push(p.read()?),
                Id::PARTICIPANT_LEASE_DURATION => data.lease_duration = seen.once(p)?,
                Id::EXPECTS_INLINE_QOS => data.expects_inline_qos = seen.once(p)?,
                Id::PARTICIPANT_MANUAL_LIVELINESS_COUNT => {
                    data.manual_liveliness_count = seen.once(p)?;
                }
                Id::USER_DATA => data.user_data = seen.octets_once(p)?,
                Id::ENTITY_NAME => data.entity_name = seen.once(p)?,
                Id::PROPERTY_LIST => data.properties = seen.once::<Properties>(p)?.0,
                _ => keep_vendor_parameter(p, &mut data.vendor_parameters)?,
            }
        }
        data.guid = guid.ok_or(WireError::MissingParameter { id: Id::PARTICIPANT_GUID })?;
        check_is_participant(data.guid)?;
        Ok(data)
    }

    /// The payload of a DATA of SPDP.
    ///
    /// The domain tag is left out if it is empty: it must be understood, and older peers that do not
    /// know it would ignore the participant.
    ///
    /// # Errors
    ///
    /// If a value is too long for a parameter, a text has a NUL in it, or a vendor parameter's id
    /// has not the vendor bit.
    pub fn to_pl_cdr(&self, endianness: Endianness) -> Result<Vec<u8>, WireError> {
        use ParameterId as Id;
        let mut list = ParameterListBuilder::new(endianness);
        list.value(Id::PROTOCOL_VERSION, &self.protocol_version)?;
        list.value(Id::VENDOR_ID, &self.vendor_id)?;
        list.value(Id::PARTICIPANT_GUID, &self.guid)?;
        if let Some(domain_id) = &self.domain_id {
            list.value(Id::DOMAIN_ID, domain_id)?;
        }
        list.string(Id::DOMAIN_TAG, &self.domain_tag)?;
        list.value(Id::BUILTIN_ENDPOINT_SET, &self.builtin_endpoint_set.0)?;
        list.unless_default(Id::BUILTIN_ENDPOINT_QOS, &self.builtin_endpoint_qos, &0)?;
        list.locators(Id::METATRAFFIC_UNICAST_LOCATOR, &self.metatraffic_unicast_locators)?;
        list.locators(Id::DEFAULT_UNICAST_LOCATOR, &self.default_unicast_locators)?;
        list.locators(Id::METATRAFFIC_MULTICAST_LOCATOR, &self.metatraffic_multicast_locators)?;
        list.locators(Id::DEFAULT_MULTICAST_LOCATOR, &self.default_multicast_locators)?;
        list.value(Id::PARTICIPANT_LEASE_DURATION, &self.lease_duration)?;
        list.unless_default(Id::EXPECTS_INLINE_QOS, &self.expects_inline_qos, &false)?;
        list.unless_default(
            Id::PARTICIPANT_MANUAL_LIVELINESS_COUNT,
            &self.manual_liveliness_count,
            &0,
        )?;
        list.octets(Id::USER_DATA, &self.user_data)?;
        list.string(Id::ENTITY_NAME, &self.entity_name)?;
        list.properties(&self.properties)?;
        list.vendor_parameters(&self.vendor_parameters)?;
        Ok(list.finish_payload())
    }

    /// The payload that says which participant has left: its key alone.
    ///
    /// # Errors
    ///
    /// None in practice: a GUID fits in a parameter.
    pub fn key_to_pl_cdr(guid: Guid, endianness: Endianness) -> Result<Vec<u8>, WireError> {
        key_payload(ParameterId::PARTICIPANT_GUID, guid, endianness)
    }

    /// Which participant a payload with the key alone is about.
    ///
    /// # Errors
    ///
    /// If it is no parameter list, has no GUID, or one that is not that of a participant.
    pub fn key_from_pl_cdr(payload: &[u8]) -> Result<Guid, WireError> {
        let guid = key_from_payload(ParameterId::PARTICIPANT_GUID, payload)?;
        check_is_participant(guid)?;
        Ok(guid)
    }
}

fn check_is_participant(guid: Guid) -> Result<(), WireError> {
    if guid == guid.participant() {
        return Ok(());
    }
    let value = u32::from_be_bytes(guid.entity_id.0).into();
    Err(WireError::InvalidValue { what: "entity of a participant's GUID", value })
}
