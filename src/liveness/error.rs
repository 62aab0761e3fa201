//! What can go wrong with nodes, their files and their bells.

use std::io;
use std::path::PathBuf;

use super::NodeId;
use crate::shm::ShmError;

/// A failure of the liveness layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LivenessError {
    /// A failure of the system under it.
    #[error(transparent)]
    Shm(#[from] ShmError),
    /// The runtime dir's path leads to something that is not a directory, or to a symbolic link.
    #[error(
        "{path} is not a directory (symbolic links are not followed); \
         remove it, or set DDS_SHM_DIR to a directory of your own"
    )]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The runtime dir belongs to another user, who could remove what is in it.
    #[error(
        "{path} belongs to uid {found}, not to uid {expected}; \
         have it removed, or set DDS_SHM_DIR to a directory of your own"
    )]
    WrongOwner {
        /// The directory or file.
        path: PathBuf,
        /// Who should own it.
        expected: u32,
        /// Who does.
        found: u32,
    },
    /// The runtime dir can be written by others, who could remove what is in it.
    #[error("{path} may be written by others (mode {mode:04o}); run `chmod go-w {path}`")]
    WritableByOthers {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The runtime dir cannot be written by us.
    #[error(
        "cannot create files in {path}: {source}; make it writable for uid {uid}, \
         or set DDS_SHM_DIR to a directory that is"
    )]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// Who we are.
        uid: u32,
        /// What the system said.
        source: io::Error,
    },
    /// The runtime dir's path is too long to be recorded in bells.
    #[error("{path} is longer than {max} bytes; set DDS_SHM_DIR to a shorter path")]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// The longest there may be.
        max: usize,
    },
    /// Neither a lock file nor a bell of the node exists: it has left, or was never there. Nobody who
    /// is alive and has not lost both to an administrator's `rm` looks like this.
    #[error("node {node} is not there: no lock file in {searched:?}, and no bell")]
    NoTrace {
        /// The node.
        node: NodeId,
        /// The runtime dirs that were searched.
        searched: Vec<PathBuf>,
    },
    /// The node's bell exists, but nothing by which its death could be proved is open to us.
    #[error(
        "node {node} may be alive but that cannot be checked: no lock file in {searched:?}, \
         and its bell may not be read; have it use the default runtime dir of its user"
    )]
    Unprovable {
        /// The node.
        node: NodeId,
        /// The runtime dirs that were searched.
        searched: Vec<PathBuf>,
    },
    /// The bell of a node is not what a bell should be.
    #[error("the bell of node {node} cannot be used: {why}")]
    BadBell {
        /// The node.
        node: NodeId,
        /// What is wrong.
        why: &'static str,
    },
    /// A flink does not hold the name of a segment.
    #[error("{path} does not hold the name of a segment; remove it if nothing else needs it")]
    BadFlink {
        /// The file.
        path: PathBuf,
    },
    /// A flink names another segment than it should: somebody was faster.
    #[error("{path} was changed by another process; read it again")]
    FlinkChanged {
        /// The file.
        path: PathBuf,
    },
    /// A child process after `fork` used a node of its parent.
    #[error("this node belongs to the process that forked; create a node in the child")]
    Forked,
    /// No thread could be started.
    #[error("cannot start the service thread: {source}")]
    Thread {
        /// What the system said.
        source: io::Error,
    },
}
