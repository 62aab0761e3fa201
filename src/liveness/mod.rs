//! Nodes, lock files, proof of death, bells.
#![forbid(unsafe_code)]
