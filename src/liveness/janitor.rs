//! Removing what the dead left behind.
//!
//! Everything carries the id of the node it belongs to, in its name (objects, lock files) or in its
//! contents (flinks; what a [`Sweeper`] looks after). A node is dead when neither its lock file nor its bell is
//! locked. Removing a name does not take the memory from those who have it mapped.
//!
//! *Several runtime dirs of one user* share `/dev/shm`. A node's bell is found from any of them and
//! says by its lock whether the node is alive, and by its contents which dir it belongs to. A dead
//! node is swept from its own dir, where its flinks say whether it is to be adopted; from another
//! only when its own is gone. A node of which there is neither lock file nor bell cannot be judged:
//! what carries its id is left alone, unless one says otherwise ([`SweepOptions::unattributed`]).
//! For that never to happen by itself, a node makes lock file and bell before anything else, and the
//! janitor removes them after everything else.
//!
//! *Durable segments* are those that a flink in the runtime dir with the suffix
//! [`DURABLE_SUFFIX`] names. They stay for the adoption grace, counted
//! from when a janitor first found the node dead: it then leaves a mark, `nodes/<id>.dead`.
//!
//! *Adoption* and the janitor exclude each other by [`recovery_lock`]. An adopted segment gets names
//! with the id of its new owner (new names first, then the flink, then the old names go), so that
//! names stay true.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::unistd::geteuid;

use super::bell;
use super::flink::{self, DURABLE_SUFFIX, FLINK_SUFFIX};
use super::names::{OBJECT_PREFIX, ObjectKind};
use super::{LivenessError, NodeId, RuntimeDir, SegmentName};
use crate::shm::object::{self, ObjectInfo, ObjectName};
use crate::shm::{
    self, Access, FileId, LockState, OfdLock, SHM_DIR, SharedObject, ShmError, TEMP_PREFIX,
};

/// How the name of the mark ends that a janitor leaves when it finds a node dead.
const DEAD_SUFFIX: &str = ".dead";

/// A temporary file this old has nobody who is still at it.
const TEMP_AGE: Duration = Duration::from_secs(60);

/// How a sweep is done.
#[derive(Clone)]
pub struct SweepOptions {
    /// Whether to remove things, or only to say what would be removed. Default: only to say.
    pub remove: bool,
    /// How long a durable segment stays after its owner's death. Default 60 s.
    pub adoption_grace: Duration,
    /// Whether to remove objects of nodes of which nothing else is left, too. They may belong to a
    /// living node whose lock file and bell somebody has removed by hand. Default: no.
    pub unattributed: bool,
    /// Looks after things that only others can attribute.
    pub helpers: Vec<Arc<dyn Sweeper>>,
}

impl Default for SweepOptions {
    fn default() -> SweepOptions {
        SweepOptions {
            remove: false,
            adoption_grace: Duration::from_secs(60),
            unattributed: false,
            helpers: Vec::new(),
        }
    }
}

impl std::fmt::Debug for SweepOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SweepOptions")
            .field("remove", &self.remove)
            .field("adoption_grace", &self.adoption_grace)
            .field("unattributed", &self.unattributed)
            .field("helpers", &self.helpers.len())
            .finish()
    }
}

/// Sweeps what does not carry a node id where the janitor looks for it: the registry, whose format this
/// room does not know.
pub trait Sweeper: Send + Sync {
    /// Looks for things of dead nodes and, if `remove`, removes them; returns what it found.
    ///
    /// `is_gone` is true for a node that is proved dead, or of which there is neither lock file nor bell:
    /// for what is only good for finding a living node.
    fn sweep(
        &self,
        dir: &RuntimeDir,
        is_gone: &dyn Fn(NodeId) -> bool,
        remove: bool,
    ) -> Vec<Finding>;
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FoundKind {
    /// A node's lock file.
    Node,
    /// A node's bell.
    Bell,
    /// A segment's control object.
    Control,
    /// A segment's data object.
    Data,
    /// A segment of ZeroDDS's format that this library made.
    Zds2,
    /// A sample that was larger than a slot.
    Outsize,
    /// A flink.
    Flink,
    /// An entry of the registry.
    Registry,
    /// A file that was being made, or a mark of the janitor.
    Temporary,
}

/// Why something stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Its node is alive.
    Alive,
    /// It is durable; its node has died, and the time for adoption is not over.
    Adoption {
        /// What is left of it.
        left: Duration,
    },
    /// Its node has died, and belongs to this other runtime dir.
    OtherDir(PathBuf),
    /// It is not known whose it is.
    Unattributed,
    /// It belongs to another user.
    OtherUser(u32),
    /// Something of the same node, or of the same segment, stays.
    Needed,
    /// Somebody may still be making it, or is changing it right now.
    Busy,
}

/// What was done, or is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Keep(Keep),
    /// It would be removed.
    Removable,
    /// It was removed.
    Removed,
    /// It should have been removed, but that failed.
    Failed(String),
}

/// One thing and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: FoundKind,
    /// Where it is.
    pub path: PathBuf,
    /// Whose it is, if it says so.
    pub node: Option<NodeId>,
    /// How many bytes of memory it has.
    pub bytes: u64,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// All that a sweep found, the things that stay included.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order in which things were looked at.
    pub findings: Vec<Finding>,
}

impl Report {
    /// What was removed, or would be.
    pub fn removed(&self) -> impl Iterator<Item = &Finding> {
        let removed =
            |finding: &&Finding| matches!(finding.verdict, Verdict::Removable | Verdict::Removed);
        self.findings.iter().filter(removed)
    }

    /// Tells the log.
    pub(crate) fn log(&self) {
        for Finding { kind, path, bytes, verdict, .. } in &self.findings {
            match verdict {
                Verdict::Removed => {
                    tracing::info!(?path, ?kind, bytes, "removed what a dead node left")
                }
                Verdict::Failed(why) => tracing::warn!(?path, ?kind, %why, "cannot remove"),
                Verdict::Keep(why) => tracing::trace!(?path, ?kind, ?why, "stays"),
                Verdict::Removable => {}
            }
        }
    }
}

/// Takes the lock that adoption and the janitor exclude each other by: the one on the segment's control
/// object. `None` if somebody else has it, or if the segment no longer has this name.
///
/// Who adopts proves the owner dead under it. (A janitor need not look again: death is final, and no
/// id is used twice.)
///
/// # Errors
///
/// What the system says.
pub fn recovery_lock(segment: &SegmentName) -> Result<Option<OfdLock>, LivenessError> {
    let name = segment.control();
    let object = match SharedObject::open(&name, Access::ReadWrite) {
        Err(ShmError::NotFound { .. }) => return Ok(None),
        other => other?,
    };
    let lock = OfdLock::try_lock(object.into_fd().into(), &name.path())?;
    // An adopter that had the lock before us may have given the segment another name.
    Ok(lock.filter(OfdLock::is_linked))
}

/// What is known of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Alive,
    /// Dead, and ours to sweep.
    Dead,
    /// Dead, and another dir's to sweep.
    OtherDir(PathBuf),
    /// Neither lock file nor bell.
    NoTrace,
    /// There is something, but it could not be looked into.
    Unclear,
}

struct Sweep<'a> {
    dir: &'a RuntimeDir,
    options: &'a SweepOptions,
    uid: u32,
    states: HashMap<NodeId, State>,
    /// When dead nodes were first found dead.
    deaths: HashMap<NodeId, SystemTime>,
    /// Nodes of which something stays.
    needed: BTreeSet<NodeId>,
    report: Report,
}

/// Looks through `/dev/shm` and a runtime dir of the calling user for what dead nodes left, and removes
/// it if the options say so.
///
/// Any number of sweeps may run at once, also of several runtime dirs.
///
/// # Errors
///
/// What the system says when `/dev/shm` or the runtime dir cannot be listed. What goes wrong with
/// single things is in the report.
pub fn sweep(dir: &RuntimeDir, options: &SweepOptions) -> Result<Report, LivenessError> {
    let mut sweep = Sweep {
        dir,
        options,
        uid: geteuid().as_raw(),
        states: HashMap::new(),
        deaths: HashMap::new(),
        needed: BTreeSet::new(),
        report: Report::default(),
    };
    let flinks = sweep.list_flinks()?;
    sweep.segments()?;
    sweep.flinks(flinks);
    sweep.help();
    sweep.nodes()?;
    sweep.temporary_files();
    Ok(sweep.report)
}

impl Sweep<'_> {
    /// Finds out what is known of a node, once per sweep.
    fn state(&mut self, node: NodeId) -> State {
        if let Some(state) = self.states.get(&node) {
            return state.clone();
        }
        let state = self.find_state(node);
        self.states.insert(node, state.clone());
        state
    }

    fn find_state(&self, node: NodeId) -> State {
        let path = self.dir.node_file(node);
        let lock_file = match shm::open_regular(&path, false) {
            Ok(file) => match LockState::of(&file, &path) {
                Ok(LockState::Held) => return State::Alive,
                Ok(LockState::Free) => true,
                Err(_) => return State::Unclear,
            },
            Err(ShmError::NotFound { .. }) => false,
            Err(_) => return State::Unclear,
        };
        match bell::inspect(node) {
            Ok((LockState::Held, ..)) => State::Alive,
            // Dead. Its lock file is here, or its runtime dir was this one when it started.
            Ok((LockState::Free, ..)) if lock_file => State::Dead,
            Ok((LockState::Free, identity, _)) if identity.dir == self.dir.id() => State::Dead,
            Ok((LockState::Free, identity, _)) if bell::home_is_there(&identity) => {
                State::OtherDir(identity.dir_path)
            }
            // Nobody else is left to do it.
            Ok((LockState::Free, ..)) => State::Dead,
            // The lock file alone is proof; the bell was only asked in case that it is a copy.
            Err(_) if lock_file => State::Dead,
            Err(LivenessError::Shm(ShmError::NotFound { .. })) => State::NoTrace,
            Err(error) => {
                tracing::debug!(%error, %node, "cannot look into the bell");
                State::Unclear
            }
        }
    }

    /// What becomes of something of this node that is not durable: `Ok` if it can go.
    fn may_go(&mut self, node: NodeId) -> Result<(), Keep> {
        match self.state(node) {
            State::Alive => Err(Keep::Alive),
            State::Dead => Ok(()),
            State::OtherDir(path) => Err(Keep::OtherDir(path)),
            State::NoTrace if self.options.unattributed => Ok(()),
            State::NoTrace | State::Unclear => Err(Keep::Unattributed),
        }
    }

    /// Whether a dead node's segment can go, if it is durable. Asked when the node is known to be dead, and
    /// answered by the flinks of this moment: it may have adopted the segment since the sweep began.
    fn may_go_for_good(&mut self, segment: &SegmentName) -> Result<(), Keep> {
        let names_it = |(path, named): &(PathBuf, SegmentName)| {
            named == segment && path.to_string_lossy().ends_with(DURABLE_SUFFIX)
        };
        match self.list_flinks() {
            Ok(flinks) if !flinks.iter().any(names_it) => return Ok(()),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, %segment, "cannot tell whether it is durable"),
        }
        let node = segment.node;
        let grace = self.options.adoption_grace;
        let age = SystemTime::now().duration_since(self.death(node)).unwrap_or(Duration::ZERO);
        match grace.checked_sub(age) {
            Some(left) if !left.is_zero() => Err(Keep::Adoption { left }),
            _ => Ok(()),
        }
    }

    /// When a dead node was first found dead: the time of the mark, which is made now if there is none
    /// and things may be changed.
    fn death(&mut self, node: NodeId) -> SystemTime {
        if let Some(death) = self.deaths.get(&node) {
            return *death;
        }
        let now = SystemTime::now();
        let path = self.mark(node);
        if self.options.remove {
            match shm::publish_new(&path, 0o644, b"") {
                Ok(()) | Err(ShmError::Exists { .. }) => {}
                Err(error) => tracing::warn!(%error, %node, "cannot note the time of death"),
            }
        }
        let noted = fs::symlink_metadata(&path).and_then(|meta| meta.modified()).unwrap_or(now);
        let death = if noted <= now {
            noted
        } else {
            // The clock was set back since: count from now, or the grace would last until the clock
            // has caught up.
            if self.options.remove
                && let Err(error) = fs::File::open(&path).and_then(|mark| mark.set_modified(now))
            {
                tracing::warn!(%error, %node, "cannot correct the time of death");
            }
            now
        };
        self.deaths.insert(node, death);
        death
    }

    fn mark(&self, node: NodeId) -> PathBuf {
        self.dir.nodes().join(format!("{node}{DEAD_SUFFIX}"))
    }

    fn found(
        &mut self,
        kind: FoundKind,
        path: PathBuf,
        node: Option<NodeId>,
        bytes: u64,
        verdict: Verdict,
    ) {
        if let (Verdict::Keep(_) | Verdict::Failed(_), Some(node)) = (&verdict, node) {
            self.needed.insert(node);
        }
        self.report.findings.push(Finding { kind, path, node, bytes, verdict });
    }

    /// Removes something, or says that it would.
    fn remove(&self, how: impl FnOnce() -> Result<bool, LivenessError>) -> Verdict {
        if !self.options.remove {
            return Verdict::Removable;
        }
        match how() {
            Ok(true) => Verdict::Removed,
            // It has another meaning by now, or somebody is at it.
            Ok(false) => Verdict::Keep(Keep::Busy),
            Err(error) => Verdict::Failed(error.to_string()),
        }
    }

    /// Flinks in the runtime dir that name a segment.
    fn list_flinks(&self) -> Result<Vec<(PathBuf, SegmentName)>, LivenessError> {
        let mut flinks = Vec::new();
        for (path, name, _) in list_dir(&self.dir.segments())? {
            if name.ends_with(FLINK_SUFFIX)
                && let Ok(target) = flink::FlinkTarget::read(&path)
                && let Some(segment) = target.segment()
            {
                flinks.push((path, segment));
            }
        }
        Ok(flinks)
    }

    fn segments(&mut self) -> Result<(), LivenessError> {
        let mut segments: BTreeMap<SegmentName, Vec<(FoundKind, ObjectInfo)>> = BTreeMap::new();
        for name in object::list(OBJECT_PREFIX)? {
            let (kind, segment) = match ObjectKind::of(&name) {
                Some(ObjectKind::Control(segment)) => (FoundKind::Control, segment),
                Some(ObjectKind::Data(segment)) => (FoundKind::Data, segment),
                Some(ObjectKind::Zds2(segment)) => (FoundKind::Zds2, segment),
                Some(ObjectKind::Outsize(name)) => (FoundKind::Outsize, name),
                Some(ObjectKind::Bell(_)) | None => continue,
            };
            // What is gone by now, or is a symbolic link, is nothing of ours.
            if let Ok(Some(info)) = object::stat(&name) {
                segments.entry(segment).or_default().push((kind, info));
            }
        }
        for (segment, objects) in segments {
            self.segment(segment, &objects);
        }
        Ok(())
    }

    fn segment(&mut self, segment: SegmentName, objects: &[(FoundKind, ObjectInfo)]) {
        let node = segment.node;
        let others = objects.iter().map(|(_, info)| info.uid).find(|uid| *uid != self.uid);
        let may_go = match others {
            Some(uid) => Err(Keep::OtherUser(uid)),
            None => self.may_go(node).and_then(|()| self.may_go_for_good(&segment)),
        };
        let mut busy = false;
        // Held over both objects. One that was never finished may have no control object: then
        // nobody can adopt it either.
        let _lock = if may_go.is_ok() && self.options.remove {
            let lock = recovery_lock(&segment);
            let has_control = objects.iter().any(|(kind, _)| *kind == FoundKind::Control);
            busy = has_control && !matches!(lock, Ok(Some(_)));
            lock.ok().flatten()
        } else {
            None
        };
        for (kind, info) in objects {
            let name = match kind {
                FoundKind::Control => segment.control(),
                FoundKind::Zds2 => segment.zds2(),
                FoundKind::Outsize => segment.outsize(),
                _ => segment.data(),
            };
            let verdict = match &may_go {
                Err(keep) => Verdict::Keep(keep.clone()),
                Ok(()) if busy => Verdict::Keep(Keep::Busy),
                Ok(()) => self.remove(|| Ok(object::unlink_if(&name, info.id)?)),
            };
            self.found(*kind, name.path(), Some(node), info.len, verdict);
        }
    }

    /// After the segments: a flink goes when its segment is gone.
    fn flinks(&mut self, flinks: Vec<(PathBuf, SegmentName)>) {
        for (path, segment) in flinks {
            let node = segment.node;
            let is_there = |found: &Finding| {
                matches!(found.kind, FoundKind::Control | FoundKind::Zds2)
                    && [segment.control().path(), segment.zds2().path()].contains(&found.path)
                    && matches!(found.verdict, Verdict::Keep(_))
            };
            let stays = self.report.findings.iter().find(|found| is_there(found));
            let verdict = match (stays.map(|found| found.verdict.clone()), self.state(node)) {
                (Some(Verdict::Keep(keep)), _) => Verdict::Keep(keep),
                // Its objects may be in a `/dev/shm` that we do not see.
                (_, State::Alive) => Verdict::Keep(Keep::Alive),
                (_, State::Unclear) => Verdict::Keep(Keep::Unattributed),
                (_, State::Dead | State::OtherDir(_) | State::NoTrace) => {
                    self.remove(|| match flink::remove_flink(&path, &segment) {
                        Ok(()) => Ok(true),
                        Err(LivenessError::FlinkChanged { .. }) => Ok(false),
                        Err(error) => Err(error),
                    })
                }
            };
            self.found(FoundKind::Flink, path, Some(node), 0, verdict);
        }
    }

    fn help(&mut self) {
        let (dir, options) = (self.dir, self.options);
        for helper in &options.helpers {
            let this = RefCell::new(&mut *self);
            let is_gone = |node| {
                let state = this.borrow_mut().state(node);
                matches!(state, State::Dead | State::OtherDir(_) | State::NoTrace)
            };
            for found in helper.sweep(dir, &is_gone, options.remove) {
                self.found(found.kind, found.path, found.node, found.bytes, found.verdict);
            }
        }
    }

    /// Last: the bells and the lock files by which everything else is attributed, the bell first.
    fn nodes(&mut self) -> Result<(), LivenessError> {
        for name in object::list(OBJECT_PREFIX)? {
            let Some(ObjectKind::Bell(node)) = ObjectKind::of(&name) else { continue };
            let Ok(Some(info)) = object::stat(&name) else { continue };
            let verdict = if info.uid == self.uid {
                self.last(node, || Ok(object::unlink_if(&name, info.id)?))
            } else {
                Verdict::Keep(Keep::OtherUser(info.uid))
            };
            self.found(FoundKind::Bell, name.path(), Some(node), info.len, verdict);
        }
        let mut marks = Vec::new();
        for (path, name, meta) in list_dir(&self.dir.nodes())? {
            if let Ok(node) = name.parse::<NodeId>() {
                let verdict = self.last(node, || remove_same(&path, &meta));
                self.found(FoundKind::Node, path, Some(node), 0, verdict);
            } else if let Some(node) = name.strip_suffix(DEAD_SUFFIX).and_then(|id| id.parse().ok())
            {
                marks.push((path, node, meta));
            }
        }
        for (path, node, meta) in marks {
            // Of no use when nothing of the node is left.
            let verdict = if self.needed.contains(&node) {
                Verdict::Keep(Keep::Needed)
            } else {
                self.remove(|| remove_same(&path, &meta))
            };
            self.found(FoundKind::Temporary, path, Some(node), 0, verdict);
        }
        Ok(())
    }

    /// Something that goes after everything else of the node.
    fn last(&mut self, node: NodeId, how: impl FnOnce() -> Result<bool, LivenessError>) -> Verdict {
        match self.may_go(node) {
            Err(keep) => Verdict::Keep(keep),
            Ok(()) if self.needed.contains(&node) => Verdict::Keep(Keep::Needed),
            Ok(()) => match self.has_more(node) {
                Ok(false) => self.remove(how),
                Ok(true) => {
                    self.needed.insert(node);
                    Verdict::Keep(Keep::Needed)
                }
                Err(error) => Verdict::Failed(error.to_string()),
            },
        }
    }

    /// Whether a dead node has objects that this sweep has not come by: made after it had looked for
    /// them, by a node that has died since. Now that it is dead there will be no more.
    fn has_more(&self, node: NodeId) -> Result<bool, LivenessError> {
        let left = object::list(&format!("{OBJECT_PREFIX}{node}-"))?;
        let is_known = |name: &ObjectName| {
            self.report.removed().any(|found| found.node == Some(node) && found.path == name.path())
        };
        Ok(!left.iter().all(is_known))
    }

    /// What somebody died over making, where unnamed files cannot be had.
    fn temporary_files(&mut self) {
        let dirs = [
            PathBuf::from(SHM_DIR),
            self.dir.path().to_path_buf(),
            self.dir.nodes(),
            self.dir.segments(),
            self.dir.registry(),
        ];
        for (path, name, meta) in dirs.iter().filter_map(|dir| list_dir(dir).ok()).flatten() {
            if !name.starts_with(TEMP_PREFIX) || !meta.is_file() || meta.uid() != self.uid {
                continue;
            }
            let age = meta.modified().ok().and_then(|made| made.elapsed().ok());
            let verdict = if age.is_some_and(|age| age >= TEMP_AGE) {
                self.remove(|| remove_same(&path, &meta))
            } else {
                Verdict::Keep(Keep::Busy)
            };
            self.found(FoundKind::Temporary, path, None, meta.len(), verdict);
        }
    }
}

/// The entries of a directory, with what each name leads to.
fn list_dir(dir: &Path) -> Result<Vec<(PathBuf, String, Metadata)>, LivenessError> {
    let failed = |error| ShmError::from_io("list", dir, error);
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, name) = (entry.path(), entry.file_name());
        // What is gone by now is no loss, and no name of ours is other than ASCII.
        if let (Ok(name), Ok(meta)) = (name.into_string(), fs::symlink_metadata(&path)) {
            entries.push((path, name, meta));
        }
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(entries)
}

/// Removes a file if the name still leads to the one that was looked at.
fn remove_same(path: &Path, looked_at: &Metadata) -> Result<bool, LivenessError> {
    let id = |meta: &Metadata| FileId { device: meta.dev(), inode: meta.ino() };
    crash_point!(("remove", path));
    match fs::symlink_metadata(path) {
        Ok(now) if id(&now) == id(looked_at) => match fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(ShmError::from_io("remove", path, error).into()),
        },
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(ShmError::from_io("stat", path, error).into()),
    }
}
