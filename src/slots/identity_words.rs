//! Publishing an identity, and reading one that may be under way.
//!
//! Whoever finds an object by its name may find it half made: a magic number is written last, and looked
//! for first. That of `.dat` is the very last, so that its reader finds `.ctl` whole too.

use super::geometry::{MAX_STRINGS, dat};
use super::identity::{CTL_IDENTITY, CTL_MAGIC, DAT_MAGIC};
use super::{FormatError, Identity};
use crate::sync::Ordering;

/// Eight octets of an object's beginning, by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdentityWord {
    /// Of the data object.
    Dat(usize),
    /// Of the control object.
    Ctl(usize),
}

/// The beginning of both objects of a segment.
pub trait IdentityWords {
    /// Loads a word that is inside its object.
    fn load(&self, word: IdentityWord) -> u64;
    /// Stores a word that is inside its object.
    fn store(&self, word: IdentityWord, value: u64, order: Ordering);
    /// `fence(Acquire)`.
    fn acquire(&self);
}

/// Writes an identity, its magic numbers last.
pub fn publish_identity(words: &impl IdentityWords, identity: &Identity) {
    let (fixed, strings) = identity.encode_dat();
    let line = identity.encode_ctl();
    crash_point!("the identity");
    put(words, IdentityWord::Dat, dat::STRINGS, &strings);
    put(words, IdentityWord::Ctl, 8, &line[8..]);
    put(words, IdentityWord::Dat, 8, &fixed[8..]);
    for (word, octets) in [(IdentityWord::Ctl(0), &line[..8]), (IdentityWord::Dat(0), &fixed[..8])]
    {
        crash_point!("a magic number");
        // Release: who finds the magic finds the identity.
        words.store(word, word_of(octets), Ordering::Release);
    }
}

fn put(
    words: &impl IdentityWords,
    object: fn(usize) -> IdentityWord,
    offset: usize,
    octets: &[u8],
) {
    for (at, octets) in (offset / 8..).zip(octets.chunks(8)) {
        words.store(object(at), word_of(octets), Ordering::Relaxed);
    }
}

fn word_of(octets: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..octets.len()].copy_from_slice(octets);
    u64::from_le_bytes(word)
}

/// Reads the identity of a segment whose objects are `dat_len` and `ctl_len` octets long.
///
/// # Errors
/// [`FormatError`]: not two objects of one segment, or not finished.
pub fn read_identity(
    words: &impl IdentityWords,
    dat_len: u64,
    ctl_len: u64,
) -> Result<Identity, FormatError> {
    let most = dat::STRINGS + MAX_STRINGS;
    let head = start(words, IdentityWord::Dat, DAT_MAGIC, dat_len, most);
    let identity = Identity::decode_dat(&head, dat_len)?;
    let line = start(words, IdentityWord::Ctl, CTL_MAGIC, ctl_len, CTL_IDENTITY);
    let line: [u8; CTL_IDENTITY] = line.try_into().map_err(|_| FormatError::Truncated {
        expected: identity.geometry.ctl_len(),
        found: ctl_len,
    })?;
    identity.check_ctl(&line, ctl_len)?;
    Ok(identity)
}

/// The first octets of an object of `len`. Behind another magic number than `magic` nothing is read:
/// zeroes stand for it.
fn start(
    words: &impl IdentityWords,
    object: fn(usize) -> IdentityWord,
    magic: u32,
    len: u64,
    most: usize,
) -> Vec<u8> {
    let len = (most as u64).min(len) as usize / 8 * 8;
    let mut octets = Vec::with_capacity(len);
    if len > 0 {
        let first = words.load(object(0));
        octets.extend(first.to_le_bytes());
        // What was written before the magic is read behind it.
        words.acquire();
        if first as u32 == magic {
            octets.extend((1..len / 8).flat_map(|at| words.load(object(at)).to_le_bytes()));
        }
    }
    octets.resize(len, 0);
    octets
}
