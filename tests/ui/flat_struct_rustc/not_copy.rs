use dds_shm::FlatStruct;

#[derive(FlatStruct)]
#[repr(C)]
struct NotCopy {
    a: u32,
}

fn main() {}
