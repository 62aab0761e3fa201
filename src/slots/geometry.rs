//! Where everything is in the two objects of a segment, format 1.
//!
//! ```text
//! .dat  mapped read-only by readers: what the owner says, nobody else can forge
//!   0x0000  identity            magic, version, nonce, hash, geometry (identity.rs)
//!   0x0100  head                highest published sequence number
//!   0x0180  owner line          state, node, GUID, epoch
//!   0x0200  reader table, owner's half: 64 entries of 64 bytes
//!   0x1200  strings             topic, type name, layout string
//!   slots_offset                slot_count slots: 64-byte header, payload, up to the stride
//!
//! .ctl  mapped read-write by owner and readers: what readers say
//!   0x0000  identity line       magic, version, nonce, geometry check
//!   0x0080  space bell          generation, waiters
//!   0x0100  requests            how many times a reader asked for something
//!   0x0200  reader table, reader's half: 64 entries of 128 bytes
//!   0x2200  hold words          one u64 per slot
//! ```

use super::{FormatError, MAX_READERS};

/// Bytes of a cache line, and the alignment of payloads.
pub(crate) const LINE: usize = 64;
/// Bytes of a slot header; the payload is right behind it.
pub(crate) const SLOT_HEADER: usize = 64;

pub(crate) mod dat {
    pub(crate) const HEAD: usize = 0x100;
    pub(crate) const OWNER_LINE: usize = 0x180;
    pub(crate) const TABLE: usize = 0x200;
    pub(crate) const TABLE_ENTRY: usize = 64;
    pub(crate) const STRINGS: usize = TABLE + super::MAX_READERS * TABLE_ENTRY;
}

pub(crate) mod ctl {
    pub(crate) const SPACE_BELL: usize = 0x80;
    pub(crate) const REQUESTS: usize = 0x100;
    pub(crate) const TABLE: usize = 0x200;
    pub(crate) const TABLE_ENTRY: usize = 128;
    pub(crate) const HOLDS: usize = TABLE + super::MAX_READERS * TABLE_ENTRY;
}

/// The most bytes the strings of an identity may take together.
pub(crate) const MAX_STRINGS: usize = 16 * 1024;
/// The most slots a segment can have.
pub const MAX_SLOTS: u32 = 1 << 20;

/// The numbers that place every word of a segment. Equal in both objects, checked at attach; after
/// that only the local copy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// How many slots there are.
    pub slot_count: u32,
    /// Payload bytes that fit a slot.
    pub slot_capacity: u32,
    /// Bytes from one slot to the next; a multiple of 64.
    pub slot_stride: u64,
    /// How many readers the owner admits, at most [`MAX_READERS`].
    pub reader_capacity: u32,
    /// Offset of the first slot in `.dat`; a multiple of 128.
    pub slots_offset: u64,
}

impl Geometry {
    /// The geometry of `slot_count` slots for payloads of up to `slot_capacity` bytes, behind
    /// `strings` bytes of strings.
    ///
    /// # Errors
    /// [`FormatError::Geometry`] if a number is out of range or the objects would not fit an
    /// address space.
    pub(crate) fn plan(
        slot_count: u32,
        slot_capacity: u32,
        reader_capacity: u32,
        strings: usize,
    ) -> Result<Self, FormatError> {
        let geometry = Self {
            slot_count,
            slot_capacity,
            slot_stride: (SLOT_HEADER as u64 + u64::from(slot_capacity)).next_multiple_of(64),
            reader_capacity,
            slots_offset: (dat::STRINGS as u64 + strings as u64).next_multiple_of(128),
        };
        geometry.check()?;
        Ok(geometry)
    }

    /// Checks that the numbers hang together.
    pub(crate) fn check(&self) -> Result<(), FormatError> {
        let in_range = (1..=MAX_SLOTS).contains(&self.slot_count)
            && (1..=MAX_READERS as u32).contains(&self.reader_capacity);
        let placed = self.slot_stride.is_multiple_of(64)
            && self.slot_stride >= SLOT_HEADER as u64 + u64::from(self.slot_capacity)
            && self.slots_offset.is_multiple_of(128)
            && self.slots_offset >= dat::STRINGS as u64
            && self.slots_offset <= (dat::STRINGS + 2 * MAX_STRINGS) as u64;
        let fits = self
            .slot_stride
            .checked_mul(u64::from(self.slot_count))
            .and_then(|slots| slots.checked_add(self.slots_offset))
            .is_some_and(|len| len <= isize::MAX as u64);
        if in_range && placed && fits {
            Ok(())
        } else {
            Err(FormatError::Geometry { geometry: *self })
        }
    }

    /// Bytes of `.dat`.
    #[must_use]
    pub fn dat_len(&self) -> u64 {
        self.slots_offset + self.slot_stride * u64::from(self.slot_count)
    }

    /// Bytes of `.ctl`.
    #[must_use]
    pub fn ctl_len(&self) -> u64 {
        (ctl::HOLDS as u64 + 8 * u64::from(self.slot_count)).next_multiple_of(LINE as u64)
    }
}
