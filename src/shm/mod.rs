//! POSIX objects, mappings, locks, futexes: the only room with FFI and raw mappings.
