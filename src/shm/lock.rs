//! Locks that the kernel drops at any death of their holder, and the probe that proves it.
//!
//! An open-file-description lock (`F_OFD_SETLK`) belongs to the open file, not to the process: it is
//! gone when the last descriptor of that open file is, and closing another descriptor of the same
//! file does not drop it, as it would with a record lock. The probe (`F_OFD_GETLK` for a read lock)
//! needs nothing but a descriptor for reading, takes nothing, and conflicts only with a write lock,
//! which needs a descriptor for writing: who may not write the file can neither hold the lock nor
//! make it look held.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::file::{UnlinkedFile, open_regular};
use super::fork::{CloseOnFork, ProcessStamp};
use super::{FileId, ObjectInfo, ShmError};

/// Whether somebody holds the lock of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockState {
    /// Somebody does: its holder is alive.
    Held,
    /// Nobody does.
    Free,
}

impl LockState {
    /// Probes the lock of an open file, without taking it. `path` is for the error message.
    ///
    /// A descriptor that shares the holder's open file description sees its own lock as free.
    ///
    /// # Errors
    ///
    /// What the system says; the file systems that know no such locks say so.
    pub fn of(file: &File, path: &Path) -> Result<LockState, ShmError> {
        let mut lock = whole_file(libc::F_RDLCK);
        fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock))
            .map_err(|errno| ShmError::from_errno("probe the lock of", path, errno))?;
        if i32::from(lock.l_type) == libc::F_UNLCK {
            Ok(LockState::Free)
        } else {
            Ok(LockState::Held)
        }
    }
}

fn whole_file(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        // Must be 0 for locks of this kind.
        l_pid: 0,
    }
}

/// An exclusive lock on a file, held until it is dropped or the process ends, however it ends.
///
/// Children made by `fork` do not keep it. In one, dropping the copy of this value does nothing.
#[derive(Debug)]
pub struct OfdLock {
    file: ManuallyDrop<File>,
    entry: ManuallyDrop<CloseOnFork>,
    stamp: ProcessStamp,
    path: PathBuf,
}

impl OfdLock {
    /// Makes a file with exactly the permissions `mode`, locks it, lets `fill` write what is to be in
    /// it, and only then gives it its name: nobody can find it unlocked or half-made.
    ///
    /// # Errors
    ///
    /// [`ShmError::Exists`] if the name is taken; what `fill` says; what the system says. Nothing is
    /// left behind.
    pub fn create_file(
        path: &Path,
        mode: u32,
        fill: impl FnOnce(&File) -> Result<(), ShmError>,
    ) -> Result<OfdLock, ShmError> {
        let UnlinkedFile { file, name } = UnlinkedFile::new(path, mode)?;
        fill(&file)?;
        let Some(lock) = OfdLock::try_lock(file, path)? else {
            // Nobody else can have opened it, short of a thief of temporary names.
            return Err(ShmError::Exists { path: path.to_path_buf() });
        };
        name.link(&lock.file, path)?;
        Ok(lock)
    }

    /// Takes the lock of a file open for writing; `None` if somebody else has it. `path` is for
    /// error messages and for [`is_linked`](OfdLock::is_linked).
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn try_lock(file: File, path: &Path) -> Result<Option<OfdLock>, ShmError> {
        let entry = CloseOnFork::new(file.as_fd())
            .map_err(|errno| ShmError::from_errno("guard against forks", path, errno))?;
        crash_point!(("lock", path));
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))) {
            Ok(_) => Ok(Some(OfdLock {
                file: ManuallyDrop::new(file),
                entry: ManuallyDrop::new(entry),
                stamp: ProcessStamp::current(),
                path: path.to_path_buf(),
            })),
            // Before the file, so that the number in the table is never somebody else's.
            Err(Errno::EAGAIN | Errno::EACCES) => {
                drop(entry);
                Ok(None)
            }
            Err(errno) => {
                drop(entry);
                Err(ShmError::from_errno("lock", path, errno))
            }
        }
    }

    /// Takes the lock of a file that is made if it is not there (with permissions `mode`), trying for
    /// as long as `patience`; `None` if somebody else has it all that time.
    ///
    /// The file is never removed by this, so that everybody who locks the name locks one file; if
    /// somebody else removes it, the lock is taken on its successor.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn acquire(
        path: &Path,
        mode: u32,
        patience: Duration,
    ) -> Result<Option<OfdLock>, ShmError> {
        let start = Instant::now();
        loop {
            let file = match open_regular(path, true) {
                Err(ShmError::NotFound { .. }) => match super::publish_new(path, mode, b"") {
                    Ok(()) | Err(ShmError::Exists { .. }) => continue,
                    Err(error) => return Err(error),
                },
                other => other?,
            };
            if let Some(lock) = OfdLock::try_lock(file, path)?
                && lock.is_linked()
            {
                return Ok(Some(lock));
            }
            if start.elapsed() >= patience {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The locked file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Which file it is.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn id(&self) -> Result<FileId, ShmError> {
        let meta = self.file.metadata();
        let meta = meta.map_err(|error| ShmError::from_io("stat", &self.path, error))?;
        Ok(ObjectInfo::of(&meta).id)
    }

    /// Whether the name still leads to the locked file.
    #[must_use]
    pub fn is_linked(&self) -> bool {
        let named = std::fs::symlink_metadata(&self.path).map(|meta| ObjectInfo::of(&meta).id);
        matches!((named, self.id()), (Ok(named), Ok(locked)) if named == locked)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the calling process holds it (and is not a child of the one that does).
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.stamp.is_current()
    }
}

impl Drop for OfdLock {
    fn drop(&mut self) {
        if !self.stamp.is_current() {
            // The child handler closed the descriptor; its number may be somebody else's by now.
            return;
        }
        crash_point!(("unlock", &self.path));
        // In this order a child forked at any point keeps no lock: the lock is gone from the open
        // file itself before the child would keep its descriptor.
        if let Err(errno) = fcntl(&*self.file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_UNLCK))) {
            tracing::warn!(%errno, path = ?self.path, "cannot unlock");
        }
        // SAFETY: dropped once, here; neither is used afterwards. The entry goes first, or a child
        // could close whatever gets the descriptor's number next.
        unsafe {
            ManuallyDrop::drop(&mut self.entry);
            ManuallyDrop::drop(&mut self.file);
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    use super::*;

    fn locked(dir: &Path) -> (PathBuf, OfdLock) {
        let path = dir.join("lock");
        let lock = OfdLock::create_file(&path, 0o644, |_| Ok(())).unwrap();
        (path, lock)
    }

    fn probe(path: &Path) -> LockState {
        LockState::of(&open_regular(path, false).unwrap(), path).unwrap()
    }

    #[test]
    fn a_lock_file_is_locked_while_its_maker_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, lock) = locked(dir.path());
        let kept = open_regular(&path, false).unwrap();
        assert_eq!(LockState::of(&kept, &path).unwrap(), LockState::Held);
        assert!(OfdLock::try_lock(open_regular(&path, true).unwrap(), &path).unwrap().is_none());
        // The descriptor that was kept answers when the name is gone, too.
        std::fs::remove_file(&path).unwrap();
        assert_eq!(LockState::of(&kept, &path).unwrap(), LockState::Held);
        assert!(!lock.is_linked());
        drop(lock);
        assert_eq!(LockState::of(&kept, &path).unwrap(), LockState::Free);
    }

    #[test]
    fn a_name_that_is_taken_stays_with_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let (path, _lock) = locked(dir.path());
        let error = OfdLock::create_file(&path, 0o644, |_| Ok(())).unwrap_err();
        assert!(matches!(error, ShmError::Exists { .. }));
        assert_eq!(probe(&path), LockState::Held);
    }

    #[test]
    fn a_readers_lock_does_not_look_like_life() {
        let dir = tempfile::tempdir().unwrap();
        let (path, lock) = locked(dir.path());
        drop(lock);
        let reader = open_regular(&path, false).unwrap();
        fcntl(&reader, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_RDLCK))).unwrap();
        assert_eq!(probe(&path), LockState::Free);
    }

    #[test]
    fn one_at_a_time_acquires_a_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recovery.lock");
        let first = OfdLock::acquire(&path, 0o600, Duration::ZERO).unwrap().unwrap();
        assert!(OfdLock::acquire(&path, 0o600, Duration::ZERO).unwrap().is_none());
        drop(first);
        assert!(OfdLock::acquire(&path, 0o600, Duration::ZERO).unwrap().is_some());
    }

    #[test]
    fn a_forked_child_neither_keeps_the_lock_nor_touches_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, lock) = locked(dir.path());
        let (parent_end, child_end) = nix::unistd::pipe().unwrap();
        // SAFETY: the child calls only what is safe after a fork of a threaded process (no
        // allocation happens in the calls below), and leaves with `_exit`.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let refused = !lock.is_ours();
                drop(lock);
                drop(child_end);
                // Stay until the parent has looked.
                let mut byte = [0];
                let _ = nix::unistd::read(&parent_end, &mut byte);
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(i32::from(!refused)) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(probe(&path), LockState::Held);
                drop(lock);
                // The child is alive, and yet nobody holds the lock.
                assert_eq!(probe(&path), LockState::Free);
                nix::unistd::write(&child_end, b"x").unwrap();
                assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
            }
        }
    }
}
