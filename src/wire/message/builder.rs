//! Putting a message together.

use super::{AckNack, Data, DataFrag, DataPayload, Gap, Heartbeat, RtpsHeader, SubmessageKind};
use crate::wire::cdr::{CdrValue, CdrWriter};
use crate::wire::{Endianness, EntityId, GuidPrefix, InlineQos, SequenceNumber, Time, WireError};

/// The longest body of a submessage: the greatest multiple of four that its length field can say.
const MAX_BODY: usize = 65_532;

/// A sample that is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingData<'a> {
    /// To whom; [`EntityId::UNKNOWN`]: to every reader that matches the writer.
    pub reader_id: EntityId,
    /// From whom.
    pub writer_id: EntityId,
    /// Its number among the writer's.
    pub writer_sn: SequenceNumber,
    /// What is said about it.
    pub inline_qos: Option<&'a InlineQos>,
    /// What it carries, with its encapsulation header.
    pub payload: DataPayload<'a>,
}

/// Puts submessages one behind the other.
///
/// It does not know how large a datagram may be: [`MessageBuilder::len`] tells how large it is.
/// After an error the message is as before the call.
///
/// ```
/// use dds_shm::wire::message::{Heartbeat, MessageBuilder, RtpsHeader};
/// use dds_shm::wire::{EntityId, GuidPrefix, ProtocolVersion, SequenceNumber, VendorId};
///
/// let mut message = MessageBuilder::new(RtpsHeader {
///     version: ProtocolVersion::V2_5,
///     vendor_id: VendorId::EMBEDDED,
///     guid_prefix: GuidPrefix([1; 12]),
/// });
/// message.info_destination(GuidPrefix([2; 12]))?.heartbeat(&Heartbeat {
///     reader_id: EntityId::SEDP_PUBLICATIONS_READER,
///     writer_id: EntityId::SEDP_PUBLICATIONS_WRITER,
///     first_sn: SequenceNumber(1),
///     last_sn: SequenceNumber(3),
///     count: 1,
///     is_final: false,
///     liveliness: false,
/// })?;
/// assert_eq!(message.finish().len(), 20 + 16 + 32);
/// # Ok::<(), dds_shm::wire::WireError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MessageBuilder {
    bytes: Vec<u8>,
    endianness: Endianness,
}

impl MessageBuilder {
    /// A message with no submessage yet, in little-endian order.
    pub fn new(header: RtpsHeader) -> Self {
        Self::with_endianness(header, Endianness::Little)
    }

    /// The same in another byte order.
    pub fn with_endianness(header: RtpsHeader, endianness: Endianness) -> Self {
        Self { bytes: header.to_bytes().to_vec(), endianness }
    }

    /// Octets so far.
    #[expect(clippy::len_without_is_empty, reason = "a message has a header at least")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no submessage yet.
    pub fn has_no_submessage(&self) -> bool {
        self.bytes.len() == RtpsHeader::LENGTH
    }

    /// The datagram.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// INFO_TS: when the samples that follow were written; `None` takes back what was said before.
    pub fn info_timestamp(&mut self, time: Option<Time>) -> Result<&mut Self, WireError> {
        let flags = if time.is_none() { 0x02 } else { 0 };
        self.submessage(SubmessageKind::INFO_TS, flags, |body| match time {
            Some(time) => time.write(body),
            None => Ok(()),
        })
    }

    /// INFO_DST: which participant the submessages that follow are for.
    pub fn info_destination(&mut self, prefix: GuidPrefix) -> Result<&mut Self, WireError> {
        self.submessage(SubmessageKind::INFO_DST, 0, |body| prefix.write(body))
    }

    /// INFO_SRC: who says what follows.
    pub fn info_source(&mut self, source: &RtpsHeader) -> Result<&mut Self, WireError> {
        self.submessage(SubmessageKind::INFO_SRC, 0, |body| {
            body.write_u32(0);
            source.version.write(body)?;
            source.vendor_id.write(body)?;
            source.guid_prefix.write(body)
        })
    }

    /// HEARTBEAT.
    pub fn heartbeat(&mut self, heartbeat: &Heartbeat) -> Result<&mut Self, WireError> {
        self.submessage(SubmessageKind::HEARTBEAT, heartbeat.flags(), |body| heartbeat.write(body))
    }

    /// ACKNACK.
    pub fn ack_nack(&mut self, ack_nack: &AckNack) -> Result<&mut Self, WireError> {
        self.submessage(SubmessageKind::ACKNACK, ack_nack.flags(), |body| ack_nack.write(body))
    }

    /// GAP.
    pub fn gap(&mut self, gap: &Gap) -> Result<&mut Self, WireError> {
        self.submessage(SubmessageKind::GAP, 0, |body| gap.write(body))
    }

    /// DATA.
    ///
    /// # Errors
    ///
    /// If the payload does not fit in one submessage of 65532 octets: send
    /// [fragments](MessageBuilder::data_frag).
    pub fn data(&mut self, data: &OutgoingData<'_>) -> Result<&mut Self, WireError> {
        let mut flags = match data.payload {
            DataPayload::None => 0,
            DataPayload::Data(_) => Data::FLAG_DATA,
            DataPayload::Key(_) => Data::FLAG_KEY,
            DataPayload::NonStandard(_) => Data::FLAG_DATA | Data::FLAG_NON_STANDARD,
        };
        if data.inline_qos.is_some() {
            flags |= Data::FLAG_INLINE_QOS;
        }
        self.submessage(SubmessageKind::DATA, flags, |body| {
            write_data_header(body, data, Data::OCTETS_TO_INLINE_QOS)?;
            write_inline_qos(body, data.inline_qos)?;
            body.write_slice(data.payload.bytes());
            Ok(())
        })
    }

    /// DATA_FRAG: the fragment with this number (from 1) of a sample that is cut into pieces of
    /// `fragment_size` octets. Inline QoS goes with the first one.
    ///
    /// # Errors
    ///
    /// If there is no such fragment, or `fragment_size` is more than a submessage can carry.
    pub fn data_frag(
        &mut self,
        data: &OutgoingData<'_>,
        fragment_size: u16,
        fragment_num: u32,
    ) -> Result<&mut Self, WireError> {
        let payload = data.payload.bytes();
        let no_such_fragment =
            || WireError::InvalidValue { what: "number of a fragment", value: fragment_num.into() };
        let sample_size = u32::try_from(payload.len()).map_err(|_| WireError::TooLong {
            what: "sample",
            length: payload.len(),
            limit: u32::MAX as usize,
        })?;
        let index = fragment_num.checked_sub(1).ok_or_else(no_such_fragment)? as usize;
        let fragment = payload
            .chunks(usize::from(fragment_size).max(1))
            .nth(index)
            .ok_or_else(no_such_fragment)?;
        let inline_qos = data.inline_qos.filter(|_| index == 0);
        let mut flags = match data.payload {
            DataPayload::Key(_) => DataFrag::FLAG_KEY,
            _ => 0,
        };
        if inline_qos.is_some() {
            flags |= DataFrag::FLAG_INLINE_QOS;
        }
        self.submessage(SubmessageKind::DATA_FRAG, flags, |body| {
            write_data_header(body, data, DataFrag::OCTETS_TO_INLINE_QOS)?;
            body.write_u32(fragment_num);
            body.write_u16(1);
            body.write_u16(fragment_size);
            body.write_u32(sample_size);
            write_inline_qos(body, inline_qos)?;
            body.write_slice(fragment);
            Ok(())
        })
    }

    fn submessage(
        &mut self,
        kind: SubmessageKind,
        flags: u8,
        write: impl FnOnce(&mut CdrWriter) -> Result<(), WireError>,
    ) -> Result<&mut Self, WireError> {
        let mut body = CdrWriter::new(self.endianness);
        write(&mut body)?;
        // The next submessage has to begin at a multiple of four.
        body.align(4);
        let body = body.as_bytes();
        let too_long =
            || WireError::TooLong { what: "submessage", length: body.len(), limit: MAX_BODY };
        let length = u16::try_from(body.len()).map_err(|_| too_long())?;
        self.bytes.extend([kind.0, flags | self.endianness.flag()]);
        self.bytes.extend(self.endianness.u16_bytes(length));
        self.bytes.extend(body);
        Ok(self)
    }
}

fn write_data_header(
    body: &mut CdrWriter,
    data: &OutgoingData<'_>,
    octets_to_inline_qos: u16,
) -> Result<(), WireError> {
    body.write_u16(0);
    body.write_u16(octets_to_inline_qos);
    data.reader_id.write(body)?;
    data.writer_id.write(body)?;
    data.writer_sn.write(body)
}

fn write_inline_qos(body: &mut CdrWriter, inline_qos: Option<&InlineQos>) -> Result<(), WireError> {
    if let Some(inline_qos) = inline_qos {
        let list = inline_qos.to_list(body.endianness())?;
        body.write_slice(&list);
    }
    Ok(())
}
