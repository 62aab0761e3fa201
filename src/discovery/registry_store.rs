//! The registry on disk: finding, reading and replacing its files.
//!
//! A file is found by the MD5 of its key and a small number, which grows only when two keys have the
//! same MD5. Files are replaced as a whole by `rename(2)`: a reader sees the old one or the new one,
//! and needs no lock. Whoever replaces or removes a file holds the lock of the file `lock`, which the
//! kernel drops if its holder dies; so nobody's update is lost.
//!
//! `lock` holds a count: odd while an update is under way, another even number after it. Reading it
//! is all that a reader does while nothing changes. An updater that dies in the middle leaves it odd,
//! and readers look at their files until the next update.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::libc;

use super::registry_file::{
    BadRegistryFile, MAX_FILE, PEEK_LEN, RegistryEntry, RegistryFile, RegistryKey, peek_generation,
};
use crate::liveness::{LivenessError, NodeId};
use crate::shm::{self, OfdLock, ShmError};
use crate::wire::WireError;

/// Files whose keys may have the same MD5.
const MAX_COLLISIONS: usize = 8;
/// How long a caller waits for another process's update; one takes well under a millisecond.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries, up to this long and at random: with a fixed distance a process that makes many
/// updates in a row starves the others.
const RETRY: Duration = Duration::from_micros(500);
const LOCK: &str = "lock";
const SUFFIX: &str = ".registry";
const MODE: u32 = 0o644;

/// Why the registry could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The system refused something.
    #[error("registry: {0}")]
    Shm(#[from] ShmError),
    /// The system refused something.
    #[error("registry: cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another process holds the lock for longer than any update takes: it is stopped, or the machine
    /// is overloaded.
    #[error(
        "registry: {path} is locked by another process; if that lasts, `fuser` names it: \
         continue or end it"
    )]
    Busy {
        /// The lock file.
        path: PathBuf,
    },
    /// There is no place left for a key.
    #[error(
        "registry: files of other keys or of newer versions take all places of topic {topic:?}; \
         remove {path}*"
    )]
    NoPlace {
        /// The topic.
        topic: String,
        /// What the names of the files begin with.
        path: PathBuf,
    },
    /// The file would become larger than anybody reads.
    #[error("registry: {octets} octets for topic {topic:?} are more than the limit of {MAX_FILE}")]
    TooLarge {
        /// The topic.
        topic: String,
        /// The size it would have.
        octets: usize,
    },
    /// This process is a child made by `fork` of the one that opened the registry.
    #[error("registry: this process was forked from the one that opened it; open it anew")]
    ForkedChild,
    /// The service thread refuses to look after the registry.
    #[error("registry: {0}")]
    Liveness(#[from] LivenessError),
    /// An announcement cannot be written.
    #[error("registry: {0}")]
    Wire(#[from] WireError),
    /// A partition is a pattern, which no file name can stand for.
    #[error(
        "registry: the partition {0:?} is a pattern; \
         only plain names can be exchanged through the registry"
    )]
    PartitionPattern(String),
}

/// Something that nobody needs any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leftover {
    pub(crate) path: PathBuf,
    /// Whose entry it is; `None` for a damaged file.
    pub(crate) node: Option<NodeId>,
    /// Why it could not be removed.
    pub(crate) error: Option<String>,
}

/// The directory of registry files.
#[derive(Debug)]
pub(crate) struct RegistryStore {
    directory: PathBuf,
    /// The lock file, open to read its count; behind a name that others may have removed since.
    count: File,
}

/// Where the file of a key is, or can be.
enum Place {
    /// Here, with this content.
    Found(PathBuf, RegistryFile),
    /// Nothing is here, or something that nobody can read.
    Free(PathBuf),
}

impl RegistryStore {
    /// Opens the registry in `directory`, which is there.
    pub(crate) fn open(directory: &Path) -> Result<Self, RegistryError> {
        let path = directory.join(LOCK);
        match shm::publish_new(&path, MODE, &0u64.to_le_bytes()) {
            Ok(()) | Err(ShmError::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let count = open_count(&path)?;
        Ok(Self { directory: directory.to_owned(), count })
    }

    /// A number that differs from before if anything may have changed; `None` if that cannot be told.
    pub(crate) fn count(&mut self) -> Result<Option<u64>, RegistryError> {
        let path = self.directory.join(LOCK);
        let ours = self.count.metadata().map_err(io_error("stat", &path))?;
        let is_linked = fs::symlink_metadata(&path)
            .is_ok_and(|theirs| (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()));
        if !is_linked {
            // Somebody cleared the directory: from now on its new lock file counts.
            *self = Self::open(&self.directory)?;
            return Ok(None);
        }
        let count = read_count(&self.count).map_err(io_error("read", &path))?;
        Ok((count % 2 == 0).then_some(count))
    }

    /// The file of a key, if there is a readable one.
    pub(crate) fn read(&self, key: &RegistryKey) -> Result<Option<RegistryFile>, RegistryError> {
        match self.locate(key)? {
            Place::Found(_, file) => Ok(Some(file)),
            Place::Free(_) => Ok(None),
        }
    }

    /// The generation of a key's file; `None` if it has to be read to know.
    pub(crate) fn peek(&self, key: &RegistryKey) -> Option<u64> {
        // A file elsewhere than in the first place is so rare that it may always be read.
        let path = place(&self.directory.join(key.file_stem()), 0);
        let mut header = [0; PEEK_LEN];
        shm::open_regular(&path, false).ok()?.read_exact_at(&mut header, 0).ok()?;
        peek_generation(&header)
    }

    /// Changes the entries of a key under the lock; makes the file, or removes it when no entry is
    /// left. `change` says whether it changed anything. Returns the file as it is now.
    pub(crate) fn update(
        &self,
        key: &RegistryKey,
        patience: Duration,
        change: impl FnOnce(&mut Vec<RegistryEntry>) -> bool,
    ) -> Result<RegistryFile, RegistryError> {
        let lock = self.lock(patience)?;
        self.update_locked(&lock, key, change)
    }

    /// What dead nodes left, and files that nobody can read; removes it if `remove`.
    pub(crate) fn sweep(
        &self,
        is_gone: &dyn Fn(NodeId) -> bool,
        remove: bool,
    ) -> Result<Vec<Leftover>, RegistryError> {
        let mut leftovers = Vec::new();
        for path in self.paths()? {
            let (key, nodes) = match read_file(&path)? {
                Some(Ok(file)) => {
                    let mut nodes: Vec<_> = file.entries.iter().map(|entry| entry.node).collect();
                    nodes.retain(|node| is_gone(*node));
                    (Some(file.key), nodes)
                }
                Some(Err(BadRegistryFile::Damaged(_))) => (None, Vec::new()),
                Some(Err(BadRegistryFile::NewerVersion(_))) | None => continue,
            };
            let outcome = match &key {
                _ if !remove => Ok(()),
                Some(_) if nodes.is_empty() => Ok(()),
                Some(key) => self.remove_entries(key, is_gone),
                None => self.remove_damaged(&path),
            };
            let error = outcome.err().map(|error| error.to_string());
            let nodes: Vec<_> = match key {
                Some(_) => nodes.into_iter().map(Some).collect(),
                None => vec![None],
            };
            leftovers.extend(nodes.into_iter().map(|node| Leftover {
                path: path.clone(),
                node,
                error: error.clone(),
            }));
        }
        Ok(leftovers)
    }

    fn remove_entries(
        &self,
        key: &RegistryKey,
        is_gone: &dyn Fn(NodeId) -> bool,
    ) -> Result<(), RegistryError> {
        // Whoever holds the lock is at work here too: the next sweep will find what it leaves.
        let change = |entries: &mut Vec<RegistryEntry>| {
            let before = entries.len();
            entries.retain(|entry| !is_gone(entry.node));
            entries.len() < before
        };
        self.update(key, Duration::ZERO, change).map(|_| ())
    }

    fn remove_damaged(&self, path: &Path) -> Result<(), RegistryError> {
        let _lock = self.lock(Duration::ZERO)?;
        // Somebody may have put a good one there meanwhile.
        if matches!(read_file(path)?, Some(Err(BadRegistryFile::Damaged(_)))) {
            crash_point!(("remove", path));
            fs::remove_file(path).map_err(io_error("remove", path))?;
        }
        Ok(())
    }

    /// Every readable file.
    pub(crate) fn files(&self) -> Result<Vec<RegistryFile>, RegistryError> {
        let mut files = Vec::new();
        for path in self.paths()? {
            files.extend(read_file(&path)?.and_then(Result::ok));
        }
        Ok(files)
    }

    fn update_locked(
        &self,
        lock: &OfdLock,
        key: &RegistryKey,
        change: impl FnOnce(&mut Vec<RegistryEntry>) -> bool,
    ) -> Result<RegistryFile, RegistryError> {
        let (path, mut file, is_new) = match self.locate(key)? {
            Place::Found(path, file) => (path, file, false),
            Place::Free(path) => {
                // Random, so that a file that is removed and made again does not look unchanged.
                let generation = shm::random_u64();
                (path, RegistryFile { key: key.clone(), generation, entries: Vec::new() }, true)
            }
        };
        if !change(&mut file.entries) || (is_new && file.entries.is_empty()) {
            return Ok(file);
        }
        file.generation = file.generation.wrapping_add(1);
        let octets = file.encode();
        if octets.len() > MAX_FILE {
            let topic = key.topic.clone();
            return Err(RegistryError::TooLarge { topic, octets: octets.len() });
        }
        let before = read_count(lock.file()).map_err(io_error("read", lock.path()))?;
        let set_count = |count: u64| {
            crash_point!("the registry's count");
            lock.file()
                .write_all_at(&count.to_le_bytes(), 0)
                .map_err(io_error("write", lock.path()))
        };
        // Odd, also if somebody died in the middle of an update and left it odd.
        let under_way = before | 1;
        set_count(under_way)?;
        if file.entries.is_empty() {
            crash_point!(("remove", &path));
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        } else {
            shm::replace(&path, MODE, &octets)?;
        }
        set_count(under_way.wrapping_add(1))?;
        Ok(file)
    }

    fn lock(&self, patience: Duration) -> Result<OfdLock, RegistryError> {
        let path = self.directory.join(LOCK);
        let start = Instant::now();
        loop {
            if let Some(lock) = OfdLock::acquire(&path, MODE, Duration::ZERO)? {
                return Ok(lock);
            }
            if start.elapsed() >= patience {
                return Err(RegistryError::Busy { path });
            }
            std::thread::sleep(RETRY.mul_f32(rand::random()));
        }
    }

    fn paths(&self) -> Result<Vec<PathBuf>, RegistryError> {
        let list = || -> io::Result<Vec<PathBuf>> {
            fs::read_dir(&self.directory)?.map(|entry| Ok(entry?.path())).collect()
        };
        let mut paths = list().map_err(io_error("list", &self.directory))?;
        let is_ours = |path: &PathBuf| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|n| n.ends_with(SUFFIX))
        };
        paths.retain(is_ours);
        Ok(paths)
    }

    fn locate(&self, key: &RegistryKey) -> Result<Place, RegistryError> {
        let stem = self.directory.join(key.file_stem());
        let mut free = None;
        // To the end: whoever had the first place when this file was made may be gone since.
        for number in 0..MAX_COLLISIONS {
            let path = place(&stem, number);
            match read_file(&path) {
                Ok(Some(Ok(file))) if file.key == *key => return Ok(Place::Found(path, file)),
                Ok(None | Some(Err(BadRegistryFile::Damaged(_)))) => {
                    free.get_or_insert(path);
                }
                // Another key, or a newer version.
                Ok(Some(_)) => {}
                Err(RegistryError::Shm(ShmError::NotRegular { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        let no_place = || RegistryError::NoPlace { topic: key.topic.clone(), path: stem };
        free.map(Place::Free).ok_or_else(no_place)
    }
}

fn place(stem: &Path, number: usize) -> PathBuf {
    let mut path = stem.to_owned().into_os_string();
    path.push(format!("-{number}{SUFFIX}"));
    path.into()
}

fn io_error<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> RegistryError + 'a {
    move |source| RegistryError::Io { action, path: path.to_owned(), source }
}

fn open_count(path: &Path) -> Result<File, RegistryError> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options.open(path).map_err(io_error("open", path))
}

/// A file that is too short counts as 0: whoever made it did not live to write more.
fn read_count(file: &File) -> io::Result<u64> {
    let mut octets = [0; 8];
    match file.read_exact_at(&mut octets, 0) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(u64::from_le_bytes(octets)),
    }
}

/// `None` if there is none.
fn read_file(path: &Path) -> Result<Option<Result<RegistryFile, BadRegistryFile>>, RegistryError> {
    match shm::read_small(path, MAX_FILE) {
        Ok(octets) => Ok(Some(RegistryFile::decode(&octets))),
        Err(ShmError::NotFound { .. }) => Ok(None),
        Err(ShmError::BadLength { .. }) => Ok(Some(Err(BadRegistryFile::Damaged("too long")))),
        Err(error) => Err(error.into()),
    }
}
