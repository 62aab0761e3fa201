//! One instance of the plugin: of one domain, in one process.

use std::ffi::c_void;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dds_shm::discovery::{Registry, RegistryError, RegistrySweeper};
use dds_shm::liveness::{LivenessError, Node, NodeOptions, RuntimeDir};
use dds_shm::transport::{
    EmbeddedParticipant, NetworkReason, Reachability, ShmTransport, TransportError,
};
use dds_shm::wire::GuidPrefix;

use crate::cyclone::{Cyclone, ResolveError};
use crate::node_id::{domain_of, node_id};
use crate::options::Options;
use crate::receiver::Receiver;

/// How long the creation of an endpoint waits for peers that are there already.
const MEET_WITHIN: Duration = Duration::from_millis(250);
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// Why an instance is of no use, and leaves everything to the network.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Liveness(#[from] LivenessError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("cannot look at the runtime dir: {0}")]
    Directory(#[source] std::io::Error),
    #[error(
        "the boot id or the device of /dev/shm cannot be read: nobody can be told apart by them"
    )]
    Nowhere,
}

/// What an instance has where shared memory can be used.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) cyclone: Cyclone,
    pub(crate) participant: EmbeddedParticipant,
    pub(crate) receiver: Receiver,
    node_id: [u8; 16],
}

/// One instance.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) id: u32,
    pub(crate) options: Options,
    engine: Option<Engine>,
}

impl Instance {
    /// An instance that works if it can, and otherwise supports nothing.
    pub(crate) fn new(caller: *const c_void, id: u32, options: Options) -> Arc<Self> {
        let engine = match Engine::start(caller, id, &options) {
            Ok(engine) => {
                tracing::info!(
                    instance = options.instance_name,
                    library = engine.cyclone.library(),
                    "shared memory is used"
                );
                Some(engine)
            }
            Err(error) => {
                tracing::error!(
                    instance = options.instance_name,
                    "no shared memory, everything goes by network: {error}"
                );
                None
            }
        };
        Arc::new(Self { id, options, engine })
    }

    /// What it works with; `None`: it leaves everything to the network.
    pub(crate) fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }

    /// By what others know who shares memory with this process.
    pub(crate) fn node_id(&self) -> [u8; 16] {
        // Of an instance that supports nothing no endpoint announces it.
        self.engine.as_ref().map_or_else(rand::random, |engine| engine.node_id)
    }
}

impl Engine {
    /// A thread for readers; it starts with the first of them.
    pub(crate) fn new_receiver(&self) -> Receiver {
        Receiver::new(Arc::clone(self.participant.transport().node()))
    }

    fn start(caller: *const c_void, id: u32, options: &Options) -> Result<Self, Unusable> {
        let cyclone = Cyclone::of(caller)?;
        let dir = match &options.runtime_dir {
            Some(path) => RuntimeDir::create(path)?,
            None => RuntimeDir::of_process()?,
        };
        let own = node_id(&dir).map_err(Unusable::Directory)?.ok_or(Unusable::Nowhere)?;
        let node_id = options.locator.unwrap_or(own);
        let mut node_options = NodeOptions::default();
        if let Some(janitor) = &mut node_options.janitor {
            janitor.helpers.push(Arc::new(RegistrySweeper));
        }
        // A node of its own: instances of one process find each other like those of two.
        let node = Node::new(&dir, node_options)?;
        let registry = Registry::open(&node, &domain_of(id, node_id))?;
        let prefix = GuidPrefix(rand::random());
        let transport = ShmTransport::builder(0, prefix).node(Arc::clone(&node)).build()?;
        let participant = EmbeddedParticipant::over(registry, transport)?;
        Ok(Self { cyclone, participant, receiver: Receiver::new(node), node_id })
    }
}

/// Waits until peers that are there already can be reached: what is written to a reader that Cyclone has
/// matched is then never too early for it. Who is not there in time, comes later.
pub(crate) fn meet<T>(
    topic: &str,
    peers: impl IntoIterator<Item = T>,
    reach: impl Fn(&T) -> Reachability,
) {
    let until = Instant::now() + MEET_WITHIN;
    for peer in peers {
        while is_on_its_way(&reach(&peer)) && Instant::now() < until {
            std::thread::sleep(LOOK_EVERY);
        }
        // Whoever does not match is no concern of anybody.
        if let Reachability::Network(reason) = reach(&peer)
            && !matches!(reason, NetworkReason::Unknown | NetworkReason::Mismatch(_))
        {
            tracing::warn!("a peer of topic {topic} cannot be reached yet: {reason}");
        }
    }
}

/// Whether this is only not so yet.
pub(crate) fn is_on_its_way(way: &Reachability) -> bool {
    matches!(
        way,
        Reachability::Network(
            NetworkReason::Unknown | NetworkReason::NotAttached | NetworkReason::Joining
        )
    )
}
