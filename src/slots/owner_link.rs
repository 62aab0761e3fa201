//! What a reader knows of its writer's node: whether it lives, and its bell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::liveness::{LivenessError, Node, NodeId, PeerNode, RemoteBell};

/// The owner of a segment as seen by who is attached to it.
#[derive(Debug)]
pub(crate) struct OwnerLink {
    node: Arc<PeerNode>,
    bell: Option<Arc<RemoteBell>>,
    uid: u32,
    dead: AtomicBool,
}

impl OwnerLink {
    /// The node that says it owns a segment whose data object belongs to `uid`. `None`: there is
    /// proof that it is no more.
    ///
    /// # Errors
    /// [`LivenessError`] if it cannot be told.
    pub(crate) fn open(own: &Node, id: NodeId, uid: u32) -> Result<Option<Self>, LivenessError> {
        let node = match own.peer(id, uid) {
            Ok(node) => node,
            Err(LivenessError::NoTrace { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let bell = own.peer_bell(id, uid).ok();
        Ok(Some(Self { node, bell, uid, dead: AtomicBool::new(false) }))
    }

    /// The node.
    pub(crate) fn node_id(&self) -> NodeId {
        self.node.id()
    }

    /// Who it runs as.
    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    /// Looks whether the owner lives (one system call). Once dead, dead for good.
    pub(crate) fn is_alive(&self) -> bool {
        let alive = !self.known_dead() && self.node.is_alive();
        if !alive {
            self.dead.store(true, Ordering::Relaxed);
        }
        alive
    }

    /// Whether the owner was found dead before.
    pub(crate) fn known_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Asks the owner's service thread to look at the reader table.
    pub(crate) fn ring_service(&self) {
        if let Some(bell) = &self.bell {
            bell.ring_service();
        }
    }
}
