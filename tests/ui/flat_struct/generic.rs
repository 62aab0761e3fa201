use dds_shm::FlatStruct;

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Pair<T> {
    a: T,
    b: T,
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Buffer<const N: usize> {
    octets: [u8; N],
}

fn main() {}
