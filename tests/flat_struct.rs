//! `#[derive(FlatStruct)]` as a crate uses it that forbids `unsafe`, and that has names of its own
//! for what the prelude has.

#![forbid(unsafe_code)]
#![warn(clippy::pedantic, missing_docs, unreachable_pub)]

use dds_shm::{FlatStruct, ParsedLayout};

mod hostile_names {
    #![allow(non_camel_case_types, dead_code, reason = "names that the derive might stumble over")]

    pub(crate) struct Result;
    pub(crate) struct Ok;
    pub(crate) struct Err;
    pub(crate) struct Option;
    pub(crate) struct Layout;
    pub(crate) struct Member;
    pub(crate) trait Copy {}
    pub(crate) mod core {}
    pub(crate) mod dds_shm {}

    /// A box in space: not a pointer.
    #[derive(Clone, ::core::marker::Copy, ::dds_shm::FlatStruct)]
    #[repr(C)]
    pub(crate) struct Box {
        pub(crate) value: u32,
        pub(crate) bytes: u32,
        pub(crate) key: [f64; 3],
    }

    #[derive(Clone, ::core::marker::Copy, ::dds_shm::FlatStruct)]
    #[repr(C)]
    pub(crate) struct Boxes {
        #[flat(key)]
        pub(crate) found: u64,
        pub(crate) r#box: Box,
        pub(crate) others: [Box; 2],
    }
}

macro_rules! flat {
    ($name:ident { $($member:ident: $type:ty),* }) => {
        #[derive(Clone, Copy, FlatStruct)]
        #[repr(C)]
        struct $name {
            $($member: $type),*
        }
    };
}

flat!(FromMacro { a: u32, b: [i16; 2] });

#[test]
fn layout_strings_are_those_that_anybody_can_parse() {
    fn check<T: FlatStruct>() {
        let string = T::layout_string();
        let parsed = ParsedLayout::parse(string.as_bytes()).expect("canonical");
        assert_eq!(parsed.to_string(), string);
        assert_eq!(parsed.size(), size_of::<T>() as u64);
        assert_eq!(parsed.align(), align_of::<T>() as u64);
    }
    check::<hostile_names::Boxes>();
    check::<FromMacro>();
    check::<[FromMacro; 3]>();
    check::<bool>();
    check::<f64>();
}

#[test]
fn a_derived_type_needs_no_unsafe_to_be_read_and_written() {
    let part = hostile_names::Box { value: 1, bytes: 2, key: [3.0, 4.0, 5.0] };
    let boxes = hostile_names::Boxes { found: 9, r#box: part, others: [part; 2] };

    let copy = hostile_names::Boxes::read_from(boxes.as_bytes()).expect("any bytes will do");
    assert_eq!(copy.as_bytes(), boxes.as_bytes());
    assert_eq!(copy.key_hash()[..8], 9_u64.to_be_bytes());

    let room = &mut [0_u64; 2];
    let lent = <[u64; 2]>::mut_from(bytes_of(room)).expect("aligned");
    lent[1] = 7;
    assert_eq!(room[1], 7);
}

/// A slot's octets, as a transport lends them.
fn bytes_of(words: &mut [u64; 2]) -> &mut [u8] {
    zerocopy::IntoBytes::as_mut_bytes(words)
}
