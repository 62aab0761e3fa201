use dds_shm::FlatStruct;

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Empty {
    a: u32,
    b: [u32; 0],
}

fn main() {}
