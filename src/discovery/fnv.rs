//! FNV-1a, the hash that identifies hosts in locators.
//!
//! Not a defence against anybody: an equal hash is a hint that is proved by opening the segment.

const OFFSET_32: u32 = 0x811c_9dc5;
const PRIME_32: u32 = 0x0100_0193;
const OFFSET_64: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME_64: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a with 32 bits, as ZeroDDS uses it for host names.
pub(crate) fn fnv1a_32(octets: &[u8]) -> u32 {
    octets.iter().fold(OFFSET_32, |hash, octet| (hash ^ u32::from(*octet)).wrapping_mul(PRIME_32))
}

/// FNV-1a with 64 bits.
pub(crate) fn fnv1a_64(octets: &[u8]) -> u64 {
    octets.iter().fold(OFFSET_64, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(PRIME_64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors_are_met() {
        assert_eq!(fnv1a_32(b""), 0x811c_9dc5);
        assert_eq!(fnv1a_32(b"hello"), 0x4f9f_2cab);
        assert_eq!(fnv1a_32(b"vm"), 0x4049_c22c);
        assert_eq!(fnv1a_64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a_64(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a_64(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
