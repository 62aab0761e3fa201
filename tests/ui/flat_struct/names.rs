use dds_shm::FlatStruct;

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Angle {
    größe: f64,
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Same {
    a: u32,
    #[flat(rename = "a")]
    b: u32,
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Nothing {}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct OnlyPadding {
    #[flat(pad)]
    _pad: [u8; 4],
}

fn main() {}
