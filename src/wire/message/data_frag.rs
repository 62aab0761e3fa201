//! DATA_FRAG: a piece of a sample.

use std::ops::Range;

use super::data::{read_writer_sn, split_header, split_inline_qos};
use crate::wire::cdr::{CdrReader, CdrValue};
use crate::wire::{EntityId, ParameterList, SequenceNumber, WireError};

/// One or more consecutive fragments of a sample's payload. RTPS 2.5, 8.3.8.3 and 9.4.5.5.
///
/// All fragments but the last have `fragment_size` octets. Put together, `sample_size` octets, they
/// are the payload with its encapsulation header.
#[derive(Clone, Copy, Debug)]
pub struct DataFrag<'a> {
    /// To whom; [`EntityId::UNKNOWN`]: to every reader that matches the writer.
    pub reader_id: EntityId,
    /// From whom.
    pub writer_id: EntityId,
    /// The sample's number among the writer's.
    pub writer_sn: SequenceNumber,
    /// Number of the first fragment here, from 1.
    pub fragment_starting_num: u32,
    /// How many there are here; 1 or more.
    pub fragments_in_submessage: u16,
    /// Octets of each fragment but the last; not 0.
    pub fragment_size: u16,
    /// Octets of the whole payload. What a stranger claims: allocate as fragments arrive.
    pub sample_size: u32,
    /// Whether the payload is a key alone.
    pub is_key: bool,
    /// What is said about the sample; usually with its first fragment only.
    pub inline_qos: Option<ParameterList<'a>>,
    /// The octets of these fragments: exactly as many as [`DataFrag::range`] spans.
    pub fragment: &'a [u8],
}

impl<'a> DataFrag<'a> {
    pub(super) const FLAG_INLINE_QOS: u8 = 0x02;
    pub(super) const FLAG_KEY: u8 = 0x04;
    /// From behind the field to the inline QoS, in this version of the protocol.
    pub(super) const OCTETS_TO_INLINE_QOS: u16 = 28;

    pub(super) fn parse(flags: u8, mut body: CdrReader<'a>) -> Result<Self, WireError> {
        let variable_part = split_header(&mut body, Self::OCTETS_TO_INLINE_QOS)?;
        let mut data = Self {
            reader_id: EntityId::read(&mut body)?,
            writer_id: EntityId::read(&mut body)?,
            writer_sn: read_writer_sn(&mut body)?,
            fragment_starting_num: body.read_u32()?,
            fragments_in_submessage: body.read_u16()?,
            fragment_size: body.read_u16()?,
            sample_size: body.read_u32()?,
            is_key: flags & Self::FLAG_KEY != 0,
            inline_qos: None,
            fragment: &[],
        };
        let last = u64::from(data.fragment_starting_num)
            + u64::from(data.fragments_in_submessage).saturating_sub(1);
        if data.fragment_size == 0
            || data.fragment_starting_num == 0
            || data.fragments_in_submessage == 0
            || last > data.fragment_count().into()
        {
            return Err(WireError::InvalidValue {
                what: "first fragment of DATA_FRAG",
                value: data.fragment_starting_num.into(),
            });
        }
        let (inline_qos, rest) =
            split_inline_qos(flags & Self::FLAG_INLINE_QOS != 0, variable_part)?;
        let needed = data.range().len();
        data.inline_qos = inline_qos;
        data.fragment = rest.get(..needed).ok_or(WireError::Truncated {
            what: "fragment",
            offset: 0,
            needed,
            available: rest.len(),
        })?;
        Ok(data)
    }

    /// How many fragments the whole payload has.
    pub fn fragment_count(&self) -> u32 {
        self.sample_size.div_ceil(u32::from(self.fragment_size).max(1))
    }

    /// Where these fragments stand in the whole payload.
    pub fn range(&self) -> Range<usize> {
        let size = u64::from(self.fragment_size);
        let start = u64::from(self.fragment_starting_num.saturating_sub(1)) * size;
        let end =
            (start + u64::from(self.fragments_in_submessage) * size).min(self.sample_size.into());
        start as usize..end as usize
    }
}
