use dds_shm::FlatStruct;

#[derive(Clone, Copy, FlatStruct)]
#[repr(u32, align(8))]
enum Aligned {
    A,
}

fn main() {}
