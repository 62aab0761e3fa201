//! A node's bell: where its threads sleep, and what its peers write to wake them.
//!
//! One POSIX object of one page per node, however many segments it reads:
//!
//! ```text
//!    0  identity: magic, format, node id, runtime dir, process id; written before it has a name
//!   64  data bell:    generation u32, waiters u32     whoever waits for samples
//!  128  service bell: generation u32, waiters u32     the node's service thread
//!  192  1024 bits: what rang the data bell
//!  320  0
//!  384  the path of the runtime dir
//! ```
//!
//! Two bells, so that the service thread, which sleeps nearly always, costs publishers nothing, and a
//! sample wakes nobody but who waits for samples. Both follow [`doorbell`].
//!
//! The bits save a sleeper with many readers from looking at all of them *to find out who rang*: a
//! publisher leaves the reader's bit only when it finds somebody asleep. They are no substitute for
//! looking at all readers before going to sleep.
//!
//! The object is locked like the node's lock file, by the same process, for as long: it proves life
//! and death to processes of the same user that cannot find the lock file.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, fence};
use std::time::Duration;

use super::doorbell::{self, Doorbell, FutexWords, Slept};
use super::{LivenessError, NodeId, RuntimeDir};
use crate::shm::futex::{self, FutexWait};
use crate::shm::object::{self, ObjectInfo};
use crate::shm::{
    Access, FileId, LockState, MapOptions, MappedWords, Memory, OfdLock, ProcessStamp,
    SharedObject, ShmError,
};
use crate::sync::{Ordering, Words};

/// The size of the object.
const LEN: usize = 4096;
const MAGIC: [u8; 8] = *b"DSHMBELL";
const FORMAT: u32 = 1;
const WORDS_AT: usize = 64;
const PATH_AT: usize = 384;

/// How many bits there are to tell what rang.
pub const BELL_BITS: u16 = 1024;
const RUNG_WORDS: usize = BELL_BITS as usize / 32;
/// The words of both bells, a line each, and the bits.
const WORDS: usize = 32 + RUNG_WORDS;

/// Nobody sleeps longer than this without looking again: who should have rung may have died.
pub const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Which bit a reader is rung by. Several readers of a node may share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BellBit(u16);

impl BellBit {
    /// The bit of this number, which may come from anywhere: it is cut to the range.
    #[inline]
    #[must_use]
    pub fn new(number: u32) -> BellBit {
        BellBit((number % u32::from(BELL_BITS)) as u16)
    }

    /// Its number, below [`BELL_BITS`].
    #[inline]
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

/// A shared word of a bell object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BellWord {
    /// Futex word of who waits for samples. Changed by wakers.
    DataGeneration,
    /// Whether somebody waits for samples. Set by sleepers, taken by wakers.
    DataWaiters,
    /// Futex word of the service thread. Changed by wakers.
    ServiceGeneration,
    /// Whether the service thread sleeps. Set by it, taken by wakers.
    ServiceWaiters,
    /// 32 of the bits, by number / 32 (below 32). Set by wakers, taken by sleepers.
    Rung(u8),
}

/// The bell on which threads wait for samples.
pub const DATA: Doorbell<BellWord> =
    Doorbell { generation: BellWord::DataGeneration, waiters: BellWord::DataWaiters };
/// The bell on which the service thread waits.
pub const SERVICE: Doorbell<BellWord> =
    Doorbell { generation: BellWord::ServiceGeneration, waiters: BellWord::ServiceWaiters };

/// The words of a bell object in mapped memory.
#[derive(Debug)]
struct BellWords(MappedWords<[AtomicU32; WORDS]>);

impl BellWords {
    #[inline]
    fn word(&self, word: BellWord) -> &AtomicU32 {
        let index = match word {
            BellWord::DataGeneration => 0,
            BellWord::DataWaiters => 1,
            BellWord::ServiceGeneration => 16,
            BellWord::ServiceWaiters => 17,
            BellWord::Rung(index) => 32 + usize::from(index) % RUNG_WORDS,
        };
        &self.0[index]
    }
}

/// All words have 32 bits: values are cut to that, as `Words` has it.
impl Words<BellWord> for BellWords {
    #[inline]
    fn load(&self, word: BellWord, order: Ordering) -> u64 {
        self.word(word).load(order).into()
    }

    fn store(&self, word: BellWord, value: u64, order: Ordering) {
        crash_point!(word);
        self.word(word).store(value as u32, order);
    }

    fn swap(&self, word: BellWord, value: u64, order: Ordering) -> u64 {
        crash_point!(word);
        self.word(word).swap(value as u32, order).into()
    }

    fn fetch_add(&self, word: BellWord, value: u64, order: Ordering) -> u64 {
        crash_point!(word);
        self.word(word).fetch_add(value as u32, order).into()
    }

    fn fetch_or(&self, word: BellWord, bits: u64, order: Ordering) -> u64 {
        crash_point!(word);
        self.word(word).fetch_or(bits as u32, order).into()
    }

    fn fetch_and(&self, word: BellWord, bits: u64, order: Ordering) -> u64 {
        crash_point!(word);
        self.word(word).fetch_and(bits as u32, order).into()
    }

    fn compare_exchange(&self, word: BellWord, current: u64, new: u64) -> Result<u64, u64> {
        crash_point!(word);
        // A value that the word cannot have is not there.
        let Ok(expected) = u32::try_from(current) else {
            return Err(self.load(word, Ordering::Acquire));
        };
        self.word(word)
            .compare_exchange(expected, new as u32, Ordering::AcqRel, Ordering::Acquire)
            .map(u64::from)
            .map_err(u64::from)
    }

    fn fence(&self, order: Ordering) {
        fence(order);
    }
}

impl FutexWords<BellWord> for BellWords {
    fn futex_wait(&self, word: BellWord, expected: u32, timeout: Option<Duration>) -> FutexWait {
        futex::wait(self.word(word), expected, timeout)
    }

    fn futex_wake_all(&self, word: BellWord) {
        futex::wake_all(self.word(word));
    }
}

/// Leaves word that `bit` rang.
fn mark(words: &impl Words<BellWord>, bit: BellBit) {
    let (index, bit) = ((bit.0 / 32) as u8, 1 << (bit.0 % 32));
    // Release: what was published comes first for whoever takes the bit.
    words.fetch_or(BellWord::Rung(index), bit, Ordering::Release);
}

/// Takes the bits of one word.
fn take(words: &impl Words<BellWord>, index: u8) -> u32 {
    let word = BellWord::Rung(index);
    if words.load(word, Ordering::Relaxed) == 0 {
        return 0;
    }
    // Acquire: pairs with the Release of the mark. The word has 32 bits.
    words.swap(word, 0, Ordering::Acquire) as u32
}

/// What a bell says of the node it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BellIdentity {
    /// The node.
    pub node: NodeId,
    /// The node's runtime dir.
    pub dir: FileId,
    /// Where that was when the node started.
    pub dir_path: PathBuf,
    /// The node's process, in its own pid namespace. For display only.
    pub pid: u32,
}

impl BellIdentity {
    fn to_bytes(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        let path = self.dir_path.as_os_str().as_bytes();
        let path = &path[..path.len().min(LEN - PATH_AT)];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &MAGIC);
        put(8, &FORMAT.to_ne_bytes());
        put(12, &(path.len() as u32).to_ne_bytes());
        put(16, &self.node.get().to_ne_bytes());
        put(24, &self.dir.device.to_ne_bytes());
        put(32, &self.dir.inode.to_ne_bytes());
        put(40, &self.pid.to_ne_bytes());
        put(PATH_AT, path);
        bytes
    }

    /// Reads the identity; the reason if it is none. Everything is copied and checked once.
    fn from_bytes(node: NodeId, bytes: &[u8; LEN]) -> Result<BellIdentity, &'static str> {
        let u32_at = |at: usize| {
            let mut field = [0; 4];
            field.copy_from_slice(&bytes[at..at + 4]);
            u32::from_ne_bytes(field)
        };
        let u64_at = |at: usize| {
            let mut field = [0; 8];
            field.copy_from_slice(&bytes[at..at + 8]);
            u64::from_ne_bytes(field)
        };
        if bytes[..8] != MAGIC {
            return Err("it does not start with the magic of a bell");
        }
        if u32_at(8) != FORMAT {
            return Err("it has another format version; use one version of dds-shm on both sides");
        }
        if u64_at(16) != node.get() {
            return Err("it says that it belongs to another node");
        }
        let path = bytes.get(PATH_AT..PATH_AT.saturating_add(u32_at(12) as usize));
        let path = path.ok_or("its runtime dir's path is longer than the object")?;
        Ok(BellIdentity {
            node,
            dir: FileId { device: u64_at(24), inode: u64_at(32) },
            dir_path: PathBuf::from(OsStr::from_bytes(path)),
            pid: u32_at(40),
        })
    }
}

/// The bell of this process's node.
#[derive(Debug)]
pub struct Bell {
    words: BellWords,
    lock: OfdLock,
    stamp: ProcessStamp,
}

impl Bell {
    /// Makes the bell of a node: reserved, filled and locked before it has its name.
    pub(crate) fn create(
        node: NodeId,
        dir: &RuntimeDir,
        group_access: bool,
    ) -> Result<Bell, LivenessError> {
        let name = node.bell_name();
        let path = name.path();
        let identity = BellIdentity {
            node,
            dir: dir.id(),
            dir_path: dir.path().to_path_buf(),
            pid: std::process::id(),
        };
        let fill = |mut file: &File| {
            object::reserve(file, &path, LEN as u64)?;
            file.write_all(&identity.to_bytes())
                .map_err(|error| ShmError::from_io("write", &path, error))
        };
        let lock = OfdLock::create_file(&path, if group_access { 0o660 } else { 0o600 }, fill)?;
        let object = SharedObject::open(&name, Access::ReadWrite)?;
        if object.info()?.id != lock.id()? {
            return Err(LivenessError::BadBell { node, why: "somebody replaced it" });
        }
        Ok(Bell { words: map(node, &object)?, lock, stamp: ProcessStamp::current() })
    }

    fn check_process(&self) -> Result<(), LivenessError> {
        if self.stamp.is_current() { Ok(()) } else { Err(LivenessError::Forked) }
    }

    /// Sleeps until `ready` says so, or for `timeout`; says whether it was ready.
    ///
    /// `ready` must look at everything that is waited for. It is called at once, after every ring, at
    /// least every [`LONGEST_SLEEP`], and at the end; also when nothing has happened. Any number of
    /// threads may wait.
    ///
    /// # Errors
    ///
    /// [`LivenessError::Forked`].
    pub fn wait(
        &self,
        timeout: Duration,
        ready: impl FnMut() -> bool,
    ) -> Result<bool, LivenessError> {
        self.check_process()?;
        Ok(doorbell::wait(&self.words, DATA, timeout, LONGEST_SLEEP, ready))
    }

    /// Takes the bits that rang since the last time: hints where to look first. Nothing in a forked
    /// child.
    pub fn take_rung(&self) -> impl Iterator<Item = BellBit> + '_ {
        let words = if self.stamp.is_current() { RUNG_WORDS as u8 } else { 0 };
        (0..words).flat_map(|index| {
            let taken = take(&self.words, index);
            (0..32u16)
                .filter(move |bit| taken & (1 << bit) != 0)
                .map(move |bit| BellBit(u16::from(index) * 32 + bit))
        })
    }

    /// Rings for threads of this process that wait for samples: whoever publishes to itself.
    /// Contains the fence.
    pub fn ring_data(&self, bit: BellBit) {
        if self.stamp.is_current() {
            fence(Ordering::SeqCst);
            doorbell::ring(&self.words, DATA, || mark(&self.words, bit));
        }
    }

    /// Sleeps once as the service thread: see [`doorbell::sleep_once`].
    pub(crate) fn sleep_for_service(
        &self,
        timeout: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Slept {
        doorbell::sleep_once(&self.words, SERVICE, Some(timeout), &mut ready)
    }

    /// Rings the service thread. Contains the fence.
    pub(crate) fn ring_service(&self) {
        if self.stamp.is_current() {
            fence(Ordering::SeqCst);
            doorbell::ring(&self.words, SERVICE, || {});
        }
    }

    pub(crate) fn lock(&self) -> &OfdLock {
        &self.lock
    }
}

/// The bell of a peer.
#[derive(Debug)]
pub struct RemoteBell {
    words: BellWords,
    identity: BellIdentity,
    stamp: ProcessStamp,
}

impl RemoteBell {
    /// Opens the bell of a node, which must belong to user `uid` and not be writable by everybody.
    ///
    /// # Errors
    ///
    /// [`ShmError::NotFound`] if the node has none (any more), [`ShmError::Permission`] if we may not
    /// ring it (its readers poll then), [`LivenessError::WrongOwner`], [`LivenessError::BadBell`],
    /// or what else the system says.
    pub fn open(node: NodeId, uid: u32) -> Result<RemoteBell, LivenessError> {
        let object = SharedObject::open(&node.bell_name(), Access::ReadWrite)?;
        let info = object.info()?;
        if info.uid != uid {
            let path = object.name().path();
            return Err(LivenessError::WrongOwner { path, expected: uid, found: info.uid });
        }
        check_size_and_mode(node, &info)?;
        let words = map(node, &object)?;
        let mut bytes = [0; LEN];
        let copied = words.0.memory().copy_out(0, &mut bytes);
        let identity = copied
            .ok_or("it is shorter than a bell")
            .and_then(|()| BellIdentity::from_bytes(node, &bytes))
            .map_err(|why| LivenessError::BadBell { node, why })?;
        Ok(RemoteBell { words, identity, stamp: ProcessStamp::current() })
    }

    /// What it says of its node.
    #[must_use]
    pub fn identity(&self) -> &BellIdentity {
        &self.identity
    }

    /// Whether somebody sleeps there who waits for samples: one relaxed load.
    ///
    /// Means something after a `fence(SeqCst)` behind the publication; one fence serves any number
    /// of bells. Must not be called in a forked child, where the memory is not mapped: whoever
    /// publishes has checked its stamp.
    #[inline]
    #[must_use]
    pub fn sleeps(&self) -> bool {
        doorbell::is_awaited(&self.words, DATA)
    }

    /// Wakes who waits for samples, if somebody does, and leaves word that these bits rang; says
    /// whether somebody slept. A system call only then.
    ///
    /// Needs the same fence as [`sleeps`](RemoteBell::sleeps). Does nothing in a forked child.
    pub fn ring_data(&self, bits: impl IntoIterator<Item = BellBit>) -> bool {
        self.stamp.is_current()
            && doorbell::ring(&self.words, DATA, || {
                bits.into_iter().for_each(|bit| mark(&self.words, bit));
            })
    }

    /// Wakes the node's service thread: something in a segment needs its attention. Contains the
    /// fence. Does nothing in a forked child.
    pub fn ring_service(&self) -> bool {
        if !self.stamp.is_current() {
            return false;
        }
        fence(Ordering::SeqCst);
        doorbell::ring(&self.words, SERVICE, || {})
    }

    /// Whether the bell was cut off under us; see [`Memory::is_poisoned`].
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.words.0.memory().is_poisoned()
    }
}

/// What a bell says, and whether its node is alive, without mapping it.
pub(crate) fn inspect(
    node: NodeId,
) -> Result<(LockState, BellIdentity, ObjectInfo), LivenessError> {
    let object = SharedObject::open(&node.bell_name(), Access::ReadOnly)?;
    let info = object.info()?;
    check_size_and_mode(node, &info)?;
    let mut bytes = [0; LEN];
    std::os::unix::fs::FileExt::read_exact_at(object.file(), &mut bytes, 0)
        .map_err(|error| ShmError::from_io("read", &object.name().path(), error))?;
    let identity = BellIdentity::from_bytes(node, &bytes)
        .map_err(|why| LivenessError::BadBell { node, why })?;
    let state = LockState::of(object.file(), &object.name().path())?;
    Ok((state, identity, info))
}

fn check_size_and_mode(node: NodeId, info: &ObjectInfo) -> Result<(), LivenessError> {
    if info.len != LEN as u64 {
        Err(LivenessError::BadBell { node, why: "it does not have the size of a bell" })
    } else if info.mode & 0o002 != 0 {
        Err(LivenessError::BadBell { node, why: "everybody may write it" })
    } else {
        Ok(())
    }
}

fn map(node: NodeId, object: &SharedObject) -> Result<BellWords, LivenessError> {
    let memory = Arc::new(Memory::map(object, MapOptions::default())?);
    MappedWords::new(memory, WORDS_AT)
        .map(BellWords)
        .ok_or(LivenessError::BadBell { node, why: "it is shorter than a bell" })
}

/// Whether the runtime dir that a bell names is still there.
pub(crate) fn home_is_there(identity: &BellIdentity) -> bool {
    super::runtime_dir::leads_to(Path::new(&identity.dir_path), identity.dir)
}
