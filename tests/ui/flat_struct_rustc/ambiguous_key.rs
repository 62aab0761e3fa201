use dds_shm::FlatStruct;

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Part {
    id: u32,
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Whole {
    #[flat(key)]
    parts: [Part; 2],
}

fn main() {}
