//! See `dds_shm_fuzz::registry_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dds_shm_fuzz::registry_file::run(input));
