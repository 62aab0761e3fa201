//! `PID_SHM_LOCATOR`: how a reader finds a writer's segment.
//!
//! Always little-endian, whatever the byte order of the list around it. The head is ZeroDDS's value,
//! so that ZeroDDS can decode it; what stands behind the path is ours and ignored there.
//!
//! ```text
//! 0x00  u32   FNV-1a of the host name
//! 0x04  u32   uid of the owner
//! 0x08  u32   slot_count
//! 0x0c  u32   slot stride, octets
//! 0x10  u32   length of the path, with its NUL
//! 0x14  path, NUL, zeroes up to a multiple of 4                                = T
//!
//! T+00  "DSHL"      magic
//! T+04  u8          trailer version, 1
//! T+05  u8          segment format: 1 = ours, 0x80 = ZDS2
//! T+06  u16         trailer length with magic; 68 in version 1, a multiple of 4
//! T+08  u32         flags; low 16 bits may be ignored, high 16 bits must be understood
//! T+0c  u32         slot capacity: the largest payload, octets
//! T+10  [u8; 16]    incarnation nonce of the segment
//! T+20  [u8; 16]    type hash
//! T+30  u8          scheme of the type hash, 0 = none
//! T+31  [u8; 3]     0
//! T+34  u64         FNV-1a-64 of the boot id
//! T+3c  u64         st_dev of /dev/shm
//! T+44
//! ```
//!
//! Everything in it is a hint. The segment's own header decides about nonce, geometry and type.

use std::fmt;
use std::path::Path;

use byteorder::{LE, ReadBytesExt as _};

use super::host_identity::HostIdentity;
use crate::types::{SegmentFormat, TypeHash};
use crate::wire::ParameterId;

/// Length of the head in front of the path.
const HEAD_LEN: usize = 20;
const TRAILER_MAGIC: [u8; 4] = *b"DSHL";
const TRAILER_VERSION: u8 = 1;
/// Length of a version 1 trailer; later versions are longer, never shorter.
const TRAILER_LEN: usize = 68;
const SCHEME_NONE: u8 = 0;
/// Flags that a reader has to understand before it may attach.
const FLAGS_REQUIRED: u32 = 0xffff_0000;
/// Required flags that this version understands: none so far.
const FLAGS_UNDERSTOOD: u32 = 0;

/// What is wrong with the octets of a locator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocatorError {
    /// The value ends too early.
    #[error("shared-memory locator: {found} octets where {needed} are needed")]
    Truncated {
        /// Octets that had to be there.
        needed: usize,
        /// Octets that are there.
        found: usize,
    },
    /// The path is empty, too long, not UTF-8, or has a NUL inside.
    #[error("shared-memory locator: bad path: {0}")]
    BadPath(&'static str),
    /// The trailer has an impossible version or length.
    #[error("shared-memory locator: trailer version {version} of {length} octets is not valid")]
    BadTrailer {
        /// The version found.
        version: u8,
        /// The length found.
        length: usize,
    },
    /// The writer needs its readers to know something that this version does not.
    #[error(
        "shared-memory locator: required flags {0:#010x} are not understood; \
         the writer uses a newer dds-shm: update this one"
    )]
    UnknownRequiredFlags(u32),
    /// Where our trailer has to be, it is not.
    #[error("shared-memory locator: no DSHL trailer behind the path")]
    NoTrailer,
    /// The parameter cannot carry a locator.
    #[error(
        "parameter {0} cannot carry a shared-memory locator; use one of 0x8000 to 0xbfff, \
         which whoever does not know it skips"
    )]
    BadParameterId(ParameterId),
    /// A property or a pair in user data is not an even number of hexadecimal digits.
    #[error("shared-memory locator: not hexadecimal")]
    NotHex,
}

/// The path of a segment's flink file as a locator carries it: 1 to 256 octets of UTF-8, no NUL.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LocatorPath(String);

impl LocatorPath {
    /// The longest path that ZeroDDS decodes.
    pub const MAX_LEN: usize = 256;

    /// Checks a path.
    ///
    /// # Errors
    /// [`LocatorError::BadPath`] if a locator cannot carry it.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, LocatorError> {
        let text = path.as_ref().to_str().ok_or(LocatorError::BadPath("not UTF-8"))?;
        if text.is_empty() {
            Err(LocatorError::BadPath("empty"))
        } else if text.len() > Self::MAX_LEN {
            Err(LocatorError::BadPath("longer than 256 octets"))
        } else if text.contains('\0') {
            Err(LocatorError::BadPath("NUL inside"))
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path. From the network it is to be opened only after
    /// [`LocatorPolicy::check`](super::LocatorPolicy::check).
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl fmt::Debug for LocatorPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for LocatorPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What stands in the trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHints {
    /// The format of the segment.
    pub format: SegmentFormat,
    /// Flags; unknown ones of the low half are kept and mean nothing.
    pub flags: u32,
    /// The largest payload of a slot in octets.
    pub slot_capacity: u32,
    /// The nonce that the segment's two objects carry.
    pub incarnation: [u8; 16],
    /// The layout of the payload, if the writer says it.
    pub type_hash: Option<TypeHash>,
    /// Where the segment is.
    pub host: HostIdentity,
}

/// The value of `PID_SHM_LOCATOR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShmLocator {
    /// FNV-1a-32 of the owner's host name. ZeroDDS needs it; we go by [`SegmentHints::host`].
    pub hostname_hash: u32,
    /// The owner's uid, for people: being allowed to open decides.
    pub uid: u32,
    /// Number of slots.
    pub slot_count: u32,
    /// Octets from one slot to the next.
    pub slot_stride: u32,
    /// The flink file.
    pub path: LocatorPath,
    /// What only dds-shm says; `None` in a locator that ZeroDDS made.
    pub segment: Option<SegmentHints>,
}

impl ShmLocator {
    /// Encodes the value; its length is a multiple of 4.
    pub fn encode(&self) -> Vec<u8> {
        let path = self.path.as_str().as_bytes();
        let mut out = Vec::with_capacity(HEAD_LEN + path.len() + 4 + TRAILER_LEN);
        for word in [self.hostname_hash, self.uid, self.slot_count, self.slot_stride] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        let path_len = path.len() as u32 + 1; // at most 257: `LocatorPath` checked it
        out.extend_from_slice(&path_len.to_le_bytes());
        out.extend_from_slice(path);
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        if let Some(segment) = &self.segment {
            segment.encode_into(&mut out);
        }
        out
    }

    /// Whether our trailer is in these octets where it has to be, be it good or damaged.
    pub(crate) fn has_trailer(value: &[u8]) -> bool {
        let path_len = value.get(16..HEAD_LEN).and_then(|mut field| field.read_u32::<LE>().ok());
        path_len
            .filter(|length| *length as usize <= LocatorPath::MAX_LEN + 1)
            .and_then(|length| value.get(HEAD_LEN + (length as usize).next_multiple_of(4)..))
            .is_some_and(|trailer| trailer.starts_with(&TRAILER_MAGIC))
    }

    /// Decodes a value. Octets behind what is understood are ignored.
    ///
    /// # Errors
    /// [`LocatorError`] for anything that no writer would have made; never a panic.
    pub fn decode(value: &[u8]) -> Result<Self, LocatorError> {
        let truncated = |needed: usize| LocatorError::Truncated { needed, found: value.len() };
        let (mut head, rest) =
            value.split_at_checked(HEAD_LEN).ok_or_else(|| truncated(HEAD_LEN))?;
        let mut word = || head.read_u32::<LE>().map_err(|_| truncated(HEAD_LEN));
        let (hostname_hash, uid, slot_count, slot_stride) = (word()?, word()?, word()?, word()?);
        let path_len = word()? as usize;
        if path_len > LocatorPath::MAX_LEN + 1 {
            return Err(LocatorError::BadPath("longer than 256 octets"));
        }
        let path = rest.get(..path_len).ok_or_else(|| truncated(HEAD_LEN + path_len))?;
        // ZeroDDS tolerates a missing NUL.
        let path = std::str::from_utf8(path.strip_suffix(b"\0").unwrap_or(path))
            .map_err(|_| LocatorError::BadPath("not UTF-8"))?;
        let path = LocatorPath::new(path)?;
        let trailer = rest.get(path_len.next_multiple_of(4)..).unwrap_or_default();
        let segment = SegmentHints::decode(trailer)?;
        Ok(Self { hostname_hash, uid, slot_count, slot_stride, path, segment })
    }
}

impl SegmentHints {
    fn encode_into(&self, out: &mut Vec<u8>) {
        let (scheme, digest) =
            self.type_hash.map_or((SCHEME_NONE, [0; 16]), |hash| (hash.scheme, hash.digest));
        out.extend_from_slice(&TRAILER_MAGIC);
        out.extend_from_slice(&[TRAILER_VERSION, self.format.0]);
        out.extend_from_slice(&(TRAILER_LEN as u16).to_le_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
        out.extend_from_slice(&self.slot_capacity.to_le_bytes());
        out.extend_from_slice(&self.incarnation);
        out.extend_from_slice(&digest);
        out.extend_from_slice(&[scheme, 0, 0, 0]);
        out.extend_from_slice(&self.host.boot_id_hash.to_le_bytes());
        out.extend_from_slice(&self.host.shm_device.to_le_bytes());
    }

    /// `None` if this is not our trailer: then the value is ZeroDDS's.
    fn decode(trailer: &[u8]) -> Result<Option<Self>, LocatorError> {
        let Some(mut rest) = trailer.strip_prefix(&TRAILER_MAGIC) else { return Ok(None) };
        let truncated = |_| LocatorError::Truncated { needed: TRAILER_LEN, found: trailer.len() };
        let version = rest.read_u8().map_err(truncated)?;
        let format = SegmentFormat(rest.read_u8().map_err(truncated)?);
        let length = usize::from(rest.read_u16::<LE>().map_err(truncated)?);
        let plausible = match version {
            0 => false,
            TRAILER_VERSION => length == TRAILER_LEN,
            _ => length >= TRAILER_LEN && length.is_multiple_of(4),
        };
        if !plausible {
            return Err(LocatorError::BadTrailer { version, length });
        }
        if trailer.len() < length {
            return Err(LocatorError::Truncated { needed: length, found: trailer.len() });
        }
        let flags = rest.read_u32::<LE>().map_err(truncated)?;
        let unknown = flags & FLAGS_REQUIRED & !FLAGS_UNDERSTOOD;
        if unknown != 0 {
            return Err(LocatorError::UnknownRequiredFlags(unknown));
        }
        let slot_capacity = rest.read_u32::<LE>().map_err(truncated)?;
        let mut incarnation = [0; 16];
        let mut digest = [0; 16];
        let mut scheme = [0; 4];
        for field in [&mut incarnation[..], &mut digest[..], &mut scheme[..]] {
            std::io::Read::read_exact(&mut rest, field).map_err(truncated)?;
        }
        let scheme = scheme[0];
        let host = HostIdentity {
            boot_id_hash: rest.read_u64::<LE>().map_err(truncated)?,
            shm_device: rest.read_u64::<LE>().map_err(truncated)?,
        };
        let type_hash = (scheme != SCHEME_NONE).then_some(TypeHash { scheme, digest });
        Ok(Some(Self { format, flags, slot_capacity, incarnation, type_hash, host }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn octets(hex: &str) -> Vec<u8> {
        let digits: String = hex.split_whitespace().collect();
        (0..digits.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap())
            .collect()
    }

    /// What a ZeroDDS writer on host `vm` advertises.
    const ZERODDS: &str = "2cc24940 00000000 08000000 40000000 15000000
        2f72756e2f7a6464732f706f73652e666c696e6b00 000000";

    /// The vector of `spec-notes/shm-locator.md`.
    const OURS: &str = "
        2cc24940 e8030000 10000000 80000000
        1a000000 2f6465762f73686d 2f6464732d73686d 2d313030302f612e 6600 0000
        4453484c 01 01 4400 00000000 40000000
        00112233445566778899aabbccddeeff
        6768bd7ed1a670d810b05750c1309c74
        01 000000
        8877665544332211 1b00000000000000";

    fn ours() -> ShmLocator {
        ShmLocator {
            hostname_hash: 0x4049_c22c,
            uid: 1000,
            slot_count: 16,
            slot_stride: 128,
            path: LocatorPath::new("/dev/shm/dds-shm-1000/a.f").unwrap(),
            segment: Some(SegmentHints {
                format: SegmentFormat::V1,
                flags: 0,
                slot_capacity: 64,
                incarnation: std::array::from_fn(|i| (i * 0x11) as u8),
                type_hash: Some(TypeHash::of_layout("shmlay1;le;s24,8{0:x:f64;8:y:f64;16:z:f64}")),
                host: HostIdentity { boot_id_hash: 0x1122_3344_5566_7788, shm_device: 27 },
            }),
        }
    }

    #[test]
    fn the_published_vector_is_met_in_both_directions() {
        let value = octets(OURS);
        assert_eq!(value.len(), 116);
        assert_eq!(ours().encode(), value);
        assert_eq!(ShmLocator::decode(&value), Ok(ours()));
    }

    #[test]
    fn a_locator_of_zerodds_is_read_and_made() {
        let value = octets(ZERODDS);
        assert_eq!(value.len(), 44);
        let locator = ShmLocator::decode(&value).unwrap();
        assert_eq!(locator.hostname_hash, super::super::fnv::fnv1a_32(b"vm"));
        assert_eq!((locator.uid, locator.slot_count, locator.slot_stride), (0, 8, 64));
        assert_eq!(locator.path.as_str(), "/run/zdds/pose.flink");
        assert_eq!(locator.segment, None);
        assert_eq!(locator.encode(), value);
    }

    #[test]
    fn a_usual_locator_stays_under_200_octets() {
        let path = format!("/dev/shm/dds-shm-{}/segments/{}.flink", u32::MAX, "0".repeat(32));
        let locator = ShmLocator { path: LocatorPath::new(path).unwrap(), ..ours() };
        assert!(locator.encode().len() < 200, "{}", locator.encode().len());
    }

    #[test]
    fn a_longer_trailer_of_a_later_version_is_read_as_far_as_it_is_known() {
        let mut value = octets(OURS);
        let trailer = value.len() - TRAILER_LEN;
        value[trailer + 4] = 2;
        value[trailer + 6] = 80;
        assert_eq!(
            ShmLocator::decode(&value),
            Err(LocatorError::Truncated { needed: 80, found: 68 })
        );
        value.extend_from_slice(&[0xab; 12]);
        assert_eq!(ShmLocator::decode(&value), Ok(ours()));
    }

    #[test]
    fn impossible_trailers_are_refused() {
        for (version, length) in [(0, 68), (1, 64), (1, 72), (2, 64), (2, 70), (255, 0)] {
            let mut value = octets(OURS);
            let trailer = value.len() - TRAILER_LEN;
            value[trailer + 4] = version;
            value[trailer + 6] = length;
            assert_eq!(
                ShmLocator::decode(&value),
                Err(LocatorError::BadTrailer { version, length: length.into() })
            );
        }
    }

    #[test]
    fn low_flags_may_be_unknown_and_high_ones_may_not() {
        let with_flags = |flags: u32| {
            let mut locator = ours();
            locator.segment.as_mut().unwrap().flags = flags;
            ShmLocator::decode(&locator.encode()).map(|read| read == locator)
        };
        assert_eq!(with_flags(0x0000_ffff), Ok(true));
        assert_eq!(with_flags(0x0001_0001), Err(LocatorError::UnknownRequiredFlags(0x0001_0000)));
    }

    #[test]
    fn every_truncation_is_an_error_or_a_locator_without_trailer() {
        let value = octets(OURS);
        let trailer = value.len() - TRAILER_LEN;
        for length in 0..value.len() {
            match ShmLocator::decode(&value[..length]) {
                Ok(locator) => {
                    assert!(length < trailer + 4, "{length}");
                    assert_eq!(locator.segment, None);
                }
                Err(LocatorError::Truncated { .. }) => {}
                Err(other) => panic!("{length}: {other}"),
            }
        }
    }

    #[test]
    fn bad_paths_are_refused() {
        let with_path = |path: &[u8]| {
            let mut value = octets(ZERODDS)[..16].to_vec();
            value.extend_from_slice(&(path.len() as u32).to_le_bytes());
            value.extend_from_slice(path);
            value.resize(value.len().next_multiple_of(4), 0);
            ShmLocator::decode(&value)
        };
        for bad in [&b""[..], b"\0", b"/a\0b\0", b"/\xff\xfe\0", &[b'a'; 258]] {
            assert!(matches!(with_path(bad), Err(LocatorError::BadPath(_))), "{bad:?}");
        }
        assert_eq!(with_path(b"/no-nul").unwrap().path.as_str(), "/no-nul");
        assert_eq!(with_path(&[b'a'; 256]).unwrap().path.as_str().len(), 256);
        assert!(matches!(with_path(&[b'a'; 257]), Err(LocatorError::BadPath(_))));
        let mut lying = octets(ZERODDS);
        lying[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(ShmLocator::decode(&lying).is_err());
    }

    prop_compose! {
        fn any_hints()(
            format: u8,
            flags in 0..=0xffffu32,
            slot_capacity: u32,
            incarnation: [u8; 16],
            type_hash in proptest::option::of((1..=u8::MAX, any::<[u8; 16]>())),
            boot_id_hash: u64,
            shm_device: u64,
        ) -> SegmentHints {
            SegmentHints {
                format: SegmentFormat(format),
                flags,
                slot_capacity,
                incarnation,
                type_hash: type_hash.map(|(scheme, digest)| TypeHash { scheme, digest }),
                host: HostIdentity { boot_id_hash, shm_device },
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(
            words: [u32; 4],
            path in "[^\0]{1,60}",
            segment in proptest::option::of(any_hints()),
        ) {
            let [hostname_hash, uid, slot_count, slot_stride] = words;
            let path = LocatorPath::new(path).unwrap();
            let locator =
                ShmLocator { hostname_hash, uid, slot_count, slot_stride, path, segment };
            let value = locator.encode();
            prop_assert_eq!(value.len() % 4, 0);
            prop_assert_eq!(ShmLocator::decode(&value), Ok(locator));
        }

        #[test]
        fn any_octets_decode_or_fail_without_a_panic(value: Vec<u8>) {
            let _ = ShmLocator::decode(&value);
        }

        #[test]
        fn a_damaged_locator_decodes_or_fails_without_a_panic(
            at in 0..116usize,
            octet: u8,
            cut in 0..=116usize,
        ) {
            let mut value = octets(OURS);
            value[at] = octet;
            let _ = ShmLocator::decode(&value[..cut]);
        }
    }
}
