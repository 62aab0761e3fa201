//! HEARTBEAT: what a writer has.

use crate::wire::cdr::{CdrReader, CdrValue, CdrWriter};
use crate::wire::{EntityId, SequenceNumber, WireError};

/// Which samples a reliable writer has; a reader answers with what it misses.
///
/// `last_sn` = `first_sn` − 1: it has none. RTPS 2.5, 8.3.8.6 and 9.4.5.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Heartbeat {
    /// To whom; [`EntityId::UNKNOWN`]: to every reader that matches the writer.
    pub reader_id: EntityId,
    /// From whom.
    pub writer_id: EntityId,
    /// The first sample that it has.
    pub first_sn: SequenceNumber,
    /// The last sample that it has.
    pub last_sn: SequenceNumber,
    /// Grows with every heartbeat, so that doubles can be told.
    pub count: i32,
    /// No answer is needed from a reader that misses nothing.
    pub is_final: bool,
    /// Asserts the liveliness of the writer (MANUAL_BY_TOPIC).
    pub liveliness: bool,
}

impl Heartbeat {
    const FLAG_FINAL: u8 = 0x02;
    const FLAG_LIVELINESS: u8 = 0x04;

    pub(super) fn parse(flags: u8, mut body: CdrReader<'_>) -> Result<Self, WireError> {
        let heartbeat = Self {
            reader_id: EntityId::read(&mut body)?,
            writer_id: EntityId::read(&mut body)?,
            first_sn: SequenceNumber::read(&mut body)?,
            last_sn: SequenceNumber::read(&mut body)?,
            count: body.read_i32()?,
            is_final: flags & Self::FLAG_FINAL != 0,
            liveliness: flags & Self::FLAG_LIVELINESS != 0,
        };
        if !heartbeat.first_sn.is_valid() {
            return Err(WireError::InvalidValue {
                what: "firstSN of HEARTBEAT",
                value: heartbeat.first_sn.0,
            });
        }
        if heartbeat.last_sn < heartbeat.first_sn.previous() {
            return Err(WireError::InvalidValue {
                what: "lastSN of HEARTBEAT",
                value: heartbeat.last_sn.0,
            });
        }
        Ok(heartbeat)
    }

    pub(super) fn flags(&self) -> u8 {
        u8::from(self.is_final) * Self::FLAG_FINAL
            + u8::from(self.liveliness) * Self::FLAG_LIVELINESS
    }

    pub(super) fn write(&self, body: &mut CdrWriter) -> Result<(), WireError> {
        self.reader_id.write(body)?;
        self.writer_id.write(body)?;
        self.first_sn.write(body)?;
        self.last_sn.write(body)?;
        self.count.write(body)
    }
}
