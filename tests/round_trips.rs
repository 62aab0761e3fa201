//! Whatever is written is read back and is then the same; and whatever is read, nothing panics.
//!
//! Arbitrary values of everything that is read from a network, a file or an object of somebody else.
//! What comes of their octets, and of any octets, is what the fuzz targets promise (`fuzz/`): their
//! functions run here too. (Locators, parameter lists, layout strings: beside their code.)
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;

use dds_shm::discovery::{RegistryEntry, RegistryFile, RegistryKey};
use dds_shm::liveness::flink::{FlinkTarget, parse_flink};
use dds_shm::liveness::names::ObjectKind;
use dds_shm::liveness::{NodeId, SegmentName};
use dds_shm::slots::{Geometry, Identity, Incarnation, MAX_READERS, SegmentFlags};
use dds_shm::types::TypeHash;
use dds_shm::wire::message::{
    AckNack, DataPayload, Gap, Heartbeat, MessageBuilder, MessageReader, OutgoingData, RtpsHeader,
    Submessage,
};
use dds_shm::wire::qos::{
    DataRepresentation, DataRepresentationId, Deadline, DestinationOrder, Durability,
    DurabilityService, EndpointQos, History, HistoryKind, LatencyBudget, Lifespan, Liveliness,
    LivelinessKind, Ownership, OwnershipStrength, Partition, Presentation, PresentationScope,
    Reliability, ReliabilityKind, ResourceLimits, TimeBasedFilter, TransportPriority,
    TypeConsistency, TypeConsistencyKind,
};
use dds_shm::wire::{
    BuiltinEndpointSet, Duration, Endianness, EndpointData, EndpointRole, EntityId, Guid,
    GuidPrefix, InlineQos, KeyHash, Locator, LocatorKind, ParameterId, ParticipantData,
    ParticipantMessageData, ParticipantMessageKind, ProtocolVersion, SequenceNumber,
    SequenceNumberSet, StatusInfo, Time, VendorId,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

#[path = "../fuzz/src/lib.rs"]
mod targets;

/// A text that a CDR string can say.
const TEXT: &str = "[^\0]{0,12}";

fn octets(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=most)
}

/// Octets whose number is a multiple of four: others come back padded.
fn words(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<[u8; 4]>(), 0..=most).prop_map(|words| words.concat())
}

fn endianness() -> impl Strategy<Value = Endianness> {
    any::<bool>().prop_map(Endianness::from_flag)
}

fn entity_id() -> impl Strategy<Value = EntityId> {
    any::<[u8; 4]>().prop_map(EntityId)
}

fn prefix() -> impl Strategy<Value = GuidPrefix> {
    any::<[u8; 12]>().prop_map(GuidPrefix)
}

fn guid() -> impl Strategy<Value = Guid> {
    any::<[u8; 16]>().prop_map(Guid::from_bytes)
}

fn version() -> impl Strategy<Value = ProtocolVersion> {
    any::<[u8; 2]>().prop_map(ProtocolVersion::from_bytes)
}

fn vendor() -> impl Strategy<Value = VendorId> {
    any::<[u8; 2]>().prop_map(VendorId)
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
    vec(locator, 0..3)
}

fn properties() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((TEXT, TEXT), 0..3)
}

fn vendor_parameters() -> impl Strategy<Value = Vec<(ParameterId, Vec<u8>)>> {
    // With the vendor bit, and none that must be understood.
    vec(((0x8000..0xc000_u16).prop_map(ParameterId), words(4)), 0..3)
}

/// A number of a sample, which begin at 1.
fn number() -> impl Strategy<Value = SequenceNumber> {
    (1..i64::MAX / 2).prop_map(SequenceNumber)
}

fn numbers() -> impl Strategy<Value = SequenceNumberSet> {
    (number(), vec(0..256_i64, 0..20)).prop_map(|(base, bits)| {
        SequenceNumberSet::with(base, bits.into_iter().map(|bit| SequenceNumber(base.0 + bit)))
    })
}

prop_compose! {
    fn history()(
        kind in select(vec![HistoryKind::KeepLast, HistoryKind::KeepAll]),
        depth: i32,
    ) -> History {
        History { kind, depth }
    }
}

prop_compose! {
    fn resource_limits()(limits: [i32; 3]) -> ResourceLimits {
        let [max_samples, max_instances, max_samples_per_instance] = limits;
        ResourceLimits { max_samples, max_instances, max_samples_per_instance }
    }
}

prop_compose! {
    fn first_policies()(
        reliability in select(vec![ReliabilityKind::BestEffort, ReliabilityKind::Reliable]),
        durability in select(vec![
            Durability::Volatile, Durability::TransientLocal, Durability::Transient, Durability::Persistent,
        ]),
        spans in [(); 7].map(|()| duration()),
        histories in [history(), history()],
        limits in [resource_limits(), resource_limits()],
        liveliness in select(vec![
            LivelinessKind::Automatic, LivelinessKind::ManualByParticipant, LivelinessKind::ManualByTopic,
        ]),
    ) -> EndpointQos {
        let [max_blocking_time, service_cleanup_delay, period, budget, lease_duration, lifespan, separation] =
            spans;
        EndpointQos {
            reliability: Reliability { kind: reliability, max_blocking_time },
            durability,
            durability_service: DurabilityService {
                service_cleanup_delay, history: histories[0], resource_limits: limits[0],
            },
            history: histories[1],
            resource_limits: limits[1],
            deadline: Deadline { period },
            latency_budget: LatencyBudget { duration: budget },
            liveliness: Liveliness { kind: liveliness, lease_duration },
            lifespan: Lifespan { duration: lifespan },
            time_based_filter: TimeBasedFilter { minimum_separation: separation },
            ..EndpointQos::writer_default()
        }
    }
}

prop_compose! {
    fn policies()(
        first in first_policies(),
        ownership in select(vec![Ownership::Shared, Ownership::Exclusive]),
        strength_and_priority: [i32; 2],
        order in select(vec![
            DestinationOrder::ByReceptionTimestamp, DestinationOrder::BySourceTimestamp,
        ]),
        access_scope in select(vec![
            PresentationScope::Instance, PresentationScope::Topic, PresentationScope::Group,
        ]),
        flags: [bool; 7],
        partition in vec(TEXT, 0..3),
        representation in vec(any::<i16>(), 0..3),
        consistency in select(vec![
            TypeConsistencyKind::DisallowTypeCoercion, TypeConsistencyKind::AllowTypeCoercion,
        ]),
    ) -> EndpointQos {
        let [
            coherent_access, ordered_access, ignore_sequence_bounds, ignore_string_bounds, ignore_member_names,
            prevent_type_widening, force_type_validation,
        ] = flags;
        EndpointQos {
            ownership,
            ownership_strength: OwnershipStrength(strength_and_priority[0]),
            destination_order: order,
            presentation: Presentation { access_scope, coherent_access, ordered_access },
            partition: Partition(partition),
            transport_priority: TransportPriority(strength_and_priority[1]),
            data_representation: DataRepresentation(
                representation.into_iter().map(DataRepresentationId).collect(),
            ),
            type_consistency: TypeConsistency {
                kind: consistency, ignore_sequence_bounds, ignore_string_bounds, ignore_member_names,
                prevent_type_widening, force_type_validation,
            },
            ..first
        }
    }
}

prop_compose! {
    fn endpoint()(
        role_and_key in any::<(bool, u32, bool)>(),
        guids in (prefix(), guid(), option::of(guid())),
        names in [TEXT, TEXT, TEXT],
        implementation in (option::of(version()), option::of(vendor())),
        qos in policies(),
        locators in [locators(), locators()],
        data in [octets(9), octets(9), octets(9)],
        properties in properties(),
        raw in [option::of(words(3)), option::of(words(3))],
        vendor_parameters in vendor_parameters(),
        others in any::<(bool, Option<u32>)>(),
    ) -> EndpointData {
        let (is_writer, key, with_key) = role_and_key;
        let (role, entity_id) = match is_writer {
            true => (EndpointRole::Writer, EntityId::user_writer(key, with_key)),
            false => (EndpointRole::Reader, EntityId::user_reader(key, with_key)),
        };
        let [topic_name, type_name, entity_name] = names;
        let [unicast_locators, multicast_locators] = locators;
        let [user_data, topic_data, group_data] = data;
        let [type_information, content_filter] = raw;
        EndpointData {
            role,
            guid: Guid::new(guids.0, entity_id),
            participant_guid: guids.1,
            topic_name,
            type_name,
            protocol_version: implementation.0,
            vendor_id: implementation.1,
            qos,
            unicast_locators,
            multicast_locators,
            expects_inline_qos: others.0,
            type_max_size_serialized: others.1,
            group_guid: guids.2,
            user_data,
            topic_data,
            group_data,
            entity_name,
            properties,
            type_information,
            content_filter,
            vendor_parameters,
        }
    }
}

prop_compose! {
    fn participant()(
        protocol_version in version(),
        vendor_id in vendor(),
        prefix in prefix(),
        numbers in any::<(Option<u32>, u32, u32, i32, bool)>(),
        names in [TEXT, TEXT],
        locators in [(); 4].map(|()| locators()),
        lease_duration in duration(),
        user_data in octets(9),
        properties in properties(),
        vendor_parameters in vendor_parameters(),
    ) -> ParticipantData {
        let [metatraffic_unicast, metatraffic_multicast, default_unicast, default_multicast] = locators;
        let (domain_id, endpoints, builtin_endpoint_qos, manual_liveliness_count, expects_inline_qos) =
            numbers;
        let [domain_tag, entity_name] = names;
        ParticipantData {
            protocol_version,
            vendor_id,
            guid: Guid::new(prefix, EntityId::PARTICIPANT),
            domain_id,
            domain_tag,
            builtin_endpoint_set: BuiltinEndpointSet(endpoints),
            builtin_endpoint_qos,
            metatraffic_unicast_locators: metatraffic_unicast,
            metatraffic_multicast_locators: metatraffic_multicast,
            default_unicast_locators: default_unicast,
            default_multicast_locators: default_multicast,
            lease_duration,
            expects_inline_qos,
            manual_liveliness_count,
            user_data,
            entity_name,
            properties,
            vendor_parameters,
        }
    }
}

/// A submessage of which something is said to whoever it is for.
#[derive(Clone, Debug)]
enum Said {
    Timestamp(Option<(u32, u32)>),
    Destination(GuidPrefix),
    Heartbeat(Heartbeat),
    AckNack(AckNack),
    Gap(Gap),
    Data {
        ids: [EntityId; 2],
        number: SequenceNumber,
        inline_qos: Option<InlineQos>,
        payload: Payload,
    },
}

#[derive(Clone, Debug)]
enum Payload {
    None,
    Data(Vec<u8>),
    Key(Vec<u8>),
    NonStandard(Vec<u8>),
}

impl Payload {
    fn borrow(&self) -> DataPayload<'_> {
        match self {
            Self::None => DataPayload::None,
            Self::Data(octets) => DataPayload::Data(octets),
            Self::Key(octets) => DataPayload::Key(octets),
            Self::NonStandard(octets) => DataPayload::NonStandard(octets),
        }
    }
}

fn said() -> impl Strategy<Value = Said> {
    let ids = || [entity_id(), entity_id()];
    let heartbeat = (ids(), number(), 0..100_i64, any::<(i32, bool, bool)>()).prop_map(
        |([reader_id, writer_id], first_sn, more, (count, is_final, liveliness))| {
            let last_sn = SequenceNumber(first_sn.0 + more - 1);
            Said::Heartbeat(Heartbeat {
                reader_id,
                writer_id,
                first_sn,
                last_sn,
                count,
                is_final,
                liveliness,
            })
        },
    );
    let ack_nack = (ids(), numbers(), any::<(i32, bool)>()).prop_map(
        |([reader_id, writer_id], reader_sn_state, (count, is_final))| {
            Said::AckNack(AckNack { reader_id, writer_id, reader_sn_state, count, is_final })
        },
    );
    let gap =
        (ids(), numbers(), 0..100_i64).prop_map(|([reader_id, writer_id], gap_list, before)| {
            let gap_start = SequenceNumber((gap_list.base().0 - before).max(1));
            Said::Gap(Gap { reader_id, writer_id, gap_start, gap_list })
        });
    let payload = prop_oneof![
        Just(Payload::None),
        words(8).prop_map(Payload::Data),
        words(8).prop_map(Payload::Key),
        words(8).prop_map(Payload::NonStandard),
    ];
    let status = any::<u32>().prop_map(StatusInfo);
    let inline_qos = (option::of(any::<[u8; 16]>().prop_map(KeyHash)), option::of(status))
        .prop_map(|(key_hash, status_info)| InlineQos { key_hash, status_info });
    let data = (ids(), number(), option::of(inline_qos), payload).prop_map(
        |(ids, number, inline_qos, payload)| Said::Data { ids, number, inline_qos, payload },
    );
    prop_oneof![
        any::<Option<(u32, u32)>>().prop_map(Said::Timestamp),
        prefix().prop_map(Said::Destination),
        heartbeat,
        ack_nack,
        gap,
        data,
    ]
}

fn say(message: &mut MessageBuilder, said: &Said) {
    let done = match said {
        Said::Timestamp(time) => {
            message.info_timestamp(time.map(|(seconds, fraction)| Time { seconds, fraction }))
        }
        Said::Destination(prefix) => message.info_destination(*prefix),
        Said::Heartbeat(heartbeat) => message.heartbeat(heartbeat),
        Said::AckNack(ack_nack) => message.ack_nack(ack_nack),
        Said::Gap(gap) => message.gap(gap),
        Said::Data { ids: [reader_id, writer_id], number, inline_qos, payload } => {
            message.data(&OutgoingData {
                reader_id: *reader_id,
                writer_id: *writer_id,
                writer_sn: *number,
                inline_qos: inline_qos.as_ref(),
                payload: payload.borrow(),
            })
        }
    };
    done.expect("a good submessage");
}

/// Whether a submessage that was read is the one that was said.
fn is_what_was_said(read: &Submessage<'_>, said: &Said) -> bool {
    match (read, said) {
        (Submessage::Heartbeat(read), Said::Heartbeat(said)) => read == said,
        (Submessage::AckNack(read), Said::AckNack(said)) => read == said,
        (Submessage::Gap(read), Said::Gap(said)) => read == said,
        (Submessage::Data(read), Said::Data { ids, number, inline_qos, payload }) => {
            let qos = read.inline_qos.map(|list| InlineQos::from_list(&list).unwrap());
            [read.reader_id, read.writer_id] == *ids
                && read.writer_sn == *number
                && qos == *inline_qos
                && read.payload == payload.borrow()
        }
        _ => false,
    }
}

prop_compose! {
    fn identity()(
        incarnation: [u8; 16],
        hash: (u8, [u8; 16]),
        texts in ["\\PC{0,20}", "\\PC{0,20}", "\\PC{0,40}"],
        slots in (1..1_u32 << 20, 0..1_u32 << 24, 0..4_u64),
        reader_capacity in 1..=MAX_READERS as u32,
        history_depth: u32,
        max_held: u32,
        flags: u32,
    ) -> Identity {
        let [topic, type_name, layout] = texts;
        let (slot_count, slot_capacity, more) = slots;
        let strings = (topic.len() + type_name.len() + layout.len()) as u64;
        Identity {
            incarnation: Incarnation(incarnation),
            type_hash: TypeHash { scheme: hash.0, digest: hash.1 },
            topic,
            type_name,
            layout,
            geometry: Geometry {
                slot_count,
                slot_capacity,
                slot_stride: (64 + u64::from(slot_capacity)).next_multiple_of(64) + 64 * more,
                reader_capacity,
                slots_offset: (0x1200 + strings).next_multiple_of(128) + 128 * more,
            },
            history_depth,
            max_held,
            flags: SegmentFlags(flags),
        }
    }
}

prop_compose! {
    fn registry_file()(
        names in [TEXT, TEXT, TEXT, TEXT],
        generation: u64,
        entries in vec(
            (1..=u64::MAX, any::<bool>(), guid(), any::<u64>(), octets(20), octets(20)), 0..4,
        ),
    ) -> RegistryFile {
        let [domain, topic, type_name, partition] = names;
        let entries = entries.into_iter().map(|(node, is_writer, guid, qos_digest, locator, parameters)| {
            let role = if is_writer { EndpointRole::Writer } else { EndpointRole::Reader };
            let node = NodeId::new(node).unwrap();
            RegistryEntry { node, role, guid, qos_digest, locator, parameters }
        });
        let key = RegistryKey { domain, topic, type_name, partition };
        RegistryFile { key, generation, entries: entries.collect() }
    }
}

proptest! {
    #[test]
    fn a_publication_or_subscription(data in endpoint(), endianness in endianness()) {
        let octets = data.to_pl_cdr(endianness).unwrap();
        prop_assert_eq!(EndpointData::from_pl_cdr(data.role, &octets), Ok(data));
        targets::discovery_data::run(&octets);
        targets::parameter_list::run(&octets);
    }

    #[test]
    fn a_participant(data in participant(), endianness in endianness()) {
        let octets = data.to_pl_cdr(endianness).unwrap();
        prop_assert_eq!(ParticipantData::from_pl_cdr(&octets), Ok(data));
        targets::discovery_data::run(&octets);
    }

    #[test]
    fn a_sign_of_life(
        guid_prefix in prefix(), kind: [u8; 4], data in octets(20), endianness in endianness(),
    ) {
        let data = ParticipantMessageData { guid_prefix, kind: ParticipantMessageKind(kind), data };
        let octets = data.to_cdr(endianness).unwrap();
        prop_assert_eq!(ParticipantMessageData::from_cdr(&octets), Ok(data));
    }

    #[test]
    fn a_message(
        vendor_id in vendor(),
        guid_prefix in prefix(),
        said in vec(said(), 0..6),
        endianness in endianness(),
    ) {
        let header = RtpsHeader { version: ProtocolVersion::V2_5, vendor_id, guid_prefix };
        let mut message = MessageBuilder::with_endianness(header, endianness);
        said.iter().for_each(|said| say(&mut message, said));
        let octets = message.finish();
        let reader = MessageReader::new(&octets).unwrap();
        prop_assert_eq!(reader.header(), &header);
        let mut heard = reader.map(Result::unwrap);
        let (mut time, mut destination) = (None, GuidPrefix::UNKNOWN);
        for said in &said {
            match said {
                Said::Timestamp(stamp) => {
                    time = stamp.map(|(seconds, fraction)| Time { seconds, fraction });
                }
                Said::Destination(prefix) => destination = *prefix,
                _ => {
                    let heard = heard.next().unwrap();
                    prop_assert!(is_what_was_said(&heard.submessage, said), "{heard:?}");
                    prop_assert_eq!(heard.state.timestamp, time);
                    prop_assert_eq!(heard.state.dest_guid_prefix, destination);
                }
            }
        }
        prop_assert!(heard.next().is_none());
        targets::rtps_message::run(&octets);
    }

    #[test]
    fn an_identity(identity in identity()) {
        let (fixed, strings) = identity.encode_dat();
        let mut octets = fixed.to_vec();
        octets.resize(0x1200, 0);
        octets.extend(strings);
        let len = identity.geometry.dat_len();
        prop_assert_eq!(Identity::decode_dat(&octets, len), Ok(identity.clone()));
        let line = identity.encode_ctl();
        prop_assert_eq!(identity.check_ctl(&line, identity.geometry.ctl_len()), Ok(()));
        octets.extend(line);
        targets::segment_identity::run(&octets);
    }

    #[test]
    fn a_flink(node in 1..=u64::MAX, nonce: u32, newline: bool) {
        let segment = SegmentName { node: NodeId::new(node).unwrap(), nonce };
        let mut ours = segment.to_string();
        if newline {
            ours.push('\n');
        }
        prop_assert_eq!(parse_flink(ours.as_bytes()), Some(FlinkTarget::Segment(segment)));
        targets::flink::run(ours.as_bytes());
        let zerodds = format!("/{}", segment.zds2());
        prop_assert_eq!(
            parse_flink(zerodds.as_bytes()), Some(FlinkTarget::Zds2(segment.zds2()))
        );
        prop_assert_eq!(ObjectKind::of(&segment.zds2()), Some(ObjectKind::Zds2(segment)));
        targets::flink::run(zerodds.as_bytes());
    }

    #[test]
    fn a_file_of_the_registry(file in registry_file()) {
        let octets = file.encode();
        prop_assert_eq!(RegistryFile::decode(&octets), Ok(file));
        targets::registry_file::run(&octets);
    }

    #[test]
    fn any_octets_are_taken_as_promised(octets in octets(300)) {
        for (_, target) in targets::TARGETS {
            target(&octets);
        }
    }

    /// Most of what is wrong is wrong in one place.
    #[test]
    fn a_good_input_with_a_few_other_octets_is_taken_as_promised(
        target: Index, input: Index, cut: Index, damage in vec(any::<(Index, u8)>(), 0..6),
    ) {
        let (name, target) = *target.get(&targets::TARGETS);
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let mut paths: Vec<_> =
            std::fs::read_dir(kept).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let mut octets = std::fs::read(input.get(&paths)).unwrap();
        for (at, octet) in damage.into_iter().filter(|_| !octets.is_empty()).collect::<Vec<_>>() {
            let at = at.index(octets.len());
            octets[at] = octet;
        }
        target(&octets);
        target(&octets[..cut.index(octets.len() + 1)]);
    }
}
