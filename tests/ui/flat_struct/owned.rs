use dds_shm::FlatStruct;

#[derive(Clone, FlatStruct)]
#[repr(C)]
struct Text {
    text: String,
}

#[derive(Clone, FlatStruct)]
#[repr(C)]
struct List {
    values: Vec<f64>,
}

#[derive(Clone, FlatStruct)]
#[repr(C)]
struct Elsewhere {
    value: Box<f64>,
}

#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Maybe {
    value: Option<f64>,
}

fn main() {}
