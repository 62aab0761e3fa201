//! What every parser is fuzzed with: one function for each, that takes any octets and panics if a
//! promise is broken.
//!
//! libFuzzer calls these functions (`fuzz_targets/`), and so does `tests/fuzz_corpus.rs`, with every
//! input of `corpus/`.
#![allow(unreachable_pub, reason = "a test includes this file as a private module")]

pub mod discovery_data;
pub mod flink;
pub mod layout_string;
pub mod parameter_list;
pub mod participant_core;
pub mod registry_file;
pub mod rtps_message;
pub mod segment_identity;
pub mod shm_locator;

/// A target: any octets may be given to it.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const TARGETS: [(&str, Target); 9] = [
    ("discovery_data", discovery_data::run),
    ("flink", flink::run),
    ("layout_string", layout_string::run),
    ("parameter_list", parameter_list::run),
    ("participant_core", participant_core::run),
    ("registry_file", registry_file::run),
    ("rtps_message", rtps_message::run),
    ("segment_identity", segment_identity::run),
    ("shm_locator", shm_locator::run),
];
