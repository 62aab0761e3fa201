//! ACKNACK: what a reader has and what it misses.

use crate::wire::cdr::{CdrReader, CdrValue, CdrWriter};
use crate::wire::{EntityId, SequenceNumberSet, WireError};

/// A reliable reader's answer: everything before the base of the set has arrived, what is in the
/// set has not. RTPS 2.5, 8.3.8.1 and 9.4.5.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AckNack {
    /// From whom.
    pub reader_id: EntityId,
    /// To whom.
    pub writer_id: EntityId,
    /// What has arrived and what is missing.
    pub reader_sn_state: SequenceNumberSet,
    /// Grows with every answer, so that doubles can be told.
    pub count: i32,
    /// The reader does not ask for a heartbeat.
    pub is_final: bool,
}

impl AckNack {
    const FLAG_FINAL: u8 = 0x02;

    pub(super) fn parse(flags: u8, mut body: CdrReader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            reader_id: EntityId::read(&mut body)?,
            writer_id: EntityId::read(&mut body)?,
            reader_sn_state: SequenceNumberSet::read(&mut body)?,
            count: body.read_i32()?,
            is_final: flags & Self::FLAG_FINAL != 0,
        })
    }

    pub(super) fn flags(&self) -> u8 {
        u8::from(self.is_final) * Self::FLAG_FINAL
    }

    pub(super) fn write(&self, body: &mut CdrWriter) -> Result<(), WireError> {
        self.reader_id.write(body)?;
        self.writer_id.write(body)?;
        self.reader_sn_state.write(body)?;
        self.count.write(body)
    }
}
