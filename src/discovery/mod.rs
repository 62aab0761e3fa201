//! `ShmLocator`, SPDP and SEDP, leases, the registry.
#![forbid(unsafe_code)]
