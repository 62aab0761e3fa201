//! What is in the samples of `demo` and `pub`, so that whoever takes one can tell whether it is whole.
//!
//! A sample is a row of 64-bit little-endian words, cut to its size: its RTPS sequence number, when it
//! was written (where there is room for both), and then words that follow from these two. So every
//! octet is known to who knows the sequence number, and a sample that was torn, or that stands in the
//! place of another, shows.

/// The shortest sample that says when it was written.
pub(crate) const STAMPED: u32 = 16;

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Fills a sample.
#[inline]
pub(crate) fn fill(bytes: &mut [u8], number: u64, written_ns: u64) {
    let (words, rest) = bytes.as_chunks_mut::<8>();
    let written_ns = if words.len() < 2 { 0 } else { written_ns };
    for (at, word) in words.iter_mut().enumerate() {
        *word = following(number, written_ns, at).to_le_bytes();
    }
    fill_rest(rest, number, written_ns, words.len());
    for (word, value) in words.iter_mut().zip([number, written_ns]) {
        *word = value.to_le_bytes();
    }
}

/// Reads all of a sample: `Some` if it is whole, with when it was written, 0 if it does not say.
#[inline]
pub(crate) fn check(bytes: &[u8], number: u64) -> Option<u64> {
    let (words, rest) = bytes.as_chunks::<8>();
    let word = |at: usize| words.get(at).map(|word| u64::from_le_bytes(*word));
    let written_ns = if words.len() < 2 { 0 } else { word(1)? };
    // No early end: the loop stays one that the compiler can widen.
    let differences = words.iter().enumerate().skip(2).fold(0, |seen, (at, word)| {
        seen | (u64::from_le_bytes(*word) ^ following(number, written_ns, at))
    });
    let mut expected = [0; 8];
    fill_rest(&mut expected[..rest.len()], number, written_ns, words.len());
    let begins = word(0).is_none_or(|first| first == number);
    (begins && differences == 0 && *rest == expected[..rest.len()]).then_some(written_ns)
}

/// The octets behind the last whole word.
fn fill_rest(rest: &mut [u8], number: u64, written_ns: u64, at: usize) {
    let word = if at == 0 { number } else { following(number, written_ns, at) };
    rest.copy_from_slice(&word.to_le_bytes()[..rest.len()]);
}

/// What stands at word `at`, behind the number and the time.
#[inline(always)]
fn following(number: u64, written_ns: u64, at: usize) -> u64 {
    let both = number.wrapping_mul(STEP) ^ written_ns;
    // Both halves show in the lower one, of which alone there may be room.
    (both ^ (both >> 32)).wrapping_add((at as u64).wrapping_mul(STEP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_sample_says_when_it_was_written() {
        for size in 0..100 {
            let mut bytes = vec![0xaa; size];
            fill(&mut bytes, 7, 1234);
            let written = if size < STAMPED as usize { 0 } else { 1234 };
            assert_eq!(check(&bytes, 7), Some(written), "{size}");
        }
    }

    #[test]
    fn every_octet_that_changes_shows() {
        for size in [1, 8, 9, 20, 64, 67] {
            let mut bytes = vec![0; size];
            fill(&mut bytes, 99, 5);
            for at in 0..size {
                bytes[at] ^= 0x10;
                assert_eq!(check(&bytes, 99), None, "octet {at} of {size}");
                bytes[at] ^= 0x10;
            }
            assert_eq!(check(&bytes, 100), None, "{size}");
        }
    }

    #[test]
    fn a_sample_torn_from_two_shows() {
        let (mut old, mut new) = (vec![0; 4096], vec![0; 4096]);
        fill(&mut old, 1, 10);
        fill(&mut new, 257, 20);
        new[2048..].copy_from_slice(&old[2048..]);
        assert_eq!(check(&new, 257), None);
    }
}
