//! Segments in POSIX shared memory: made by one process, attached to by others.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use md5::{Digest, Md5};
use nix::unistd::geteuid;

use super::adoption::take_over;
use super::backend::{Backend, HasBackend};
use super::geometry::{MAX_STRINGS, dat};
use super::identity::CTL_IDENTITY;
use super::memory::{SegmentMemory, read_start};
use super::owner::tagged;
use super::owner_link::OwnerLink;
use super::segment_owner::{Beginning, Home, SegmentOwner};
use super::slot_reader::{Attached, Follow};
use super::{
    FormatError, Identity, OwnerCore, OwnerState, ReaderIndex, ReaderOptions, SegmentOptions,
    SlotError, SlotReader, SlotWord, SlotWriter,
};
use crate::liveness::flink::{
    DURABLE_SUFFIX, FLINK_SUFFIX, create_flink, read_flink, remove_flink, replace_flink,
};
use crate::liveness::{LivenessError, Node, NodeId, SegmentName};
use crate::shm::{Access, FileId, MapOptions, Memory, SharedObject, ShmError, object};
use crate::sync::{Ordering, Words};
use crate::types::TypeHash;

/// A segment in POSIX shared memory, as its owner or as an attached consumer.
#[derive(Debug)]
pub struct PosixSlotAllocator {
    backend: Backend,
    paths: Paths,
}

/// Where a segment can be found.
#[derive(Clone, Debug)]
struct Paths {
    flink: PathBuf,
    segment: PathBuf,
}

impl PosixSlotAllocator {
    /// Makes the segment of a writer: two objects, sized and reserved, and the flink that names
    /// them, last.
    ///
    /// # Errors
    /// [`SlotError::Plan`] for options that make no segment, [`ShmError::NoSpace`] if shared memory
    /// is too small, [`SlotError::Exists`] if the flink names a segment whose owner lives. A segment
    /// whose owner is dead is replaced, or adopted if it is durable and was made alike.
    pub fn create(node: &Arc<Node>, options: &SegmentOptions) -> Result<Self, SlotError> {
        let flink = match (&options.flink, &options.durable_name) {
            (Some(path), _) => path.clone(),
            (None, Some(name)) => {
                let name = hex(Md5::digest(name.as_bytes()).as_slice());
                node.dir().segments().join(name + DURABLE_SUFFIX)
            }
            (None, None) => node.dir().segments().join(hex(&options.guid) + FLINK_SUFFIX),
        };
        match Self::create_new(node, options, &flink, None) {
            // Somebody has the path: the lock of the segment's owner decides.
            Err(SlotError::Exists { .. }) => take_over(node, options, &flink),
            created => created,
        }
    }

    /// Makes fresh objects, and the flink, or makes the flink name them instead of `replaced`.
    pub(crate) fn create_new(
        node: &Arc<Node>,
        options: &SegmentOptions,
        flink: &Path,
        replaced: Option<&SegmentName>,
    ) -> Result<Self, SlotError> {
        let identity = options.identity()?;
        let (mut files, memory) = SegmentFiles::make(node, options, &identity, flink)?;
        let memory = Arc::new(memory);
        memory.store_owner(node.id().get(), options.guid);
        let alive = tagged(0, OwnerState::Alive as u8);
        memory.store(SlotWord::OwnerState, alive, Ordering::Relaxed);
        memory.write_identity(&identity);
        files.publish(replaced)?;
        let geometry = identity.geometry;
        let core = OwnerCore::new(
            geometry.slot_count,
            geometry.reader_capacity as usize,
            options.history_depth() as usize,
        );
        let beginning = Beginning { core, last_sn: 0, epoch: 0 };
        Self::start(node, options, memory, identity, beginning, files)
    }

    /// The owner of a segment that is ready.
    pub(crate) fn start(
        node: &Arc<Node>,
        options: &SegmentOptions,
        memory: Arc<SegmentMemory>,
        identity: Identity,
        beginning: Beginning,
        files: SegmentFiles,
    ) -> Result<Self, SlotError> {
        let paths = Paths { flink: files.flink.clone(), segment: files.name.data().path() };
        let home =
            Home { files: Mutex::new(files), node: Arc::clone(node), options: options.clone() };
        let owner = SegmentOwner::new(memory, identity.clone(), beginning, options, Some(home));
        let owner = Arc::new(owner);
        let weak: Weak<SegmentOwner> = Arc::downgrade(&owner);
        node.register(weak)?;
        let backend = Backend::new(identity, Some(owner), None, Some(Arc::clone(node)));
        Ok(Self { backend, paths })
    }

    /// Attaches to the segment that `flink` names, without a reader yet.
    ///
    /// `expected`: the type hash of the samples wanted; `None` takes any.
    ///
    /// # Errors
    /// [`SlotError::Format`] for what is not a whole segment of this format,
    /// [`SlotError::TypeMismatch`], [`SlotError::WriterLost`] if its owner is dead,
    /// [`ShmError::Permission`], [`ShmError::NotFound`].
    pub fn attach(
        node: &Arc<Node>,
        flink: &Path,
        expected: Option<&ExpectedType>,
    ) -> Result<Self, SlotError> {
        let (attached, segment) = attach(node, flink, expected)?;
        let identity = attached.identity.clone();
        Ok(Self {
            backend: Backend::new(identity, None, Some(attached), Some(Arc::clone(node))),
            paths: Paths { flink: flink.to_owned(), segment },
        })
    }

    /// The file that names the segment; what discovery data carries.
    #[must_use]
    pub fn flink_path(&self) -> &Path {
        &self.paths.flink
    }

    /// The data object.
    #[must_use]
    pub fn segment_path(&self) -> &Path {
        &self.paths.segment
    }

    /// What the segment is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.backend.identity
    }

    /// Registers a reader that works by handles, for [`SlotBackend`](super::SlotBackend). The owner admits it soon.
    ///
    /// # Errors
    /// [`SlotError::ReaderTableFull`]; [`SlotError::NotOwner`] on the owner's side.
    pub fn add_reader(&self, options: &ReaderOptions) -> Result<ReaderIndex, SlotError> {
        self.backend.add_reader(options)
    }

    /// The writer handle of an owner: loans in place, the fast path.
    ///
    /// # Errors
    /// [`SlotError::NotOwner`] on an attached side.
    pub fn into_writer(self) -> Result<SlotWriter, SlotError> {
        let owner = self.backend.owner.clone().ok_or(SlotError::NotOwner)?;
        Ok(SlotWriter::new(owner))
    }

    /// Attaches one reader that takes in place.
    ///
    /// # Errors
    /// As [`Self::attach`]; [`SlotError::ReaderTableFull`].
    pub fn open_reader(
        node: &Arc<Node>,
        flink: &Path,
        expected: Option<&ExpectedType>,
        options: ReaderOptions,
    ) -> Result<SlotReader, SlotError> {
        let (attached, _) = attach(node, flink, expected)?;
        let follow = FollowFlink {
            node: Arc::clone(node),
            flink: flink.to_owned(),
            type_hash: attached.identity.type_hash,
        };
        SlotReader::join(attached, options, Some(Arc::clone(node)), Some(Box::new(follow)))
    }
}

/// The type a reader wants to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedType {
    /// Its hash: what decides.
    pub hash: TypeHash,
    /// Its canonical layout string: for who has to find out why they differ.
    pub layout: String,
}

impl ExpectedType {
    /// What `T` is.
    #[must_use]
    pub fn of<T: crate::types::FlatStruct>() -> Self {
        Self { hash: T::type_hash(), layout: T::layout_string() }
    }
}

/// Opens, maps and checks the objects that `flink` names.
fn attach(
    node: &Arc<Node>,
    flink: &Path,
    expected: Option<&ExpectedType>,
) -> Result<(Attached, PathBuf), SlotError> {
    let name = read_flink(flink)?;
    let dat = SharedObject::open(&name.data(), Access::ReadOnly)?;
    let ctl = SharedObject::open(&name.control(), Access::ReadWrite)?;
    let uid = dat.info()?.uid;
    let (identity, memory) = map_checked(&dat, &ctl, MapOptions::default())?;
    if let Some(expected) = expected
        && expected.hash != identity.type_hash
    {
        return Err(SlotError::TypeMismatch {
            expected: expected.hash,
            found: identity.type_hash,
            expected_layout: expected.layout.clone(),
            found_layout: identity.layout,
        });
    }
    let owner = NodeId::new(memory.load_owner().0)
        .and_then(|id| OwnerLink::open(node, id, uid))
        .filter(OwnerLink::is_alive)
        .ok_or(SlotError::WriterLost)?;
    let same_user = uid == geteuid().as_raw();
    let segment = dat.name().path();
    let memory = Arc::new(memory);
    let (owner, local) = (Some(owner), Weak::new());
    Ok((Attached { memory, identity, owner, local, same_user }, segment))
}

/// Maps both objects of a segment and checks that they are one.
pub(crate) fn map_checked(
    dat: &SharedObject,
    ctl: &SharedObject,
    options: MapOptions,
) -> Result<(Identity, SegmentMemory), SlotError> {
    let dat = Memory::map(dat, options)?;
    let ctl = Memory::map(ctl, options)?;
    let start = read_start(&dat, dat::STRINGS + MAX_STRINGS);
    let identity = Identity::decode_dat(&start, dat.len() as u64)?;
    let line: [u8; CTL_IDENTITY] = read_start(&ctl, CTL_IDENTITY).try_into().map_err(|_| {
        FormatError::Truncated { expected: identity.geometry.ctl_len(), found: ctl.len() as u64 }
    })?;
    identity.check_ctl(&line, ctl.len() as u64)?;
    let too_short =
        FormatError::Truncated { expected: identity.geometry.dat_len(), found: dat.len() as u64 };
    let memory = SegmentMemory::new(dat, ctl, identity.geometry).ok_or(too_short)?;
    Ok((identity, memory))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The names of a segment in the file system; taken back when its owner goes.
#[derive(Debug)]
pub(crate) struct SegmentFiles {
    pub(crate) name: SegmentName,
    /// Which objects the names led to when they were made.
    pub(crate) ids: [FileId; 2],
    pub(crate) flink: PathBuf,
    /// Names stay for who adopts the segment.
    pub(crate) durable: bool,
    pub(crate) published: bool,
}

impl SegmentFiles {
    pub(super) fn make(
        node: &Node,
        options: &SegmentOptions,
        identity: &Identity,
        flink: &Path,
    ) -> Result<(Self, SegmentMemory), SlotError> {
        let geometry = identity.geometry;
        let name = SegmentName::random(node.id());
        let (dat_mode, ctl_mode) = (options.sharing.dat_mode(), options.sharing.ctl_mode());
        let dat = SharedObject::create(&name.data(), geometry.dat_len(), dat_mode)?;
        let ctl = match SharedObject::create(&name.control(), geometry.ctl_len(), ctl_mode) {
            Ok(ctl) => ctl,
            Err(error) => {
                dat.unlink_if_same()?;
                return Err(error.into());
            }
        };
        let durable = options.durable_name.is_some();
        let flink = flink.to_owned();
        let ids = [dat.info()?.id, ctl.info()?.id];
        let files = Self { name, ids, flink, durable, published: false };
        let how = MapOptions { populate_up_to: options.populate_up_to };
        let dat = Memory::map(&dat, how)?;
        let ctl = Memory::map(&ctl, how)?;
        let memory = SegmentMemory::new(dat, ctl, geometry);
        let memory = memory.ok_or(FormatError::Geometry { geometry })?;
        Ok((files, memory))
    }

    /// Gives the segment its public name.
    pub(super) fn publish(&mut self, replaced: Option<&SegmentName>) -> Result<(), SlotError> {
        let named = match replaced {
            None => create_flink(&self.flink, 0o644, &self.name),
            Some(old) => replace_flink(&self.flink, 0o644, old, &self.name),
        };
        match named {
            Err(LivenessError::Shm(ShmError::Exists { .. })) => {
                return Err(SlotError::Exists { path: self.flink.clone() });
            }
            result => result?,
        }
        self.published = true;
        Ok(())
    }
}

impl Drop for SegmentFiles {
    /// Takes the names back, unless they stay for who adopts the segment.
    fn drop(&mut self) {
        if self.published && self.durable {
            return;
        }
        let flink = if self.published { remove_flink(&self.flink, &self.name) } else { Ok(()) };
        let names = [self.name.data(), self.name.control()];
        let objects = names.iter().zip(self.ids).map(|(name, id)| object::unlink_if(name, id));
        for error in
            objects.into_iter().filter_map(Result::err).map(LivenessError::from).chain(flink.err())
        {
            // Nobody is there to tell; the janitor takes what stays.
            tracing::warn!(%error, "segment not removed");
        }
    }
}

/// Follows a writer to its next incarnation by the same flink.
#[derive(Debug)]
struct FollowFlink {
    node: Arc<Node>,
    flink: PathBuf,
    type_hash: TypeHash,
}

impl Follow for FollowFlink {
    fn follow(&self) -> Result<Attached, SlotError> {
        let (attached, _) = attach(&self.node, &self.flink, None)?;
        if attached.identity.type_hash == self.type_hash {
            Ok(attached)
        } else {
            Err(SlotError::TypeMismatch {
                expected: self.type_hash,
                found: attached.identity.type_hash,
                expected_layout: String::new(),
                found_layout: attached.identity.layout,
            })
        }
    }
}

impl HasBackend for PosixSlotAllocator {
    fn backend(&self) -> &Backend {
        &self.backend
    }
}
