//! This process as a node: a lock that ends with it, a bell, and one thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use super::bell::{BELL_BITS, Bell, BellBit};
use super::janitor::{self, SweepOptions};
use super::names::OBJECT_PREFIX;
use super::peer::Peers;
use super::{LivenessError, NodeId, PeerNode, RemoteBell, RuntimeDir};
use crate::shm::{OfdLock, ProcessStamp, ShmError, object};

/// How often something is served that asks for it. Nothing ticks faster.
pub const TICK: Duration = Duration::from_secs(1);

/// How often a node sweeps.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How many ids are tried. One is enough unless the system has no random numbers.
const ATTEMPTS: usize = 16;

/// Why something is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serve {
    /// Somebody may have rung; something was registered; or nothing has happened.
    Rung,
    /// A second is over.
    Tick,
}

/// Something that a node's service thread looks after: admissions, requests, probes.
pub trait Serviced: Send + Sync {
    /// Looks whether there is anything to do, and does it. Called on the service thread, never
    /// twice at a time; must not block.
    fn serve(&self, now: Instant, why: Serve);

    /// Whether it must be served every second even if nobody rings. Asked after each service.
    fn wants_tick(&self) -> bool {
        false
    }
}

/// How a node is made.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Whether members of the process's group may ring: the bell gets mode 0660 instead of 0600.
    pub group_access: bool,
    /// What the janitor does, at the start and once a minute; `None` leaves it to other nodes.
    pub janitor: Option<SweepOptions>,
}

impl Default for NodeOptions {
    fn default() -> NodeOptions {
        let janitor = SweepOptions { remove: true, ..SweepOptions::default() };
        NodeOptions { group_access: false, janitor: Some(janitor) }
    }
}

/// This process as a node of the transport.
///
/// While it lives it holds the lock on its lock file, and so proves to everybody that it does; the
/// kernel ends that with the process, however the process ends. Dropping it ends it properly: the
/// service thread is stopped and the names are removed.
///
/// In a forked child every operation is refused and a drop touches nothing; make a new one there.
#[derive(Debug)]
pub struct Node {
    core: Arc<Core>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Core {
    id: NodeId,
    dir: RuntimeDir,
    bell: Bell,
    lock: OfdLock,
    stamp: ProcessStamp,
    options: NodeOptions,
    served: Mutex<Vec<Weak<dyn Serviced>>>,
    stop: AtomicBool,
    peers: Peers,
    /// How many readers each bit of the bell stands for.
    bits: [AtomicU32; BELL_BITS as usize],
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("id", &self.id).field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Node {
    /// Makes this process a node; sweeps, unless that is left to others.
    ///
    /// # Errors
    ///
    /// [`LivenessError::NotWritable`] if no lock file can be made in the runtime dir,
    /// [`ShmError::NoSpace`] if there is no room for the bell, or what else the system says.
    pub fn new(dir: &RuntimeDir, options: NodeOptions) -> Result<Arc<Node>, LivenessError> {
        let (id, lock, bell) = take_id(dir, options.group_access)?;
        let core = Arc::new(Core {
            id,
            dir: dir.clone(),
            bell,
            lock,
            stamp: ProcessStamp::current(),
            options,
            served: Mutex::new(Vec::new()),
            stop: AtomicBool::new(false),
            peers: Peers::default(),
            bits: [const { AtomicU32::new(0) }; BELL_BITS as usize],
        });
        // With the node's own names in place and locked, so that they are not taken for leftovers.
        let node = Node { core: Arc::clone(&core), thread: Mutex::new(None) };
        core.sweep();
        let thread = spawn_quiet("dds-shm".to_owned(), move || core.run())
            .map_err(|source| LivenessError::Thread { source })?;
        *lock_of(&node.thread) = Some(thread);
        Ok(Arc::new(node))
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.core.id
    }

    /// Its runtime dir.
    #[must_use]
    pub fn dir(&self) -> &RuntimeDir {
        &self.core.dir
    }

    /// Where threads of this process wait for samples.
    #[must_use]
    pub fn bell(&self) -> &Bell {
        &self.core.bell
    }

    /// The process it belongs to.
    #[must_use]
    pub fn stamp(&self) -> ProcessStamp {
        self.core.stamp
    }

    /// Refuses to go on in a forked child.
    ///
    /// # Errors
    ///
    /// [`LivenessError::Forked`].
    pub fn check_process(&self) -> Result<(), LivenessError> {
        if self.core.stamp.is_current() { Ok(()) } else { Err(LivenessError::Forked) }
    }

    /// Finds a node of user `uid`, in this runtime dir, in that user's default one, or by its bell. All
    /// who ask for the same one while it is in use share one descriptor.
    ///
    /// # Errors
    ///
    /// As for [`PeerNode::open`], and [`LivenessError::Forked`].
    pub fn peer(&self, id: NodeId, uid: u32) -> Result<Arc<PeerNode>, LivenessError> {
        self.check_process()?;
        self.core.peers.node(&self.core.dir, id, uid)
    }

    /// Opens the bell of a node of user `uid`. All who ask for the same one while it is in use share one
    /// mapping.
    ///
    /// # Errors
    ///
    /// As for [`RemoteBell::open`], and [`LivenessError::Forked`].
    pub fn peer_bell(&self, id: NodeId, uid: u32) -> Result<Arc<RemoteBell>, LivenessError> {
        self.check_process()?;
        self.core.peers.bell(id, uid)
    }

    /// Has the service thread look after something until it is dropped; it is served at once, for the
    /// first time.
    ///
    /// # Errors
    ///
    /// [`LivenessError::Forked`].
    pub fn register(&self, serviced: Weak<dyn Serviced>) -> Result<(), LivenessError> {
        self.check_process()?;
        lock_of(&self.core.served).push(serviced);
        self.core.bell.ring_service();
        Ok(())
    }

    /// Has everything served soon, for whoever in this process has something for the service thread,
    /// or begins to want ticks.
    pub fn kick(&self) {
        self.core.bell.ring_service();
    }

    /// A bit of the bell for a reader; shared with another only if there are more readers than bits.
    #[must_use]
    pub fn lease_bit(&self) -> BitLease {
        let users = |bit: &(usize, &AtomicU32)| bit.1.load(Ordering::Relaxed);
        // Not exact when two threads look at once: sharing a bit is no harm.
        let index =
            self.core.bits.iter().enumerate().min_by_key(users).map_or(0, |(index, _)| index);
        self.core.bits[index].fetch_add(1, Ordering::Relaxed);
        BitLease { core: Arc::downgrade(&self.core), bit: BellBit::new(index as u32) }
    }
}

/// A bit of a node's bell, in use until this is dropped.
#[derive(Debug)]
pub struct BitLease {
    core: Weak<Core>,
    bit: BellBit,
}

impl BitLease {
    /// The bit.
    #[must_use]
    pub fn bit(&self) -> BellBit {
        self.bit
    }
}

impl Drop for BitLease {
    fn drop(&mut self) {
        if let Some(core) = self.core.upgrade() {
            core.bits[usize::from(self.bit.get())].fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if !self.core.stamp.is_current() {
            // There is no such thread in this process.
            std::mem::forget(thread);
            return;
        }
        self.core.stop.store(true, Ordering::Release);
        self.core.bell.ring_service();
        if let Some(thread) = thread
            // It may be the service thread that drops us, at the end of a service.
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!(node = %self.core.id, "the service thread panicked");
        }
        self.core.retire();
    }
}

impl Core {
    /// The service thread.
    fn run(&self) {
        let mut next_tick = Instant::now() + TICK;
        let mut next_sweep = Instant::now() + SWEEP_EVERY;
        let mut wants_tick = false;
        loop {
            let wake_at = if wants_tick { next_tick.min(next_sweep) } else { next_sweep };
            let timeout = wake_at.saturating_duration_since(Instant::now());
            // Looking again before a sleep is serving everything: who rang before is served here,
            // who rings later wakes us.
            self.bell.sleep_for_service(timeout, || {
                if self.stop.load(Ordering::Acquire) {
                    return true;
                }
                let now = Instant::now();
                let why = if now >= next_tick { Serve::Tick } else { Serve::Rung };
                if why == Serve::Tick {
                    next_tick = now + TICK;
                }
                let wanted = wants_tick;
                wants_tick = self.serve_all(now, why);
                // Asked for while we looked: the timeout of this sleep does not know it yet.
                wants_tick && !wanted
            });
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            if Instant::now() >= next_sweep {
                self.sweep();
                next_sweep = Instant::now() + SWEEP_EVERY;
            }
        }
    }

    /// Serves everything that is registered; says whether something wants ticks.
    fn serve_all(&self, now: Instant, why: Serve) -> bool {
        // Not under the lock: what is served may register something.
        let alive: Vec<Arc<dyn Serviced>> = {
            let mut served = lock_of(&self.served);
            served.retain(|weak| weak.strong_count() > 0);
            served.iter().filter_map(Weak::upgrade).collect()
        };
        let mut wants_tick = false;
        for serviced in alive {
            let serve = AssertUnwindSafe(|| {
                serviced.serve(now, why);
                serviced.wants_tick()
            });
            match catch_unwind(serve) {
                Ok(wants) => wants_tick |= wants,
                // The others are still to be served.
                Err(_) => tracing::error!(node = %self.id, "a service panicked"),
            }
        }
        wants_tick
    }

    fn sweep(&self) {
        let Some(options) = &self.options.janitor else { return };
        match janitor::sweep(&self.dir, options) {
            Ok(report) => report.log(),
            Err(error) => tracing::warn!(%error, "cannot sweep"),
        }
    }

    /// Removes the names, unless objects remain that carry the node's id: those are the janitor's,
    /// which needs the names to attribute them.
    fn retire(&self) {
        let prefix = format!("{OBJECT_PREFIX}{}-", self.id);
        match object::list(&prefix) {
            Ok(rest) if rest.is_empty() => {
                remove_locked(self.bell.lock());
                remove_locked(&self.lock);
            }
            Ok(rest) => tracing::debug!(node = %self.id, ?rest, "left for adoption"),
            Err(error) => tracing::warn!(%error, node = %self.id, "names left for the janitor"),
        }
    }
}

/// A lock file and a bell under an id that nobody has.
fn take_id(dir: &RuntimeDir, group_access: bool) -> Result<(NodeId, OfdLock, Bell), LivenessError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let id = NodeId::random();
        let made = take(dir, id, group_access);
        match made {
            Ok((lock, bell)) => return Ok((id, lock, bell)),
            Err(LivenessError::Shm(ShmError::Exists { .. })) if attempt < ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
}

fn take(
    dir: &RuntimeDir,
    id: NodeId,
    group_access: bool,
) -> Result<(OfdLock, Bell), LivenessError> {
    let path = dir.node_file(id);
    // Readable for all, so that owners of segments anywhere can probe it; it holds nothing.
    let lock = OfdLock::create_file(&path, 0o644, |_| Ok(())).map_err(|error| match error {
        ShmError::Permission { uid, .. } => LivenessError::NotWritable {
            path: dir.nodes(),
            uid,
            source: nix::errno::Errno::EACCES.into(),
        },
        ShmError::ReadOnly { .. } => LivenessError::NotWritable {
            path: dir.nodes(),
            uid: nix::unistd::geteuid().as_raw(),
            source: nix::errno::Errno::EROFS.into(),
        },
        other => other.into(),
    })?;
    match Bell::create(id, dir, group_access) {
        Ok(bell) => Ok((lock, bell)),
        Err(error) => {
            remove_locked(&lock);
            Err(error)
        }
    }
}

/// Removes the name of a locked file, if it is still its name.
fn remove_locked(lock: &OfdLock) {
    crash_point!(("remove", lock.path()));
    if lock.is_linked()
        && let Err(error) = std::fs::remove_file(lock.path())
    {
        tracing::warn!(%error, path = ?lock.path(), "name left for the janitor");
    }
}

/// Starts a thread that leaves signals to the host's own threads.
///
/// # Errors
/// If the system has no thread for it.
pub fn spawn_quiet(
    name: String,
    body: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let mut blocked = SigSet::all();
    // Raised by what a thread does itself: blocked, they would end the process without a word.
    for own in [
        Signal::SIGBUS,
        Signal::SIGSEGV,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGTRAP,
        Signal::SIGSYS,
        Signal::SIGABRT,
    ] {
        blocked.remove(own);
    }
    // A thread starts with the mask of its maker.
    let before = blocked.thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let thread = thread::Builder::new().name(name).spawn(body);
    before.thread_set_mask()?;
    thread
}

/// What a panic left behind a lock is still whole: these hold lists and handles only.
fn lock_of<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
