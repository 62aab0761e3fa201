//! See `dds_shm_fuzz::shm_locator`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dds_shm_fuzz::shm_locator::run(input));
