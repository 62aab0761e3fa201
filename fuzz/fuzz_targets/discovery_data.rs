//! See `dds_shm_fuzz::discovery_data`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dds_shm_fuzz::discovery_data::run(input));
