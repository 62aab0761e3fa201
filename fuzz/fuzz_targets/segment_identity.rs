//! See `dds_shm_fuzz::segment_identity`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dds_shm_fuzz::segment_identity::run(input));
