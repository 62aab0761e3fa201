//! How a transport is made.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::ShmTransport;
use super::error::TransportError;
use super::segment_plan::PlanDefaults;
use crate::discovery::{LocatorPolicy, RegistrySweeper};
use crate::liveness::{Node, NodeOptions, RuntimeDir};
use crate::slots::Sharing;
use crate::wire::GuidPrefix;

/// Makes a [`ShmTransport`]; see [`ShmTransport::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ShmTransportBuilder {
    pub(super) domain_id: u32,
    pub(super) prefix: GuidPrefix,
    node: Option<Arc<Node>>,
    runtime_dir: Option<RuntimeDir>,
    node_options: Option<NodeOptions>,
    pub(super) event_capacity: usize,
    allowed_paths: Vec<PathBuf>,
    pub(super) secured_topics: BTreeSet<String>,
    pub(super) match_own: bool,
    pub(super) plan: PlanDefaults,
}

impl ShmTransportBuilder {
    pub(super) fn new(domain_id: u32, prefix: GuidPrefix) -> Self {
        Self {
            domain_id,
            prefix,
            node: None,
            runtime_dir: None,
            node_options: None,
            event_capacity: 1024,
            allowed_paths: Vec::new(),
            secured_topics: BTreeSet::new(),
            match_own: false,
            plan: PlanDefaults {
                open_octets: 16 << 20,
                most_octets: 1 << 30,
                block_on_keep_last: false,
                sharing: Sharing::Owner,
                populate_up_to: 64 << 20,
            },
        }
    }

    /// The node to use: a process has one, however many participants it has. Without it, one is made.
    pub fn node(mut self, node: Arc<Node>) -> Self {
        self.node = Some(node);
        self
    }

    /// Where the node keeps its files, if it is made here; otherwise that of the process
    /// ([`RuntimeDir::of_process`]).
    pub fn runtime_dir(mut self, dir: RuntimeDir) -> Self {
        self.runtime_dir = Some(dir);
        self
    }

    /// How the node is made, if it is made here. By default as [`NodeOptions::default`], with a janitor
    /// that sweeps the registry, too.
    pub fn node_options(mut self, options: NodeOptions) -> Self {
        self.node_options = Some(options);
        self
    }

    /// Events kept for a host that is slow; then the oldest is dropped. Default 1024.
    pub fn event_capacity(mut self, events: usize) -> Self {
        self.event_capacity = events;
        self
    }

    /// Segments under this directory may be opened, too: beside those under a runtime dir.
    pub fn allow_path(mut self, directory: impl Into<PathBuf>) -> Self {
        self.allowed_paths.push(directory.into());
        self
    }

    /// Samples of this topic may go through shared memory although DDS-Security protects it:
    /// unprotected, to every process that may open the segment.
    pub fn allow_secured_topic(mut self, topic: &str) -> Self {
        self.secured_topics.insert(topic.to_owned());
        self
    }

    /// Writers and readers of this transport are matched with each other, as if the host had
    /// discovered them. Default no: most hosts deliver within a participant by themselves.
    pub fn match_own(mut self, yes: bool) -> Self {
        self.match_own = yes;
        self
    }

    /// RELIABLE writers with KEEP_LAST wait for slow readers like those with KEEP_ALL, unless their own
    /// configuration says otherwise. Default no: they replace what was not read.
    pub fn block_on_keep_last(mut self, yes: bool) -> Self {
        self.plan.block_on_keep_last = yes;
        self
    }

    /// Octets of slots that a writer gets whose QoS names no limit (KEEP_ALL without RESOURCE_LIMITS).
    /// Default 16 MiB, and no more than 256 samples.
    pub fn open_limit(mut self, octets: u64) -> Self {
        self.plan.open_octets = octets;
        self
    }

    /// Octets of slots that a writer may have at most; what needs more is not sized. Default 1 GiB.
    pub fn segment_limit(mut self, octets: u64) -> Self {
        self.plan.most_octets = octets;
        self
    }

    /// Who may open the segments, unless a writer's configuration says otherwise. Default: this user.
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.plan.sharing = sharing;
        self
    }

    /// Objects up to this size get their pages when they are mapped, not at the first write. Default
    /// 64 MiB.
    pub fn populate_up_to(mut self, octets: usize) -> Self {
        self.plan.populate_up_to = octets;
        self
    }

    /// Makes the transport, and its node if there is none.
    ///
    /// # Errors
    /// [`TransportError::Liveness`] if the node cannot be made: shared memory cannot be used here.
    pub fn build(mut self) -> Result<ShmTransport, TransportError> {
        let node = match self.node.take() {
            Some(node) => node,
            None => {
                let dir = match self.runtime_dir.take() {
                    Some(dir) => dir,
                    None => RuntimeDir::of_process()?,
                };
                Node::new(
                    &dir,
                    self.node_options.take().unwrap_or_else(|| default_node(self.plan.sharing)),
                )?
            }
        };
        let policy = self
            .allowed_paths
            .iter()
            .fold(LocatorPolicy::new(node.dir().path()), |policy, path| policy.allow(path));
        ShmTransport::start(self, node, policy)
    }
}

fn default_node(sharing: Sharing) -> NodeOptions {
    // Who may read the segments is also to be able to ring.
    let group_access = sharing != Sharing::Owner;
    let mut options = NodeOptions { group_access, ..NodeOptions::default() };
    if let Some(janitor) = &mut options.janitor {
        janitor.helpers.push(Arc::new(RegistrySweeper));
    }
    options
}
