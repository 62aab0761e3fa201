//! Segments on the heap: writer and readers in one process, the same protocol, no files.

use std::sync::{Arc, Weak};

use super::backend::{Backend, HasBackend};
use super::memory::SegmentMemory;
use super::owner::tagged;
use super::segment_owner::{Beginning, SegmentOwner};
use super::slot_reader::Attached;
use super::{
    FormatError, Identity, OwnerState, ReaderIndex, ReaderOptions, SegmentOptions, SlotBackend,
    SlotError, SlotReader, SlotWord, SlotWriter,
};
use crate::shm::Memory;
use crate::sync::{Ordering, Words};
use crate::types::SegmentFormat;

/// A segment on the heap of this process.
#[derive(Debug)]
pub struct InMemorySlotAllocator {
    backend: Backend,
}

impl InMemorySlotAllocator {
    /// Makes a segment.
    ///
    /// # Errors
    /// [`SlotError::Plan`] for options that make no segment, [`SlotError::Unsupported`] for another
    /// format than the project's own.
    pub fn create(options: &SegmentOptions) -> Result<Self, SlotError> {
        if options.format != SegmentFormat::V1 {
            return Err(SlotError::Unsupported {
                format: options.format,
                what: "be on the heap",
                instead: "it is there for other processes: use PosixSlotAllocator",
            });
        }
        let identity = options.identity()?;
        let geometry = identity.geometry;
        let memory = SegmentMemory::new(
            Memory::heap(geometry.dat_len() as usize),
            Memory::heap(geometry.ctl_len() as usize),
            geometry,
        );
        let memory = Arc::new(memory.ok_or(FormatError::Geometry { geometry })?);
        let core = options.owner_core(&geometry);
        let beginning = Beginning { core, last_sn: 0, epoch: 0 };
        memory.store_owner(0, options.guid);
        let alive = tagged(0, OwnerState::Alive as u8);
        memory.store(SlotWord::OwnerState, alive, Ordering::Relaxed);
        memory.write_identity(&identity);
        let shared = Arc::clone(&memory);
        let owner = Arc::new(SegmentOwner::new(memory, identity.clone(), beginning, options, None));
        let attached = Attached {
            memory: shared,
            identity: identity.clone(),
            owner: None,
            local: Arc::downgrade(&owner),
            same_user: true,
        };
        Ok(Self { backend: Backend::new(identity, Some(owner), Some(attached), None) })
    }

    /// What the segment is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.backend.identity
    }

    /// Registers a reader that works by handles. It is admitted at once.
    ///
    /// # Errors
    /// [`SlotError::ReaderTableFull`].
    pub fn add_reader(&self, options: &ReaderOptions) -> Result<ReaderIndex, SlotError> {
        self.backend.add_reader(options)
    }

    /// A reader that takes in place. It is admitted at once.
    ///
    /// # Errors
    /// [`SlotError::ReaderTableFull`].
    pub fn open_reader(&self, options: ReaderOptions) -> Result<SlotReader, SlotError> {
        let Backend { identity, attached: Some(attached), .. } = &self.backend else {
            return Err(SlotError::NotOwner);
        };
        let attached = Attached {
            memory: Arc::clone(&attached.memory),
            identity: identity.clone(),
            owner: None,
            local: Weak::clone(&attached.local),
            same_user: true,
        };
        SlotReader::join(attached, options, None, None)
    }

    /// The writer handle: loans in place.
    ///
    /// # Errors
    /// None today; the type is that of the other allocator.
    pub fn writer(&self) -> Result<SlotWriter, SlotError> {
        let owner = self.backend.owner.clone().ok_or(SlotError::NotOwner)?;
        Ok(SlotWriter::new(owner))
    }
}

impl HasBackend for InMemorySlotAllocator {
    fn backend(&self) -> &dyn SlotBackend {
        &self.backend
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::{CLAIM, FlowPolicy, SampleInfo};
    use super::*;
    use crate::types::TypeHash;

    #[test]
    fn a_sample_that_its_owner_asks_for_can_be_copied_all_the_same() {
        let options = SegmentOptions::new("T", "U", TypeHash::of_layout("u32"), 4)
            .flow(FlowPolicy::best_effort());
        let segment = InMemorySlotAllocator::create(&options).unwrap();
        let best_effort = ReaderOptions { reliable: false, ..ReaderOptions::default() };
        let reader = segment.open_reader(best_effort).unwrap();
        let by_handles = segment.add_reader(&best_effort).unwrap();
        segment.writer().unwrap().write(&[7; 4], &SampleInfo::default()).unwrap();
        let sample = reader.take().unwrap().unwrap();
        let handle = segment.next_unread_slot(by_handles).unwrap().unwrap();
        let memory = &segment.backend.attached.as_ref().unwrap().memory;
        let set = |seq| memory.store(SlotWord::Seq(handle.slot), seq, Ordering::Relaxed);
        let mut copy = Vec::new();
        for seq in [1, 1 | CLAIM] {
            set(seq);
            sample.copy_checked(&mut copy).unwrap();
            assert_eq!(
                (&copy[..], segment.read_slot(handle).unwrap().1),
                (&[7; 4][..], vec![7; 4])
            );
        }
        for seq in [0, 2, 2 | CLAIM] {
            set(seq);
            assert!(matches!(sample.copy_checked(&mut copy), Err(SlotError::StaleHandle { .. })));
            assert!(matches!(segment.read_slot(handle), Err(SlotError::StaleHandle { .. })));
        }
    }

    #[test]
    fn the_end_of_an_instance_is_kept_until_it_is_read() {
        let options = SegmentOptions::new("T", "U", TypeHash::of_layout("u32"), 4)
            .flow(FlowPolicy::keep_last(std::time::Duration::from_millis(1)))
            .keep_until_read(1)
            .slots(3);
        let segment = InMemorySlotAllocator::create(&options).unwrap();
        let reader = segment.open_reader(ReaderOptions::default()).unwrap();
        let writer = segment.writer().unwrap();
        let write = |instance, status_info| {
            let info = SampleInfo { key_hash: [instance; 16], status_info, ..Default::default() };
            writer.write(&[instance; 4], &info)
        };
        for (instance, status_info) in [(1, 0), (2, 0), (1, 3), (3, 0)] {
            write(instance, status_info).unwrap();
        }
        assert!(matches!(write(4, 0), Err(SlotError::Timeout { .. })));
        let taken = std::iter::from_fn(|| {
            loop {
                let before = reader.losses();
                match reader.take().unwrap() {
                    Some(sample) => {
                        let header = sample.header();
                        break Some((header.key_hash[0], header.status_info));
                    }
                    None if reader.losses() == before => break None,
                    None => {}
                }
            }
        });
        assert!(taken.eq([(2, 0), (1, 3), (3, 0)]));
        write(4, 0).unwrap();
    }
}
