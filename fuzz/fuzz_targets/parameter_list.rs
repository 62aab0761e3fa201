//! See `dds_shm_fuzz::parameter_list`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dds_shm_fuzz::parameter_list::run(input));
