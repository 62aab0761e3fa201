use dds_shm::FlatStruct;

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Between {
    a: u8,
    b: u32,
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Behind {
    a: u64,
    b: u32,
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C, align(64))]
struct Aligned {
    a: u32,
}

fn main() {}
