//! The identity of a segment: what is checked once, at attach.
//!
//! All numbers little-endian. The magic is stored last, with Release, so that a reader that finds it
//! finds the rest.
//!
//! ```text
//! .dat  0  magic "DSHM"     4  format major u16   6  format minor u16
//!       8  CRC-32 of octets 16..256 and of the strings
//!      12  octets of strings
//!      16  nonce 16
//!      32  type hash: scheme u8, 7 zero            40  digest 16
//!      56  slot_count u32  60  slot_capacity u32   64  slot_stride u64
//!      72  reader_capacity u32                     76  history depth u32
//!      80  slots_offset u64
//!      88  flags u32       92  topic length u32    96  type name length u32
//!     100  layout length u32                      104  max held u32      108  zero up to 256
//! .ctl  0  magic "DSHC"     4  format major u16   6  format minor u16
//!       8  CRC-32 of octets 16..64
//!      16  nonce 16        32  slot_count u32     36  reader_capacity u32
//!      40  slot_stride u64 48  slots_offset u64   56  zero
//! ```

use byteorder::{ByteOrder, LittleEndian as Le};

use super::geometry::{MAX_STRINGS, dat};
use super::{FormatError, Geometry};
use crate::shm::random_u64;
use crate::types::TypeHash;

/// Bytes of the fixed part of the identity in `.dat`.
pub(crate) const DAT_IDENTITY: usize = 256;
/// Bytes of the identity line in `.ctl`.
pub(crate) const CTL_IDENTITY: usize = 64;

pub(crate) const DAT_MAGIC: u32 = u32::from_le_bytes(*b"DSHM");
pub(crate) const CTL_MAGIC: u32 = u32::from_le_bytes(*b"DSHC");
/// Format this library writes and reads. A reader accepts any minor of its own major.
pub const FORMAT: (u16, u16) = (1, 0);

/// A random number that tells one making of a segment from every other.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Incarnation(pub [u8; 16]);

impl Incarnation {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        let halves = [random_u64(), random_u64()].map(u64::to_le_bytes);
        let mut nonce = [0; 16];
        nonce.copy_from_slice(halves.as_flattened());
        Self(nonce)
    }
}

impl std::fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Incarnation({self})")
    }
}

impl std::fmt::Display for Incarnation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// What the writer promises of its samples, as far as a reader of the segment must know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SegmentFlags(pub u32);

impl SegmentFlags {
    /// RELIABLE writer.
    pub const RELIABLE: Self = Self(1);
    /// KEEP_LAST: a sample that went by unread was replaced, which is no loss.
    pub const KEEP_LAST: Self = Self(2);
    /// The topic has a key.
    pub const KEYED: Self = Self(4);
    /// The last samples of each instance stay for late joiners.
    pub const TRANSIENT_LOCAL: Self = Self(8);

    /// Both sets of flags.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Who and what a segment is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Which making of the segment.
    pub incarnation: Incarnation,
    /// Hash of the layout of its samples.
    pub type_hash: TypeHash,
    /// DDS topic.
    pub topic: String,
    /// DDS type name.
    pub type_name: String,
    /// Canonical layout string, or empty for serialised samples.
    pub layout: String,
    /// Where everything is.
    pub geometry: Geometry,
    /// How many samples of each instance are kept, 0 for none.
    pub history_depth: u32,
    /// The most samples one reader may have in use at once.
    pub max_held: u32,
    /// What the writer promises.
    pub flags: SegmentFlags,
}

impl Identity {
    /// Octets of the strings, in the order topic, type name, layout.
    pub(crate) fn strings_len(topic: &str, type_name: &str, layout: &str) -> usize {
        topic.len() + type_name.len() + layout.len()
    }

    /// The fixed part of the identity in `.dat`, with the magic, and its strings.
    #[must_use]
    pub fn encode_dat(&self) -> ([u8; DAT_IDENTITY], Vec<u8>) {
        let texts = [&self.topic, &self.type_name, &self.layout];
        let strings: Vec<u8> = texts.iter().flat_map(|text| text.bytes()).collect();
        let mut out = [0; DAT_IDENTITY];
        let g = &self.geometry;
        Le::write_u32(&mut out[0..], DAT_MAGIC);
        Le::write_u16(&mut out[4..], FORMAT.0);
        Le::write_u16(&mut out[6..], FORMAT.1);
        Le::write_u32(&mut out[12..], strings.len() as u32);
        out[16..32].copy_from_slice(&self.incarnation.0);
        out[32] = self.type_hash.scheme;
        out[40..56].copy_from_slice(&self.type_hash.digest);
        Le::write_u32(&mut out[56..], g.slot_count);
        Le::write_u32(&mut out[60..], g.slot_capacity);
        Le::write_u64(&mut out[64..], g.slot_stride);
        Le::write_u32(&mut out[72..], g.reader_capacity);
        Le::write_u32(&mut out[76..], self.history_depth);
        Le::write_u64(&mut out[80..], g.slots_offset);
        Le::write_u32(&mut out[88..], self.flags.0);
        for (at, text) in (92..).step_by(4).zip(texts) {
            Le::write_u32(&mut out[at..], text.len() as u32);
        }
        Le::write_u32(&mut out[104..], self.max_held);
        let crc = dat_crc(&out, &strings);
        Le::write_u32(&mut out[8..], crc);
        (out, strings)
    }

    /// Reads the identity of an object of `len` octets that starts with `head` (as many octets as
    /// there are, up to the longest identity).
    ///
    /// # Errors
    /// [`FormatError`]: not a segment, another format, damaged, or shorter than it says.
    pub fn decode_dat(head: &[u8], len: u64) -> Result<Self, FormatError> {
        let fixed = head
            .get(..DAT_IDENTITY)
            .ok_or(FormatError::Truncated { expected: dat::STRINGS as u64, found: len })?;
        check_start(fixed, DAT_MAGIC)?;
        let strings_len = Le::read_u32(&fixed[12..]) as usize;
        let strings = (strings_len <= MAX_STRINGS)
            .then(|| head.get(dat::STRINGS..dat::STRINGS + strings_len))
            .flatten()
            .ok_or(FormatError::Truncated {
                expected: (dat::STRINGS + strings_len) as u64,
                found: len,
            })?;
        let found = dat_crc(fixed, strings);
        let stored = Le::read_u32(&fixed[8..]);
        if stored != found {
            return Err(FormatError::Checksum { stored, found });
        }
        let geometry = Geometry {
            slot_count: Le::read_u32(&fixed[56..]),
            slot_capacity: Le::read_u32(&fixed[60..]),
            slot_stride: Le::read_u64(&fixed[64..]),
            reader_capacity: Le::read_u32(&fixed[72..]),
            slots_offset: Le::read_u64(&fixed[80..]),
        };
        geometry.check()?;
        if geometry.slots_offset < (dat::STRINGS + strings_len) as u64 {
            return Err(FormatError::Geometry { geometry });
        }
        if len < geometry.dat_len() {
            return Err(FormatError::Truncated { expected: geometry.dat_len(), found: len });
        }
        let mut rest = strings;
        let mut text = |at: usize| -> Result<String, FormatError> {
            let wanted = Le::read_u32(&fixed[at..]) as usize;
            let (text, after) = rest.split_at_checked(wanted).ok_or(FormatError::Strings)?;
            rest = after;
            String::from_utf8(text.to_vec()).map_err(|_| FormatError::Strings)
        };
        Ok(Self {
            topic: text(92)?,
            type_name: text(96)?,
            layout: text(100)?,
            incarnation: incarnation_at(fixed, 16),
            type_hash: TypeHash { scheme: fixed[32], digest: incarnation_at(fixed, 40).0 },
            geometry,
            history_depth: Le::read_u32(&fixed[76..]),
            max_held: Le::read_u32(&fixed[104..]),
            flags: SegmentFlags(Le::read_u32(&fixed[88..])),
        })
    }

    /// The identity line of `.ctl`, with the magic.
    #[must_use]
    pub fn encode_ctl(&self) -> [u8; CTL_IDENTITY] {
        let mut out = [0; CTL_IDENTITY];
        let g = &self.geometry;
        Le::write_u32(&mut out[0..], CTL_MAGIC);
        Le::write_u16(&mut out[4..], FORMAT.0);
        Le::write_u16(&mut out[6..], FORMAT.1);
        out[16..32].copy_from_slice(&self.incarnation.0);
        Le::write_u32(&mut out[32..], g.slot_count);
        Le::write_u32(&mut out[36..], g.reader_capacity);
        Le::write_u64(&mut out[40..], g.slot_stride);
        Le::write_u64(&mut out[48..], g.slots_offset);
        let crc = crc32fast::hash(&out[16..]);
        Le::write_u32(&mut out[8..], crc);
        out
    }

    /// Checks that a `.ctl` of `len` octets starting with `line` belongs to this `.dat`.
    ///
    /// # Errors
    /// [`FormatError`], as [`Self::decode_dat`]; [`FormatError::Mixed`] for another incarnation's.
    pub fn check_ctl(&self, line: &[u8; CTL_IDENTITY], len: u64) -> Result<(), FormatError> {
        check_start(line, CTL_MAGIC)?;
        let (stored, found) = (Le::read_u32(&line[8..]), crc32fast::hash(&line[16..]));
        if stored != found {
            return Err(FormatError::Checksum { stored, found });
        }
        if line[16..] != self.encode_ctl()[16..] {
            return Err(FormatError::Mixed {
                dat: self.incarnation,
                ctl: incarnation_at(line, 16),
            });
        }
        let expected = self.geometry.ctl_len();
        if len < expected {
            return Err(FormatError::Truncated { expected, found: len });
        }
        Ok(())
    }
}

fn check_start(bytes: &[u8], magic: u32) -> Result<(), FormatError> {
    let found = Le::read_u32(bytes);
    if found != magic {
        return Err(FormatError::Magic { found });
    }
    let major = Le::read_u16(&bytes[4..]);
    if major != FORMAT.0 {
        return Err(FormatError::Version { major, minor: Le::read_u16(&bytes[6..]) });
    }
    Ok(())
}

fn incarnation_at(bytes: &[u8], at: usize) -> Incarnation {
    let mut nonce = [0; 16];
    nonce.copy_from_slice(&bytes[at..at + 16]);
    Incarnation(nonce)
}

fn dat_crc(fixed: &[u8], strings: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&fixed[16..]);
    crc.update(strings);
    crc.finalize()
}
