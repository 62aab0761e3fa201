use dds_shm::FlatStruct;

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Raw {
    data: *const u8,
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Borrowed {
    name: &'static str,
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Callback {
    call: fn(u32),
}

fn main() {}
