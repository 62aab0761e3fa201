//! See `dds_shm_fuzz::rtps_message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dds_shm_fuzz::rtps_message::run(input));
