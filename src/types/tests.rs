//! Derived types against the format's test vectors.

use super::*;

/// The layout string without its head. Those expected below are of hosts that align 64-bit numbers
/// to 8.
fn layout_of<T: FlatStruct>() -> String {
    let head = if cfg!(target_endian = "little") { "shmlay1;le;" } else { "shmlay1;be;" };
    T::layout_string().strip_prefix(head).expect("the head of a layout string").to_owned()
}

mod vector_1 {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, FlatStruct)]
    #[repr(C)]
    pub(super) struct Point {
        pub(super) x: f64,
        pub(super) y: f64,
        pub(super) z: f64,
    }
}

mod vector_2 {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, FlatStruct)]
    #[repr(C)]
    pub(super) struct Inner {
        a: u32,
        b: u32,
    }

    #[derive(Clone, Copy, Debug, PartialEq, FlatStruct)]
    #[repr(C)]
    pub(super) struct Outer {
        i: Inner,
        n: u32,
    }
}

mod vector_3 {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, FlatStruct)]
    #[repr(C)]
    pub(super) struct Inner {
        b: f32,
        a: i16,
        c: i16,
    }

    #[derive(Clone, Copy, Debug, PartialEq, FlatStruct)]
    #[repr(C)]
    pub(super) struct Outer {
        i: Inner,
        n: u32,
    }
}

#[test]
#[cfg(target_endian = "little")]
fn the_vectors_of_the_format_come_out_of_derived_structs() {
    fn check<T: FlatStruct>(string: &str, len: usize, hash: &str) {
        assert_eq!(T::layout_string(), string);
        assert_eq!(string.len(), len);
        assert_eq!(T::type_hash().to_string(), hash);
        assert_eq!(T::type_hash().scheme, TypeHash::LAYOUT_MD5);
    }
    check::<vector_1::Point>(
        "shmlay1;le;s24,8{0:x:f64;8:y:f64;16:z:f64}",
        42,
        "6768bd7ed1a670d810b05750c1309c74",
    );
    check::<vector_2::Outer>(
        "shmlay1;le;s12,4{0:i:s8,4{0:a:u32;4:b:u32};8:n:u32}",
        51,
        "50469994cfd88a364626004566c03320",
    );
    check::<vector_3::Outer>(
        "shmlay1;le;s12,4{0:i:s8,4{0:b:f32;4:a:i16;6:c:i16};8:n:u32}",
        59,
        "95e4311db065cc2f539b035d78adf983",
    );
}

#[derive(Clone, Copy, Debug, PartialEq, FlatStruct)]
#[repr(u32)]
#[flat(name = "geometry::Frame")]
enum Frame {
    World = 0,
    Robot = 1,
    Sensor = 7,
}

#[derive(Clone, Copy, Debug, PartialEq, FlatStruct)]
#[repr(i32)]
enum Level {
    Low = -5,
    High = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, FlatStruct)]
#[repr(C)]
struct Reading {
    level: Level,
    on: bool,
    #[flat(pad)]
    _pad: [u8; 3],
}

/// Something of everything.
#[derive(Clone, Copy, Debug, PartialEq, FlatStruct)]
#[repr(C)]
#[flat(name = "demo::Everything")]
struct Everything {
    #[flat(key)]
    id: u16,
    #[flat(pad)]
    _gap: [u8; 2],
    frame: Frame,
    #[flat(char)]
    label: [u8; 8],
    #[flat(char, rename = "type")]
    kind: u8,
    r#match: u8,
    flags: [bool; 2],
    #[flat(pad)]
    _align: [[u8; 2]; 2],
    grid: [[f64; 3]; 2],
    readings: [[Reading; 1]; 2],
}

#[test]
fn every_kind_of_member_has_its_word() {
    assert_eq!(
        layout_of::<Everything>(),
        "s88,8{0:id:u16;4:frame:e32;8:label:[8*c8];16:type:c8;17:match:u8;18:flags:[2*b8];\
         24:grid:[6*f64];72:readings:[2*s8,4{0:level:e32;4:on:b8}]}"
    );
    assert_eq!(Everything::TYPE_NAME, "demo::Everything");
    assert_eq!(Frame::TYPE_NAME, "geometry::Frame");
    assert_eq!(Level::TYPE_NAME, "Level");
}

#[test]
fn a_renamed_member_changes_the_hash_and_padding_by_another_name_does_not() {
    #[derive(Clone, Copy, FlatStruct)]
    #[repr(C)]
    struct A {
        a: u32,
        #[flat(pad)]
        _one: [u8; 4],
        b: u64,
    }
    #[derive(Clone, Copy, FlatStruct)]
    #[repr(C)]
    struct B {
        a: u32,
        #[flat(pad)]
        _two: [[u8; 1]; 4],
        b: u64,
    }
    #[derive(Clone, Copy, FlatStruct)]
    #[repr(C)]
    struct C {
        #[flat(rename = "c")]
        a: u32,
        #[flat(pad)]
        _one: [u8; 4],
        b: u64,
    }
    assert_eq!(A::type_hash(), B::type_hash());
    assert_ne!(A::type_hash(), C::type_hash());
}

#[test]
fn an_over_aligned_struct_says_so() {
    #[derive(Clone, Copy, FlatStruct)]
    #[repr(C)]
    #[repr(align(16))]
    struct Aligned {
        a: u32,
        #[flat(pad)]
        _tail: [u8; 12],
    }
    assert_eq!(layout_of::<Aligned>(), "s16,16{0:a:u32}");
    assert_eq!(layout_of::<[Aligned; 2]>(), "s32,16{0:value:[2*s16,16{0:a:u32}]}");
}

#[test]
fn what_is_no_struct_is_described_as_one() {
    assert_eq!(layout_of::<u64>(), "s8,8{0:value:u64}");
    assert_eq!(layout_of::<[[f32; 2]; 3]>(), "s24,4{0:value:[6*f32]}");
    assert_eq!(layout_of::<Frame>(), "s4,4{0:value:e32}");
    assert_eq!(<[[f64; 3]; 12]>::TYPE_NAME, "double[3][12]");
}

#[test]
fn only_types_without_forbidden_bit_patterns_are_read_in_place() {
    const { assert!(vector_3::Outer::IN_PLACE && <[u8; 3]>::IN_PLACE) };
    const { assert!(!bool::IN_PLACE && !Frame::IN_PLACE && !<[[bool; 2]; 2]>::IN_PLACE) };
    const { assert!(!Reading::IN_PLACE && !Everything::IN_PLACE) };
}

const EVERYTHING: Everything = Everything {
    id: 0x1234,
    _gap: [0; 2],
    frame: Frame::Sensor,
    label: *b"a label ",
    kind: b'k',
    r#match: 9,
    flags: [true, false],
    _align: [[0; 2]; 2],
    grid: [[1.0, 2.0, 3.0], [-0.0, f64::INFINITY, 6.5]],
    readings: [
        [Reading { level: Level::Low, on: true, _pad: [0; 3] }],
        [Reading { level: Level::High, on: false, _pad: [0; 3] }],
    ],
};

#[test]
fn a_value_survives_the_way_through_its_bytes() {
    let bytes = EVERYTHING.as_bytes();
    assert_eq!(bytes.len(), 88);
    assert_eq!(Everything::read_from(bytes), Ok(EVERYTHING));
    assert_eq!(Everything::read_boxed(bytes).map(|boxed| *boxed), Ok(EVERYTHING));
    let mut unaligned = vec![0; 1];
    unaligned.extend_from_slice(bytes);
    assert_eq!(Everything::read_from(&unaligned[1..]), Ok(EVERYTHING));
}

#[test]
fn a_wrong_value_is_told_with_its_place() {
    fn with(offset: usize, octets: &[u8]) -> Result<Everything, FlatError> {
        let mut bytes = EVERYTHING.as_bytes().to_vec();
        bytes[offset..offset + octets.len()].copy_from_slice(octets);
        assert_eq!(Everything::validate(&bytes).err(), Everything::read_boxed(&bytes).err());
        Everything::read_from(&bytes)
    }
    fn wrong(member: &str, offset: usize, found: i64, kind: ValueKind) -> Option<FlatError> {
        let (type_name, member) = ("demo::Everything", member.to_owned());
        Some(FlatError::InvalidValue { type_name, member, offset, found, kind })
    }
    let (frame, level) = (ValueKind::Enumerator("geometry::Frame"), ValueKind::Enumerator("Level"));

    assert_eq!(with(4, &2_u32.to_ne_bytes()).err(), wrong("frame", 4, 2, frame));
    assert_eq!(
        with(4, &u32::MAX.to_ne_bytes()).err(),
        wrong("frame", 4, i64::from(u32::MAX), frame)
    );
    assert_eq!(with(18, &[2]).err(), wrong("flags[0]", 18, 2, ValueKind::Bool));
    assert_eq!(with(19, &[255]).err(), wrong("flags[1]", 19, 255, ValueKind::Bool));
    assert_eq!(
        with(80, &(-4_i32).to_ne_bytes()).err(),
        wrong("readings[1][0].level", 80, -4, level)
    );
    assert_eq!(with(84, &[7]).err(), wrong("readings[1][0].on", 84, 7, ValueKind::Bool));

    // Padding is not looked at.
    assert!(with(2, &[1, 2]).is_ok());
    assert!(with(85, &[1, 2, 3]).is_ok());

    assert_eq!(
        with(84, &[7]).expect_err("7 is no bool").to_string(),
        "member `readings[1][0].on` of demo::Everything (offset 84) holds 7, which is no boolean \
         (0 or 1): the sample was damaged, or its writer uses other enumerators"
    );
}

#[test]
fn a_wrong_size_is_told() {
    let wrong = |found| FlatError::WrongSize { type_name: "uint32", expected: 4, found };
    for bytes in [&[0; 3][..], &[0; 5], &[]] {
        assert_eq!(u32::validate(bytes), Err(wrong(bytes.len())));
        assert_eq!(u32::read_from(bytes), Err(wrong(bytes.len())));
        assert_eq!(u32::ref_from(bytes), None);
    }
}

#[test]
fn bytes_are_lent_as_a_value_only_where_they_fit() {
    let mut words = [0x0102_0304_0506_0708_u64, u64::MAX];
    let bytes = <[u64; 2]>::as_bytes(&words).to_vec();

    let mut room = words;
    // SAFETY: the octets of the two words, which outlive the slice and are not used beside it.
    let room = unsafe { core::slice::from_raw_parts_mut(room.as_mut_ptr().cast::<u8>(), 16) };
    assert_eq!(<[u64; 2]>::ref_from(room), Some(&words));
    assert_eq!(u64::ref_from(&room[8..]), Some(&u64::MAX));
    assert_eq!(u64::ref_from(&room[4..12]), None, "not aligned");
    assert_eq!(u64::ref_from(&room[..9]), None, "not its size");
    assert_eq!(<[bool; 16]>::ref_from(room), None, "not every bit pattern");
    assert_eq!(<[bool; 16]>::mut_from(room), None, "not every bit pattern");

    *u64::mut_from(&mut room[..8]).expect("aligned") = 1;
    words[0] = 1;
    assert_eq!(room, words.as_bytes());
    assert_ne!(room, bytes);
}

#[test]
fn padding_is_zeroed_at_every_depth_and_nothing_else() {
    const { assert!(Everything::HAS_PADDING && Reading::HAS_PADDING) };
    const { assert!(<[[Reading; 1]; 2]>::HAS_PADDING && !vector_2::Outer::HAS_PADDING) };

    let mut bytes = [0xff; 88];
    Everything::zero_padding(&mut bytes);
    let zeroed: Vec<_> = (0..88).filter(|&at| bytes[at] == 0).collect();
    assert_eq!(zeroed, [2, 3, 20, 21, 22, 23, 77, 78, 79, 85, 86, 87]);

    let dirty = Everything { _gap: [1, 2], _align: [[3; 2]; 2], ..EVERYTHING };
    let mut bytes = dirty.as_bytes().to_vec();
    Everything::zero_padding(&mut bytes);
    assert_eq!(bytes, EVERYTHING.as_bytes());
}

mod key_hash {
    use super::*;

    /// The octets of a hexadecimal text, zeros behind it.
    fn hash(hex: &str) -> [u8; 16] {
        let digits: Vec<_> = hex.chars().filter(|c| !c.is_whitespace()).collect();
        let mut octets = [0; 16];
        for (octet, pair) in octets.iter_mut().zip(digits.chunks(2)) {
            *octet = u8::from_str_radix(&String::from_iter(pair), 16).expect("hex");
        }
        octets
    }

    #[test]
    fn of_a_type_without_key_is_zero() {
        const { assert!(!vector_1::Point::HAS_KEY) };
        assert_eq!(vector_1::Point { x: 1.0, y: 2.0, z: 3.0 }.key_hash(), [0; 16]);
    }

    #[test]
    fn of_a_short_key_is_the_key_big_endian() {
        const { assert!(Everything::HAS_KEY) };
        assert_eq!(EVERYTHING.key_hash(), hash("1234"));
    }

    #[test]
    fn aligns_members_to_their_size_and_to_4_at_most() {
        #[derive(Clone, Copy, FlatStruct)]
        #[repr(C)]
        struct Narrow {
            #[flat(key)]
            a: u8,
            no_key: [u8; 3],
            #[flat(key)]
            b: u32,
        }
        let narrow = Narrow { a: 0x11, no_key: [0xee; 3], b: 0x2233_4455 };
        assert_eq!(narrow.key_hash(), hash("11 000000 22334455"));

        #[derive(Clone, Copy, FlatStruct)]
        #[repr(C)]
        struct Wide {
            #[flat(key)]
            s: i16,
            #[flat(pad)]
            _pad: [u8; 6],
            #[flat(key)]
            ll: i64,
        }
        let wide = Wide { s: 0x0102, _pad: [0xee; 6], ll: 0x0304_0506_0708_090a };
        assert_eq!(wide.key_hash(), hash("0102 0000 030405060708090a"));
    }

    #[test]
    fn of_16_octets_is_the_key_and_of_17_its_md5() {
        #[derive(Clone, Copy, FlatStruct)]
        #[repr(C)]
        struct Sixteen {
            #[flat(key)]
            id: [u8; 16],
        }
        let id = core::array::from_fn(|index| index as u8 + 1);
        assert_eq!(Sixteen { id }.key_hash(), id);

        #[derive(Clone, Copy, FlatStruct)]
        #[repr(C)]
        struct Seventeen {
            #[flat(key, char)]
            id: [u8; 17],
        }
        let id = core::array::from_fn(|index| index as u8 + 1);
        // md5(01 02 … 11)
        assert_eq!(Seventeen { id }.key_hash(), hash("5187e484290250b220c67d5c40eac760"));
    }

    #[test]
    fn takes_every_kind_of_member() {
        #[derive(Clone, Copy, FlatStruct)]
        #[repr(C)]
        struct Kinds {
            #[flat(key)]
            octet: u8,
            #[flat(pad)]
            _pad: [u8; 7],
            #[flat(key)]
            number: f64,
            #[flat(key)]
            level: Level,
            #[flat(key, char)]
            text: [u8; 3],
            #[flat(key)]
            truth: bool,
        }
        let kinds = Kinds {
            octet: 1,
            _pad: [9; 7],
            number: -2.5,
            level: Level::Low,
            text: *b"abc",
            truth: true,
        };
        // md5(01 000000 c004000000000000 fffffffb 616263 01)
        assert_eq!(kinds.key_hash(), hash("14cc0c98d34b1eb6d4c0a0497d59a0dd"));
        // md5(01 000000 c004000000000000 00000003 616263 01)
        let kinds = Kinds { level: Level::High, ..kinds };
        assert_eq!(kinds.key_hash(), hash("61249750d722afa7fdfb2ad885a3d687"));
    }

    #[derive(Clone, Copy, FlatStruct)]
    #[repr(C)]
    struct Keyless {
        p: u32,
        q: [[u16; 2]; 1],
    }

    #[derive(Clone, Copy, FlatStruct)]
    #[repr(C)]
    struct Keyed {
        #[flat(key)]
        p: u32,
        q: u32,
    }

    #[test]
    fn takes_of_a_nested_struct_its_keys_or_else_all_of_it() {
        #[derive(Clone, Copy, FlatStruct)]
        #[repr(C)]
        struct Outer {
            #[flat(key)]
            keyless: Keyless,
            #[flat(key)]
            keyed: Keyed,
            tail: u32,
        }
        let outer =
            Outer { keyless: Keyless { p: 1, q: [[2, 3]] }, keyed: Keyed { p: 4, q: 5 }, tail: 6 };
        assert_eq!(outer.key_hash(), hash("00000001 0002 0003 00000004"));
    }

    #[test]
    fn of_a_struct_with_a_keyed_struct_inside_that_is_not_a_key_is_zero() {
        #[derive(Clone, Copy, FlatStruct)]
        #[repr(C)]
        struct Outer {
            keyed: Keyed,
        }
        const { assert!(!Outer::HAS_KEY) };
        assert_eq!(Outer { keyed: Keyed { p: 4, q: 5 } }.key_hash(), [0; 16]);
    }
}

mod type_hash {
    use super::*;

    #[test]
    fn of_another_scheme_is_another_hash_and_looks_so() {
        let ours = TypeHash::of_layout("shmlay1;le;s24,8{0:x:f64;8:y:f64;16:z:f64}");
        let theirs = TypeHash { scheme: TypeHash::XTYPES_MINIMAL, ..ours };
        assert_ne!(ours, theirs);
        assert_eq!(theirs.to_string(), "xtypes-minimal:6768bd7ed1a670d810b05750c1309c74");
        let unknown = TypeHash { scheme: 99, digest: [0; 16] };
        assert_eq!(unknown.to_string(), format!("scheme-99:{}", "0".repeat(32)));
    }

    #[test]
    fn of_serialized_samples_names_the_representation() {
        let cdr2_le = TypeHash::serialized_cdr(0x0007);
        assert_eq!(cdr2_le.to_string(), format!("serialized-cdr:0007{}", "0".repeat(28)));
    }
}

mod properties {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const CASES: u32 = if cfg!(miri) { 4 } else { 512 };

    fn config() -> ProptestConfig {
        // Miri has no files to keep failures in.
        let failure_persistence =
            if cfg!(miri) { None } else { ProptestConfig::default().failure_persistence };
        ProptestConfig { cases: CASES, failure_persistence, ..ProptestConfig::default() }
    }

    /// What `check_values` should say, by a second look at the same members.
    fn is_everything(bytes: &[u8]) -> bool {
        let number =
            |at: usize| i32::from_ne_bytes(bytes[at..at + 4].try_into().expect("4 octets"));
        [0, 1, 7].contains(&number(4))
            && [72, 80].iter().all(|&at| [-5, 3].contains(&number(at)))
            && [18, 19, 76, 84].iter().all(|&at| bytes[at] <= 1)
    }

    /// Octets that are a value of `Everything` about as often as not.
    fn everything_like() -> impl Strategy<Value = Vec<u8>> {
        let number = prop_oneof![9 => Just(0), 9 => Just(1), 9 => Just(7), 1 => any::<i32>()];
        let level = prop_oneof![9 => Just(-5), 9 => Just(3), 1 => any::<i32>()];
        let truth = prop_oneof![9 => 0..2_u8, 1 => any::<u8>()];
        (vec(any::<u8>(), 88), number, [level.clone(), level], [(); 4].map(|()| truth.clone()))
            .prop_map(|(mut bytes, frame, levels, truths)| {
                bytes[4..8].copy_from_slice(&frame.to_ne_bytes());
                bytes[72..76].copy_from_slice(&levels[0].to_ne_bytes());
                bytes[80..84].copy_from_slice(&levels[1].to_ne_bytes());
                for (at, truth) in [18, 19, 76, 84].into_iter().zip(truths) {
                    bytes[at] = truth;
                }
                bytes
            })
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn any_octets_are_a_value_or_refused(bytes in everything_like()) {
            match Everything::read_from(&bytes) {
                Ok(value) => {
                    prop_assert!(is_everything(&bytes));
                    prop_assert_eq!(value.as_bytes(), &bytes);
                }
                Err(_) => prop_assert!(!is_everything(&bytes)),
            }
        }

        #[test]
        fn a_key_hash_depends_on_the_key_alone(id: u16, mut bytes in vec(any::<u8>(), 24)) {
            #[derive(Clone, Copy, FlatStruct)]
            #[repr(C)]
            struct Keyed {
                #[flat(key)]
                id: u16,
                rest: [u16; 11],
            }
            bytes[..2].copy_from_slice(&id.to_ne_bytes());
            let hash = Keyed::read_from(&bytes).expect("24 octets").key_hash();
            prop_assert_eq!(&hash[..2], &id.to_be_bytes());
            prop_assert_eq!(&hash[2..], &[0; 14]);
        }
    }
}
