use dds_shm::FlatStruct;

#[derive(Clone, Copy, FlatStruct)]
struct Unordered {
    a: u8,
    b: u32,
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C, packed)]
struct Packed {
    a: u8,
    b: u32,
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(packed(4), C)]
struct PackedTo {
    a: u8,
    b: u32,
}

fn main() {}
