//! Tests of dds-shm between processes and between vendors.
//!
//! Every test runs in network, mount and process namespaces of its own ([`in_namespace!`]): nothing
//! it sends leaves the machine or meets another test, `/dev/shm` is its own, and nothing that it
//! starts outlives it. Real peers ([`Peer`]) are started inside and say in JSON what they see:
//! Cyclone DDS from PyPI, in a Python environment that is made under `target/` when it is first
//! needed, and RustDDS, as the program `rustdds-peer` of this package. `embedded-peer` is our own
//! participant in the same dress, so that it can be killed.
//!
//! The plugin for Cyclone DDS is tested with C applications ([`CycloneApp`]): Cyclone DDS is built from
//! source, also under `target/`, with the programs of `cyclone/app`, which know nothing of plugins and
//! do as they are told. The same script over the network and over the plugin has to come to the same
//! ([`assert_alike`]).
//!
//! A test whose needs cannot be met says which, and what to do, and passes; with
//! `DDS_SHM_REQUIRE_INTEROP=1` it fails.
//!
//! ```no_run
//! use std::time::Duration;
//! use interop_tests::{Need, PeerOptions, in_namespace};
//!
//! // #[test]
//! fn two_implementations_see_each_other() {
//!     in_namespace!([Need::Cyclone, Need::RustDds], || {
//!         let mut cyclone = PeerOptions::default().writer().cyclone();
//!         let mut rustdds = PeerOptions::default().reader().rustdds();
//!         let writer = cyclone.ready().writer.unwrap();
//!         rustdds.wait_for("publication", |event| event["guid"] == writer.to_hex());
//!         cyclone.stop();
//!         rustdds.wait_for("publication_lost", |event| event["guid"] == writer.to_hex());
//!     });
//! }
//! ```
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "support for tests: what fails here is a failed test"
)]

mod cyclone;
mod cyclone_app;
mod installed;
mod namespace;
mod need;
mod peer;
mod peer_options;
mod python;
mod scenario;
mod sniffer;

pub use cyclone_app::{CycloneApp, CycloneOptions, Via, texts};
pub use namespace::{inside, run};
pub use need::{Need, REQUIRE_VARIABLE};
pub use peer::{EVENT_TIMEOUT, Peer, Ready};
pub use peer_options::PeerOptions;
pub use scenario::{Scenario, assert_alike, outcomes};
pub use sniffer::{Captured, Sniffer, loopback_octets};
