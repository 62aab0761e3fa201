use dds_shm::FlatStruct;

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
union Either {
    a: u32,
    b: f32,
}

fn main() {}
