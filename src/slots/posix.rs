//! Segments in POSIX shared memory: made by one process, attached to by others.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use md5::{Digest, Md5};
use nix::unistd::geteuid;

use super::adoption::take_over;
use super::backend::{Backend, HasBackend};
use super::identity_words::read_identity;
use super::memory::{Openings, SegmentMemory};
use super::owner::tagged;
use super::owner_link::OwnerLink;
use super::segment_owner::{Beginning, Home, SegmentOwner};
use super::slot_reader::{Attached, Follow};
use super::zds2::{self, Zds2Backend};
use super::{
    FormatError, Identity, OwnerHandle, OwnerState, ReaderIndex, ReaderOptions, SegmentOptions,
    SlotBackend, SlotError, SlotReader, SlotWord, SlotWriter,
};
use crate::liveness::flink::{
    DURABLE_SUFFIX, FLINK_SUFFIX, FlinkTarget, create_flink, read_flink, remove_flink,
    replace_flink,
};
use crate::liveness::{LivenessError, Node, NodeId, SegmentName};
use crate::shm::{Access, FileId, MapOptions, Memory, SharedObject, ShmError, object};
use crate::sync::{Ordering, Words};
use crate::types::{SegmentFormat, TypeHash};

/// A segment in POSIX shared memory, as its owner or as an attached consumer.
///
/// Format 1, or ZDS2 ([`SegmentOptions::format`]; an attached one has the format it has). What ZDS2
/// cannot do safely is [`SlotError::Unsupported`].
#[derive(Debug)]
pub struct PosixSlotAllocator {
    side: Side,
    paths: Paths,
}

#[derive(Debug)]
enum Side {
    V1(Box<Backend>),
    Zds2(Box<Zds2Backend>),
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
    /// [`SlotError::Unsupported`] for what the format cannot do.
    pub fn create(node: &Arc<Node>, options: &SegmentOptions) -> Result<Self, SlotError> {
        let flink = match (&options.flink, &options.durable_name) {
            (Some(path), _) => path.clone(),
            (None, Some(name)) => {
                let name = hex(Md5::digest(name.as_bytes()).as_slice());
                node.dir().segments().join(name + DURABLE_SUFFIX)
            }
            (None, None) => node.dir().segments().join(hex(&options.guid) + FLINK_SUFFIX),
        };
        match options.format {
            SegmentFormat::V1 => {}
            SegmentFormat::ZDS2 => {
                let (backend, segment) = zds2::create(node, options, &flink)?;
                let paths = Paths { flink, segment };
                return Ok(Self { side: Side::Zds2(Box::new(backend)), paths });
            }
            format => {
                let (what, instead) =
                    ("be made by this release", "update dds-shm, or use format 1");
                return Err(SlotError::Unsupported { format, what, instead });
            }
        }
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
        let core = options.owner_core(&geometry);
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
        let home = Home {
            files: Mutex::new(Some(files)),
            node: Arc::clone(node),
            options: options.clone(),
        };
        let owner = SegmentOwner::new(memory, identity.clone(), beginning, options, Some(home));
        let owner = Arc::new(owner);
        let weak: Weak<SegmentOwner> = Arc::downgrade(&owner);
        node.register(weak)?;
        let backend = Backend::new(identity, Some(owner), None, Some(Arc::clone(node)));
        Ok(Self { side: Side::V1(Box::new(backend)), paths })
    }

    /// Attaches to the segment that `flink` names, without a reader yet.
    ///
    /// `expected`: the type hash of the samples wanted; `None` takes any. A ZDS2 segment does not say
    /// what its samples are, so only `None` will do there: compare the types by other means first.
    ///
    /// # Errors
    /// [`SlotError::Format`] for what is not a whole segment of a known format,
    /// [`SlotError::TypeMismatch`], [`SlotError::WriterLost`] if its owner is dead,
    /// [`ShmError::Permission`], [`ShmError::NotFound`].
    pub fn attach(
        node: &Arc<Node>,
        flink: &Path,
        expected: Option<&ExpectedType>,
    ) -> Result<Self, SlotError> {
        let paths = |segment| Paths { flink: flink.to_owned(), segment };
        if let FlinkTarget::Zds2(object) = FlinkTarget::read(flink)? {
            if expected.is_some() {
                return Err(zds2(
                    "say what type its samples have",
                    "compare the types that discovery announces, and attach without an expected one",
                ));
            }
            let backend = zds2::attach(node, &object)?;
            let side = Side::Zds2(Box::new(backend));
            return Ok(Self { side, paths: paths(object.path()) });
        }
        let (attached, segment) = attach(node, flink, expected)?;
        let identity = attached.identity.clone();
        let backend = Backend::new(identity, None, Some(attached), Some(Arc::clone(node)));
        Ok(Self { side: Side::V1(Box::new(backend)), paths: paths(segment) })
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

    /// What the segment is. Of one that ZeroDDS made only the geometry is known.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        match &self.side {
            Side::V1(backend) => &backend.identity,
            Side::Zds2(backend) => &backend.identity,
        }
    }

    /// Its format.
    #[must_use]
    pub fn format(&self) -> SegmentFormat {
        match &self.side {
            Side::V1(_) => SegmentFormat::V1,
            Side::Zds2(_) => SegmentFormat::ZDS2,
        }
    }

    /// Registers a reader that works by handles, for [`SlotBackend`](super::SlotBackend). The owner admits it soon.
    ///
    /// # Errors
    /// [`SlotError::ReaderTableFull`]; [`SlotError::NotOwner`] on the owner's side;
    /// [`SlotError::Unsupported`] for ZDS2.
    pub fn add_reader(&self, options: &ReaderOptions) -> Result<ReaderIndex, SlotError> {
        match &self.side {
            Side::V1(backend) => backend.add_reader(options),
            Side::Zds2(_) => Err(zds2(
                "give a reader its index",
                "agree on one with the writer, and use add_reader_as on both sides",
            )),
        }
    }

    /// Registers a reader of a ZDS2 segment under the index, below 32, that both sides agreed on. The
    /// owner waits for it from now on; on the other side it reads. An owner that is ZeroDDS's names it
    /// in its mask of active readers.
    ///
    /// # Errors
    /// [`SlotError::WrongReader`]; [`SlotError::Unsupported`] for format 1, where the owner gives the
    /// index.
    pub fn add_reader_as(&self, reader: ReaderIndex) -> Result<(), SlotError> {
        match &self.side {
            Side::Zds2(backend) => backend.add_reader_as(reader),
            Side::V1(_) => Err(SlotError::Unsupported {
                format: SegmentFormat::V1,
                what: "take a reader at an index of its choice",
                instead: "use add_reader: the owner admits it at the index returned",
            }),
        }
    }

    /// On the owner's side of format 1: who is in the reader table.
    ///
    /// # Errors
    /// [`SlotError::NotOwner`]; [`SlotError::Unsupported`] for ZDS2, which has no such table.
    pub fn owner_handle(&self) -> Result<OwnerHandle, SlotError> {
        let owner = self.v1("list its readers")?.owner.as_ref().ok_or(SlotError::NotOwner)?;
        Ok(OwnerHandle::new(owner))
    }

    fn v1(&self, what: &'static str) -> Result<&Backend, SlotError> {
        match &self.side {
            Side::V1(backend) => Ok(backend),
            Side::Zds2(_) => Err(zds2(what, "use format 1, or SlotBackend's handles")),
        }
    }

    /// The writer handle of an owner: loans in place, the fast path.
    ///
    /// # Errors
    /// [`SlotError::NotOwner`] on an attached side; [`SlotError::Unsupported`] for ZDS2.
    pub fn into_writer(self) -> Result<SlotWriter, SlotError> {
        let backend = self.v1("replace, keep and number samples as a SlotWriter promises")?;
        let owner = backend.owner.clone().ok_or(SlotError::NotOwner)?;
        Ok(SlotWriter::new(owner))
    }

    /// Attaches one reader that takes in place.
    ///
    /// # Errors
    /// As [`Self::attach`]; [`SlotError::ReaderTableFull`]; [`SlotError::Unsupported`] for ZDS2, where
    /// nothing protects a sample that is read in place or held.
    pub fn open_reader(
        node: &Arc<Node>,
        flink: &Path,
        expected: Option<&ExpectedType>,
        options: ReaderOptions,
    ) -> Result<SlotReader, SlotError> {
        if let FlinkTarget::Zds2(_) = FlinkTarget::read(flink)? {
            return Err(zds2(
                "protect a sample that is read in place or held",
                "attach, and copy samples out with SlotBackend's handles",
            ));
        }
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

    /// Whatever there is: for a host that looks at each sample itself, because it converts between
    /// versions of a type.
    #[must_use]
    pub const fn any() -> Self {
        Self { hash: TypeHash::UNKNOWN, layout: String::new() }
    }
}

fn zds2(what: &'static str, instead: &'static str) -> SlotError {
    SlotError::Unsupported { format: SegmentFormat::ZDS2, what, instead }
}

/// Opens, maps and checks the objects that `flink` names, whose owner has to live.
fn attach(
    node: &Arc<Node>,
    flink: &Path,
    expected: Option<&ExpectedType>,
) -> Result<(Attached, PathBuf), SlotError> {
    let (attached, segment) = attach_any(node, flink, expected)?;
    if attached.owner_lives() { Ok((attached, segment)) } else { Err(SlotError::WriterLost) }
}

/// As [`attach`], also to what a dead owner left.
fn attach_any(
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
        && *expected != ExpectedType::any()
        && expected.hash != identity.type_hash
    {
        return Err(SlotError::TypeMismatch {
            expected: expected.hash,
            found: identity.type_hash,
            expected_layout: expected.layout.clone(),
            found_layout: identity.layout,
        });
    }
    let owner = match NodeId::new(memory.load_owner().0) {
        Some(id) => OwnerLink::open(node, id, uid)?,
        None => None,
    };
    let same_user = uid == geteuid().as_raw();
    let segment = dat.name().path();
    let memory = Arc::new(memory);
    Ok((Attached { memory, identity, owner, local: Weak::new(), same_user }, segment))
}

/// Maps both objects of a segment and checks that they are one.
pub(crate) fn map_checked(
    dat: &SharedObject,
    ctl: &SharedObject,
    options: MapOptions,
) -> Result<(Identity, SegmentMemory), SlotError> {
    let dat = Memory::map(dat, options)?;
    let ctl = Memory::map(ctl, options)?;
    let objects = Openings { dat: &dat, ctl: &ctl };
    let identity = read_identity(&objects, dat.len() as u64, ctl.len() as u64)?;
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
        let (attached, _) = attach_any(&self.node, &self.flink, None)?;
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
    fn backend(&self) -> &dyn SlotBackend {
        match &self.side {
            Side::V1(backend) => &**backend,
            Side::Zds2(backend) => &**backend,
        }
    }
}
