use dds_shm::FlatStruct;

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Pair {
    pair: (u32, u32),
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Unnamed(u32, u32);

fn main() {}
