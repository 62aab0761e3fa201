//! The real peers alone: that they start in a namespace, see each other, and that what they say is
//! understood.

#![allow(clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dds_shm::wire::message::{DataPayload, MessageReader, Submessage};
use dds_shm::wire::{
    EndpointData, EndpointRole, EntityId, Guid, InlineQos, ParticipantData, ParticipantMessageData,
    VendorId,
};
use interop_tests::{Need, Peer, PeerOptions, Sniffer, in_namespace};

fn see_each_other(writer: &mut Peer, reader: &mut Peer) {
    let (w, r) = (writer.ready(), reader.ready());
    let is = |guid: Option<Guid>| {
        move |event: &serde_json::Value| event["guid"] == guid.expect("an endpoint").to_hex()
    };
    reader.wait_for("participant", is(Some(w.participant)));
    writer.wait_for("participant", is(Some(r.participant)));
    let publication = reader.wait_for("publication", is(w.writer));
    let subscription = writer.wait_for("subscription", is(r.reader));
    for endpoint in [publication, subscription] {
        assert_eq!(endpoint["topic"], "Interop");
        assert_eq!(endpoint["type"], "interop::Sample");
    }
    assert!(writer.write(3));
    reader.wait_for("sample", |event| event["value"] == 2);
    assert!(writer.wait_for_acks(Duration::from_secs(10)));
}

fn endpoint() -> PeerOptions {
    PeerOptions::default().transient_local().keep_all()
}

#[test]
fn cyclone_writes_to_rustdds_and_leaves() {
    in_namespace!([Need::Cyclone, Need::RustDds], || {
        let mut writer = endpoint().writer().cyclone();
        let mut reader = endpoint().reader().rustdds();
        see_each_other(&mut writer, &mut reader);
        let guid = writer.ready().participant.to_hex();
        writer.stop();
        let lost = reader.wait_for("participant_lost", |event| event["guid"] == guid);
        assert_eq!(lost["reason"], "disposed");
        reader.stop();
    });
}

#[test]
fn rustdds_writes_to_cyclone_and_leaves() {
    in_namespace!([Need::Cyclone, Need::RustDds], || {
        let mut writer = endpoint().writer().rustdds();
        let mut reader = endpoint().reader().cyclone();
        see_each_other(&mut writer, &mut reader);
        let guid = writer.ready().participant.to_hex();
        writer.stop();
        reader.wait_for("participant_lost", |event| event["guid"] == guid);
        reader.stop();
    });
}

#[test]
fn two_cyclones_see_each_other_without_multicast() {
    in_namespace!([Need::Cyclone], || {
        let mut writer = endpoint().unicast_only().writer().cyclone();
        let mut reader = endpoint().unicast_only().reader().cyclone();
        see_each_other(&mut writer, &mut reader);
    });
}

#[test]
fn a_killed_cyclone_is_gone_after_its_lease() {
    in_namespace!([Need::Cyclone, Need::RustDds], || {
        let lease = Duration::from_secs(2);
        let mut writer = endpoint().lease(lease).writer().cyclone();
        let mut other = endpoint().reader().cyclone();
        see_each_other(&mut writer, &mut other);
        let guid = writer.ready().participant.to_hex();
        let killed = Instant::now();
        writer.kill();
        other.wait_for("participant_lost", |event| event["guid"] == guid);
        assert!(killed.elapsed() > lease / 2, "nobody can know that soon");
    });
}

/// Reads everything that two real implementations say to each other, from discovery to disposal.
#[test]
fn what_real_peers_say_is_understood() {
    in_namespace!([Need::Cyclone, Need::RustDds], || {
        let sniffer = Sniffer::start();
        let mut writer = endpoint().user_data("a=b;").writer().cyclone();
        let mut reader = endpoint().reader().rustdds();
        see_each_other(&mut writer, &mut reader);
        let (w, r) = (writer.ready(), reader.ready());
        writer.stop();
        reader.wait_for("participant_lost", |event| event["guid"] == w.participant.to_hex());
        reader.stop();

        let mut found = Found::default();
        for datagram in sniffer.captured() {
            if datagram.payload.starts_with(b"RTPS") {
                found.read(&datagram.payload);
            }
        }
        let expected = BTreeSet::from([w.participant, r.participant]);
        assert_eq!(found.participants, expected);
        assert_eq!(found.left, expected);
        assert!(found.endpoints.contains(&w.writer.expect("a writer")));
        assert!(found.endpoints.contains(&r.reader.expect("a reader")));
        assert!(found.heartbeats && found.ack_nacks);
        assert_eq!(found.user_data, b"a=b;");
    });
}

#[derive(Default)]
struct Found {
    participants: BTreeSet<Guid>,
    left: BTreeSet<Guid>,
    endpoints: BTreeSet<Guid>,
    heartbeats: bool,
    ack_nacks: bool,
    user_data: Vec<u8>,
}

impl Found {
    fn read(&mut self, datagram: &[u8]) {
        for received in MessageReader::new(datagram).expect("a header") {
            let received = received.expect("a submessage");
            let vendor = received.state.source_vendor_id;
            assert!([VendorId::CYCLONE_DDS, VendorId::RUST_DDS].contains(&vendor));
            match received.submessage {
                Submessage::Heartbeat(_) => self.heartbeats = true,
                Submessage::AckNack(_) => self.ack_nacks = true,
                Submessage::Data(data) => {
                    let qos = data.inline_qos.map(|list| InlineQos::from_list(&list));
                    let qos = qos.transpose().expect("inline QoS").unwrap_or_default();
                    let disposed = qos.status_info.is_some_and(|status| status.is_disposed());
                    self.read_data(data.writer_id, data.payload, disposed, vendor);
                }
                _ => {}
            }
        }
    }

    fn read_data(
        &mut self,
        writer_id: EntityId,
        payload: DataPayload<'_>,
        disposed: bool,
        vendor: VendorId,
    ) {
        let role = match writer_id {
            EntityId::SPDP_WRITER => {
                if disposed {
                    let guid = ParticipantData::key_from_pl_cdr(payload.bytes());
                    self.left.insert(guid.expect("the key of a participant"));
                } else {
                    let data = ParticipantData::from_pl_cdr(payload.bytes());
                    let data = data.expect("a participant");
                    assert_eq!(data.vendor_id, vendor);
                    self.participants.insert(data.guid);
                }
                return;
            }
            EntityId::PARTICIPANT_MESSAGE_WRITER => {
                ParticipantMessageData::from_cdr(payload.bytes()).expect("an assertion");
                return;
            }
            EntityId::SEDP_PUBLICATIONS_WRITER => EndpointRole::Writer,
            EntityId::SEDP_SUBSCRIPTIONS_WRITER => EndpointRole::Reader,
            _ => return,
        };
        if disposed {
            EndpointData::key_from_pl_cdr(payload.bytes()).expect("the key of an endpoint");
            return;
        }
        let data = EndpointData::from_pl_cdr(role, payload.bytes()).expect("an endpoint");
        if role == EndpointRole::Writer {
            self.user_data.clone_from(&data.user_data);
        }
        self.endpoints.insert(data.guid);
    }
}
