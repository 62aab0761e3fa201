//! What SEDP says about a writer or a reader.

use super::discovery_list::{
    Properties, Seen, keep_vendor_parameter, key_from_payload, key_payload,
};
use super::qos::EndpointQos;
use super::{
    Endianness, Guid, Locator, ParameterId, ParameterList, ParameterListBuilder, ProtocolVersion,
    VendorId, WireError,
};

/// Which side of a topic an endpoint is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndpointRole {
    /// A DataWriter; announced as a publication.
    Writer,
    /// A DataReader; announced as a subscription.
    Reader,
}

impl EndpointRole {
    /// The policies that stand for parameters which are absent.
    pub fn default_qos(self) -> EndpointQos {
        match self {
            Self::Writer => EndpointQos::writer_default(),
            Self::Reader => EndpointQos::reader_default(),
        }
    }
}

/// DiscoveredWriterData or DiscoveredReaderData: what a participant announces about an endpoint.
///
/// RTPS 2.5, 8.5.4.4 and 9.6.3.2. A field whose parameter is absent has the default of Table 9.19.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointData {
    /// Writer or reader. Not sent: it follows from which builtin endpoint the data comes through.
    pub role: EndpointRole,
    /// The endpoint.
    pub guid: Guid,
    /// Its participant; derived from [`EndpointData::guid`] if absent.
    pub participant_guid: Guid,
    /// Its topic.
    pub topic_name: String,
    /// The registered name of the topic's type.
    pub type_name: String,
    /// What its implementation speaks, if it says.
    pub protocol_version: Option<ProtocolVersion>,
    /// Who made its implementation, if it says.
    pub vendor_id: Option<VendorId>,
    /// Its policies.
    pub qos: EndpointQos,
    /// Where it hears messages; if empty, where its participant does.
    pub unicast_locators: Vec<Locator>,
    /// Where it hears messages to many; if empty, where its participant does.
    pub multicast_locators: Vec<Locator>,
    /// A reader that needs QoS inline with every sample.
    pub expects_inline_qos: bool,
    /// A writer's largest serialised sample, if it says.
    pub type_max_size_serialized: Option<u32>,
    /// Its Publisher or Subscriber, if it says.
    pub group_guid: Option<Guid>,
    /// USER_DATA of the application.
    pub user_data: Vec<u8>,
    /// TOPIC_DATA of the application.
    pub topic_data: Vec<u8>,
    /// GROUP_DATA of the application.
    pub group_data: Vec<u8>,
    /// A name for people.
    pub entity_name: String,
    /// Names and values.
    pub properties: Vec<(String, String)>,
    /// XTypes TypeInformation, as it is (with padding at the end). XTypes 1.3, 7.6.3.2.2.
    pub type_information: Option<Vec<u8>>,
    /// A reader's content filter, as it is; nothing here evaluates one.
    pub content_filter: Option<Vec<u8>>,
    /// Parameters with the vendor bit, in their order, as they are (with padding at the end). What
    /// they mean depends on the vendor id of the message they came in.
    pub vendor_parameters: Vec<(ParameterId, Vec<u8>)>,
}

impl EndpointData {
    /// An endpoint with the default policies of its role.
    pub fn new(
        role: EndpointRole,
        guid: Guid,
        topic_name: impl Into<String>,
        type_name: impl Into<String>,
    ) -> Self {
        Self {
            role,
            guid,
            participant_guid: guid.participant(),
            topic_name: topic_name.into(),
            type_name: type_name.into(),
            protocol_version: None,
            vendor_id: None,
            qos: role.default_qos(),
            unicast_locators: Vec::new(),
            multicast_locators: Vec::new(),
            expects_inline_qos: false,
            type_max_size_serialized: None,
            group_guid: None,
            user_data: Vec::new(),
            topic_data: Vec::new(),
            group_data: Vec::new(),
            entity_name: String::new(),
            properties: Vec::new(),
            type_information: None,
            content_filter: None,
            vendor_parameters: Vec::new(),
        }
    }

    /// The value of the first vendor parameter with this id.
    pub fn vendor_parameter(&self, id: ParameterId) -> Option<&[u8]> {
        self.vendor_parameters.iter().find(|(found, _)| *found == id).map(|(_, value)| &value[..])
    }

    /// Reads the payload of a DATA of SEDP: of publications for a writer, of subscriptions for a
    /// reader.
    ///
    /// # Errors
    ///
    /// If it is no parameter list; GUID, topic or type are missing; the GUID is not that of a writer
    /// or reader; a parameter that is known is malformed or comes twice; or one must be understood
    /// and is not known ([`WireError::MustUnderstand`]). The announcement is then to be ignored as a
    /// whole.
    pub fn from_pl_cdr(role: EndpointRole, payload: &[u8]) -> Result<Self, WireError> {
        use ParameterId as Id;
        let list = ParameterList::from_payload(payload)?;
        let mut data = Self::new(role, Guid::UNKNOWN, "", "");
        let (mut guid, mut participant_guid, mut topic_name, mut type_name) =
            (None, None, None, None);
        let mut seen = Seen::default();
        for parameter in list.iter() {
            let p = &parameter;
            let qos = &mut data.qos;
            match p.id.known_as() {
                Id::ENDPOINT_GUID => guid = Some(seen.once(p)?),
                Id::PARTICIPANT_GUID => participant_guid = Some(seen.once::<Guid>(p)?),
                Id::TOPIC_NAME => topic_name = Some(seen.once(p)?),
                Id::TYPE_NAME => type_name = Some(seen.once(p)?),
                Id::PROTOCOL_VERSION => data.protocol_version = Some(seen.once(p)?),
                Id::VENDOR_ID => data.vendor_id = Some(seen.once(p)?),
                Id::RELIABILITY => qos.reliability = seen.once(p)?,
                Id::DURABILITY => qos.durability = seen.once(p)?,
                Id::DURABILITY_SERVICE => qos.durability_service = seen.once(p)?,
                Id::HISTORY => qos.history = seen.once(p)?,
                Id::RESOURCE_LIMITS => qos.resource_limits = seen.once(p)?,
                Id::DEADLINE => qos.deadline = seen.once(p)?,
                Id::LATENCY_BUDGET => qos.latency_budget = seen.once(p)?,
                Id::LIVELINESS => qos.liveliness = seen.once(p)?,
                Id::LIFESPAN => qos.lifespan = seen.once(p)?,
                Id::OWNERSHIP => qos.ownership = seen.once(p)?,
                Id::OWNERSHIP_STRENGTH => qos.ownership_strength = seen.once(p)?,
                Id::DESTINATION_ORDER => qos.destination_order = seen.once(p)?,
                Id::PRESENTATION => qos.presentation = seen.once(p)?,
                Id::PARTITION => qos.partition = seen.once(p)?,
                Id::TIME_BASED_FILTER => qos.time_based_filter = seen.once(p)?,
                Id::TRANSPORT_PRIORITY => qos.transport_priority = seen.once(p)?,
                Id::DATA_REPRESENTATION => qos.data_representation = seen.once(p)?,
                Id::TYPE_CONSISTENCY_ENFORCEMENT => qos.type_consistency = seen.once(p)?,
                Id::UNICAST_LOCATOR => data.unicast_locators.push(p.read()?),
                Id::MULTICAST_LOCATOR => data.multicast_locators.push(p.read()?),
                Id::EXPECTS_INLINE_QOS => data.expects_inline_qos = seen.once(p)?,
                Id::TYPE_MAX_SIZE_SERIALIZED => {
                    data.type_max_size_serialized = Some(seen.once(p)?);
                }
                Id::GROUP_GUID => data.group_guid = Some(seen.once(p)?),
                Id::USER_DATA => data.user_data = seen.octets_once(p)?,
                Id::TOPIC_DATA => data.topic_data = seen.octets_once(p)?,
                Id::GROUP_DATA => data.group_data = seen.octets_once(p)?,
                Id::ENTITY_NAME => data.entity_name = seen.once(p)?,
                Id::PROPERTY_LIST => data.properties = seen.once::<Properties>(p)?.0,
                Id::TYPE_INFORMATION => data.type_information = Some(seen.raw_once(p)?),
                Id::CONTENT_FILTER_PROPERTY => data.content_filter = Some(seen.raw_once(p)?),
                _ => keep_vendor_parameter(p, &mut data.vendor_parameters)?,
            }
        }
        let missing = |id| move || WireError::MissingParameter { id };
        data.guid = guid.ok_or_else(missing(Id::ENDPOINT_GUID))?;
        data.topic_name = topic_name.ok_or_else(missing(Id::TOPIC_NAME))?;
        data.type_name = type_name.ok_or_else(missing(Id::TYPE_NAME))?;
        data.participant_guid = participant_guid.unwrap_or(data.guid.participant());
        check_role(role, data.guid)?;
        Ok(data)
    }

    /// The payload of a DATA of SEDP.
    ///
    /// RELIABILITY and DURABILITY are always there (an old peer once took its own defaults for
    /// them); other policies only if they are not as by default.
    ///
    /// # Errors
    ///
    /// If a value is too long for a parameter, a text has a NUL in it, a vendor parameter's id has
    /// not the vendor bit, or the GUID is not that of a writer or reader.
    pub fn to_pl_cdr(&self, endianness: Endianness) -> Result<Vec<u8>, WireError> {
        use ParameterId as Id;
        check_role(self.role, self.guid)?;
        let mut list = ParameterListBuilder::new(endianness);
        list.value(Id::ENDPOINT_GUID, &self.guid)?;
        list.value(Id::PARTICIPANT_GUID, &self.participant_guid)?;
        list.value(Id::TOPIC_NAME, &self.topic_name)?;
        list.value(Id::TYPE_NAME, &self.type_name)?;
        if let Some(version) = &self.protocol_version {
            list.value(Id::PROTOCOL_VERSION, version)?;
        }
        if let Some(vendor_id) = &self.vendor_id {
            list.value(Id::VENDOR_ID, vendor_id)?;
        }
        self.write_qos(&mut list)?;
        list.locators(Id::UNICAST_LOCATOR, &self.unicast_locators)?;
        list.locators(Id::MULTICAST_LOCATOR, &self.multicast_locators)?;
        list.unless_default(Id::EXPECTS_INLINE_QOS, &self.expects_inline_qos, &false)?;
        if let Some(size) = &self.type_max_size_serialized {
            list.value(Id::TYPE_MAX_SIZE_SERIALIZED, size)?;
        }
        if let Some(group) = &self.group_guid {
            list.value(Id::GROUP_GUID, group)?;
        }
        list.octets(Id::USER_DATA, &self.user_data)?;
        list.octets(Id::TOPIC_DATA, &self.topic_data)?;
        list.octets(Id::GROUP_DATA, &self.group_data)?;
        list.string(Id::ENTITY_NAME, &self.entity_name)?;
        list.properties(&self.properties)?;
        if let Some(type_information) = &self.type_information {
            list.raw(Id::TYPE_INFORMATION, type_information)?;
        }
        if let Some(content_filter) = &self.content_filter {
            list.raw(Id::CONTENT_FILTER_PROPERTY, content_filter)?;
        }
        list.vendor_parameters(&self.vendor_parameters)?;
        Ok(list.finish_payload())
    }

    fn write_qos(&self, list: &mut ParameterListBuilder) -> Result<(), WireError> {
        use ParameterId as Id;
        let (qos, default) = (&self.qos, self.role.default_qos());
        list.value(Id::RELIABILITY, &qos.reliability)?;
        list.value(Id::DURABILITY, &qos.durability)?;
        list.unless_default(
            Id::DURABILITY_SERVICE,
            &qos.durability_service,
            &default.durability_service,
        )?;
        list.unless_default(Id::HISTORY, &qos.history, &default.history)?;
        list.unless_default(Id::RESOURCE_LIMITS, &qos.resource_limits, &default.resource_limits)?;
        list.unless_default(Id::DEADLINE, &qos.deadline, &default.deadline)?;
        list.unless_default(Id::LATENCY_BUDGET, &qos.latency_budget, &default.latency_budget)?;
        list.unless_default(Id::LIVELINESS, &qos.liveliness, &default.liveliness)?;
        list.unless_default(Id::LIFESPAN, &qos.lifespan, &default.lifespan)?;
        list.unless_default(Id::OWNERSHIP, &qos.ownership, &default.ownership)?;
        list.unless_default(
            Id::OWNERSHIP_STRENGTH,
            &qos.ownership_strength,
            &default.ownership_strength,
        )?;
        list.unless_default(
            Id::DESTINATION_ORDER,
            &qos.destination_order,
            &default.destination_order,
        )?;
        list.unless_default(Id::PRESENTATION, &qos.presentation, &default.presentation)?;
        list.unless_default(Id::PARTITION, &qos.partition, &default.partition)?;
        list.unless_default(
            Id::TIME_BASED_FILTER,
            &qos.time_based_filter,
            &default.time_based_filter,
        )?;
        list.unless_default(
            Id::TRANSPORT_PRIORITY,
            &qos.transport_priority,
            &default.transport_priority,
        )?;
        list.unless_default(
            Id::DATA_REPRESENTATION,
            &qos.data_representation,
            &default.data_representation,
        )?;
        list.unless_default(
            Id::TYPE_CONSISTENCY_ENFORCEMENT,
            &qos.type_consistency,
            &default.type_consistency,
        )
    }

    /// The payload that says which endpoint is gone: its key alone.
    ///
    /// # Errors
    ///
    /// None in practice: a GUID fits in a parameter.
    pub fn key_to_pl_cdr(guid: Guid, endianness: Endianness) -> Result<Vec<u8>, WireError> {
        key_payload(ParameterId::ENDPOINT_GUID, guid, endianness)
    }

    /// Which endpoint a payload with the key alone is about.
    ///
    /// # Errors
    ///
    /// If it is no parameter list or has no GUID.
    pub fn key_from_pl_cdr(payload: &[u8]) -> Result<Guid, WireError> {
        key_from_payload(ParameterId::ENDPOINT_GUID, payload)
    }
}

fn check_role(role: EndpointRole, guid: Guid) -> Result<(), WireError> {
    let kind = guid.entity_id.kind();
    let (fits, what) = match role {
        EndpointRole::Writer => (kind.is_writer(), "kind of a writer's GUID"),
        EndpointRole::Reader => (kind.is_reader(), "kind of a reader's GUID"),
    };
    if fits { Ok(()) } else { Err(WireError::InvalidValue { what, value: kind.0.into() }) }
}
