//! See `dds_shm_fuzz::layout_string`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dds_shm_fuzz::layout_string::run(input));
