use dds_shm::FlatStruct;

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Letters {
    #[flat(char)]
    letters: [u16; 4],
}

fn main() {}
