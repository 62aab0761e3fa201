use dds_shm::FlatStruct;

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Unknown {
    #[flat(skip)]
    a: u32,
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
#[flat(key)]
struct KeyOnType {
    a: u32,
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct PaddingIsNoKey {
    a: u32,
    #[flat(key, pad)]
    b: [u8; 4],
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Twice {
    #[flat(rename = "b")]
    #[flat(rename = "c")]
    a: u32,
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
#[flat(name = "geometry/Pose")]
struct SlashInName {
    a: u32,
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct SpaceInMember {
    #[flat(rename = "a b")]
    a: u32,
}

fn main() {}
