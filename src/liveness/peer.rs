//! Another node, and whether it is alive.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{LivenessError, NodeId, RemoteBell, RuntimeDir};
use crate::shm::{self, Access, LockState, SharedObject, ShmError};

/// A node whose death can be proved.
///
/// Keeps a descriptor of the node's lock file (or of its bell), so that it can be asked for as long
/// as this lives, whatever happens to the names.
#[derive(Debug)]
pub struct PeerNode {
    id: NodeId,
    file: File,
    path: PathBuf,
}

impl PeerNode {
    /// Finds a node: its lock file in one of `dirs`, or else its bell.
    ///
    /// A node that is gone can still be found; ask [`is_alive`](PeerNode::is_alive).
    ///
    /// The bell is the way out when the runtime dir was deleted under a living node, or is one we do
    /// not know; its lock is held by the same process for the same time. So the absence of both means
    /// that the node has left, or was swept away after its death, or never was: a living node
    /// has both from before anybody can know its id.
    ///
    /// # Errors
    ///
    /// [`LivenessError::NoTrace`]: to be treated as dead. [`LivenessError::Unprovable`] if there is a
    /// bell that we may not open, and no lock file: not to be treated as dead, nor to be relied on.
    /// Or what else the system says.
    pub fn open(dirs: &[RuntimeDir], id: NodeId) -> Result<PeerNode, LivenessError> {
        for dir in dirs {
            let path = dir.node_file(id);
            match open_owned(&path, dir.uid()) {
                Ok(file) => return Ok(PeerNode { id, file, path }),
                Err(LivenessError::Shm(ShmError::NotFound { .. })) => {}
                // Not this user's doing, or not open to us: the next place may have the real one.
                Err(error) => tracing::debug!(%error, node = %id, "lock file passed over"),
            }
        }
        let searched = || dirs.iter().map(|dir| dir.path().to_path_buf()).collect();
        let name = id.bell_name();
        match SharedObject::open(&name, Access::ReadOnly) {
            Ok(bell) => Ok(PeerNode { id, path: name.path(), file: File::from(bell.into_fd()) }),
            Err(ShmError::NotFound { .. }) => {
                Err(LivenessError::NoTrace { node: id, searched: searched() })
            }
            Err(ShmError::Permission { .. }) => {
                Err(LivenessError::Unprovable { node: id, searched: searched() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Which node it is.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Whether the node's process is alive: one system call, no lock taken.
    ///
    /// `false` is a proof, and final. A failure to find out counts as alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        match LockState::of(&self.file, &self.path) {
            Ok(state) => state == LockState::Held,
            Err(error) => {
                tracing::warn!(%error, node = %self.id, "cannot tell whether the node is alive");
                true
            }
        }
    }
}

/// Opens a lock file for probing; it must belong to the owner of its directory.
fn open_owned(path: &Path, uid: u32) -> Result<File, LivenessError> {
    let file = shm::open_regular(path, false)?;
    let meta = file.metadata().map_err(|error| ShmError::from_io("stat", path, error))?;
    if meta.uid() == uid {
        Ok(file)
    } else {
        let path = path.to_path_buf();
        Err(LivenessError::WrongOwner { path, expected: uid, found: meta.uid() })
    }
}

/// The peers of a node that are in use: one descriptor and one mapping for each, however many segments
/// they share with us.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    nodes: Cache<PeerNode>,
    bells: Cache<RemoteBell>,
}

impl Peers {
    pub(crate) fn node(
        &self,
        own: &RuntimeDir,
        id: NodeId,
        uid: u32,
    ) -> Result<Arc<PeerNode>, LivenessError> {
        self.nodes.get(id, uid, || PeerNode::open(&own.with_default_of(uid), id))
    }

    pub(crate) fn bell(&self, id: NodeId, uid: u32) -> Result<Arc<RemoteBell>, LivenessError> {
        self.bells.get(id, uid, || RemoteBell::open(id, uid))
    }
}

#[derive(Debug)]
struct Cache<T>(Mutex<HashMap<(NodeId, u32), Weak<T>>>);

impl<T> Default for Cache<T> {
    fn default() -> Cache<T> {
        Cache(Mutex::new(HashMap::new()))
    }
}

impl<T> Cache<T> {
    fn get(
        &self,
        id: NodeId,
        uid: u32,
        open: impl FnOnce() -> Result<T, LivenessError>,
    ) -> Result<Arc<T>, LivenessError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.get(&(id, uid)).and_then(Weak::upgrade) {
            return Ok(value);
        }
        let value = Arc::new(open()?);
        known.retain(|_, value| value.strong_count() > 0);
        known.insert((id, uid), Arc::downgrade(&value));
        Ok(value)
    }
}
