//! Messages there and back, and bytes that are no messages.

use super::*;
use crate::wire::{
    Endianness, EntityId, GuidPrefix, InlineQos, KeyHash, ProtocolVersion, SequenceNumber,
    SequenceNumberSet, StatusInfo, Time, VendorId, WireError,
};
use proptest::prelude::*;

const HEADER: RtpsHeader = RtpsHeader {
    version: ProtocolVersion::V2_5,
    vendor_id: VendorId::DUST_DDS,
    guid_prefix: GuidPrefix([1, 0x14, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
};
const READER: EntityId = EntityId::SEDP_PUBLICATIONS_READER;
const WRITER: EntityId = EntityId::SEDP_PUBLICATIONS_WRITER;

fn heartbeat() -> Heartbeat {
    Heartbeat {
        reader_id: READER,
        writer_id: WRITER,
        first_sn: SequenceNumber(1),
        last_sn: SequenceNumber(5),
        count: 7,
        is_final: true,
        liveliness: false,
    }
}

fn ack_nack() -> AckNack {
    AckNack {
        reader_id: READER,
        writer_id: WRITER,
        reader_sn_state: SequenceNumberSet::with(SequenceNumber(2), [SequenceNumber(4)]),
        count: 8,
        is_final: true,
    }
}

fn gap() -> Gap {
    Gap {
        reader_id: READER,
        writer_id: WRITER,
        gap_start: SequenceNumber(3),
        gap_list: SequenceNumberSet::with(SequenceNumber(5), [SequenceNumber(9)]),
    }
}

fn data<'a>(inline_qos: Option<&'a InlineQos>, payload: DataPayload<'a>) -> OutgoingData<'a> {
    OutgoingData {
        reader_id: READER,
        writer_id: WRITER,
        writer_sn: SequenceNumber(0x1_0000_0002),
        inline_qos,
        payload,
    }
}

/// One message with everything in it.
fn everything(endianness: Endianness) -> Vec<u8> {
    let inline_qos = InlineQos {
        key_hash: Some(KeyHash([9; 16])),
        status_info: Some(StatusInfo::DISPOSED | StatusInfo::UNREGISTERED),
    };
    let mut message = MessageBuilder::with_endianness(HEADER, endianness);
    message
        .info_timestamp(Some(Time { seconds: 3, fraction: 4 }))
        .unwrap()
        .data(&data(Some(&inline_qos), DataPayload::Key(&[0, 3, 0, 0, 1])))
        .unwrap()
        .info_destination(GuidPrefix([2; 12]))
        .unwrap()
        .heartbeat(&heartbeat())
        .unwrap()
        .ack_nack(&ack_nack())
        .unwrap()
        .info_timestamp(None)
        .unwrap()
        .gap(&gap())
        .unwrap()
        .data_frag(&data(Some(&inline_qos), DataPayload::Data(&[7; 10])), 4, 3)
        .unwrap();
    message.finish()
}

fn read(datagram: &[u8]) -> Vec<Result<Received<'_>, WireError>> {
    MessageReader::new(datagram).unwrap().collect()
}

#[test]
fn a_message_reads_back_in_both_byte_orders() {
    for endianness in [Endianness::Little, Endianness::Big] {
        let datagram = everything(endianness);
        let received: Vec<_> =
            MessageReader::new(&datagram).unwrap().collect::<Result<_, _>>().unwrap();
        let [first, second, third, fourth, fifth] = &received[..] else {
            panic!("{received:?}");
        };
        let Submessage::Data(data) = first.submessage else { panic!("{first:?}") };
        assert_eq!(data.writer_sn, SequenceNumber(0x1_0000_0002));
        assert_eq!(data.payload, DataPayload::Key(&[0, 3, 0, 0, 1, 0, 0, 0]));
        let qos = InlineQos::from_list(&data.inline_qos.unwrap()).unwrap();
        assert_eq!(qos.key_hash, Some(KeyHash([9; 16])));
        assert_eq!(qos.status_info, Some(StatusInfo(3)));
        assert_eq!(first.state.timestamp, Some(Time { seconds: 3, fraction: 4 }));
        assert!(first.state.is_for(GuidPrefix([3; 12])));

        assert!(matches!(second.submessage, Submessage::Heartbeat(h) if h == heartbeat()));
        assert!(second.state.is_for(GuidPrefix([2; 12])));
        assert!(!second.state.is_for(GuidPrefix([3; 12])));
        assert!(matches!(third.submessage, Submessage::AckNack(a) if a == ack_nack()));
        assert!(matches!(fourth.submessage, Submessage::Gap(g) if g == gap()));
        assert_eq!(fourth.state.timestamp, None);

        let Submessage::DataFrag(fragment) = fifth.submessage else { panic!("{fifth:?}") };
        assert_eq!(fragment.range(), 8..10);
        assert_eq!(fragment.fragment, [7, 7]);
        assert_eq!(fragment.fragment_count(), 3);
        assert!(fragment.inline_qos.is_none(), "only the first fragment has it");
    }
}

#[test]
fn what_came_before_a_malformed_submessage_stands() {
    let mut message = MessageBuilder::new(HEADER);
    message.heartbeat(&heartbeat()).unwrap();
    message.heartbeat(&Heartbeat { first_sn: SequenceNumber(0), ..heartbeat() }).unwrap();
    message.heartbeat(&heartbeat()).unwrap();
    let datagram = message.finish();
    let received = read(&datagram);
    assert_eq!(received.len(), 2);
    assert!(received[0].is_ok() && received[1].is_err());
}

#[test]
fn unknown_submessages_are_skipped() {
    let mut datagram = HEADER.to_bytes().to_vec();
    datagram.extend([0x80, 0x01, 4, 0, 1, 2, 3, 4]);
    datagram.extend([0x01, 0x01, 0, 0]);
    datagram.extend([0x7f, 0x00, 0, 4, 1, 2, 3, 4]);
    let mut message = MessageBuilder::new(HEADER);
    message.heartbeat(&heartbeat()).unwrap();
    datagram.extend(&message.finish()[20..]);
    let received = read(&datagram);
    assert_eq!(received.len(), 1);
    assert!(received[0].is_ok());
}

#[test]
fn a_length_of_zero_means_the_rest_of_the_message() {
    let mut message = MessageBuilder::new(HEADER);
    message.info_timestamp(None).unwrap();
    message.data(&data(None, DataPayload::Data(&[0, 1, 0, 0, 5, 5, 5, 5]))).unwrap();
    let mut datagram = message.finish();
    datagram[26..28].copy_from_slice(&[0, 0]);
    let received = read(&datagram);
    let Submessage::Data(data) = received[0].as_ref().unwrap().submessage else { panic!() };
    assert_eq!(data.payload.bytes().len(), 8);
}

#[test]
fn a_longer_data_header_of_a_later_version_is_skipped() {
    let mut message = MessageBuilder::new(HEADER);
    message.data(&data(None, DataPayload::Data(&[0xaa; 8]))).unwrap();
    let mut datagram = message.finish();
    datagram[26] = 20;
    let received = read(&datagram);
    let Submessage::Data(data) = received[0].as_ref().unwrap().submessage else { panic!() };
    assert_eq!(data.payload, DataPayload::Data(&[0xaa; 4]));
    datagram[26] = 12;
    assert!(read(&datagram)[0].is_err());
}

#[test]
fn a_source_in_between_replaces_the_sender() {
    let other = RtpsHeader { guid_prefix: GuidPrefix([7; 12]), ..HEADER };
    let mut message = MessageBuilder::new(HEADER);
    message.info_source(&other).unwrap().heartbeat(&heartbeat()).unwrap();
    let datagram = message.finish();
    assert_eq!(read(&datagram)[0].as_ref().unwrap().state.source_guid_prefix, GuidPrefix([7; 12]));
}

#[test]
fn what_is_not_rtps_2_is_refused() {
    assert!(matches!(
        MessageReader::new(b"HTTP/1.1 200 OK........"),
        Err(WireError::NotRtps { .. })
    ));
    let mut bytes = HEADER.to_bytes();
    bytes[4] = 3;
    assert!(matches!(MessageReader::new(&bytes), Err(WireError::UnsupportedVersion { .. })));
    bytes[4..6].copy_from_slice(&[2, 99]);
    assert!(MessageReader::new(&bytes).is_ok());
}

#[test]
fn an_extension_that_must_be_understood_ends_the_message() {
    for (id_high, readable) in [(0x00, true), (0x40, false)] {
        let mut datagram = HEADER.to_bytes().to_vec();
        datagram.extend([0x00, 0x83, 12, 0, 0, 0, 0, 0, 0x55, id_high, 0, 0, 1, 0, 0, 0]);
        let mut message = MessageBuilder::new(HEADER);
        message.heartbeat(&heartbeat()).unwrap();
        datagram.extend(&message.finish()[20..]);
        assert_eq!(read(&datagram)[0].is_ok(), readable);
    }
}

#[test]
fn inline_qos_that_must_be_understood_is_told() {
    let mut list = crate::wire::ParameterListBuilder::new(Endianness::Little);
    let id = crate::wire::ParameterId(0x7abc);
    list.raw(id, &[]).unwrap();
    let bytes = list.finish();
    let (list, _) = crate::wire::ParameterList::parse(&bytes, Endianness::Little).unwrap();
    assert_eq!(InlineQos::from_list(&list), Err(WireError::MustUnderstand { id }));
}

#[test]
fn fragments_that_cannot_be_are_refused() {
    let payload = [7; 10];
    let data = data(None, DataPayload::Data(&payload));
    let mut message = MessageBuilder::new(HEADER);
    assert!(message.data_frag(&data, 4, 0).is_err());
    assert!(message.data_frag(&data, 4, 4).is_err());
    message.data_frag(&data, 4, 1).unwrap();
    let datagram = message.finish();
    // Offsets within the datagram: starting number 44, count 48, size 50, sample size 52.
    for (offset, value) in [(44, 0), (44, 9), (48, 0), (48, 9), (48, 3), (50, 0), (52, 0)] {
        let mut bad = datagram.clone();
        bad[offset] = value;
        assert!(read(&bad)[0].is_err(), "{offset} {value}");
    }
}

#[test]
fn a_payload_too_long_for_a_submessage_is_refused() {
    let payload = vec![0; 65_532];
    let mut message = MessageBuilder::new(HEADER);
    assert!(message.data(&data(None, DataPayload::Data(&payload))).is_err());
    assert!(message.has_no_submessage());
}

#[test]
fn a_message_cut_anywhere_gives_what_is_whole_and_no_panic() {
    for endianness in [Endianness::Little, Endianness::Big] {
        let datagram = everything(endianness);
        for length in 0..datagram.len() {
            let Ok(reader) = MessageReader::new(&datagram[..length]) else {
                assert!(length < 20);
                continue;
            };
            let received: Vec<_> = reader.collect();
            assert!(received.iter().filter(|r| r.is_ok()).count() < 5, "{length}");
            assert!(received.iter().rev().skip(1).all(Result::is_ok), "{length}");
        }
    }
}

proptest! {
    #[test]
    fn a_damaged_message_does_not_panic(
        little: bool, damage in prop::collection::vec((20usize..400, any::<u8>()), 1..8),
    ) {
        let mut datagram = everything(Endianness::from_flag(little));
        for (at, value) in damage {
            let at = at % datagram.len();
            datagram[at] = value;
        }
        if let Ok(reader) = MessageReader::new(&datagram) {
            for received in reader.flatten() {
                if let Submessage::Data(data) = received.submessage {
                    let _ = data.inline_qos.map(|list| InlineQos::from_list(&list));
                }
                if let Submessage::DataFrag(fragment) = received.submessage {
                    prop_assert_eq!(fragment.range().len(), fragment.fragment.len());
                }
            }
        }
    }

    #[test]
    fn no_datagram_panics(bytes: Vec<u8>) {
        let mut datagram = HEADER.to_bytes().to_vec();
        datagram.extend(bytes);
        prop_assert!(MessageReader::new(&datagram).unwrap().count() <= datagram.len());
    }
}
