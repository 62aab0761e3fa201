//! Discovery data against vectors that other implementations decode, and there and back.

#![allow(clippy::unwrap_used, reason = "tests")]

use dds_shm::wire::cdr::CdrReader;
use dds_shm::wire::qos::*;
use dds_shm::wire::*;
use proptest::prelude::*;

/// A participant that zerodds-rtps decodes.
const SPDP: &str = concat!(
    "0003000015000400020500001600040001140000",
    "50001000011402030405060708090a0b000001c1",
    "0f00040000000000",
    "1440080001000000",
    "00000000",
    "580004003f0c0000",
    "3200180001000000f21c00000000000000000000000000007f000001",
    "3100180001000000f31c00000000000000000000000000007f000001",
    "3300180001000000e81c0000000000000000000000000000efff0001",
    "020008006400000000000000",
    "01000000",
);

/// A publication with a shared-memory locator that zerodds-rtps decodes, and that Cyclone DDS,
/// RustDDS and Dust DDS discover.
const SEDP: &str = concat!(
    "00030000",
    "5a001000011402030405060708090a0b00000102",
    "50001000011402030405060708090a0b000001c1",
    "05000c0005000000506f736500000000",
    "070014000f00000067656f6d657472793a3a506f73650000",
    "1500040002050000",
    "1600040001140000",
    "1a000c00020000000000000099999919",
    "1d00040000000000",
    "730008000100000000000000",
    "0180240044332211e80300001000000080000000100000002f7a6464737075625f41423132434400",
    "01000000",
);

/// The empty domain tag in [`SPDP`], which is never sent here.
const EMPTY_DOMAIN_TAG: &str = "144008000100000000000000";

const PREFIX: GuidPrefix = GuidPrefix([1, 0x14, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
const BOTH: [Endianness; 2] = [Endianness::Little, Endianness::Big];

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn udp(text: &str) -> Locator {
    Locator::from(text.parse::<std::net::SocketAddr>().unwrap())
}

fn golden_participant() -> ParticipantData {
    let guid = Guid::new(PREFIX, EntityId::PARTICIPANT);
    ParticipantData {
        domain_id: Some(0),
        builtin_endpoint_set: BuiltinEndpointSet::SPDP_SEDP_WLP,
        metatraffic_unicast_locators: vec![udp("127.0.0.1:7410")],
        default_unicast_locators: vec![udp("127.0.0.1:7411")],
        metatraffic_multicast_locators: vec![udp("239.255.0.1:7400")],
        ..ParticipantData::new(guid, VendorId::DUST_DDS)
    }
}

fn golden_publication() -> EndpointData {
    let guid = Guid::new(PREFIX, EntityId::user_writer(1, true));
    let mut data = EndpointData::new(EndpointRole::Writer, guid, "Pose", "geometry::Pose");
    data.protocol_version = Some(ProtocolVersion::V2_5);
    data.vendor_id = Some(VendorId::DUST_DDS);
    data.qos.data_representation = DataRepresentation(vec![DataRepresentationId::XCDR1]);
    let locator = unhex("44332211e80300001000000080000000100000002f7a6464737075625f41423132434400");
    data.vendor_parameters.push((ParameterId::SHM_LOCATOR, locator));
    data
}

#[test]
fn the_golden_participant_is_decoded() {
    let payload = unhex(SPDP);
    assert_eq!(payload.len(), 168);
    let data = ParticipantData::from_pl_cdr(&payload).unwrap();
    assert_eq!(data, golden_participant());
    assert_eq!(data.lease_duration, Duration::from_secs(100));
}

#[test]
fn the_golden_participant_is_encoded_but_for_its_empty_tag() {
    let without_tag = SPDP.replace(EMPTY_DOMAIN_TAG, "");
    let payload = golden_participant().to_pl_cdr(Endianness::Little).unwrap();
    assert_eq!(payload, unhex(&without_tag));
}

#[test]
fn the_golden_publication_is_decoded() {
    let payload = unhex(SEDP);
    assert_eq!(payload.len(), 180);
    let data = EndpointData::from_pl_cdr(EndpointRole::Writer, &payload).unwrap();
    assert_eq!(data, golden_publication());
    assert_eq!(data.qos.reliability.max_blocking_time, Duration::from_millis(100));
    let mut locator = CdrReader::new(
        data.vendor_parameter(ParameterId::SHM_LOCATOR).unwrap(),
        Endianness::Little,
    );
    locator.read_slice(16, "numbers").unwrap();
    assert_eq!(locator.read_string(), Ok("/zddspub_AB12CD"));
}

#[test]
fn the_golden_publication_is_encoded() {
    assert_eq!(golden_publication().to_pl_cdr(Endianness::Little).unwrap(), unhex(SEDP));
}

#[test]
fn the_must_understand_twin_of_the_locator_makes_the_announcement_void() {
    let payload = unhex(&SEDP.replace("01802400", "01c02400"));
    assert_eq!(
        EndpointData::from_pl_cdr(EndpointRole::Writer, &payload),
        Err(WireError::MustUnderstand { id: ParameterId(0xc001) })
    );
}

#[test]
fn a_known_parameter_that_must_be_understood_is_understood() {
    let payload = unhex(&SEDP.replace("1d000400", "1d400400"));
    assert_eq!(EndpointData::from_pl_cdr(EndpointRole::Writer, &payload), Ok(golden_publication()));
}

#[test]
fn unknown_parameters_are_skipped() {
    let payload = unhex(&SEDP.replacen("00030000", "00030000fa3f0400aabbccdd", 1));
    assert_eq!(EndpointData::from_pl_cdr(EndpointRole::Writer, &payload), Ok(golden_publication()));
}

#[test]
fn a_parameter_that_comes_twice_is_refused() {
    let payload = unhex(&SEDP.replace("1d00040000000000", "1d000400000000001d00040000000000"));
    assert_eq!(
        EndpointData::from_pl_cdr(EndpointRole::Writer, &payload),
        Err(WireError::DuplicateParameter { id: ParameterId::DURABILITY })
    );
    let payload = unhex(&SPDP.replace("580004003f0c0000", "580004003f0c0000580004003f0c0000"));
    assert!(ParticipantData::from_pl_cdr(&payload).is_err());
}

#[test]
fn what_has_no_default_must_be_there() {
    for (entry, id) in [
        ("5a001000011402030405060708090a0b00000102", ParameterId::ENDPOINT_GUID),
        ("05000c0005000000506f736500000000", ParameterId::TOPIC_NAME),
        ("070014000f00000067656f6d657472793a3a506f73650000", ParameterId::TYPE_NAME),
    ] {
        assert_eq!(
            EndpointData::from_pl_cdr(EndpointRole::Writer, &unhex(&SEDP.replace(entry, ""))),
            Err(WireError::MissingParameter { id })
        );
    }
    let without_guid = SPDP.replace("50001000011402030405060708090a0b000001c1", "");
    assert_eq!(
        ParticipantData::from_pl_cdr(&unhex(&without_guid)),
        Err(WireError::MissingParameter { id: ParameterId::PARTICIPANT_GUID })
    );
}

#[test]
fn what_is_absent_has_the_default_of_the_specification() {
    let list = |id: EntityId| {
        let mut list = ParameterListBuilder::new(Endianness::Big);
        list.value(ParameterId::ENDPOINT_GUID, &Guid::new(PREFIX, id)).unwrap();
        list.value(ParameterId::TOPIC_NAME, &"T".to_owned()).unwrap();
        list.value(ParameterId::TYPE_NAME, &"U".to_owned()).unwrap();
        list.finish_payload()
    };
    let writer = list(EntityId::user_writer(1, false));
    let writer = EndpointData::from_pl_cdr(EndpointRole::Writer, &writer).unwrap();
    assert_eq!(writer.qos, EndpointQos::writer_default());
    assert_eq!(writer.participant_guid, Guid::new(PREFIX, EntityId::PARTICIPANT));
    let reader = list(EntityId::user_reader(1, false));
    assert!(EndpointData::from_pl_cdr(EndpointRole::Writer, &reader).is_err());
    let reader = EndpointData::from_pl_cdr(EndpointRole::Reader, &reader).unwrap();
    assert_eq!(reader.qos, EndpointQos::reader_default());

    let mut list = ParameterListBuilder::new(Endianness::Big);
    let guid = Guid::new(PREFIX, EntityId::PARTICIPANT);
    list.value(ParameterId::PARTICIPANT_GUID, &guid).unwrap();
    let participant = ParticipantData::from_pl_cdr(&list.finish_payload()).unwrap();
    assert_eq!(participant, ParticipantData::new(guid, VendorId::UNKNOWN));
}

#[test]
fn values_that_no_specification_knows_are_refused() {
    for (good, bad) in [
        ("1a000c0002000000", "1a000c0003000000"),
        ("1d00040000000000", "1d00040004000000"),
        // A topic name without a NUL, and one that is longer than its parameter.
        ("0005000000506f736500000000", "0005000000506f736565000000"),
        ("000c0005000000506f7365", "000c0055000000506f7365"),
    ] {
        let payload = unhex(&SEDP.replace(good, bad));
        assert_ne!(payload, unhex(SEDP));
        assert!(EndpointData::from_pl_cdr(EndpointRole::Writer, &payload).is_err(), "{bad}");
    }
    // CDR instead of PL_CDR.
    let payload = unhex(&SEDP.replacen("00030000", "00010000", 1));
    assert!(matches!(
        EndpointData::from_pl_cdr(EndpointRole::Writer, &payload),
        Err(WireError::UnexpectedRepresentation { .. })
    ));
}

#[test]
fn a_list_cut_anywhere_gives_an_error() {
    for endianness in BOTH {
        let payload = golden_publication().to_pl_cdr(endianness).unwrap();
        // The sentinel's length means nothing, but it has to be there.
        for length in 0..payload.len() {
            let cut = &payload[..length];
            assert!(EndpointData::from_pl_cdr(EndpointRole::Writer, cut).is_err(), "{length}");
        }
        let payload = golden_participant().to_pl_cdr(endianness).unwrap();
        for length in 0..payload.len() {
            assert!(ParticipantData::from_pl_cdr(&payload[..length]).is_err(), "{length}");
        }
    }
}

#[test]
fn a_key_alone_says_who_left() {
    for endianness in BOTH {
        let guid = Guid::new(PREFIX, EntityId::PARTICIPANT);
        let payload = ParticipantData::key_to_pl_cdr(guid, endianness).unwrap();
        assert_eq!(payload.len(), 28);
        assert_eq!(ParticipantData::key_from_pl_cdr(&payload), Ok(guid));
        assert!(EndpointData::key_from_pl_cdr(&payload).is_err());

        let guid = Guid::new(PREFIX, EntityId::user_reader(9, true));
        let payload = EndpointData::key_to_pl_cdr(guid, endianness).unwrap();
        assert_eq!(EndpointData::key_from_pl_cdr(&payload), Ok(guid));
        assert_eq!(Guid::from(KeyHash::from(guid)), guid);
    }
}

#[test]
fn a_short_type_consistency_of_an_old_peer_is_read() {
    let guid = Guid::new(PREFIX, EntityId::user_reader(9, true));
    let mut list = ParameterListBuilder::new(Endianness::Little);
    list.value(ParameterId::ENDPOINT_GUID, &guid).unwrap();
    list.value(ParameterId::TOPIC_NAME, &"T".to_owned()).unwrap();
    list.value(ParameterId::TYPE_NAME, &"U".to_owned()).unwrap();
    list.raw(ParameterId::TYPE_CONSISTENCY_ENFORCEMENT, &[0, 0, 0, 0]).unwrap();
    let data = EndpointData::from_pl_cdr(EndpointRole::Reader, &list.finish_payload()).unwrap();
    assert_eq!(data.qos.type_consistency.kind, TypeConsistencyKind::DisallowTypeCoercion);
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let mut data = golden_publication();
    data.user_data = vec![0; 70_000];
    assert!(matches!(data.to_pl_cdr(Endianness::Little), Err(WireError::TooLong { .. })));
    let mut data = golden_publication();
    data.topic_name = "a\0b".to_owned();
    assert!(data.to_pl_cdr(Endianness::Little).is_err());
    let mut data = golden_publication();
    data.vendor_parameters = vec![(ParameterId(0x0005), vec![])];
    assert!(data.to_pl_cdr(Endianness::Little).is_err());
    let mut data = golden_publication();
    data.role = EndpointRole::Reader;
    assert!(data.to_pl_cdr(Endianness::Little).is_err());
}

fn text() -> impl Strategy<Value = String> {
    "[^\0]{0,12}"
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..12)
}

fn duration() -> impl Strategy<Value = Duration> {
    any::<(i32, u32)>().prop_map(|(seconds, fraction)| Duration::new(seconds, fraction))
}

fn locators() -> impl Strategy<Value = Vec<Locator>> {
    let locator = any::<(i32, u32, [u8; 16])>().prop_map(|(kind, port, address)| Locator {
        kind: LocatorKind(kind),
        port,
        address,
    });
    prop::collection::vec(locator, 0..3)
}

fn properties() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec((text(), text()), 0..3)
}

/// Values come back with the padding to a multiple of four, so they are made with it.
fn vendor_parameters() -> impl Strategy<Value = Vec<(ParameterId, Vec<u8>)>> {
    let value = prop::collection::vec(any::<[u8; 4]>(), 0..4).prop_map(|words| words.concat());
    prop::collection::vec(((0x8000u16..0xc000).prop_map(ParameterId), value), 0..3)
}

fn qos() -> impl Strategy<Value = EndpointQos> {
    let history = || {
        (any::<bool>(), any::<i32>()).prop_map(|(all, depth)| History {
            kind: if all { HistoryKind::KeepAll } else { HistoryKind::KeepLast },
            depth,
        })
    };
    let limits = || {
        any::<[i32; 3]>().prop_map(|[a, b, c]| ResourceLimits {
            max_samples: a,
            max_instances: b,
            max_samples_per_instance: c,
        })
    };
    let enumerations = (0..2usize, 0..4usize, 0..3usize, 0..2usize, 0..2usize, 0..3usize);
    let numbers = (any::<i32>(), any::<i32>(), any::<[bool; 8]>());
    let durations = prop::collection::vec(duration(), 8);
    let lists = (
        prop::collection::vec(text(), 0..3),
        prop::collection::vec(any::<i16>().prop_map(DataRepresentationId), 0..3),
    );
    let histories = (history(), limits(), history(), limits());
    (enumerations, numbers, durations, lists, histories).prop_map(
        |(e, (strength, priority, b), d, (partition, representation), h)| EndpointQos {
            reliability: Reliability {
                kind: [ReliabilityKind::BestEffort, ReliabilityKind::Reliable][e.0],
                max_blocking_time: d[0],
            },
            durability: [
                Durability::Volatile,
                Durability::TransientLocal,
                Durability::Transient,
                Durability::Persistent,
            ][e.1],
            durability_service: DurabilityService {
                service_cleanup_delay: d[1],
                history: h.0,
                resource_limits: h.1,
            },
            history: h.2,
            resource_limits: h.3,
            deadline: Deadline { period: d[2] },
            latency_budget: LatencyBudget { duration: d[3] },
            liveliness: Liveliness {
                kind: [
                    LivelinessKind::Automatic,
                    LivelinessKind::ManualByParticipant,
                    LivelinessKind::ManualByTopic,
                ][e.2],
                lease_duration: d[4],
            },
            lifespan: Lifespan { duration: d[5] },
            ownership: [Ownership::Shared, Ownership::Exclusive][e.3],
            ownership_strength: OwnershipStrength(strength),
            destination_order: [
                DestinationOrder::ByReceptionTimestamp,
                DestinationOrder::BySourceTimestamp,
            ][e.4],
            presentation: Presentation {
                access_scope: [
                    PresentationScope::Instance,
                    PresentationScope::Topic,
                    PresentationScope::Group,
                ][e.5],
                coherent_access: b[0],
                ordered_access: b[1],
            },
            partition: Partition(partition),
            time_based_filter: TimeBasedFilter { minimum_separation: d[6] },
            transport_priority: TransportPriority(priority),
            data_representation: DataRepresentation(representation),
            type_consistency: TypeConsistency {
                kind: if b[2] {
                    TypeConsistencyKind::AllowTypeCoercion
                } else {
                    TypeConsistencyKind::DisallowTypeCoercion
                },
                ignore_sequence_bounds: b[3],
                ignore_string_bounds: b[4],
                ignore_member_names: b[5],
                prevent_type_widening: b[6],
                force_type_validation: b[7],
            },
        },
    )
}

fn endpoint() -> impl Strategy<Value = EndpointData> {
    let identity = (any::<bool>(), any::<[u8; 12]>(), any::<u32>(), any::<[u8; 16]>());
    let texts = (text(), text(), text(), properties());
    let bytes = (octets(), octets(), octets(), vendor_parameters());
    let options = (
        any::<Option<[u8; 2]>>(),
        any::<Option<u32>>(),
        any::<Option<[u8; 16]>>(),
        any::<Option<[u8; 8]>>(),
        any::<bool>(),
    );
    (identity, texts, bytes, options, qos(), locators(), locators()).prop_map(
        |(identity, texts, bytes, options, qos, unicast, multicast)| {
            let (writer, prefix, key, participant) = identity;
            let (role, id) = if writer {
                (EndpointRole::Writer, EntityId::user_writer(key, true))
            } else {
                (EndpointRole::Reader, EntityId::user_reader(key, false))
            };
            EndpointData {
                participant_guid: Guid::from_bytes(participant),
                protocol_version: options.0.map(ProtocolVersion::from_bytes),
                vendor_id: options.0.map(VendorId),
                qos,
                unicast_locators: unicast,
                multicast_locators: multicast,
                expects_inline_qos: options.4,
                type_max_size_serialized: options.1,
                group_guid: options.2.map(Guid::from_bytes),
                user_data: bytes.0,
                topic_data: bytes.1,
                group_data: bytes.2,
                entity_name: texts.2,
                properties: texts.3,
                type_information: options.3.map(Vec::from),
                content_filter: options.3.map(Vec::from),
                vendor_parameters: bytes.3,
                ..EndpointData::new(role, Guid::new(GuidPrefix(prefix), id), texts.0, texts.1)
            }
        },
    )
}

fn participant() -> impl Strategy<Value = ParticipantData> {
    let numbers =
        (any::<[u8; 16]>(), any::<Option<u32>>(), any::<u32>(), any::<u32>(), any::<i32>());
    let texts = (text(), text(), properties(), octets(), vendor_parameters());
    let locators = (locators(), locators(), locators(), locators());
    (numbers, texts, locators, duration(), any::<bool>()).prop_map(
        |(numbers, texts, locators, lease_duration, expects_inline_qos)| ParticipantData {
            domain_id: numbers.1,
            domain_tag: texts.0,
            builtin_endpoint_set: BuiltinEndpointSet(numbers.2),
            builtin_endpoint_qos: numbers.3,
            metatraffic_unicast_locators: locators.0,
            metatraffic_multicast_locators: locators.1,
            default_unicast_locators: locators.2,
            default_multicast_locators: locators.3,
            lease_duration,
            expects_inline_qos,
            manual_liveliness_count: numbers.4,
            user_data: texts.3,
            entity_name: texts.1,
            properties: texts.2,
            vendor_parameters: texts.4,
            ..ParticipantData::new(
                Guid::from_bytes(numbers.0).participant(),
                VendorId([numbers.0[0], numbers.0[1]]),
            )
        },
    )
}

proptest! {
    #[test]
    fn an_endpoint_reads_back_what_it_writes(data in endpoint(), little: bool) {
        let payload = data.to_pl_cdr(Endianness::from_flag(little)).unwrap();
        prop_assert_eq!(payload.len() % 4, 0);
        prop_assert_eq!(EndpointData::from_pl_cdr(data.role, &payload), Ok(data));
    }

    #[test]
    fn a_participant_reads_back_what_it_writes(data in participant(), little: bool) {
        let payload = data.to_pl_cdr(Endianness::from_flag(little)).unwrap();
        prop_assert_eq!(ParticipantData::from_pl_cdr(&payload), Ok(data));
    }

    #[test]
    fn a_damaged_announcement_does_not_panic(
        data in endpoint(), little: bool, damage in prop::collection::vec(any::<(u16, u8)>(), 1..6),
    ) {
        let mut payload = data.to_pl_cdr(Endianness::from_flag(little)).unwrap();
        for (at, value) in damage {
            let at = usize::from(at) % payload.len();
            payload[at] = value;
        }
        let _ = EndpointData::from_pl_cdr(data.role, &payload);
        let _ = ParticipantData::from_pl_cdr(&payload);
        let _ = EndpointData::key_from_pl_cdr(&payload);
        let _ = ParticipantMessageData::from_cdr(&payload);
    }

    #[test]
    fn an_announcement_cut_anywhere_gives_an_error(data in endpoint(), little: bool, at: u16) {
        let payload = data.to_pl_cdr(Endianness::from_flag(little)).unwrap();
        let cut = &payload[..usize::from(at) % payload.len()];
        prop_assert!(EndpointData::from_pl_cdr(data.role, cut).is_err());
    }
}
