//! What a reader says of itself in its half of the reader table.
//!
//! ```text
//!   0 cursor u64   8 reading u64                        its own line
//!  64 node u64    72 request u64   80 GUID 16   96 uid u32  100 flags u32
//! 104 QoS digest u64   112 bell bit u32  116 max held u32   120 zero
//! ```

/// Who a reader is. Written by the reader before it asks to join, copied by the owner once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReaderEntry {
    /// RTPS GUID of the reader.
    pub guid: [u8; 16],
    /// User it runs as; a hint where its node can be found, never a right.
    pub uid: u32,
    /// RELIABLE reader: it is waited for, as far as the writer's QoS waits for anybody.
    pub reliable: bool,
    /// It wants the kept history (durability TRANSIENT_LOCAL or more).
    pub wants_history: bool,
    /// Digest of the QoS it was matched with.
    pub qos_digest: u64,
    /// Its bit in the bitmap of its node's bell.
    pub bell_bit: u32,
    /// The most samples it has in use at once.
    pub max_held: u32,
}

const RELIABLE: u64 = 1;
const WANTS_HISTORY: u64 = 2;

impl ReaderEntry {
    pub(crate) fn to_words(self) -> [u64; 6] {
        let guid = u128::from_le_bytes(self.guid);
        let flags =
            (u64::from(self.reliable) * RELIABLE) | (u64::from(self.wants_history) * WANTS_HISTORY);
        [
            guid as u64,
            (guid >> 64) as u64,
            u64::from(self.uid) | flags << 32,
            self.qos_digest,
            u64::from(self.bell_bit) | u64::from(self.max_held) << 32,
            0,
        ]
    }

    pub(crate) fn from_words(words: [u64; 6]) -> Self {
        let flags = words[2] >> 32;
        Self {
            guid: (u128::from(words[0]) | u128::from(words[1]) << 64).to_le_bytes(),
            uid: words[2] as u32,
            reliable: flags & RELIABLE != 0,
            wants_history: flags & WANTS_HISTORY != 0,
            qos_digest: words[3],
            bell_bit: words[4] as u32,
            max_held: (words[4] >> 32) as u32,
        }
    }
}
