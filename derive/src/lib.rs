//! `#[derive(FlatStruct)]` for `dds-shm`.
