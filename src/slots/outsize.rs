//! A sample that is larger than a slot: in an object of its own, which its slot announces.
//!
//! ```text
//! slot, flag OUTSIZE:  0 node id u64   8 nonce u32   12 zero   16 octets of the sample u64
//! /dev/shm/dds-shm-<node id>-<nonce>.big: the sample, from the first octet on
//! ```
//!
//! The object belongs to the slot: while a reader can take the sample, or holds it, the owner neither
//! removes the object nor writes to it. When the slot is its own again it may use the object for another
//! sample. Readers map objects read-only, and may keep them mapped to meet them again.

use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::Arc;

use super::{FormatError, Sharing, SlotError};
use crate::liveness::{Node, NodeId, SegmentName};
use crate::shm::{Access, MapOptions, Memory, ObjectInfo, ProcessStamp, SharedObject};

/// Objects that a reader keeps mapped.
const MAPPED: usize = 16;
/// Octets of them. Their memory is there as long as they are mapped, also when the owner has removed
/// them, and a larger one is not kept.
const MAPPED_OCTETS: usize = 64 << 20;

/// Where an outsize sample is: what its slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The object.
    pub name: SegmentName,
    /// Octets of the sample.
    pub len: u64,
}

impl Announcement {
    /// Octets of an announcement.
    pub const LEN: usize = 24;

    /// As it stands in the slot.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut octets = [0; Self::LEN];
        octets[..8].copy_from_slice(&self.name.node.get().to_le_bytes());
        octets[8..12].copy_from_slice(&self.name.nonce.to_le_bytes());
        octets[16..].copy_from_slice(&self.len.to_le_bytes());
        octets
    }

    /// From a slot's payload; `None` if it is none.
    #[must_use]
    pub fn from_bytes(octets: &[u8]) -> Option<Self> {
        let octets: &[u8; Self::LEN] = octets.try_into().ok()?;
        let (node, rest) = octets.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let node = NodeId::new(u64::from_le_bytes(*node))?;
        let name = SegmentName { node, nonce: u32::from_le_bytes(*nonce) };
        let len = u64::from_le_bytes(*rest.last_chunk()?);
        Some(Self { name, len })
    }
}

/// An owner's object for samples that are larger than a slot. Its name goes with it.
#[derive(Debug)]
pub struct OutsizeObject {
    name: SegmentName,
    object: SharedObject,
    memory: Memory,
    stamp: ProcessStamp,
}

impl OutsizeObject {
    /// An object for samples of up to `len` octets, with all of its memory reserved.
    ///
    /// # Errors
    /// [`ShmError::NoSpace`](crate::shm::ShmError::NoSpace), or what else the system says.
    pub fn create(node: &Node, len: usize, sharing: Sharing) -> Result<Self, SlotError> {
        let name = SegmentName::random(node.id());
        let object = SharedObject::create(&name.outsize(), len as u64, sharing.dat_mode())?;
        // From here on the drop takes the name back.
        match Memory::map(&object, MapOptions::default()) {
            Ok(memory) => Ok(Self { name, object, memory, stamp: ProcessStamp::current() }),
            Err(error) => {
                object.unlink_if_same()?;
                Err(error.into())
            }
        }
    }

    /// The largest sample.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// Where the sample is written, aligned to a page. To be written to only while no slot announces
    /// the object.
    #[must_use]
    pub fn ptr(&self) -> NonNull<u8> {
        self.memory.ptr()
    }

    /// What the slot says.
    #[must_use]
    pub fn announce(&self, len: usize) -> Announcement {
        Announcement { name: self.name, len: len as u64 }
    }
}

impl Drop for OutsizeObject {
    fn drop(&mut self) {
        if self.stamp.is_current()
            && let Err(error) = self.object.unlink_if_same()
        {
            tracing::warn!(%error, "an object is left for the janitor");
        }
    }
}

/// An outsize sample in a process that reads it.
#[derive(Clone, Debug)]
pub struct OutsizeSample {
    memory: Arc<Memory>,
    len: usize,
}

impl OutsizeSample {
    /// The octets. Read-only: a store to them ends the process.
    #[must_use]
    pub fn ptr(&self) -> NonNull<u8> {
        self.memory.ptr()
    }

    /// How many there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty: a slot would do")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies them out, with accesses that may race.
    pub fn copy_to(&self, into: &mut [u8]) -> Option<()> {
        self.memory.copy_out(0, into)
    }
}

/// The objects that a reader has mapped, the last used one last.
#[derive(Debug, Default)]
pub struct OutsizeCache(VecDeque<(SegmentName, Arc<Memory>)>);

impl OutsizeCache {
    /// Finds the sample that a slot announces, which has to be protected while this runs.
    ///
    /// # Errors
    /// [`FormatError::Outsize`] for what is no announcement, or not the object that is announced;
    /// [`ShmError::NotFound`](crate::shm::ShmError::NotFound) if it is gone.
    pub fn find(&mut self, announcement: &[u8]) -> Result<OutsizeSample, SlotError> {
        let announced = Announcement::from_bytes(announcement).ok_or(FormatError::Outsize)?;
        let known = self.0.iter().position(|(name, _)| *name == announced.name);
        let memory = match known.and_then(|at| self.0.remove(at)) {
            Some((_, memory)) => memory,
            None => Arc::new(open(&announced.name)?),
        };
        self.0.push_back((announced.name, Arc::clone(&memory)));
        let mut octets: usize = self.0.iter().map(|(_, memory)| memory.len()).sum();
        while self.0.len() > MAPPED || octets > MAPPED_OCTETS {
            let Some((_, oldest)) = self.0.pop_front() else { break };
            octets -= oldest.len();
        }
        match usize::try_from(announced.len) {
            Ok(len) if len <= memory.len() => Ok(OutsizeSample { memory, len }),
            _ => Err(FormatError::Outsize.into()),
        }
    }
}

fn open(name: &SegmentName) -> Result<Memory, SlotError> {
    let object = SharedObject::open(&name.outsize(), Access::ReadOnly)?;
    let ObjectInfo { uid, .. } = object.info()?;
    // Nobody else's: its owner could change it, or take it away, under the eyes of this process.
    if uid != nix::unistd::geteuid().as_raw() {
        return Err(FormatError::Outsize.into());
    }
    Ok(Memory::map(&object, MapOptions::default())?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::liveness::{NodeOptions, RuntimeDir};

    #[test]
    fn an_announcement_is_what_a_reader_finds() {
        let name = SegmentName { node: NodeId::new(0x1122).unwrap(), nonce: 7 };
        let announcement = Announcement { name, len: 1 << 40 };
        assert_eq!(Announcement::from_bytes(&announcement.to_bytes()), Some(announcement));
        assert_eq!(Announcement::from_bytes(&[0; Announcement::LEN]), None);
        assert_eq!(Announcement::from_bytes(&[1; 23]), None);
    }

    #[test]
    #[cfg_attr(miri, ignore = "maps memory")]
    fn an_outsize_sample_is_found_and_goes_with_its_object() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = RuntimeDir::create(&temporary.path().join("run")).unwrap();
        let options = NodeOptions { janitor: None, ..NodeOptions::default() };
        let node = Node::new(&dir, options).unwrap();
        let object = OutsizeObject::create(&node, 10_000, Sharing::Owner).unwrap();
        // SAFETY: mapped, and nobody else's yet.
        unsafe { object.ptr().as_ptr().write_bytes(7, object.capacity()) };
        let mut cache = OutsizeCache::default();
        let announced = object.announce(10_000).to_bytes();
        let mut octets = [0; 10_000];
        cache.find(&announced).unwrap().copy_to(&mut octets).unwrap();
        assert_eq!(octets, [7; 10_000]);
        let too_long = object.announce(10_001).to_bytes();
        assert!(matches!(cache.find(&too_long), Err(SlotError::Format(FormatError::Outsize))));
        drop(object);
        // Who has mapped it keeps it.
        assert_eq!(cache.find(&announced).unwrap().len(), 10_000);
        assert!(matches!(OutsizeCache::default().find(&announced), Err(SlotError::Shm(_))));
    }

    #[test]
    #[cfg_attr(miri, ignore = "maps memory")]
    fn what_a_reader_keeps_mapped_is_bounded() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = RuntimeDir::create(&temporary.path().join("run")).unwrap();
        let options = NodeOptions { janitor: None, ..NodeOptions::default() };
        let node = Node::new(&dir, options).unwrap();
        let mut cache = OutsizeCache::default();
        let mut kept_of = |len: usize| {
            let object = OutsizeObject::create(&node, len, Sharing::Owner).unwrap();
            let found = cache.find(&object.announce(len).to_bytes()).unwrap();
            assert_eq!(found.len(), len);
            cache.0.len()
        };
        assert_eq!([kept_of(20 << 20), kept_of(20 << 20), kept_of(20 << 20)], [1, 2, 3]);
        // The oldest goes.
        assert_eq!(kept_of(20 << 20), 3);
        assert_eq!(kept_of(MAPPED_OCTETS + 1), 0);
    }
}
