//! What can go wrong with objects, mappings and locks, said to the person who must fix it.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// A failure of the shared-memory layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShmError {
    /// The name cannot be the name of a POSIX shared-memory object.
    #[error("{name:?} cannot name a shared-memory object: {why}")]
    InvalidName {
        /// The name that was given.
        name: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// Something with this name exists already.
    #[error(
        "{path} exists already; whoever made it may be alive: choose another name, or let `dds-shm gc` decide"
    )]
    Exists {
        /// Where it is.
        path: PathBuf,
    },
    /// Nothing with this name exists (any more).
    #[error(
        "{path} does not exist; its owner has removed it, or it is on another host or in another container"
    )]
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The system forbids the access.
    #[error(
        "no permission to {action} {path} (we are uid {uid}); \
         run as its owner, or have the owner create it with group access"
    )]
    Permission {
        /// Where it is.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The effective user id of this process.
        uid: u32,
    },
    /// The file system is mounted read-only.
    #[error("cannot {action} {path}: its file system is mounted read-only")]
    ReadOnly {
        /// Where it is.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
    },
    /// The name leads to something other than a regular file (a symbolic link, a directory, a pipe).
    #[error("{path} is not a regular file and is not followed; remove it")]
    NotRegular {
        /// Where it is.
        path: PathBuf,
    },
    /// The file system has too little memory for the whole object.
    #[error(
        "{path} needs {needed} bytes and its file system has {free} free; \
         enlarge it (`mount -o remount,size=... /dev/shm`, `docker run --shm-size=...`), \
         use fewer or smaller slots, or remove what the dead left with `dds-shm gc --yes`"
    )]
    NoSpace {
        /// The object that could not be made.
        path: PathBuf,
        /// How many bytes it needs.
        needed: u64,
        /// How many bytes the file system has left.
        free: u64,
    },
    /// The length is not one an object or a mapping can have on this machine.
    #[error("{len} bytes is not a possible size for {path}")]
    BadLength {
        /// The object.
        path: PathBuf,
        /// The length asked for or found.
        len: u64,
    },
    /// A child process after `fork` used what belongs to its parent.
    #[error(
        "this belongs to the process that forked; create a node in the child to use the transport there"
    )]
    Forked,
    /// Any other failure of a system call.
    #[error("cannot {action} {path}: {source}")]
    Os {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ShmError {
    /// Sorts a failed system call into the variants a caller can act on.
    pub(crate) fn from_io(action: &'static str, path: &Path, source: io::Error) -> ShmError {
        let path = path.to_path_buf();
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EEXIST) => ShmError::Exists { path },
            Some(Errno::ENOENT) => ShmError::NotFound { path },
            Some(Errno::EACCES | Errno::EPERM) => {
                ShmError::Permission { path, action, uid: nix::unistd::geteuid().as_raw() }
            }
            Some(Errno::EROFS) => ShmError::ReadOnly { path, action },
            Some(Errno::ELOOP | Errno::ENXIO | Errno::EISDIR) => ShmError::NotRegular { path },
            _ => ShmError::Os { action, path, source },
        }
    }

    /// The same for a call made through `nix`.
    pub(crate) fn from_errno(action: &'static str, path: &Path, errno: Errno) -> ShmError {
        ShmError::from_io(action, path, io::Error::from(errno))
    }
}
