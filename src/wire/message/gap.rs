//! GAP: what a reader need not wait for.

use crate::wire::cdr::{CdrReader, CdrValue, CdrWriter};
use crate::wire::{EntityId, SequenceNumber, SequenceNumberSet, WireError};

/// Samples that the writer no longer has, or that do not concern the reader: all from `gap_start`
/// to before the base of the set, and those in the set. RTPS 2.5, 8.3.8.4 and 9.4.5.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gap {
    /// To whom; [`EntityId::UNKNOWN`]: to every reader that matches the writer.
    pub reader_id: EntityId,
    /// From whom.
    pub writer_id: EntityId,
    /// The first sample that is irrelevant.
    pub gap_start: SequenceNumber,
    /// Its base ends the first run of irrelevant samples; its members are further ones.
    pub gap_list: SequenceNumberSet,
}

impl Gap {
    pub(super) fn parse(mut body: CdrReader<'_>) -> Result<Self, WireError> {
        let gap = Self {
            reader_id: EntityId::read(&mut body)?,
            writer_id: EntityId::read(&mut body)?,
            gap_start: SequenceNumber::read(&mut body)?,
            gap_list: SequenceNumberSet::read(&mut body)?,
        };
        if !gap.gap_start.is_valid() {
            return Err(WireError::InvalidValue {
                what: "gapStart of GAP",
                value: gap.gap_start.0,
            });
        }
        if gap.gap_list.base() < gap.gap_start {
            return Err(WireError::InvalidValue {
                what: "base of the gapList of GAP",
                value: gap.gap_list.base().0,
            });
        }
        Ok(gap)
    }

    pub(super) fn write(&self, body: &mut CdrWriter) -> Result<(), WireError> {
        self.reader_id.write(body)?;
        self.writer_id.write(body)?;
        self.gap_start.write(body)?;
        self.gap_list.write(body)
    }
}
