//! The 16 octets that stand for a type where two sides compare types.

use core::fmt;

use md5::{Digest, Md5};

/// Identity of a type: a digest, and the scheme that says what was digested.
///
/// Two hashes of different schemes are never equal, whatever their octets: the samples then go by
/// network. A hash is an identity check between cooperating peers, not a protection against an
/// attacker; what is read from shared memory is bounds- and value-checked all the same.
///
/// ```
/// use dds_shm::types::TypeHash;
///
/// let hash = TypeHash::of_layout("shmlay1;le;s24,8{0:x:f64;8:y:f64;16:z:f64}");
/// assert_eq!(hash.to_string(), "6768bd7ed1a670d810b05750c1309c74");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeHash {
    /// What `digest` is a digest of: one of the constants of this type, or a number of a later
    /// version, which equals nothing that this version makes.
    pub scheme: u8,
    /// The octets, in the order in which they are written and displayed.
    pub digest: [u8; 16],
}

impl TypeHash {
    /// Scheme 0: nobody says what the samples are. Never what a reader may expect.
    pub const UNKNOWN: Self = Self { scheme: 0, digest: [0; 16] };
    /// Scheme 1: MD5 of the canonical layout string. What this library computes.
    pub const LAYOUT_MD5: u8 = 1;
    /// Scheme 2: `F1`, the 14 octets of the XTypes minimal EquivalenceHash, one spare octet 0.
    pub const XTYPES_MINIMAL: u8 = 2;
    /// Scheme 3: `F2`, the 14 octets of the XTypes complete EquivalenceHash, one spare octet 0.
    pub const XTYPES_COMPLETE: u8 = 3;
    /// Scheme 4: the first 16 octets of a ROS 2 RIHS01 hash.
    pub const RIHS01: u8 = 4;
    /// Scheme 5: the hash of the ZeroDDS derive (SHA-256 of Rust tokens, first 16 octets).
    pub const ZERODDS: u8 = 5;
    /// Scheme 6: the memory carries serialized CDR and types are matched by DDS's own rules; see
    /// [`TypeHash::serialized_cdr`].
    pub const SERIALIZED_CDR: u8 = 6;

    /// Hash of a canonical layout string ([scheme 1](Self::LAYOUT_MD5)).
    ///
    /// The string is hashed as it is: no terminating NUL, no newline.
    #[must_use]
    pub fn of_layout(layout: &str) -> Self {
        Self { scheme: Self::LAYOUT_MD5, digest: Md5::digest(layout.as_bytes()).into() }
    }

    /// Marks samples that are serialized with the given RTPS representation identifier
    /// ([scheme 6](Self::SERIALIZED_CDR)): the identifier big-endian, as in an encapsulation
    /// header, then 14 octets 0.
    #[must_use]
    pub const fn serialized_cdr(representation: u16) -> Self {
        let mut digest = [0; 16];
        let [high, low] = representation.to_be_bytes();
        digest[0] = high;
        digest[1] = low;
        Self { scheme: Self::SERIALIZED_CDR, digest }
    }

    /// Name of the scheme for people; `None` for a number this version does not know.
    #[must_use]
    pub const fn scheme_name(&self) -> Option<&'static str> {
        match self.scheme {
            Self::LAYOUT_MD5 => Some("layout-md5"),
            Self::XTYPES_MINIMAL => Some("xtypes-minimal"),
            Self::XTYPES_COMPLETE => Some("xtypes-complete"),
            Self::RIHS01 => Some("rihs01"),
            Self::ZERODDS => Some("zerodds"),
            Self::SERIALIZED_CDR => Some("serialized-cdr"),
            _ => None,
        }
    }
}

/// 32 hexadecimal digits; in front of them the scheme and a colon unless it is scheme 1, so that
/// hashes that differ in the scheme alone do not look the same in a message about their mismatch.
impl fmt::Display for TypeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.scheme, self.scheme_name()) {
            (Self::LAYOUT_MD5, _) => {}
            (_, Some(name)) => write!(f, "{name}:")?,
            (scheme, None) => write!(f, "scheme-{scheme}:")?,
        }
        self.digest.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for TypeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypeHash({self})")
    }
}
