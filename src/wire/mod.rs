//! CDR primitives, parameter lists, RTPS messages: built and parsed with `byteorder`, no I/O.
#![forbid(unsafe_code)]
