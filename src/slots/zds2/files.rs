//! Making and opening the one object of a ZDS2 segment.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::backend::{Writer, Zds2Backend};
use super::layout::{Zds2Memory, object_len, plan};
use super::owner::Zds2Owner;
use crate::liveness::flink::{FlinkTarget, create_zds2_flink, remove_flink};
use crate::liveness::{LivenessError, Node, SegmentName};
use crate::shm::{Access, FileId, MapOptions, Memory, ObjectName, SharedObject, ShmError, object};
use crate::slots::owner_link::OwnerLink;
use crate::slots::{Identity, Incarnation, SegmentFlags, SegmentOptions, Sharing, SlotError};
use crate::types::{SegmentFormat, TypeHash};

/// Only the owner's user, as ZeroDDS has it: whoever can read can also write.
const MODE: u32 = 0o600;

/// The names of a segment in the file system; taken back when its owner goes.
#[derive(Debug)]
pub(super) struct Zds2Files {
    name: SegmentName,
    id: FileId,
    flink: PathBuf,
    published: bool,
}

impl Drop for Zds2Files {
    fn drop(&mut self) {
        let flink = if self.published { remove_flink(&self.flink, &self.name) } else { Ok(()) };
        let object = object::unlink_if(&self.name.zds2(), self.id).map_err(LivenessError::from);
        for error in [object.err(), flink.err()].into_iter().flatten() {
            // Nobody is there to tell; the janitor takes what stays.
            tracing::warn!(%error, "segment not removed");
        }
    }
}

fn refuse(what: &'static str, instead: &'static str) -> SlotError {
    SlotError::Unsupported { format: SegmentFormat::ZDS2, what, instead }
}

/// What of the options the format cannot keep.
fn check(options: &SegmentOptions) -> Result<(), SlotError> {
    if options.flow.max_blocking_time.is_some() && !options.flow.waits_for_readers {
        return Err(refuse(
            "replace samples that a reader has not read (KEEP_LAST)",
            "use FlowPolicy::keep_all or best_effort, which drops the new sample when all slots \
             are unread",
        ));
    }
    if options.history || options.transient_local {
        return Err(refuse(
            "keep history for late joiners",
            "let them have it by network, or use the project's own format",
        ));
    }
    if options.durable_name.is_some() {
        return Err(refuse("be adopted by its writer's next start", "create it anew"));
    }
    if options.sharing != Sharing::Owner {
        return Err(refuse(
            "be shared with other users",
            "its readers can write samples too; use the project's own format",
        ));
    }
    Ok(())
}

/// Makes a segment, and the flink that names it, last. With the path of the object.
pub(in crate::slots) fn create(
    node: &Arc<Node>,
    options: &SegmentOptions,
    flink: &Path,
) -> Result<(Zds2Backend, PathBuf), SlotError> {
    check(options)?;
    let geometry = plan(options.planned_slots()?, options.capacity)?;
    let name = SegmentName::random(node.id());
    let object = SharedObject::create(&name.zds2(), object_len(&geometry), MODE)?;
    let id = object.info()?.id;
    let mut files = Zds2Files { name, id, flink: flink.to_owned(), published: false };
    let how = MapOptions { populate_up_to: options.populate_up_to };
    let memory = Arc::new(Zds2Memory::make(Memory::map(&object, how)?, geometry)?);
    publish(node, &mut files)?;
    let identity = Identity {
        type_hash: options.type_hash,
        topic: options.topic.clone(),
        type_name: options.type_name.clone(),
        layout: options.layout.clone(),
        ..identity(id, &memory)
    };
    let owner = Zds2Owner::new(Arc::clone(&memory), options.flow);
    Ok((Zds2Backend::owner(identity, memory, Arc::clone(node), owner, files), name.zds2().path()))
}

/// Gives the segment its public name, in place of one whose owner is proved dead.
fn publish(node: &Node, files: &mut Zds2Files) -> Result<(), SlotError> {
    let exists = match create_zds2_flink(&files.flink, MODE, &files.name) {
        Ok(()) => {
            files.published = true;
            return Ok(());
        }
        Err(LivenessError::Shm(exists @ ShmError::Exists { .. })) => exists,
        Err(error) => return Err(error.into()),
    };
    // Of one that ZeroDDS made nobody can say whether its owner lives.
    let Some(old) = FlinkTarget::read(&files.flink)?.segment() else { return Err(exists.into()) };
    let flink = fs::symlink_metadata(&files.flink)
        .map_err(|error| LivenessError::Shm(ShmError::from_io("look at", &files.flink, error)))?;
    if OwnerLink::open(node, old.node, flink.uid())?.is_some_and(|owner| owner.is_alive()) {
        return Err(SlotError::Exists { path: files.flink.clone() });
    }
    remove_flink(&files.flink, &old)?;
    create_zds2_flink(&files.flink, MODE, &files.name)?;
    files.published = true;
    Ok(())
}

/// Opens, maps and checks a segment, whoever made it.
pub(in crate::slots) fn attach(
    node: &Arc<Node>,
    name: &ObjectName,
) -> Result<Zds2Backend, SlotError> {
    let object = SharedObject::open(name, Access::ReadWrite)?;
    let info = object.info()?;
    // The mode keeps others out, but not root.
    if info.uid != nix::unistd::geteuid().as_raw() {
        return Err(refuse(
            "be read by another user than its owner",
            "run both as one user, or use the project's own format",
        ));
    }
    let memory = Arc::new(Zds2Memory::check(Memory::map(&object, MapOptions::default())?)?);
    let made_here = FlinkTarget::Zds2(name.clone()).segment();
    let link = match made_here {
        None => None,
        Some(segment) => {
            let link = OwnerLink::open(node, segment.node, info.uid)?.filter(OwnerLink::is_alive);
            Some(link.ok_or(SlotError::WriterLost)?)
        }
    };
    // Looked at once a second from now on.
    let writer = Writer { link, object, looked: Instant::now(), gone: false };
    let identity = identity(info.id, &memory);
    Ok(Zds2Backend::consumer(identity, memory, Arc::clone(node), writer))
}

/// What is known of any ZDS2 segment. Its incarnation is which file it is: the same on both sides.
fn identity(id: FileId, memory: &Zds2Memory) -> Identity {
    let mut incarnation = [0; 16];
    incarnation[..8].copy_from_slice(&id.device.to_le_bytes());
    incarnation[8..].copy_from_slice(&id.inode.to_le_bytes());
    Identity {
        incarnation: Incarnation(incarnation),
        type_hash: TypeHash::UNKNOWN,
        topic: String::new(),
        type_name: String::new(),
        layout: String::new(),
        geometry: *memory.geometry(),
        history_depth: 0,
        max_held: 0,
        flags: SegmentFlags::default(),
    }
}
