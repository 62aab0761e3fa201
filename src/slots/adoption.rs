//! Taking over: what a writer does that finds its flink in place.
//!
//! A durable segment outlives its owner. Who creates it again adopts it, once the old owner is
//! proven dead (or has closed it) and every header makes sense: the sequence goes on, the kept
//! history is there, living readers notice nothing. Anything else that is in the way of a new
//! segment is replaced, if its owner is gone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use nix::unistd::geteuid;

use super::owner::{Entry, EntryStatus, OwnerCore, tagged};
use super::posix::{PosixSlotAllocator, SegmentFiles, map_checked};
use super::segment_owner::Beginning;
use super::{
    CLAIM, Identity, InstanceKey, OwnerState, ReaderIndex, ReaderSet, SegmentOptions, SlotError,
    SlotIndex, SlotWord,
};
use crate::liveness::flink::{read_flink, replace_flink};
use crate::liveness::{LivenessError, Node, PeerNode, SegmentName, recovery_lock};
use crate::shm::{Access, MapOptions, SharedObject, ShmError};
use crate::sync::{Ordering, Words};

/// The headers of a segment do not hang together: it is not adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("slot {slot} holds sample {seq}, which cannot be: head is {head}")]
pub struct Inconsistent {
    /// The first slot that is wrong.
    pub slot: usize,
    /// Its sequence number.
    pub seq: u64,
    /// The highest published number.
    pub head: u64,
}

impl OwnerCore {
    /// The owner that goes on where a dead one stopped. Stores what it repairs: claims are taken
    /// back, the head covers every sample, the directory is rebuilt.
    ///
    /// `instance`: the key hash of a sample that is there. `blocking`: whether a reader that is in
    /// the table may hold the owner up. Entries of dead readers stay for [`OwnerCore::vacate`].
    ///
    /// # Errors
    /// [`Inconsistent`] at the first header that makes no sense; nothing is stored then.
    pub fn adopt<W: Words<SlotWord>>(
        words: &W,
        mut core: Self,
        instance: impl Fn(SlotIndex) -> InstanceKey,
        blocking: impl Fn(ReaderIndex) -> bool,
    ) -> Result<Self, Inconsistent> {
        let head = words.load(SlotWord::Head, Ordering::Acquire);
        let mut found = BTreeMap::new();
        for slot in (0..core.slots).map(SlotIndex) {
            let seq = words.load(SlotWord::Seq(slot), Ordering::Acquire) & !CLAIM;
            // The dead owner may have stored the number of one sample more than the head.
            if head >= CLAIM - 1
                || seq > head.saturating_add(1)
                || (seq != 0 && found.insert(seq, slot).is_some())
            {
                return Err(Inconsistent { slot: slot.get(), seq, head });
            }
        }
        let highest = found.last_key_value().map(|(seq, slot)| (*seq, *slot));
        core.head = highest.map_or(head, |(seq, _)| seq.max(head));
        core.next_dir = SlotIndex(((core.head + 1) % u64::from(core.slots)) as u32);
        core.position = highest.map_or(SlotIndex(0), |(_, slot)| slot.next(core.slots));
        for (seq, slot) in &found {
            // Ascending: of two samples with the same entry the newer one gets it.
            let entry = SlotIndex((seq % u64::from(core.slots)) as u32);
            words.store(SlotWord::Dir(entry), u64::from(slot.0), Ordering::Relaxed);
            words.store(SlotWord::Seq(*slot), *seq, Ordering::Release);
            core.seqs[slot.get()] = *seq;
            core.history.enter(instance(*slot), *slot);
        }
        words.store(SlotWord::Head, core.head, Ordering::Release);
        for reader in (0..core.entries.len()).filter_map(ReaderIndex::new) {
            let state = words.load(SlotWord::State(reader), Ordering::Acquire);
            let status = EntryStatus::of(state).unwrap_or(EntryStatus::Vacant);
            core.entries[reader.get()] = Entry { epoch: state >> 8, status, seen: 0 };
            if matches!(status, EntryStatus::Admitted | EntryStatus::Disconnected) {
                core.live.insert(reader);
            }
            if status == EntryStatus::Admitted {
                core.connected.insert(reader);
            }
            if blocking(reader) {
                core.blocking.insert(reader);
            }
        }
        // Bits of readers that the dead owner was letting go of.
        let live = core.live.bits();
        for slot in (0..core.slots).map(SlotIndex) {
            words.fetch_and(SlotWord::Hold(slot), live, Ordering::AcqRel);
        }
        Ok(core)
    }

    /// The owner that goes on in fresh memory without the readers in `left_behind`; everybody else
    /// keeps index and epoch. Of the old samples only those in `kept`, which the caller copied into
    /// the first slots of the new memory, oldest first, are there.
    pub(crate) fn succeed<W: Words<SlotWord>>(
        &self,
        words: &W,
        left_behind: ReaderSet,
        kept: &[(u64, InstanceKey)],
        depth: usize,
    ) -> Self {
        let mut core = Self::new(self.slots, self.entries.len(), depth);
        core.history = self.history.empty(self.slots, depth);
        core.head = self.head;
        core.next_dir = self.next_dir;
        core.live = self.connected.without(left_behind);
        core.connected = core.live;
        core.blocking = self.blocking.and(core.live);
        for (slot, (seq, instance)) in (0..).map(SlotIndex).zip(kept) {
            let entry = SlotIndex((seq % u64::from(core.slots)) as u32);
            words.store(SlotWord::Dir(entry), u64::from(slot.0), Ordering::Relaxed);
            words.store(SlotWord::Seq(slot), *seq, Ordering::Release);
            core.seqs[slot.get()] = *seq;
            core.history.enter(*instance, slot);
            core.position = slot.next(core.slots);
        }
        words.store(SlotWord::Head, core.head, Ordering::Release);
        for reader in (0..core.entries.len()).filter_map(ReaderIndex::new) {
            let entry = &mut core.entries[reader.get()];
            if core.live.contains(reader) {
                *entry = Entry { seen: self.head + 1, ..self.entries[reader.get()] };
                words.store(SlotWord::Cursor(reader), self.head + 1, Ordering::Relaxed);
                words.store(SlotWord::Start(reader), self.head + 1, Ordering::Relaxed);
                words.store(SlotWord::JoinHead(reader), self.head, Ordering::Relaxed);
            } else {
                // So that who was left behind does not take the next reader's entry for its own.
                entry.epoch = self.entries[reader.get()].epoch + 1;
            }
            let state = tagged(entry.epoch, entry.status as u8);
            words.store(SlotWord::State(reader), state, Ordering::Release);
        }
        core
    }
}

/// Makes the segment of a writer whose flink exists.
pub(crate) fn take_over(
    node: &Arc<Node>,
    options: &SegmentOptions,
    flink: &Path,
) -> Result<PosixSlotAllocator, SlotError> {
    let exists = || SlotError::Exists { path: flink.to_owned() };
    let name = read_flink(flink)?;
    let Some((dat, ctl)) = open_both(&name)? else {
        // The janitor took the objects and not yet the flink, or somebody removed them.
        return PosixSlotAllocator::create_new(node, options, flink, Some(&name));
    };
    for object in [&dat, &ctl] {
        // Whoever owns an object can change it under those who believe the adopter.
        let (path, expected) = (object.name().path(), geteuid().as_raw());
        let found = object.info()?.uid;
        if found != expected {
            return Err(LivenessError::WrongOwner { path, expected, found }.into());
        }
    }
    // Who has this lock decides what becomes of the segment: an adopter or the janitor.
    let lock = recovery_lock(&name)?.ok_or_else(exists)?;
    let dirs = node.dir().with_default_of(dat.info()?.uid);
    let owner_lives = match PeerNode::open(&dirs, name.node) {
        Ok(owner) => owner.is_alive(),
        Err(LivenessError::NoTrace { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    let mapped = map_checked(&dat, &ctl, MapOptions { populate_up_to: options.populate_up_to });
    let closed = mapped.as_ref().is_ok_and(|(_, memory)| {
        let state = memory.load(SlotWord::OwnerState, Ordering::Acquire);
        OwnerState::of(state) == Some(OwnerState::Closed)
    });
    if owner_lives && !closed {
        return Err(exists());
    }
    if options.durable_name.is_some() {
        match mapped {
            Ok((identity, memory)) if is_compatible(&identity, &options.identity()?) => {
                let memory = Arc::new(memory);
                match adopted_core(&memory, &identity, options) {
                    Ok(beginning) => {
                        let files = SegmentFiles::adopt(node, &name, &dat, &ctl, flink)?;
                        memory.store_owner(node.id().get(), options.guid);
                        memory.store_origin([0; 16]);
                        let alive = tagged(beginning.epoch.into(), OwnerState::Alive as u8);
                        memory.store(SlotWord::OwnerState, alive, Ordering::Release);
                        drop(lock);
                        return PosixSlotAllocator::start(
                            node, options, memory, identity, beginning, files,
                        );
                    }
                    Err(error) => tracing::warn!(%error, %name, "segment not adopted"),
                }
            }
            Ok((identity, _)) => {
                tracing::warn!(%name, topic = identity.topic, "segment not adopted: made otherwise");
            }
            Err(error) => tracing::warn!(%error, %name, "segment not adopted"),
        }
    }
    let fresh = PosixSlotAllocator::create_new(node, options, flink, Some(&name))?;
    dat.unlink_if_same()?;
    ctl.unlink_if_same()?;
    drop(lock);
    Ok(fresh)
}

fn open_both(name: &SegmentName) -> Result<Option<(SharedObject, SharedObject)>, SlotError> {
    let open = |object| match SharedObject::open(object, Access::ReadWrite) {
        Ok(object) => Ok(Some(object)),
        Err(ShmError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    Ok(open(&name.data())?.zip(open(&name.control())?))
}

/// Whether a segment is what a writer would make now, but for its incarnation.
fn is_compatible(found: &Identity, wanted: &Identity) -> bool {
    Identity { incarnation: wanted.incarnation, ..found.clone() } == *wanted
}

fn adopted_core(
    memory: &super::memory::SegmentMemory,
    identity: &Identity,
    options: &SegmentOptions,
) -> Result<Beginning, Inconsistent> {
    let geometry = identity.geometry;
    let state = memory.load(SlotWord::OwnerState, Ordering::Acquire);
    let epoch = (state >> 8) as u32 + 1;
    let starting = tagged(epoch.into(), OwnerState::Starting as u8);
    let fresh = options.owner_core(&geometry);
    memory.store(SlotWord::OwnerState, starting, Ordering::Release);
    let core = OwnerCore::adopt(
        memory,
        fresh,
        |slot| memory.load_header(slot).key_hash,
        |reader| memory.load_entry(reader).reliable && options.readers_hold_up(),
    )
    // Closed, it is to stay so for who has not read to its end.
    .inspect_err(|_| memory.store(SlotWord::OwnerState, state, Ordering::Release))?;
    let last_sn = (0..geometry.slot_count)
        .map(SlotIndex)
        .filter(|slot| core.seq(*slot) != 0)
        .map(|slot| memory.load_header(slot).sn)
        .max();
    Ok(Beginning { core, last_sn: last_sn.unwrap_or(0), epoch })
}

impl SegmentFiles {
    /// Names an adopted segment after its new owner; at every moment the flink leads to it.
    fn adopt(
        node: &Node,
        old: &SegmentName,
        dat: &SharedObject,
        ctl: &SharedObject,
        flink: &Path,
    ) -> Result<Self, SlotError> {
        let name = SegmentName::random(node.id());
        dat.link_as(&name.data())?;
        ctl.link_as(&name.control())?;
        let mut files = Self {
            ids: [dat.info()?.id, ctl.info()?.id],
            name,
            flink: flink.to_owned(),
            durable: true,
            published: false,
        };
        replace_flink(flink, 0o644, old, &files.name)?;
        files.published = true;
        dat.unlink_if_same()?;
        ctl.unlink_if_same()?;
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::Geometry;
    use super::*;
    use crate::shm::Memory;
    use crate::slots::memory::SegmentMemory;

    /// What adopting two slots with these numbers under this head comes to, and what is there then.
    fn adopt(head: u64, seqs: [u64; 2]) -> (Result<OwnerCore, Inconsistent>, u64, [u64; 2]) {
        let geometry = Geometry::plan(2, 8, 1, 0).unwrap();
        let [dat, ctl] = [geometry.dat_len(), geometry.ctl_len()].map(|len| len as usize);
        let words = SegmentMemory::new(Memory::heap(dat), Memory::heap(ctl), geometry).unwrap();
        let slots = [0, 1].map(|slot| SlotWord::Seq(SlotIndex(slot)));
        words.store(SlotWord::Head, head, Ordering::Relaxed);
        for (slot, seq) in slots.into_iter().zip(seqs) {
            words.store(slot, seq, Ordering::Relaxed);
        }
        let adopted = OwnerCore::adopt(&words, OwnerCore::new(2, 1, 0), |_| [0; 16], |_| false);
        let load = |word| words.load(word, Ordering::Relaxed);
        (adopted, load(SlotWord::Head), slots.map(load))
    }

    #[test]
    fn headers_that_do_not_hang_together_are_refused_and_left_as_they_are() {
        let cases = [
            // A killed owner leaves one number beyond the head, not two.
            (1, [0, 3], Inconsistent { slot: 1, seq: 3, head: 1 }),
            (2, [2, 2], Inconsistent { slot: 1, seq: 2, head: 2 }),
            (2, [2 | CLAIM, 2], Inconsistent { slot: 1, seq: 2, head: 2 }),
            (CLAIM - 1, [0, 0], Inconsistent { slot: 0, seq: 0, head: CLAIM - 1 }),
        ];
        for (head, seqs, wrong) in cases {
            let (refused, head_then, seqs_then) = adopt(head, seqs);
            assert_eq!((refused, head_then, seqs_then), (Err(wrong), head, seqs));
        }
    }

    #[test]
    fn what_a_killed_owner_leaves_is_put_right() {
        let (adopted, head, seqs) = adopt(1, [2, 1 | CLAIM]);
        assert_eq!((adopted.unwrap().head(), head, seqs), (2, 2, [2, 1]));
    }
}
