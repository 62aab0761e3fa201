//! What the registry has to know of nodes: who is dead, and how to wake the living.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::liveness::{LivenessError, Node, NodeId, PeerNode};

/// What the registry has to know of nodes.
pub(super) trait Nodes: Send + Sync {
    fn id(&self) -> NodeId;
    /// Proved dead; a doubt counts as alive.
    fn is_dead(&self, node: NodeId) -> bool;
    /// Wakes the node's service thread.
    fn ring(&self, node: NodeId);
}

/// Nodes as they are.
pub(super) struct LiveNodes {
    node: Arc<Node>,
    /// Kept open, so that a runtime dir that is deleted does not make the living look dead.
    peers: Mutex<BTreeMap<NodeId, Arc<PeerNode>>>,
}

impl LiveNodes {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self { node: Arc::clone(node), peers: Mutex::default() }
    }
}

impl Nodes for LiveNodes {
    fn id(&self) -> NodeId {
        self.node.id()
    }

    fn is_dead(&self, id: NodeId) -> bool {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = match peers.get(&id) {
            Some(peer) => Arc::clone(peer),
            None => match self.node.peer(id, self.node.dir().uid()) {
                Ok(peer) => Arc::clone(peers.entry(id).or_insert(peer)),
                Err(LivenessError::NoTrace { .. }) => return true,
                Err(error) => {
                    tracing::debug!(%error, node = %id, "cannot tell whether the node is alive");
                    return false;
                }
            },
        };
        let is_dead = !peer.is_alive();
        if is_dead {
            peers.remove(&id);
        }
        is_dead
    }

    fn ring(&self, id: NodeId) {
        match self.node.peer_bell(id, self.node.dir().uid()) {
            Ok(bell) => {
                bell.ring_service();
            }
            // It looks by itself once a second.
            Err(error) => tracing::debug!(%error, node = %id, "cannot ring the node"),
        }
    }
}
