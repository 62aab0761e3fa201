//! Participants of other implementations: what they send is understood, tolerated, and answered.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod simulation;

use std::net::SocketAddr;
use std::time::Duration;

use dds_shm::discovery::{Destination, DiscoveryEvent, LossReason, UnreachableReason, VERSION_KEY};
use dds_shm::wire::message::{
    AckNack, DataPayload, Gap, Heartbeat, MessageBuilder, MessageReader, OutgoingData, RtpsHeader,
    Submessage,
};
use dds_shm::wire::qos::Reliability;
use dds_shm::wire::{
    BuiltinEndpointSet, Endianness, EndpointData, EndpointRole, EntityId, Guid, GuidPrefix,
    InlineQos, Locator, ParameterId, ParameterListBuilder, ParticipantData, ProtocolVersion,
    SequenceNumber, SequenceNumberSet, StatusInfo, VendorId, WireError,
};
use proptest::prelude::*;
use simulation::{Simulation, Weather, metatraffic, prefix, reader, user, writer};

const SECOND: Duration = Duration::from_secs(1);
/// The stranger's number; nobody in the simulation has it.
const STRANGER: u8 = 99;

const SPDP_GOLDEN: &str = concat!(
    "000300001500040002050000160004000114000050001000011402030405060708090a0b000001c1",
    "0f00040000000000144008000100000000000000580004003f0c0000",
    "3200180001000000f21c00000000000000000000000000007f000001",
    "3100180001000000f31c00000000000000000000000000007f000001",
    "3300180001000000e81c0000000000000000000000000000efff0001",
    "020008006400000000000000",
    "01000000",
);
const SEDP_GOLDEN: &str = concat!(
    "000300005a001000011402030405060708090a0b0000010250001000011402030405060708090a0b000001c1",
    "05000c0005000000506f736500000000070014000f00000067656f6d657472793a3a506f73650000",
    "150004000205000016000400011400001a000c000200000000000000999999191d00040000000000",
    "730008000100000000000000",
    "0180240044332211e80300001000000080000000100000002f7a6464737075625f41423132434400",
    "01000000",
);

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// Somebody who speaks RTPS, of another vendor.
struct Stranger {
    prefix: GuidPrefix,
    vendor_id: VendorId,
    endianness: Endianness,
}

impl Stranger {
    fn new() -> Self {
        let mut octets = prefix(STRANGER).0;
        octets[..2].copy_from_slice(&VendorId::CYCLONE_DDS.0);
        let prefix = GuidPrefix(octets);
        Self { prefix, vendor_id: VendorId::CYCLONE_DDS, endianness: Endianness::Little }
    }

    fn guid(&self, entity_id: EntityId) -> Guid {
        Guid::new(self.prefix, entity_id)
    }

    fn participant(&self) -> ParticipantData {
        ParticipantData {
            builtin_endpoint_set: BuiltinEndpointSet::SPDP_SEDP_WLP,
            metatraffic_unicast_locators: vec![Locator::from(metatraffic(STRANGER))],
            default_unicast_locators: vec![Locator::from(user(STRANGER))],
            ..ParticipantData::new(self.guid(EntityId::PARTICIPANT), self.vendor_id)
        }
    }

    fn endpoint(&self, role: EndpointRole, key: u32) -> EndpointData {
        let entity_id = match role {
            EndpointRole::Writer => EntityId::user_writer(key, true),
            EndpointRole::Reader => EntityId::user_reader(key, true),
        };
        let mut data = EndpointData::new(role, self.guid(entity_id), "T", "Type");
        data.qos.reliability = Reliability::reliable();
        data
    }

    fn message(
        &self,
        build: impl FnOnce(&mut MessageBuilder) -> Result<&mut MessageBuilder, WireError>,
    ) -> Vec<u8> {
        let header = RtpsHeader {
            version: ProtocolVersion { major: 2, minor: 1 },
            vendor_id: self.vendor_id,
            guid_prefix: self.prefix,
        };
        let mut message = MessageBuilder::with_endianness(header, self.endianness);
        build(&mut message).unwrap();
        message.finish()
    }

    fn data(&self, writer_id: EntityId, number: i64, payload: DataPayload<'_>) -> Vec<u8> {
        self.data_with(writer_id, number, payload, None)
    }

    fn data_with(
        &self,
        writer_id: EntityId,
        number: i64,
        payload: DataPayload<'_>,
        inline_qos: Option<&InlineQos>,
    ) -> Vec<u8> {
        self.message(|message| {
            message.data(&OutgoingData {
                reader_id: EntityId::UNKNOWN,
                writer_id,
                writer_sn: SequenceNumber(number),
                inline_qos,
                payload,
            })
        })
    }

    fn spdp(&self, data: &ParticipantData) -> Vec<u8> {
        let payload = data.to_pl_cdr(self.endianness).unwrap();
        self.data(EntityId::SPDP_WRITER, 1, DataPayload::Data(&payload))
    }

    fn sedp(&self, number: i64, data: &EndpointData) -> Vec<u8> {
        let payload = data.to_pl_cdr(self.endianness).unwrap();
        self.data(sedp_writer(data.role), number, DataPayload::Data(&payload))
    }

    fn heartbeat(
        &self,
        writer_id: EntityId,
        reader_id: EntityId,
        first: i64,
        last: i64,
    ) -> Vec<u8> {
        self.message(|message| {
            message.heartbeat(&Heartbeat {
                reader_id,
                writer_id,
                first_sn: SequenceNumber(first),
                last_sn: SequenceNumber(last),
                count: 1,
                is_final: false,
                liveliness: false,
            })
        })
    }
}

fn sedp_writer(role: EndpointRole) -> EntityId {
    match role {
        EndpointRole::Writer => EntityId::SEDP_PUBLICATIONS_WRITER,
        EndpointRole::Reader => EntityId::SEDP_SUBSCRIPTIONS_WRITER,
    }
}

/// One participant of ours with a reader and a writer of the topic; the stranger is discovered.
fn scene() -> (Simulation, Stranger) {
    let mut simulation = Simulation::new(0, Weather::FINE);
    simulation.start(1);
    let mut ours = reader(1, 1, "T");
    ours.qos.reliability = Reliability::reliable();
    simulation.announce(ours);
    simulation.announce(writer(1, 2, "T"));
    let stranger = Stranger::new();
    say(&mut simulation, &stranger.spdp(&stranger.participant()));
    simulation.run(SECOND);
    simulation.get(1).events.clear();
    simulation.recording = Some(Vec::new());
    (simulation, stranger)
}

fn say(simulation: &mut Simulation, datagram: &[u8]) {
    simulation.inject(1, metatraffic(STRANGER), datagram);
    simulation.run(Duration::ZERO);
}

/// What was sent to this address since the recording began.
fn heard(simulation: &mut Simulation, at: SocketAddr) -> Vec<String> {
    let recording = std::mem::take(simulation.recording.as_mut().unwrap());
    let to_address = recording.iter().filter(|(to, _)| *to == Destination::Address(at));
    let mut submessages = Vec::new();
    for (_, datagram) in to_address {
        for received in MessageReader::new(datagram).unwrap() {
            submessages.push(match received.unwrap().submessage {
                Submessage::AckNack(AckNack { reader_sn_state, is_final, .. }) => format!(
                    "acknack {} {:?} {}",
                    reader_sn_state.base(),
                    reader_sn_state.iter().map(|n| n.0).collect::<Vec<_>>(),
                    if is_final { "final" } else { "" }
                ),
                Submessage::Gap(Gap { gap_start, gap_list, .. }) => {
                    format!("gap {}..{}", gap_start, gap_list.base())
                }
                Submessage::Heartbeat(Heartbeat { first_sn, last_sn, is_final, .. }) => {
                    format!(
                        "heartbeat {first_sn} {last_sn} {}",
                        if is_final { "final" } else { "" }
                    )
                }
                other => format!("{other:?}"),
            });
        }
    }
    submessages
}

fn unreachable(simulation: &mut Simulation) -> Vec<(Guid, Guid, UnreachableReason)> {
    let events = std::mem::take(&mut simulation.get(1).events);
    events
        .into_iter()
        .filter_map(|event| match event {
            DiscoveryEvent::Unreachable { local, remote, why } => Some((local, remote, why)),
            _ => None,
        })
        .collect()
}

#[test]
fn data_that_other_implementations_accept_is_accepted() {
    let mut simulation = Simulation::new(0, Weather::FINE);
    simulation.start(1);
    let prefix = GuidPrefix([1, 0x14, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    let dust = Stranger { prefix, vendor_id: VendorId::DUST_DDS, ..Stranger::new() };
    let spdp = unhex(SPDP_GOLDEN);
    say(&mut simulation, &dust.data(EntityId::SPDP_WRITER, 1, DataPayload::Data(&spdp)));
    let sedp = unhex(SEDP_GOLDEN);
    let writer_id = EntityId::SEDP_PUBLICATIONS_WRITER;
    say(&mut simulation, &dust.data(writer_id, 1, DataPayload::Data(&sedp)));
    let publication = simulation.get(1).core.publications().next().unwrap().clone();
    assert_eq!(publication.data.topic_name, "Pose");
    assert_eq!(publication.vendor_id, VendorId::DUST_DDS);
    assert_eq!(publication.locator, None, "a locator without our trailer is not ours");
}

#[test]
fn the_locator_of_a_zerodds_participant_is_found() {
    let mut simulation = Simulation::new(0, Weather::FINE);
    simulation.start(1);
    let prefix = GuidPrefix([1, 0x14, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    let zerodds = Stranger { prefix, vendor_id: VendorId::ZERO_DDS, ..Stranger::new() };
    let spdp = unhex(SPDP_GOLDEN);
    say(&mut simulation, &zerodds.data(EntityId::SPDP_WRITER, 1, DataPayload::Data(&spdp)));
    let sedp = unhex(SEDP_GOLDEN);
    let writer_id = EntityId::SEDP_PUBLICATIONS_WRITER;
    say(&mut simulation, &zerodds.data(writer_id, 1, DataPayload::Data(&sedp)));
    let publication = simulation.get(1).core.publications().next().unwrap().clone();
    assert_eq!(publication.locator.as_ref().unwrap().path.as_str(), "/zddspub_AB12CD");
}

#[test]
fn both_byte_orders_are_understood() {
    for endianness in [Endianness::Little, Endianness::Big] {
        let mut simulation = Simulation::new(0, Weather::FINE);
        simulation.start(1);
        let stranger = Stranger { endianness, ..Stranger::new() };
        say(&mut simulation, &stranger.spdp(&stranger.participant()));
        say(&mut simulation, &stranger.sedp(1, &stranger.endpoint(EndpointRole::Writer, 1)));
        assert_eq!(simulation.get(1).core.publications().count(), 1);
    }
}

#[test]
fn a_participant_without_a_domain_id_is_one_of_ours() {
    let (mut simulation, stranger) = scene();
    assert_eq!(stranger.participant().domain_id, None);
    assert_eq!(simulation.get(1).core.participants().count(), 1);
}

#[test]
fn a_discovered_stranger_is_greeted_and_told_what_there_is() {
    let mut simulation = Simulation::new(0, Weather::FINE);
    simulation.start(1);
    simulation.announce(writer(1, 2, "T"));
    simulation.run(SECOND);
    simulation.recording = Some(Vec::new());
    let stranger = Stranger::new();
    say(&mut simulation, &stranger.spdp(&stranger.participant()));
    let heard = heard(&mut simulation, metatraffic(STRANGER));
    assert_eq!(heard.iter().filter(|s| s.starts_with("Data")).count(), 2, "SPDP and SEDP");
    assert_eq!(heard.iter().filter(|s| *s == "acknack 1 [] ").count(), 3);
    assert!(heard.contains(&"heartbeat 1 1 ".to_owned()), "{heard:?}");
}

#[test]
fn a_gap_and_a_heartbeat_lead_to_the_right_acknowledgements() {
    let (mut simulation, stranger) = scene();
    let writer_id = EntityId::SEDP_PUBLICATIONS_WRITER;
    let at = metatraffic(STRANGER);
    say(&mut simulation, &stranger.sedp(5, &stranger.endpoint(EndpointRole::Writer, 5)));
    assert_eq!(simulation.get(1).core.publications().count(), 0, "out of order");
    say(&mut simulation, &stranger.heartbeat(writer_id, EntityId::UNKNOWN, 2, 6));
    assert_eq!(heard(&mut simulation, at), ["acknack 2 [2, 3, 4, 6] "]);
    let gap = stranger.message(|message| {
        message.gap(&Gap {
            reader_id: EntityId::UNKNOWN,
            writer_id,
            gap_start: SequenceNumber(2),
            gap_list: SequenceNumberSet::with(SequenceNumber(4), [SequenceNumber(4)]),
        })
    });
    say(&mut simulation, &gap);
    assert_eq!(simulation.get(1).core.publications().count(), 1);
    say(&mut simulation, &stranger.sedp(6, &stranger.endpoint(EndpointRole::Writer, 6)));
    say(&mut simulation, &stranger.heartbeat(writer_id, EntityId::UNKNOWN, 2, 6));
    assert_eq!(heard(&mut simulation, at), ["acknack 7 [] final"]);
    assert_eq!(simulation.get(1).core.publications().count(), 2);
}

#[test]
fn every_form_of_disposal_is_understood() {
    let gone = StatusInfo::DISPOSED | StatusInfo::UNREGISTERED;
    for form in 0..4 {
        let (mut simulation, stranger) = scene();
        let endpoint = stranger.endpoint(EndpointRole::Writer, 1);
        say(&mut simulation, &stranger.sedp(1, &endpoint));
        let key = EndpointData::key_to_pl_cdr(endpoint.guid, Endianness::Little).unwrap();
        let value = endpoint.to_pl_cdr(Endianness::Little).unwrap();
        let with_hash = InlineQos { key_hash: Some(endpoint.guid.into()), status_info: Some(gone) };
        let with_status = InlineQos { key_hash: None, status_info: Some(gone) };
        let (payload, qos) = match form {
            0 => (DataPayload::Key(&key), Some(&with_status)),
            1 => (DataPayload::None, Some(&with_hash)),
            2 => (DataPayload::Key(&key), None),
            _ => (DataPayload::Data(&value), Some(&with_status)),
        };
        let writer_id = EntityId::SEDP_PUBLICATIONS_WRITER;
        say(&mut simulation, &stranger.data_with(writer_id, 2, payload, qos));
        assert_eq!(simulation.get(1).core.publications().count(), 0, "{form}");

        let guid = stranger.guid(EntityId::PARTICIPANT);
        let key = ParticipantData::key_to_pl_cdr(guid, Endianness::Little).unwrap();
        let with_hash = InlineQos { key_hash: Some(guid.into()), status_info: Some(gone) };
        let (payload, qos) = match form {
            0 => (DataPayload::Key(&key), Some(&with_status)),
            1 => (DataPayload::None, Some(&with_hash)),
            2 => (DataPayload::Key(&key), None),
            _ => (DataPayload::Data(&key), Some(&with_status)),
        };
        say(&mut simulation, &stranger.data_with(EntityId::SPDP_WRITER, 2, payload, qos));
        assert_eq!(simulation.get(1).core.participants().count(), 0, "{form}");
        let lost = DiscoveryEvent::ParticipantLost {
            prefix: stranger.prefix,
            reason: LossReason::Disposed,
        };
        assert_eq!(simulation.get(1).events.last(), Some(&lost));
    }
}

#[test]
fn nobody_speaks_for_somebody_else() {
    let (mut simulation, stranger) = scene();
    simulation.start(2);
    simulation.announce(writer(2, 1, "T"));
    simulation.run(SECOND);
    let participant = Guid::new(prefix(2), EntityId::PARTICIPANT);
    let key = ParticipantData::key_to_pl_cdr(participant, Endianness::Little).unwrap();
    say(&mut simulation, &stranger.data(EntityId::SPDP_WRITER, 9, DataPayload::Key(&key)));
    let endpoint = writer(2, 1, "T");
    let key = EndpointData::key_to_pl_cdr(endpoint.guid, Endianness::Little).unwrap();
    let writer_id = EntityId::SEDP_PUBLICATIONS_WRITER;
    say(&mut simulation, &stranger.data(writer_id, 1, DataPayload::Key(&key)));
    say(&mut simulation, &stranger.sedp(2, &writer(2, 7, "T")));
    let forged = ParticipantData { domain_id: Some(0), ..stranger.participant() };
    let forged = ParticipantData { guid: Guid::new(prefix(7), EntityId::PARTICIPANT), ..forged };
    say(&mut simulation, &stranger.spdp(&forged));
    let core = &simulation.get(1).core;
    assert_eq!(core.participants().count(), 2);
    assert_eq!(core.publications().count(), 1);
}

#[test]
fn an_announcement_that_cannot_be_read_does_not_hold_up_those_behind_it() {
    let (mut simulation, stranger) = scene();
    let writer_id = EntityId::SEDP_PUBLICATIONS_WRITER;
    let mut list = ParameterListBuilder::new(Endianness::Little);
    list.raw(ParameterId(0x7fff), &[0; 4]).unwrap();
    let unreadable = list.finish_payload();
    say(&mut simulation, &stranger.data(writer_id, 1, DataPayload::Data(&unreadable)));
    say(&mut simulation, &stranger.data(writer_id, 2, DataPayload::Data(b"garbage")));
    say(&mut simulation, &stranger.data(writer_id, 3, DataPayload::None));
    let huge = vec![0; 65_000];
    say(&mut simulation, &stranger.data(writer_id, 4, DataPayload::Data(&huge)));
    say(&mut simulation, &stranger.sedp(5, &stranger.endpoint(EndpointRole::Writer, 1)));
    assert_eq!(simulation.get(1).core.publications().count(), 1);
}

#[test]
fn announcements_in_fragments_are_put_together() {
    let mut simulation = Simulation::new(0, Weather::FINE);
    simulation.start(1);
    let stranger = Stranger::new();
    let mut participant = stranger.participant();
    participant.user_data = vec![1; 3000];
    let mut endpoint = stranger.endpoint(EndpointRole::Writer, 1);
    endpoint.user_data = vec![2; 5000];
    let changes = [
        (EntityId::SPDP_WRITER, participant.to_pl_cdr(Endianness::Little).unwrap()),
        (EntityId::SEDP_PUBLICATIONS_WRITER, endpoint.to_pl_cdr(Endianness::Little).unwrap()),
    ];
    for (writer_id, payload) in changes {
        let data = OutgoingData {
            reader_id: EntityId::UNKNOWN,
            writer_id,
            writer_sn: SequenceNumber(1),
            inline_qos: None,
            payload: DataPayload::Data(&payload),
        };
        let fragments = payload.len().div_ceil(1024) as u32;
        for fragment in (1..=fragments).rev() {
            say(&mut simulation, &stranger.message(|m| m.data_frag(&data, 1024, fragment)));
        }
    }
    let core = &simulation.get(1).core;
    assert_eq!(core.participants().next().unwrap().data, participant);
    assert_eq!(core.publications().next().unwrap().data, endpoint);
}

#[test]
fn a_writer_without_a_segment_is_told_once_as_unreachable() {
    let (mut simulation, stranger) = scene();
    let endpoint = stranger.endpoint(EndpointRole::Writer, 1);
    let ours = reader(1, 1, "T").guid;
    say(&mut simulation, &stranger.sedp(1, &endpoint));
    let expected = (ours, endpoint.guid, UnreachableReason::NoLocator);
    assert_eq!(unreachable(&mut simulation), [expected]);

    // It waits for acknowledgements of what it sends: they come, and nothing is told again.
    for (reader_id, last) in [(ours.entity_id, 7), (EntityId::UNKNOWN, 9)] {
        let heartbeat = stranger.heartbeat(endpoint.guid.entity_id, reader_id, 1, last);
        say(&mut simulation, &heartbeat);
        assert_eq!(
            heard(&mut simulation, user(STRANGER)),
            [format!("acknack {} [] final", last + 1)]
        );
    }
    assert_eq!(unreachable(&mut simulation), []);

    // It changes: told again. It gets a segment: nothing to tell.
    let mut changed = endpoint.clone();
    changed.user_data = vec![1];
    say(&mut simulation, &stranger.sedp(2, &changed));
    assert_eq!(unreachable(&mut simulation), [expected]);
}

#[test]
fn a_writer_that_is_not_announced_is_acknowledged_and_told() {
    let (mut simulation, stranger) = scene();
    let ours = reader(1, 1, "T").guid;
    let writer_id = EntityId::user_writer(77, true);
    // Its announcement may be on its way.
    for last in 1..=3 {
        say(&mut simulation, &stranger.heartbeat(writer_id, ours.entity_id, 1, last));
        assert_eq!(unreachable(&mut simulation), []);
        simulation.run(SECOND);
    }
    for last in 4..=6 {
        say(&mut simulation, &stranger.heartbeat(writer_id, ours.entity_id, 1, last));
    }
    assert_eq!(heard(&mut simulation, user(STRANGER)).len(), 6);
    let expected = (ours, stranger.guid(writer_id), UnreachableReason::Unknown);
    assert_eq!(unreachable(&mut simulation), [expected]);
    // And here it is.
    let mut announced = stranger.endpoint(EndpointRole::Writer, 77);
    announced.qos.reliability = Reliability::reliable();
    say(&mut simulation, &stranger.sedp(1, &announced));
    let expected = (ours, announced.guid, UnreachableReason::NoLocator);
    assert_eq!(unreachable(&mut simulation), [expected]);
}

#[test]
fn a_reader_that_asks_for_samples_is_told_that_there_are_none() {
    let (mut simulation, stranger) = scene();
    let endpoint = stranger.endpoint(EndpointRole::Reader, 1);
    let ours = writer(1, 2, "T").guid;
    say(&mut simulation, &stranger.sedp(1, &endpoint));
    let expected = (ours, endpoint.guid, UnreachableReason::NotCapable);
    assert_eq!(unreachable(&mut simulation), [expected]);

    let ask = |base: i64, numbers: &[i64], is_final: bool| {
        stranger.message(|message| {
            message.ack_nack(&AckNack {
                reader_id: endpoint.guid.entity_id,
                writer_id: ours.entity_id,
                reader_sn_state: SequenceNumberSet::with(
                    SequenceNumber(base),
                    numbers.iter().map(|n| SequenceNumber(*n)),
                ),
                count: 1,
                is_final,
            })
        })
    };
    let at = user(STRANGER);
    say(&mut simulation, &ask(1, &[], false));
    assert_eq!(heard(&mut simulation, at), ["heartbeat 1 0 final"]);
    say(&mut simulation, &ask(0, &[], false));
    assert_eq!(heard(&mut simulation, at), ["heartbeat 1 0 final"]);
    say(&mut simulation, &ask(3, &[3, 7], false));
    assert_eq!(heard(&mut simulation, at), ["gap 3..8", "heartbeat 8 7 final"]);
    say(&mut simulation, &ask(8, &[], true));
    assert_eq!(heard(&mut simulation, at), [""; 0]);
    assert_eq!(unreachable(&mut simulation), []);
}

#[test]
fn a_reader_that_reads_segments_is_reachable_by_its_own_word_or_its_participants() {
    let (mut simulation, stranger) = scene();
    let mut endpoint = stranger.endpoint(EndpointRole::Reader, 1);
    endpoint.user_data = b"dds_shm.version=1;".to_vec();
    say(&mut simulation, &stranger.sedp(1, &endpoint));
    assert_eq!(unreachable(&mut simulation), []);

    let plain = stranger.endpoint(EndpointRole::Reader, 2);
    say(&mut simulation, &stranger.sedp(2, &plain));
    assert_eq!(unreachable(&mut simulation).len(), 1);
    let mut capable = stranger.participant();
    capable.properties.push((VERSION_KEY.to_owned(), "1".to_owned()));
    say(&mut simulation, &stranger.spdp(&capable));
    let events = &simulation.get(1).events;
    let [DiscoveryEvent::ParticipantChanged(_), DiscoveryEvent::SubscriptionChanged(changed)] =
        &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((changed.data.guid, changed.shm_version), (plain.guid, Some(1)));
}

#[test]
fn endpoints_that_do_not_match_are_nobodys_concern() {
    let (mut simulation, stranger) = scene();
    let mut other_topic = stranger.endpoint(EndpointRole::Writer, 1);
    other_topic.topic_name = "Other".to_owned();
    let mut other_type = stranger.endpoint(EndpointRole::Writer, 2);
    other_type.type_name = "Other".to_owned();
    let mut less = stranger.endpoint(EndpointRole::Writer, 3);
    less.qos.reliability = Reliability::best_effort();
    let mut elsewhere = stranger.endpoint(EndpointRole::Writer, 4);
    elsewhere.qos.partition.0.push("p".to_owned());
    for (number, data) in (1..).zip([other_topic, other_type, less, elsewhere]) {
        say(&mut simulation, &stranger.sedp(number, &data));
    }
    assert_eq!(unreachable(&mut simulation), []);
    // An endpoint of ours that comes later may match.
    let mut late = reader(1, 9, "Other");
    late.qos.reliability = Reliability::reliable();
    simulation.announce(late);
    simulation.run(Duration::ZERO);
    assert_eq!(unreachable(&mut simulation).len(), 1);
}

#[test]
fn a_stranger_without_builtin_endpoints_is_sent_nothing() {
    let mut simulation = Simulation::new(0, Weather::FINE);
    simulation.start(1);
    simulation.announce(writer(1, 2, "T"));
    let stranger = Stranger::new();
    let silent = ParticipantData {
        builtin_endpoint_set: BuiltinEndpointSet::PARTICIPANT_ANNOUNCER,
        ..stranger.participant()
    };
    simulation.recording = Some(Vec::new());
    say(&mut simulation, &stranger.spdp(&silent));
    simulation.run(5 * SECOND);
    let heard = heard(&mut simulation, metatraffic(STRANGER));
    assert_eq!(heard.len(), 1, "our own announcement: {heard:?}");
}

#[test]
fn strangers_cannot_make_us_talk_without_end() {
    // Nothing that a stranger says once is answered more than a few times.
    let (mut simulation, stranger) = scene();
    for number in 1..=20 {
        let endpoint = stranger.endpoint(EndpointRole::Writer, number as u32);
        say(&mut simulation, &stranger.sedp(number, &endpoint));
        let writer_id = EntityId::SEDP_SUBSCRIPTIONS_WRITER;
        say(&mut simulation, &stranger.heartbeat(writer_id, EntityId::UNKNOWN, 1, i64::MAX));
    }
    simulation.recording = Some(Vec::new());
    simulation.run(Duration::from_secs(60));
    let sent = simulation.recording.as_ref().unwrap().len();
    assert!(sent < 150, "{sent}");
}

/// Everything that two participants and a stranger say to each other.
fn conversation() -> Vec<Vec<u8>> {
    let mut simulation = Simulation::new(0, Weather { loss: 20, ..Weather::FINE });
    simulation.recording = Some(Vec::new());
    simulation.start(1);
    simulation.start(2);
    for key in 1..=3 {
        simulation.announce(writer(1, key, "T"));
        simulation.announce(reader(2, key, "T"));
    }
    simulation.run(5 * SECOND);
    simulation.withdraw(writer(1, 2, "T").guid);
    simulation.run(SECOND);
    let stranger = Stranger::new();
    let mut datagrams: Vec<Vec<u8>> =
        simulation.recording.take().unwrap().into_iter().map(|(_, datagram)| datagram).collect();
    datagrams.push(stranger.spdp(&stranger.participant()));
    datagrams.push(stranger.sedp(1, &stranger.endpoint(EndpointRole::Writer, 1)));
    datagrams.push(stranger.sedp(1, &stranger.endpoint(EndpointRole::Reader, 1)));
    let user_writer = EntityId::user_writer(1, true);
    datagrams.push(stranger.heartbeat(user_writer, EntityId::UNKNOWN, 1, 9));
    datagrams
}

/// Runs one of ours among damaged datagrams; it has to stay whole.
fn survives(datagrams: &[Vec<u8>]) {
    let mut simulation = Simulation::new(0, Weather::FINE);
    simulation.start(7);
    simulation.announce(reader(7, 1, "T"));
    simulation.announce(writer(7, 2, "T"));
    for (n, datagram) in datagrams.iter().enumerate() {
        simulation.inject(7, metatraffic(n as u8 % 5), datagram);
        if n % 8 == 0 {
            simulation.run(Duration::from_millis(50));
        }
    }
    simulation.run(SECOND);
    // It still works.
    simulation.start(8);
    simulation.announce(writer(8, 1, "Alive"));
    simulation.wait(10 * SECOND, |simulation| {
        simulation.get(7).core.publications().any(|p| p.data.topic_name == "Alive")
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_octets_are_survived(
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..40),
        with_header: bool,
    ) {
        let datagrams: Vec<Vec<u8>> = datagrams
            .into_iter()
            .map(|octets| {
                if with_header {
                    [&b"RTPS\x02\x05\x01\x10"[..], &[9; 12], &octets].concat()
                } else {
                    octets
                }
            })
            .collect();
        survives(&datagrams);
    }

    #[test]
    fn damaged_conversations_are_survived(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..60),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..10),
        shuffle: u64,
    ) {
        use rand::SeedableRng as _;
        use rand::seq::SliceRandom as _;

        let mut datagrams = conversation();
        for (which, at, octet) in damage {
            let which = which.index(datagrams.len());
            let datagram = &mut datagrams[which];
            if !datagram.is_empty() {
                let at = at.index(datagram.len());
                datagram[at] = octet;
            }
        }
        for (which, at) in cuts {
            let which = which.index(datagrams.len());
            let datagram = &mut datagrams[which];
            datagram.truncate(at.index(datagram.len() + 1));
        }
        datagrams.shuffle(&mut rand::rngs::StdRng::seed_from_u64(shuffle));
        survives(&datagrams);
    }

    #[test]
    fn any_submessages_of_a_known_participant_are_survived(
        submessages in prop::collection::vec(
            (
                prop::sample::select(vec![0x06u8, 0x07, 0x08, 0x15, 0x16]),
                any::<u8>(),
                prop::sample::select(vec![
                    [0x00u8, 0x00, 0x03, 0xc2], [0x00, 0x00, 0x04, 0xc2], [0x00, 0x01, 0x00, 0xc2],
                    [0x00, 0x02, 0x00, 0xc2], [0x00, 0x00, 0x03, 0xc7], [0x00, 0x00, 0x02, 0x03],
                    [0x00, 0x00, 0x01, 0x04],
                ]),
                prop::collection::vec(any::<u8>(), 0..80),
            ),
            0..60,
        ),
    ) {
        let stranger = Stranger::new();
        let mut datagrams = vec![stranger.spdp(&stranger.participant())];
        for (kind, flags, entity, body) in submessages {
            let mut datagram = stranger.message(|message| Ok(message));
            datagram.extend([kind, flags, 0, 0]);
            match kind {
                0x15 | 0x16 => datagram.extend([0, 0, 16, 0, 0, 0, 0, 0]),
                _ => datagram.extend([0, 0, 0, 0]),
            }
            datagram.extend(entity);
            datagram.extend(body);
            datagrams.push(datagram);
        }
        survives(&datagrams);
    }
}
