//! RTPS messages.

use dds_shm::wire::message::{
    Data, DataFrag, MessageBuilder, MessageReader, OutgoingData, Submessage,
};
use dds_shm::wire::{InlineQos, WireError};

/// What is understood of a message is inside of it, and can be written again and is then the same.
pub fn run(input: &[u8]) {
    let Ok(message) = MessageReader::new(input) else { return };
    let header = *message.header();
    let mut count = 0;
    for received in message {
        count += 1;
        // Four octets at least in each.
        assert!(count <= input.len() / 4);
        let Ok(received) = received else { continue };
        let mut builder = MessageBuilder::new(header);
        let said = match received.submessage {
            Submessage::Heartbeat(heartbeat) => builder.heartbeat(&heartbeat).map(drop),
            Submessage::AckNack(acknack) => builder.ack_nack(&acknack).map(drop),
            Submessage::Gap(gap) => builder.gap(&gap).map(drop),
            Submessage::Data(data) => say_data(&mut builder, &data),
            Submessage::DataFrag(fragment) => {
                check_fragment(&fragment);
                continue;
            }
            _ => continue,
        };
        if said.is_err() {
            continue;
        }
        let octets = builder.finish();
        let again = MessageReader::new(&octets).expect("a message of ours").next();
        let again = again.expect("a submessage of ours").expect("a good one").submessage;
        match (received.submessage, again) {
            // A payload is padded to a multiple of four, and inline QoS keeps what is known.
            (Submessage::Data(one), Submessage::Data(other)) => {
                assert_eq!(one.writer_sn, other.writer_sn);
                assert!(other.payload.bytes().starts_with(one.payload.bytes()));
                assert!(other.payload.bytes().len() < one.payload.bytes().len() + 4);
            }
            (one, other) => assert_eq!(format!("{one:?}"), format!("{other:?}")),
        }
    }
}

fn say_data(builder: &mut MessageBuilder, data: &Data<'_>) -> Result<(), WireError> {
    let inline_qos = data.inline_qos.map(|list| InlineQos::from_list(&list)).transpose()?;
    let outgoing = OutgoingData {
        reader_id: data.reader_id,
        writer_id: data.writer_id,
        writer_sn: data.writer_sn,
        inline_qos: inline_qos.as_ref(),
        payload: data.payload,
    };
    builder.data(&outgoing).map(drop)
}

fn check_fragment(fragment: &DataFrag<'_>) {
    let range = fragment.range();
    assert_eq!(range.len(), fragment.fragment.len());
    assert!(range.end <= fragment.sample_size as usize);
    assert!(fragment.fragment_starting_num <= fragment.fragment_count());
}
