//! See `dds_shm_fuzz::flink`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dds_shm_fuzz::flink::run(input));
