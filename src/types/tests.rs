//! Derived types against the format's test vectors.

use super::*;

/// Layout strings below are those of hosts with 8-byte aligned 64-bit numbers.
fn layout_of<T: FlatStruct>() -> String {
    let string = T::layout_string();
    string.strip_prefix("shmlay1;le;").expect("a little-endian host").to_owned()
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
