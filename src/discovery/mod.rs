//! Who is there: `ShmLocator`, SPDP and SEDP, leases, the registry.
//!
//! | file | what |
//! |---|---|
//! | `shm_locator`, `locator_carrier`, `locator_policy`, `host_identity` | `PID_SHM_LOCATOR`: its value, what carries it, whether to follow it |
//! | `participant_core` | [`ParticipantCore`]: SPDP, SEDP and liveliness without I/O |
//! | `spdp`, `lease`, `peer`, `remote_endpoints`, `reliable_writer`, `reliable_reader`, `reassembly` | its parts |
//! | `participant`, `sockets`, `ports`, `config` | [`Participant`]: the core on UDP |
//! | `registry`, `registry_store`, `registry_file` | [`Registry`]: the same answers from files, for hosts that hide discovery |
//! | `directory`, `event`, `event_queue` | what both have in common |
//!
//! Formats and rules: `spec-notes/shm-locator.md`, `spec-notes/discovery.md`.
#![forbid(unsafe_code)]

mod builtin_topic;
mod config;
mod directory;
mod error;
mod event;
mod event_queue;
mod fnv;
mod host_identity;
mod lease;
mod locator_carrier;
mod locator_policy;
mod matching;
mod participant;
mod participant_core;
mod peer;
mod ports;
mod qos_digest;
mod reassembly;
mod registry;
mod registry_file;
mod registry_store;
mod reliable_reader;
mod reliable_writer;
mod remote_endpoints;
mod shm_locator;
mod sockets;
mod spdp;
mod user_data;

pub use crate::types::SegmentFormat;
pub use config::{DiscoveryLimits, InitialPeer, Interfaces, ParsePeerError, ParticipantConfig};
pub use directory::EndpointDirectory;
pub use error::DiscoveryError;
pub use event::{DiscoveryEvent, LossReason, RemoteEndpoint, RemoteParticipant, UnreachableReason};
pub use event_queue::EventQueue;
pub use host_identity::{HostIdentity, HostNames};
pub use lease::Lease;
pub use locator_carrier::{
    LOCATOR_KEY, LocatorCarrier, SHM_VERSION, VERSION_KEY, announce_reader_version, find_locator,
    find_locator_in, participant_version, reader_version,
};
pub use locator_policy::{LocatorPolicy, PathRefused};
pub use participant::Participant;
pub use participant_core::{Destination, ParticipantCore, ParticipantLocators};
pub use qos_digest::qos_digest;
pub use registry::{Registry, RegistrySweeper};
pub use registry_file::{BadRegistryFile, RegistryEntry, RegistryFile, RegistryKey};
pub use registry_store::RegistryError;
pub use shm_locator::{LocatorError, LocatorPath, SegmentHints, ShmLocator};
pub use sockets::SocketError;
