//! The key of a sample, serialized for its key hash.

use md5::{Digest, Md5};

/// Takes the key members of one sample and makes its key hash (DDSI-RTPS 9.6.3.8 / 9.6.4.8,
/// DDS-XTypes 7.6.8): their big-endian PLAIN_CDR2 form, padded with zeros when it has at most 16
/// octets, else its MD5.
///
/// The rule asks for the *maximum* size of the type's key; a flat type's key has one size only, so
/// that the size of what was written decides.
#[derive(Debug, Clone, Default)]
pub struct KeyHolder {
    /// The serialized form as long as it fits; everything behind `len` is 0.
    head: [u8; 16],
    /// Octets written so far, alignment included.
    len: usize,
    /// Takes over, with `head` as its first input, when the 17th octet comes.
    digest: Option<Md5>,
}

impl KeyHolder {
    /// PLAIN_CDR2 aligns nothing to more than 4 (8-octet primitives too).
    const MAX_ALIGN: usize = 4;

    /// An empty key.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one primitive value, given as its big-endian octets, aligned to its size.
    pub fn put<const N: usize>(&mut self, big_endian: [u8; N]) {
        let align = N.clamp(1, Self::MAX_ALIGN);
        let padding = self.len.next_multiple_of(align) - self.len;
        self.append(&[0; Self::MAX_ALIGN][..padding]);
        self.append(&big_endian);
    }

    /// The key hash of what was written.
    #[must_use]
    pub fn finish(self) -> [u8; 16] {
        match self.digest {
            Some(digest) => digest.finalize().into(),
            None => self.head,
        }
    }

    fn append(&mut self, octets: &[u8]) {
        let start = self.len;
        self.len += octets.len();
        match (&mut self.digest, self.head.get_mut(start..self.len)) {
            (Some(digest), _) => digest.update(octets),
            (None, Some(room)) => room.copy_from_slice(octets),
            (None, None) => {
                let mut digest = Md5::new_with_prefix(&self.head[..start]);
                digest.update(octets);
                self.digest = Some(digest);
            }
        }
    }
}
