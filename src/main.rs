//! The command line `dds-shm`.

fn main() {}
