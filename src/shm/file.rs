//! Small files that appear whole, with their final permissions, or not at all.
//!
//! A file is made without a name (`O_TMPFILE`), filled, locked if that is its purpose, and only then
//! linked in: nobody can find it half-made, and dying on the way leaves nothing. Where the file
//! system has no unnamed files, or `/proc` is missing, it gets a temporary name first
//! ([`TEMP_PREFIX`]), which the janitor removes if the maker died.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::linkat;

use super::ShmError;

/// How temporary names start.
pub(crate) const TEMP_PREFIX: &str = ".dds-shm-tmp-";

/// A file that is not there yet.
#[derive(Debug)]
pub(crate) struct UnlinkedFile {
    pub(crate) file: File,
    pub(crate) name: PendingName,
}

/// The name that a file is to get, and the temporary one it has, where it needed one; the latter
/// goes when this is dropped.
#[derive(Debug)]
pub(crate) struct PendingName {
    temp: Option<PathBuf>,
}

impl UnlinkedFile {
    /// Makes a file, with exactly these permissions, to be linked in next to `path`.
    pub(crate) fn new(path: &Path, mode: u32) -> Result<UnlinkedFile, ShmError> {
        let failed = |error| ShmError::from_io("create", path, error);
        let dir = parent(path);
        let new = match open_unnamed(dir, mode).map_err(failed)? {
            Some(file) => UnlinkedFile { file, name: PendingName { temp: None } },
            None => UnlinkedFile::named(dir, mode).map_err(failed)?,
        };
        new.set_mode(path, mode)?;
        Ok(new)
    }

    fn named(dir: &Path, mode: u32) -> io::Result<UnlinkedFile> {
        let temp = dir.join(format!("{TEMP_PREFIX}{:016x}", super::random_u64()));
        crash_point!(("create", &temp));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(mode)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&temp)?;
        Ok(UnlinkedFile { file, name: PendingName { temp: Some(temp) } })
    }

    fn set_mode(&self, path: &Path, mode: u32) -> Result<(), ShmError> {
        fchmod(&self.file, Mode::from_bits_truncate(mode))
            .map_err(|errno| ShmError::from_errno("set the permissions of", path, errno))
    }
}

impl PendingName {
    /// Gives the file its name, which must be free.
    pub(crate) fn link(self, file: &File, path: &Path) -> Result<(), ShmError> {
        crash_point!(("link", path));
        let linked = match &self.temp {
            Some(temp) => fs::hard_link(temp, path),
            None => {
                let from = unnamed_path(file);
                linkat(AT_FDCWD, from.as_path(), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)
                    .map_err(io::Error::from)
            }
        };
        linked.map_err(|error| ShmError::from_io("create", path, error))
    }
}

impl Drop for PendingName {
    fn drop(&mut self) {
        if let Some(temp) = &self.temp {
            crash_point!(("remove", temp));
            // If it stays, the janitor will find it.
            let _ = fs::remove_file(temp);
        }
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

fn unnamed_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// `None` where this cannot be had.
fn open_unnamed(dir: &Path, mode: u32) -> io::Result<Option<File>> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .mode(mode)
        .custom_flags(OFlag::O_TMPFILE.bits())
        .open(dir);
    match opened {
        Ok(file) if unnamed_path(&file).exists() => Ok(Some(file)),
        Ok(_) => Ok(None),
        // The first from file systems without it, the second from kernels without it.
        Err(error)
            if matches!(
                error.raw_os_error().map(nix::errno::Errno::from_raw),
                Some(nix::errno::Errno::EOPNOTSUPP | nix::errno::Errno::EISDIR)
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Makes a file of these contents and permissions under a name that must be free.
///
/// # Errors
///
/// [`ShmError::Exists`] if the name is taken, or what else the system says.
pub fn publish_new(path: &Path, mode: u32, contents: &[u8]) -> Result<(), ShmError> {
    let new = UnlinkedFile::new(path, mode)?;
    crash_point!(("write", path));
    (&new.file).write_all(contents).map_err(|error| ShmError::from_io("write", path, error))?;
    new.name.link(&new.file, path)
}

/// Puts a file of these contents and permissions under a name, in place of what is there: whoever
/// opens the name gets the old file or the new one, whole.
///
/// # Errors
///
/// What the system says.
pub fn replace(path: &Path, mode: u32, contents: &[u8]) -> Result<(), ShmError> {
    let failed = |error| ShmError::from_io("write", path, error);
    let new = UnlinkedFile::named(parent(path), mode).map_err(failed)?;
    new.set_mode(path, mode)?;
    crash_point!(("write", path));
    (&new.file).write_all(contents).map_err(failed)?;
    crash_point!(("replace", path));
    match &new.name.temp {
        Some(temp) => fs::rename(temp, path).map_err(failed),
        None => Ok(()),
    }
}

/// Opens a regular file for reading (and locking, with `write`), without following a symbolic link
/// in its last component and without hanging on a pipe.
pub(crate) fn open_regular(path: &Path, write: bool) -> Result<File, ShmError> {
    let failed = |error| ShmError::from_io("open", path, error);
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .write(write)
        .custom_flags(flags.bits())
        .open(path)
        .map_err(failed)?;
    if file.metadata().map_err(failed)?.is_file() {
        Ok(file)
    } else {
        Err(ShmError::NotRegular { path: path.to_path_buf() })
    }
}

/// Reads a file of at most `max` bytes, without following a symbolic link.
///
/// # Errors
///
/// [`ShmError::NotFound`], [`ShmError::NotRegular`], [`ShmError::BadLength`] if it is longer, or what
/// else the system says.
pub fn read_small(path: &Path, max: usize) -> Result<Vec<u8>, ShmError> {
    let file = open_regular(path, false)?;
    let mut contents = Vec::new();
    // One more than allowed, to see that there is more.
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit)
        .read_to_end(&mut contents)
        .map_err(|error| ShmError::from_io("read", path, error))?;
    if contents.len() > max {
        return Err(ShmError::BadLength { path: path.to_path_buf(), len: limit });
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_name_is_given_to_the_first_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("entry");
        publish_new(&path, 0o644, b"first").unwrap();
        let error = publish_new(&path, 0o644, b"second").unwrap_err();
        assert!(matches!(error, ShmError::Exists { .. }));
        assert_eq!(read_small(&path, 5).unwrap(), b"first");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
        assert_eq!(names(dir.path()), ["entry"]);
    }

    #[test]
    fn a_file_that_needs_a_temporary_name_does_not_keep_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("entry");
        let new = UnlinkedFile::named(dir.path(), 0o600).unwrap();
        assert_eq!(names(dir.path()).len(), 1);
        new.name.link(&new.file, &path).unwrap();
        assert_eq!(names(dir.path()), ["entry"]);
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("entry");
        replace(&path, 0o600, b"one").unwrap();
        replace(&path, 0o640, b"two").unwrap();
        assert_eq!(read_small(&path, 100).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(names(dir.path()), ["entry"]);
    }

    #[test]
    fn links_and_long_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("entry"), dir.path().join("link"));
        publish_new(&path, 0o600, b"123456").unwrap();
        symlink(&path, &link).unwrap();
        assert!(matches!(read_small(&link, 100), Err(ShmError::NotRegular { .. })));
        assert!(matches!(read_small(&path, 5), Err(ShmError::BadLength { .. })));
        assert!(matches!(read_small(dir.path(), 5), Err(ShmError::NotRegular { .. })));
    }
}
