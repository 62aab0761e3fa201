//! The directory in which the nodes of one user keep their lock files, flinks and registry.
//!
//! It belongs to that user alone: whoever owns or may write a directory can remove every file in it.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::geteuid;

use super::{LivenessError, NodeId};
use crate::shm::{FileId, SHM_DIR, ShmError};

/// Names the runtime dir of a process.
pub const DIR_VARIABLE: &str = "DDS_SHM_DIR";

/// The longest path a bell has room for.
pub(crate) const MAX_PATH: usize = 3072;

const SUBDIRS: [&str; 3] = ["nodes", "segments", "registry"];

/// A runtime dir whose owner and permissions were checked.
///
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct RuntimeDir(Arc<Checked>);

#[derive(Debug)]
struct Checked {
    path: PathBuf,
    id: FileId,
    uid: u32,
}

impl RuntimeDir {
    /// The runtime dir of this process: `$DDS_SHM_DIR`, or else `/dev/shm/dds-shm-<uid>`. Made, with
    /// mode 0755, if it is not there.
    ///
    /// # Errors
    ///
    /// As for [`create`](RuntimeDir::create).
    pub fn of_process() -> Result<RuntimeDir, LivenessError> {
        match std::env::var_os(DIR_VARIABLE).filter(|path| !path.is_empty()) {
            Some(path) => RuntimeDir::create(Path::new(&path)),
            None => RuntimeDir::create(&default_path(geteuid().as_raw())),
        }
    }

    /// Opens, or makes, a runtime dir of the calling user.
    ///
    /// # Errors
    ///
    /// [`LivenessError::NotADirectory`], [`LivenessError::WrongOwner`],
    /// [`LivenessError::WritableByOthers`], [`LivenessError::NotWritable`],
    /// [`LivenessError::PathTooLong`], or what else the system says.
    pub fn create(path: &Path) -> Result<RuntimeDir, LivenessError> {
        // Absolute, because it is recorded for others; not resolved further, because a link in the
        // last component is to be seen.
        let path =
            std::path::absolute(path).map_err(|error| ShmError::from_io("resolve", path, error))?;
        let uid = geteuid().as_raw();
        make_dir(&path, uid)?;
        let dir = RuntimeDir::check(&path, uid)?;
        for name in SUBDIRS {
            let path = path.join(name);
            make_dir(&path, uid)?;
            check_dir(&path, uid)?;
        }
        Ok(dir)
    }

    /// The default runtime dir of a user, which must exist and be owned by that user. For looking
    /// things up; nothing is made.
    ///
    /// # Errors
    ///
    /// [`ShmError::NotFound`] if the user has none, [`LivenessError::NotADirectory`],
    /// [`LivenessError::WrongOwner`], [`LivenessError::WritableByOthers`], or what else the system
    /// says.
    pub fn of_uid(uid: u32) -> Result<RuntimeDir, LivenessError> {
        RuntimeDir::check(&default_path(uid), uid)
    }

    /// Where to look for a node of this user: here, and in the user's default runtime dir, if there
    /// is one that is in order.
    #[must_use]
    pub fn with_default_of(&self, uid: u32) -> Vec<RuntimeDir> {
        let mut dirs = vec![self.clone()];
        if let Ok(dir) = RuntimeDir::of_uid(uid)
            && dir.id() != self.id()
        {
            dirs.push(dir);
        }
        dirs
    }

    fn check(path: &Path, uid: u32) -> Result<RuntimeDir, LivenessError> {
        if path.as_os_str().len() > MAX_PATH {
            return Err(LivenessError::PathTooLong { path: path.to_path_buf(), max: MAX_PATH });
        }
        let meta = check_dir(path, uid)?;
        let id = file_id(&meta);
        Ok(RuntimeDir(Arc::new(Checked { path: path.to_path_buf(), id, uid })))
    }

    /// Its path, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Which directory it is. (Where the file system uses inode numbers again, which tmpfs does not,
    /// one that was removed and made again can look the same; whoever compares these loses nothing
    /// by taking it for its successor.)
    #[must_use]
    pub fn id(&self) -> FileId {
        self.0.id
    }

    /// Who owns it.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.0.uid
    }

    /// Whether the path still leads to this directory.
    #[must_use]
    pub fn is_linked(&self) -> bool {
        leads_to(self.path(), self.id())
    }

    /// Where the lock files of nodes are.
    #[must_use]
    pub fn nodes(&self) -> PathBuf {
        self.path().join("nodes")
    }

    /// Where flinks are.
    #[must_use]
    pub fn segments(&self) -> PathBuf {
        self.path().join("segments")
    }

    /// Where endpoints enter themselves for hosts without discovery of their own.
    #[must_use]
    pub fn registry(&self) -> PathBuf {
        self.path().join("registry")
    }

    /// The lock file of a node.
    #[must_use]
    pub fn node_file(&self, node: NodeId) -> PathBuf {
        self.nodes().join(node.to_string())
    }
}

/// Whether a path leads to this directory, now.
pub(crate) fn leads_to(path: &Path, id: FileId) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir() && file_id(&meta) == id)
}

fn default_path(uid: u32) -> PathBuf {
    Path::new(SHM_DIR).join(format!("dds-shm-{uid}"))
}

fn file_id(meta: &Metadata) -> FileId {
    FileId { device: meta.dev(), inode: meta.ino() }
}

/// Makes a directory with mode 0755, whatever the umask says; one that is there stays as it is.
fn make_dir(path: &Path, uid: u32) -> Result<(), LivenessError> {
    let not_writable = |source: io::Error| {
        let path = path.parent().unwrap_or(path).to_path_buf();
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EACCES | Errno::EPERM | Errno::EROFS) => {
                LivenessError::NotWritable { path, uid, source }
            }
            _ => ShmError::from_io("create a directory in", &path, source).into(),
        }
    };
    let make = || {
        crash_point!(("create", path));
        DirBuilder::new().mode(0o755).create(path)
    };
    let made = match make() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().unwrap_or(path);
            DirBuilder::new().mode(0o755).recursive(true).create(parent).map_err(not_writable)?;
            make()
        }
        made => made,
    };
    match made {
        Ok(()) => {
            let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
            fs::OpenOptions::new()
                .read(true)
                .custom_flags(flags.bits())
                .open(path)
                .and_then(|dir| {
                    fchmod(dir, Mode::from_bits_truncate(0o755)).map_err(io::Error::from)
                })
                .map_err(|error| ShmError::from_io("set the permissions of", path, error).into())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(not_writable(error)),
    }
}

fn check_dir(path: &Path, uid: u32) -> Result<Metadata, LivenessError> {
    let meta =
        fs::symlink_metadata(path).map_err(|error| ShmError::from_io("stat", path, error))?;
    let path = path.to_path_buf();
    if !meta.is_dir() {
        Err(LivenessError::NotADirectory { path })
    } else if meta.uid() != uid {
        Err(LivenessError::WrongOwner { path, expected: uid, found: meta.uid() })
    } else if meta.mode() & 0o022 != 0 {
        Err(LivenessError::WritableByOthers { path, mode: meta.mode() & 0o7777 })
    } else {
        Ok(meta)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_runtime_dir_is_made_with_its_rooms() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b");
        let dir = RuntimeDir::create(&path).unwrap();
        for made in [dir.path().to_path_buf(), dir.nodes(), dir.segments(), dir.registry()] {
            assert_eq!(mode(&made), 0o755, "{made:?}");
        }
        assert_eq!(RuntimeDir::create(&path).unwrap().id(), dir.id());
        assert!(dir.is_linked());
        fs::remove_dir_all(&path).unwrap();
        assert!(!dir.is_linked());
    }

    #[test]
    fn a_private_dir_stays_private() {
        let temp = tempfile::tempdir().unwrap();
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o700)).unwrap();
        RuntimeDir::create(temp.path()).unwrap();
        assert_eq!(mode(temp.path()), 0o700);
    }

    #[test]
    fn a_symbolic_link_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let (real, link) = (temp.path().join("real"), temp.path().join("link"));
        fs::create_dir(&real).unwrap();
        symlink(&real, &link).unwrap();
        let error = RuntimeDir::create(&link).unwrap_err();
        assert!(matches!(error, LivenessError::NotADirectory { .. }), "{error}");
        // Also one level down.
        symlink(&link, real.join("nodes")).unwrap();
        let error = RuntimeDir::create(&real).unwrap_err();
        assert!(matches!(error, LivenessError::NotADirectory { .. }), "{error}");
    }

    #[test]
    fn a_dir_that_others_may_write_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o775)).unwrap();
        let error = RuntimeDir::create(temp.path()).unwrap_err();
        assert!(matches!(error, LivenessError::WritableByOthers { mode: 0o775, .. }), "{error}");
    }

    #[test]
    fn a_dir_of_another_user_is_refused() {
        if !geteuid().is_root() {
            // Nobody else can give files away; `/` is root's then.
            let error = RuntimeDir::check(Path::new("/"), geteuid().as_raw()).unwrap_err();
            assert!(matches!(error, LivenessError::WrongOwner { found: 0, .. }), "{error}");
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        chown(temp.path(), Some(12345), None).unwrap();
        let error = RuntimeDir::create(temp.path()).unwrap_err();
        assert!(
            matches!(error, LivenessError::WrongOwner { expected: 0, found: 12345, .. }),
            "{error}"
        );
    }

    #[test]
    fn a_user_without_a_dir_has_none() {
        let error = RuntimeDir::of_uid(4_000_000_000).unwrap_err();
        assert!(matches!(error, LivenessError::Shm(ShmError::NotFound { .. })), "{error}");
        let temp = tempfile::tempdir().unwrap();
        let dir = RuntimeDir::create(temp.path()).unwrap();
        assert_eq!(dir.with_default_of(4_000_000_000).len(), 1);
    }
}
