use dds_shm::FlatStruct;

#[derive(Clone, Copy, FlatStruct)]
enum Unsized32 {
    A,
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(u8)]
enum Small {
    A,
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(u32)]
enum WithFields {
    A(u32),
    B,
}

fn main() {}
