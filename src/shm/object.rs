//! POSIX shared-memory objects: created whole, opened with suspicion, removed by name and inode.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, posix_fallocate};
use nix::libc::off_t;
use nix::sys::mman::{shm_open, shm_unlink};
use nix::sys::stat::{Mode, fchmod};
use nix::sys::statvfs::fstatvfs;

use super::ShmError;

/// Where Linux keeps POSIX shared-memory objects.
pub const SHM_DIR: &str = "/dev/shm";

/// The longest name the file system takes.
const NAME_MAX: usize = 255;

/// How much is reserved with one call. A signal makes the kernel give the whole call back, so that
/// a large object under a profiler's timer would never be finished in one piece.
const RESERVE_STEP: u64 = 64 << 20;

/// The name of a POSIX shared-memory object: one to 255 of the characters `A-Z a-z 0-9 . _ -`, and
/// not starting with a dot. Without the leading slash.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName(String);

impl ObjectName {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`ShmError::InvalidName`] with the rule that is broken.
    pub fn new(name: impl Into<String>) -> Result<ObjectName, ShmError> {
        let name = name.into();
        let why = if name.is_empty() {
            "it is empty"
        } else if name.len() > NAME_MAX {
            "it is longer than 255 bytes"
        } else if name.starts_with('.') {
            "it starts with a dot"
        } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
            "only letters, digits, dot, underscore and hyphen are allowed"
        } else {
            return Ok(ObjectName(name));
        };
        Err(ShmError::InvalidName { name, why })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The object's path in the file system.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(SHM_DIR).join(&self.0)
    }

    /// The name as `shm_open` wants it.
    fn with_slash(&self) -> String {
        format!("/{}", self.0)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What an object is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading: stores through the mapping fault.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// Which file it is: a name that is used again leads to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The device number of the file system.
    pub device: u64,
    /// The inode number.
    pub inode: u64,
}

/// What the file system says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its length in bytes, now.
    pub len: u64,
    /// Who owns it.
    pub uid: u32,
    /// Its permission bits (07777).
    pub mode: u32,
    /// Which file it is.
    pub id: FileId,
}

impl ObjectInfo {
    pub(crate) fn of(meta: &Metadata) -> ObjectInfo {
        ObjectInfo {
            len: meta.len(),
            uid: meta.uid(),
            mode: meta.mode() & 0o7777,
            id: FileId { device: meta.dev(), inode: meta.ino() },
        }
    }
}

/// An open POSIX shared-memory object.
///
/// Dropping it closes the descriptor. The name stays until somebody unlinks it, and the memory
/// until the last mapping is gone.
#[derive(Debug)]
pub struct SharedObject {
    name: ObjectName,
    file: File,
    access: Access,
}

impl SharedObject {
    /// Creates an object of `len` zero bytes with exactly the permissions `mode`, whatever the
    /// umask says, and with all of its memory reserved: no later store can run out of it.
    ///
    /// # Errors
    ///
    /// [`ShmError::Exists`], [`ShmError::NoSpace`], [`ShmError::BadLength`] (zero, or beyond what
    /// the system can count), [`ShmError::Permission`], or what else the system says. Nothing is
    /// left behind.
    pub fn create(name: &ObjectName, len: u64, mode: u32) -> Result<SharedObject, ShmError> {
        let path = name.path();
        if len == 0 || off_t::try_from(len).is_err() || usize::try_from(len).is_err() {
            return Err(ShmError::BadLength { path, len });
        }
        let mode = Mode::from_bits_truncate(mode);
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OPEN_FLAGS;
        crash_point!(("create", name));
        // Never wider than `mode`, not even for a moment: the umask can only take bits away.
        let fd = shm_open(name.with_slash().as_str(), flags, mode)
            .map_err(|errno| ShmError::from_errno("create", &path, errno))?;
        let object =
            SharedObject { name: name.clone(), file: File::from(fd), access: Access::ReadWrite };
        crash_point!(("set the permissions of", name));
        let finished = fchmod(&object.file, mode)
            .map_err(|errno| ShmError::from_errno("set the permissions of", &path, errno))
            .and_then(|()| reserve(&object.file, &path, len));
        match finished {
            Ok(()) => Ok(object),
            Err(error) => {
                // Ours alone since O_EXCL; an error here would hide the one that matters.
                let _ = object.unlink();
                Err(error)
            }
        }
    }

    /// Opens an object without following symbolic links.
    ///
    /// Nothing is said about who made it or what is in it: check [`info`](Self::info).
    ///
    /// # Errors
    ///
    /// [`ShmError::NotFound`], [`ShmError::Permission`], [`ShmError::NotRegular`], or what else the
    /// system says.
    pub fn open(name: &ObjectName, access: Access) -> Result<SharedObject, ShmError> {
        let path = name.path();
        let (flags, action) = match access {
            Access::ReadOnly => (OFlag::O_RDONLY, "read"),
            Access::ReadWrite => (OFlag::O_RDWR, "write"),
        };
        let fd = shm_open(name.with_slash().as_str(), flags | OPEN_FLAGS, Mode::empty())
            .map_err(|errno| ShmError::from_errno(action, &path, errno))?;
        let object = SharedObject { name: name.clone(), file: File::from(fd), access };
        let meta = object.metadata()?;
        if !meta.is_file() {
            return Err(ShmError::NotRegular { path });
        }
        Ok(object)
    }

    /// The object's name.
    #[must_use]
    pub fn name(&self) -> &ObjectName {
        &self.name
    }

    /// What it was opened for.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// Length, owner, permissions and identity, as they are now.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn info(&self) -> Result<ObjectInfo, ShmError> {
        Ok(ObjectInfo::of(&self.metadata()?))
    }

    /// Whether any name leads to it still.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn is_linked(&self) -> Result<bool, ShmError> {
        Ok(self.metadata()?.nlink() > 0)
    }

    fn metadata(&self) -> Result<Metadata, ShmError> {
        self.file.metadata().map_err(|error| ShmError::from_io("stat", &self.name.path(), error))
    }

    /// Removes the name, if it still leads to this object; says whether it did.
    ///
    /// # Errors
    ///
    /// What the system says, other than that the name is gone already.
    pub fn unlink_if_same(&self) -> Result<bool, ShmError> {
        let id = self.info()?.id;
        unlink_if(&self.name, id)
    }

    /// Removes the name, whatever it leads to.
    ///
    /// # Errors
    ///
    /// What the system says, other than that the name is gone already.
    pub fn unlink(&self) -> Result<(), ShmError> {
        unlink(&self.name)
    }

    /// Gives the object a second name, which must be free.
    ///
    /// Adoption uses it: the new owner's names are there before the old ones go.
    ///
    /// # Errors
    ///
    /// [`ShmError::Exists`] if the new name is taken, [`ShmError::NotFound`] if the old one no
    /// longer leads to this object, or what else the system says.
    pub fn link_as(&self, new: &ObjectName) -> Result<(), ShmError> {
        let (from, to) = (self.name.path(), new.path());
        crash_point!(("link", new));
        fs::hard_link(&from, &to).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ShmError::from_io("link", &from, error),
            _ => ShmError::from_io("link", &to, error),
        })?;
        let id = self.info()?.id;
        if stat(new)?.is_some_and(|info| info.id == id) {
            return Ok(());
        }
        // Somebody put another object under the old name between our opening and linking it.
        let _ = unlink(new);
        Err(ShmError::NotFound { path: from })
    }

    /// The descriptor, to map it or to lock it.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the descriptor away.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.file.into()
    }
}

impl AsFd for SharedObject {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Added to every open: O_NONBLOCK so that a pipe somebody put there cannot hang us.
const OPEN_FLAGS: OFlag =
    OFlag::O_CLOEXEC.union(OFlag::O_NOFOLLOW).union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY);

/// Reserves `len` bytes of the file's memory.
pub(crate) fn reserve(file: &File, path: &Path, len: u64) -> Result<(), ShmError> {
    let no_space = |free| ShmError::NoSpace { path: path.to_path_buf(), needed: len, free };
    // Looked at first, so that a request that is far too large does not push everything else out
    // of memory on its way to the error.
    match free_space(file) {
        Some(free) if free < len => return Err(no_space(free)),
        _ => {}
    }
    let mut done = 0;
    while done < len {
        crash_point!(("reserve memory for", path));
        let step = RESERVE_STEP.min(len - done);
        // Both fit: `len` was checked by the caller, and these are not larger.
        let (offset, step_len) = (done as off_t, step as off_t);
        match posix_fallocate(file, offset, step_len) {
            Ok(()) => done += step,
            Err(Errno::EINTR) => {}
            // What we reserved so far is given back by the unlink, so it counts as free.
            Err(Errno::ENOSPC | Errno::ENOMEM | Errno::EDQUOT) => {
                return Err(no_space(free_space(file).unwrap_or(0) + done));
            }
            Err(errno) => return Err(ShmError::from_errno("reserve memory for", path, errno)),
        }
    }
    Ok(())
}

/// How many bytes the file system of `file` has left; `None` if it has no limit or does not say.
fn free_space(file: &File) -> Option<u64> {
    let fs = fstatvfs(file).ok().filter(|fs| fs.blocks() > 0)?;
    #[expect(clippy::useless_conversion, reason = "the types differ between platforms")]
    let (blocks, size) = (u64::from(fs.blocks_available()), u64::from(fs.fragment_size()));
    Some(blocks.saturating_mul(size))
}

/// Removes a name; that it is gone already is no error.
///
/// # Errors
///
/// What the system says.
pub fn unlink(name: &ObjectName) -> Result<(), ShmError> {
    crash_point!(("unlink", name));
    match shm_unlink(name.with_slash().as_str()) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(ShmError::from_errno("remove", &name.path(), errno)),
    }
}

/// Removes a name if it leads to the file `id`; says whether it did.
///
/// # Errors
///
/// What the system says, other than that the name is gone already.
pub fn unlink_if(name: &ObjectName, id: FileId) -> Result<bool, ShmError> {
    match stat(name)? {
        Some(info) if info.id == id => unlink(name).map(|()| true),
        _ => Ok(false),
    }
}

/// What the file system says of the object with this name, without opening it; `None` if there is
/// none.
///
/// # Errors
///
/// [`ShmError::NotRegular`], or what the system says.
pub fn stat(name: &ObjectName) -> Result<Option<ObjectInfo>, ShmError> {
    let path = name.path();
    match fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_file() => Ok(Some(ObjectInfo::of(&meta))),
        Ok(meta) => {
            tracing::debug!(?path, fifo = meta.file_type().is_fifo(), "not a shared-memory object");
            Err(ShmError::NotRegular { path })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ShmError::from_io("stat", &path, error)),
    }
}

/// The names, sorted, of the objects that start with `prefix`, of all users.
///
/// # Errors
///
/// What the system says when it cannot list [`SHM_DIR`].
pub fn list(prefix: &str) -> Result<Vec<ObjectName>, ShmError> {
    let dir = Path::new(SHM_DIR);
    let failed = |error| ShmError::from_io("list", dir, error);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with(prefix)
            && let Ok(name) = ObjectName::new(name)
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::shm::test_support::TestName;

    #[test]
    fn names_that_could_lead_elsewhere_are_refused() {
        for bad in ["", ".", "..", ".hidden", "a/b", "/a", "a b", "a\0b", "ä", &"x".repeat(256)] {
            assert!(matches!(ObjectName::new(bad), Err(ShmError::InvalidName { .. })), "{bad:?}");
        }
        assert!(ObjectName::new("dds-shm-0123456789abcdef-89abcdef.ctl").is_ok());
    }

    #[test]
    fn an_object_is_created_whole_with_the_permissions_asked_for() {
        let name = TestName::new("whole");
        let before = nix::sys::stat::umask(Mode::from_bits_truncate(0o077));
        let object = SharedObject::create(&name, 12345, 0o640);
        nix::sys::stat::umask(before);
        let object = object.unwrap();
        let info = object.info().unwrap();
        assert_eq!((info.len, info.mode), (12345, 0o640));
        assert_eq!(info.uid, nix::unistd::geteuid().as_raw());
        assert!(object.file().metadata().unwrap().blocks() * 512 >= 12345);
        assert!(list("dds-shm-test-").unwrap().contains(&name));
        assert_eq!(stat(&name).unwrap(), Some(info));
    }

    #[test]
    fn a_name_is_given_once() {
        let name = TestName::new("once");
        let _first = SharedObject::create(&name, 1, 0o600).unwrap();
        assert!(matches!(
            SharedObject::create(&name, 1, 0o600),
            Err(ShmError::Exists { path }) if path == name.path()
        ));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_leaves_nothing() {
        let name = TestName::new("large");
        let error = SharedObject::create(&name, 1 << 50, 0o600).unwrap_err();
        assert!(
            matches!(error, ShmError::NoSpace { needed, free, .. } if needed == 1 << 50 && free < needed),
            "{error:?}"
        );
        assert_eq!(stat(&name).unwrap(), None);
        for len in [0, u64::MAX] {
            let error = SharedObject::create(&name, len, 0o600).unwrap_err();
            assert!(matches!(error, ShmError::BadLength { .. }));
        }
    }

    #[test]
    fn what_is_not_there_and_what_is_no_file_is_said() {
        let name = TestName::new("odd");
        let open = || SharedObject::open(&name, Access::ReadOnly).unwrap_err();
        assert!(matches!(open(), ShmError::NotFound { .. }));
        symlink("/etc/passwd", name.path()).unwrap();
        assert!(matches!(open(), ShmError::NotRegular { .. }));
        assert!(matches!(stat(&name), Err(ShmError::NotRegular { .. })));
        fs::remove_file(name.path()).unwrap();
        nix::unistd::mkfifo(&name.path(), Mode::S_IRWXU).unwrap();
        assert!(matches!(open(), ShmError::NotRegular { .. }));
    }

    #[test]
    fn a_name_that_leads_elsewhere_by_now_is_left_alone() {
        let name = TestName::new("reused");
        let old = SharedObject::create(&name, 1, 0o600).unwrap();
        assert!(old.is_linked().unwrap());
        assert!(old.unlink_if_same().unwrap());
        assert!(!old.is_linked().unwrap());
        assert!(!old.unlink_if_same().unwrap());
        let new = SharedObject::create(&name, 1, 0o600).unwrap();
        assert!(!old.unlink_if_same().unwrap());
        assert_eq!(stat(&name).unwrap(), Some(new.info().unwrap()));
    }

    #[test]
    fn a_second_name_leads_to_the_same_object() {
        let (first, second) = (TestName::new("first"), TestName::new("second"));
        let object = SharedObject::create(&first, 1, 0o600).unwrap();
        object.link_as(&second).unwrap();
        assert!(matches!(object.link_as(&second), Err(ShmError::Exists { .. })));
        object.unlink().unwrap();
        assert_eq!(stat(&second).unwrap().unwrap().id, object.info().unwrap().id);
        assert!(matches!(object.link_as(&first), Err(ShmError::NotFound { .. })));
    }
}
