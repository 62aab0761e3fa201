//! `ShmLocator`, SPDP and SEDP, leases, the registry.
#![forbid(unsafe_code)]

mod event_queue;
mod fnv;
mod host_identity;
mod lease;
mod locator_policy;
mod shm_locator;

pub use event_queue::EventQueue;
pub use host_identity::{HostIdentity, HostNames};
pub use lease::Lease;
pub use locator_policy::{LocatorPolicy, PathRefused};
pub use shm_locator::{LocatorError, LocatorPath, SegmentFormat, SegmentHints, ShmLocator};
