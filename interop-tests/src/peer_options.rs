//! What a peer is to be.

use std::process::Command;
use std::time::Duration;

use crate::need::{EMBEDDED_PEER, RUSTDDS_PEER, program};
use crate::{CycloneOptions, Peer, python};

/// What a peer is to be; every implementation takes the same options.
///
/// By default: domain 0, topic `Interop`, type `interop::Sample` (a structure of one `uint32 value`,
/// without key), no endpoint, reliable, volatile, KEEP_LAST 1, no user data, multicast as the
/// implementation likes it, and an end after two minutes.
#[derive(Clone, Debug)]
pub struct PeerOptions {
    arguments: Vec<String>,
    multicast: bool,
    lease: Option<Duration>,
    domain_tag: String,
}

impl Default for PeerOptions {
    fn default() -> Self {
        Self { arguments: Vec::new(), multicast: true, lease: None, domain_tag: String::new() }
    }
}

impl PeerOptions {
    fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// The domain it is in.
    #[must_use]
    pub fn domain(self, domain: u32) -> Self {
        self.with(&["--domain", &domain.to_string()])
    }

    /// The topic of its endpoints, and the name of the type.
    #[must_use]
    pub fn topic(self, name: &str, type_name: &str) -> Self {
        self.with(&["--topic", name, "--type", type_name])
    }

    /// It has a writer.
    #[must_use]
    pub fn writer(self) -> Self {
        self.with(&["--writer"])
    }

    /// It has a reader.
    #[must_use]
    pub fn reader(self) -> Self {
        self.with(&["--reader"])
    }

    /// Its endpoints are best effort.
    #[must_use]
    pub fn best_effort(self) -> Self {
        self.with(&["--best-effort"])
    }

    /// Its endpoints are transient-local.
    #[must_use]
    pub fn transient_local(self) -> Self {
        self.with(&["--transient-local"])
    }

    /// Its endpoints keep the last so many samples.
    #[must_use]
    pub fn depth(self, depth: u32) -> Self {
        self.with(&["--depth", &depth.to_string()])
    }

    /// Its endpoints keep everything: a writer waits for its readers.
    #[must_use]
    pub fn keep_all(self) -> Self {
        self.with(&["--keep-all"])
    }

    /// How long a write of its writer waits for space.
    #[must_use]
    pub fn max_blocking(self, time: Duration) -> Self {
        self.with(&["--max-blocking-ms", &time.as_millis().to_string()])
    }

    /// USER_DATA of its endpoints. RustDDS cannot announce any.
    #[must_use]
    pub fn user_data(self, text: &str) -> Self {
        self.with(&["--user-data", text])
    }

    /// It sends and joins no multicast; peers are looked for on 127.0.0.1. RustDDS looks there in
    /// any case, and cannot be kept from multicast.
    #[must_use]
    pub fn unicast_only(mut self) -> Self {
        self.multicast = false;
        self
    }

    /// Its lease, whole seconds; by default 10 s. RustDDS's is always 50 s.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Its domain tag. RustDDS knows none.
    #[must_use]
    pub fn domain_tag(mut self, tag: &str) -> Self {
        tag.clone_into(&mut self.domain_tag);
        self
    }

    /// Starts it with Cyclone DDS; the test has to need [`Need::Cyclone`](crate::Need::Cyclone).
    pub fn cyclone(&self) -> Peer {
        self.cyclone_with(&self.cyclone_settings())
    }

    /// Starts it with Cyclone DDS, configured as a C application is; otherwise like
    /// [`PeerOptions::cyclone`].
    pub fn cyclone_as(&self, options: &CycloneOptions) -> Peer {
        self.cyclone_with(&options.settings())
    }

    fn cyclone_with(&self, settings: &str) -> Peer {
        let python = python::interpreter().expect("a test that needs Need::Cyclone");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/cyclone_peer.py");
        let mut command = Command::new(python);
        command.arg(script).args(&self.arguments).env("CYCLONEDDS_URI", settings);
        Peer::start("Cyclone DDS", command)
    }

    /// Starts it with RustDDS; the test has to need [`Need::RustDds`](crate::Need::RustDds).
    pub fn rustdds(&self) -> Peer {
        let path = program(RUSTDDS_PEER).expect("a test that needs Need::RustDds");
        let mut command = Command::new(path);
        command.args(&self.arguments);
        Peer::start("RustDDS", command)
    }

    /// Starts our embedded participant. Its writer announces a segment that does not exist.
    pub fn embedded(&self) -> Peer {
        let path = program(EMBEDDED_PEER).expect("a program of this package");
        let mut command = Command::new(path);
        command.args(&self.arguments).args(["--tag", &self.domain_tag]);
        if let Some(lease) = self.lease {
            command.args(["--lease", &lease.as_secs().to_string()]);
        }
        Peer::start("dds-shm", command)
    }

    fn cyclone_settings(&self) -> String {
        let interface = if self.multicast {
            "<General><Interfaces><NetworkInterface name=\"lo\" multicast=\"true\"/></Interfaces>\
             </General>"
        } else {
            "<General><AllowMulticast>false</AllowMulticast><Interfaces>\
             <NetworkInterface name=\"lo\"/></Interfaces></General>"
        };
        let mut discovery = "<ParticipantIndex>auto</ParticipantIndex>".to_owned();
        if !self.multicast {
            discovery += "<Peers><Peer Address=\"127.0.0.1\"/></Peers>";
        }
        if !self.domain_tag.is_empty() {
            discovery += &format!("<Tag>{}</Tag>", self.domain_tag);
        }
        if let Some(lease) = self.lease {
            discovery += &format!("<LeaseDuration>{}s</LeaseDuration>", lease.as_secs());
        }
        format!(
            "<CycloneDDS><Domain Id=\"any\">{interface}<Discovery>{discovery}</Discovery></Domain>\
             </CycloneDDS>"
        )
    }
}
