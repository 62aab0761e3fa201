//! Samples of the command line: arrays of octets of a length that is known at run time only.
//!
//! Their type is what the array `[u8; N]` would be as a [`FlatStruct`](dds_shm::FlatStruct): the
//! structure that has the array as its only member, named `value`. So a program with
//! `#[derive(FlatStruct)] #[repr(C)] struct Octets { value: [u8; N] }` can talk to `pub` and `sub`.

use dds_shm::{ExpectedType, TypeHash};

/// Name of the DDS type of all sizes: the layout tells them apart.
pub(crate) const TYPE_NAME: &str = "Octets";

/// The type of samples of `size` octets.
pub(crate) fn type_of(size: u32) -> ExpectedType {
    let endianness = if cfg!(target_endian = "big") { "be" } else { "le" };
    let layout = format!("shmlay1;{endianness};s{size},1{{0:value:[{size}*u8]}}");
    ExpectedType { hash: TypeHash::of_layout(&layout), layout }
}

/// Adds up all octets, eight at a time, so that every one of them has been read.
#[inline]
pub(crate) fn fold(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(0u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, octet| sum.wrapping_add(u64::from(*octet)))
}

#[cfg(test)]
mod tests {
    use dds_shm::FlatStruct;

    use super::*;

    #[derive(Clone, Copy, FlatStruct)]
    #[repr(C)]
    struct Octets {
        value: [u8; 100],
    }

    #[test]
    fn a_program_with_the_same_array_has_the_same_type() {
        assert_eq!(Octets::layout_string(), type_of(100).layout);
        assert_eq!(<[u8; 100]>::layout_string(), type_of(100).layout);
        assert_eq!(Octets::type_hash(), type_of(100).hash);
        assert_eq!(Octets::TYPE_NAME, TYPE_NAME);
    }

    #[test]
    fn every_octet_counts() {
        let mut bytes = [0; 67];
        for at in 0..bytes.len() {
            bytes[at] = 1;
            assert_ne!(fold(&bytes), 0, "{at}");
            bytes[at] = 0;
        }
    }
}
