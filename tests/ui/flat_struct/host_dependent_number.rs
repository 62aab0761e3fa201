use dds_shm::FlatStruct;

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Unsigned {
    count: usize,
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Signed {
    counts: [isize; 4],
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Wide {
    id: u128,
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Letter {
    letter: char,
}

fn main() {}
