//! See `dds_shm_fuzz::participant_core`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dds_shm_fuzz::participant_core::run(input));
