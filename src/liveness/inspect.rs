//! A look at the nodes of this host, for people: who is there, and who is dead.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::bell;
use super::names::{OBJECT_PREFIX, ObjectKind};
use super::{LivenessError, NodeId, PeerNode, RuntimeDir};
use crate::shm::{ShmError, object};

/// Whether a node is alive, as far as one can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// Its process holds its lock.
    Alive,
    /// Nobody does: its process is dead.
    Dead,
    /// There is neither lock file nor bell: it left, or was swept away.
    NoTrace,
    /// There is something that we may not look into.
    Unclear,
}

/// What a node looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Its id.
    pub id: NodeId,
    /// Whether it is alive.
    pub state: NodeState,
    /// Its process, in its own pid namespace; `None` if its bell cannot be read.
    pub pid: Option<u32>,
    /// User that its bell belongs to.
    pub uid: Option<u32>,
    /// Its runtime dir.
    pub dir: Option<PathBuf>,
}

/// Looks at one node.
#[must_use]
pub fn inspect(dir: &RuntimeDir, id: NodeId) -> NodeView {
    let bell = bell::inspect(id).ok();
    let uid = bell.as_ref().map(|(_, _, info)| info.uid);
    let dirs = dir.with_default_of(uid.unwrap_or(dir.uid()));
    let state = match PeerNode::open(&dirs, id) {
        Ok(peer) if peer.is_alive() => NodeState::Alive,
        Ok(_) => NodeState::Dead,
        Err(LivenessError::NoTrace { .. }) => NodeState::NoTrace,
        Err(_) => NodeState::Unclear,
    };
    NodeView {
        id,
        state,
        pid: bell.as_ref().map(|(_, identity, _)| identity.pid),
        uid,
        dir: bell.map(|(_, identity, _)| identity.dir_path),
    }
}

/// The nodes that have a lock file in a runtime dir, or a bell.
///
/// # Errors
/// What the system says when `/dev/shm` or the runtime dir cannot be listed.
pub fn list(dir: &RuntimeDir) -> Result<Vec<NodeView>, LivenessError> {
    let path = dir.nodes();
    let failed = |error| ShmError::from_io("list", &path, error);
    let mut ids = BTreeSet::new();
    for entry in fs::read_dir(&path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        // What is no node id is something of the janitor's, or not ours.
        ids.extend(name.to_str().and_then(|name| name.parse::<NodeId>().ok()));
    }
    for name in object::list(OBJECT_PREFIX)? {
        if let Some(ObjectKind::Bell(id)) = ObjectKind::of(&name) {
            ids.insert(id);
        }
    }
    Ok(ids.into_iter().map(|id| inspect(dir, id)).collect())
}
