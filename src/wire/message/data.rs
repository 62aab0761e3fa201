//! DATA: a sample.

use crate::wire::cdr::{CdrReader, CdrValue};
use crate::wire::{EntityId, ParameterList, SequenceNumber, WireError};

/// What a sample carries: bytes with their encapsulation header, as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataPayload<'a> {
    /// Nothing; what there is to say stands in the inline QoS.
    None,
    /// A value.
    Data(&'a [u8]),
    /// A key alone: the instance was disposed or unregistered.
    Key(&'a [u8]),
    /// Something that is not to be read as the topic's type (flag N; DDS-Security uses it).
    NonStandard(&'a [u8]),
}

impl<'a> DataPayload<'a> {
    /// The bytes, whatever they are.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::None => &[],
            Self::Data(bytes) | Self::Key(bytes) | Self::NonStandard(bytes) => bytes,
        }
    }
}

/// A sample, or the end of an instance. RTPS 2.5, 8.3.8.2 and 9.4.5.4.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// To whom; [`EntityId::UNKNOWN`]: to every reader that matches the writer.
    pub reader_id: EntityId,
    /// From whom.
    pub writer_id: EntityId,
    /// Its number among the writer's.
    pub writer_sn: SequenceNumber,
    /// What is said about the sample; [`InlineQos::from_list`](crate::wire::InlineQos::from_list)
    /// reads it.
    pub inline_qos: Option<ParameterList<'a>>,
    /// What it carries.
    pub payload: DataPayload<'a>,
}

impl<'a> Data<'a> {
    pub(super) const FLAG_INLINE_QOS: u8 = 0x02;
    pub(super) const FLAG_DATA: u8 = 0x04;
    pub(super) const FLAG_KEY: u8 = 0x08;
    pub(super) const FLAG_NON_STANDARD: u8 = 0x10;
    /// From behind the field to the inline QoS, in this version of the protocol.
    pub(super) const OCTETS_TO_INLINE_QOS: u16 = 16;

    pub(super) fn parse(flags: u8, mut body: CdrReader<'a>) -> Result<Self, WireError> {
        let variable_part = split_header(&mut body, Self::OCTETS_TO_INLINE_QOS)?;
        let reader_id = EntityId::read(&mut body)?;
        let writer_id = EntityId::read(&mut body)?;
        let writer_sn = read_writer_sn(&mut body)?;
        let (inline_qos, rest) =
            split_inline_qos(flags & Self::FLAG_INLINE_QOS != 0, variable_part)?;
        let payload = match (flags & Self::FLAG_DATA != 0, flags & Self::FLAG_KEY != 0) {
            (true, true) => {
                return Err(WireError::InvalidValue { what: "flags of DATA", value: flags.into() });
            }
            (false, false) => DataPayload::None,
            _ if flags & Self::FLAG_NON_STANDARD != 0 => DataPayload::NonStandard(rest),
            (true, false) => DataPayload::Data(rest),
            (false, true) => DataPayload::Key(rest),
        };
        Ok(Self { reader_id, writer_id, writer_sn, inline_qos, payload })
    }
}

/// Reads extraFlags and octetsToInlineQos; gives the part that the latter leads to. A later minor
/// version may have put more fields in front of it.
pub(super) fn split_header<'a>(
    body: &mut CdrReader<'a>,
    expected: u16,
) -> Result<CdrReader<'a>, WireError> {
    let _extra_flags = body.read_u16()?;
    let octets = body.read_u16()?;
    if octets < expected {
        return Err(WireError::InvalidValue { what: "octetsToInlineQos", value: octets.into() });
    }
    let mut variable_part = body.clone();
    variable_part.read_slice(octets.into(), "octetsToInlineQos")?;
    Ok(variable_part)
}

pub(super) fn read_writer_sn(body: &mut CdrReader<'_>) -> Result<SequenceNumber, WireError> {
    let number = SequenceNumber::read(body)?;
    if number.is_valid() {
        Ok(number)
    } else {
        Err(WireError::InvalidValue { what: "writerSN", value: number.0 })
    }
}

/// Splits inline QoS, if there is any, from the payload.
pub(super) fn split_inline_qos(
    there: bool,
    part: CdrReader<'_>,
) -> Result<(Option<ParameterList<'_>>, &[u8]), WireError> {
    let bytes = part.remaining();
    if !there {
        return Ok((None, bytes));
    }
    let (list, length) = ParameterList::parse(bytes, part.endianness())?;
    Ok((Some(list), bytes.get(length..).unwrap_or(&[])))
}
