//! What stands in a slot's header beside its sequence number.
//!
//! ```text
//!  0 seq u64   8 size u32  12 dir u32  16 RTPS sequence number i64  24 source timestamp i64
//! 32 representation u16  34 status info u8  35 flags u8  36 owner epoch u32  40 key hash 16  56 zero
//! ```

use super::InstanceKey;

/// Metadata of one sample (RTPS 8.7, 9.6.4), stored with its payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleHeader {
    /// Payload octets.
    pub size: u32,
    /// The writer's RTPS sequence number (8.3.5.4).
    pub sn: i64,
    /// Source timestamp, nanoseconds since 1970.
    pub source_timestamp: i64,
    /// What the payload is: [`SampleHeader::RAW`] or a CDR encapsulation identifier (RTPS 10.2.1.2).
    pub representation: u16,
    /// Status info octet (RTPS 9.6.4.9): 1 disposed, 2 unregistered.
    pub status_info: u8,
    /// [`SampleHeader::KEY_ONLY`], [`SampleHeader::OUTSIZE`]; the rest is reserved and 0.
    pub flags: u8,
    /// Which owner of the segment wrote it: adoption starts the next epoch.
    pub owner_epoch: u32,
    /// Key hash of the instance (RTPS 9.6.4.8), zero for a topic without key.
    pub key_hash: InstanceKey,
}

impl SampleHeader {
    /// Representation: the sample as it is in memory. Outside the range of CDR encapsulations.
    pub const RAW: u16 = 0x00c0;
    /// Flag: only the key members of the payload count (a dispose or unregister).
    pub const KEY_ONLY: u8 = 1;
    /// Flag: the payload is an [`Announcement`](super::Announcement) of where the sample is.
    pub const OUTSIZE: u8 = 2;

    /// The words of a header from octet 8 on, without the directory entry's half of the first.
    #[inline]
    pub(crate) fn to_words(self) -> [u64; 6] {
        let key_hash = u128::from_le_bytes(self.key_hash);
        [
            u64::from(self.size),
            self.sn as u64,
            self.source_timestamp as u64,
            u64::from(self.representation)
                | u64::from(self.status_info) << 16
                | u64::from(self.flags) << 24
                | u64::from(self.owner_epoch) << 32,
            key_hash as u64,
            (key_hash >> 64) as u64,
        ]
    }

    #[inline]
    pub(crate) fn from_words(words: [u64; 6]) -> Self {
        let mut key_hash = [0; 16];
        key_hash[..8].copy_from_slice(&words[4].to_le_bytes());
        key_hash[8..].copy_from_slice(&words[5].to_le_bytes());
        Self {
            size: words[0] as u32,
            sn: words[1] as i64,
            source_timestamp: words[2] as i64,
            representation: words[3] as u16,
            status_info: (words[3] >> 16) as u8,
            flags: (words[3] >> 24) as u8,
            owner_epoch: (words[3] >> 32) as u32,
            key_hash,
        }
    }

    /// Whether the sample is in an object of its own, which the payload announces.
    #[must_use]
    #[inline]
    pub fn is_outsize(&self) -> bool {
        self.flags & Self::OUTSIZE != 0
    }

    /// Whether the payload is a valid sample, not a key alone (DDS `valid_data`).
    #[must_use]
    #[inline]
    pub fn valid_data(&self) -> bool {
        self.flags & Self::KEY_ONLY == 0
    }
}
