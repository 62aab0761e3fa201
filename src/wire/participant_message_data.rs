//! What the writer liveliness protocol sends.

use super::cdr::{CdrValue, CdrWriter, Encapsulation, encapsulate};
use super::{Endianness, GuidPrefix, KeyHash, RepresentationId, WireError};

/// What a [`ParticipantMessageData`] is about: four octets; the top bit marks vendors' own.
/// RTPS 2.5, 9.6.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParticipantMessageKind(pub [u8; 4]);

impl ParticipantMessageKind {
    /// PARTICIPANT_MESSAGE_DATA_KIND_UNKNOWN.
    pub const UNKNOWN: Self = Self([0, 0, 0, 0]);
    /// Asserts all writers whose liveliness is AUTOMATIC.
    pub const AUTOMATIC_LIVELINESS_UPDATE: Self = Self([0, 0, 0, 1]);
    /// Asserts all writers whose liveliness is MANUAL_BY_PARTICIPANT.
    pub const MANUAL_LIVELINESS_UPDATE: Self = Self([0, 0, 0, 2]);
}

/// An assertion that writers of a participant are alive. RTPS 2.5, 8.4.13.5 and 9.6.3.1.
///
/// Plain CDR, not a parameter list. It is about the liveliness of writers, not about the life of the
/// participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantMessageData {
    /// Whose writers.
    pub guid_prefix: GuidPrefix,
    /// Which of them.
    pub kind: ParticipantMessageKind,
    /// More, by kind; usually nothing.
    pub data: Vec<u8>,
}

impl ParticipantMessageData {
    /// Its key: prefix and kind.
    pub fn key_hash(&self) -> KeyHash {
        let mut key = [0; 16];
        key[..12].copy_from_slice(&self.guid_prefix.0);
        key[12..].copy_from_slice(&self.kind.0);
        KeyHash(key)
    }

    /// Reads the payload of a DATA.
    ///
    /// # Errors
    ///
    /// If it is not plain CDR, or too short.
    pub fn from_cdr(payload: &[u8]) -> Result<Self, WireError> {
        let mut reader = Encapsulation::parse(payload)?.plain_cdr()?;
        Ok(Self {
            guid_prefix: GuidPrefix::read(&mut reader)?,
            kind: ParticipantMessageKind(reader.read_array()?),
            data: reader.read_octet_sequence()?.to_vec(),
        })
    }

    /// The payload of a DATA.
    ///
    /// # Errors
    ///
    /// If the data is longer than a length field can say.
    pub fn to_cdr(&self, endianness: Endianness) -> Result<Vec<u8>, WireError> {
        let mut writer = CdrWriter::new(endianness);
        self.guid_prefix.write(&mut writer)?;
        writer.write_slice(&self.kind.0);
        writer.write_octet_sequence(&self.data)?;
        Ok(encapsulate(RepresentationId::cdr(endianness), writer.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_reads_back_in_both_byte_orders() {
        let message = ParticipantMessageData {
            guid_prefix: GuidPrefix([3; 12]),
            kind: ParticipantMessageKind::MANUAL_LIVELINESS_UPDATE,
            data: vec![1, 2, 3],
        };
        for endianness in [Endianness::Little, Endianness::Big] {
            let payload = message.to_cdr(endianness).unwrap();
            assert_eq!(ParticipantMessageData::from_cdr(&payload), Ok(message.clone()));
            for length in 0..payload.len() - 1 {
                assert!(ParticipantMessageData::from_cdr(&payload[..length]).is_err());
            }
        }
    }
}
