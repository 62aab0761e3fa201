//! A `DataWriter` of ZeroDDS with a segment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use dds_shm::discovery::ShmLocator;
use dds_shm::liveness::Node;
use dds_shm::slots::ReaderIndex;
use dds_shm::transport::locator_of;
use dds_shm::types::SegmentFormat;
use dds_shm::{
    ExpectedType, PosixSlotAllocator, SegmentOptions, SlotBackend as _, SlotError, TypeHash,
};
use zerodds_dcps::runtime::DcpsRuntime;
use zerodds_dcps::{DataWriter, DdsType, DomainParticipant};
use zerodds_flatdata::FlatStruct;
use zerodds_rtps::wire_types::EntityId;

use crate::{HostError, WriterSlots};

/// Leases are looked at this often at the least; ZeroDDS wakes who waits when one expires.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a segment says of samples of ZeroDDS's type `T`.
#[must_use]
pub fn flat_type<T: FlatStruct>() -> ExpectedType {
    let hash = TypeHash { scheme: TypeHash::ZERODDS, digest: T::TYPE_HASH };
    ExpectedType { hash, layout: String::new() }
}

/// ZeroDDS's type hash, if it is one.
pub(crate) fn digest(hash: TypeHash) -> Option<[u8; 16]> {
    (hash.scheme == TypeHash::ZERODDS).then_some(hash.digest)
}

/// The options for the segment of a writer, as far as the writer says.
///
/// # Errors
/// [`HostError::Offline`].
pub fn segment_options<T: DdsType + FlatStruct>(
    writer: &DataWriter<T>,
) -> Result<SegmentOptions, HostError> {
    let guid = writer.rtps_guid().ok_or(HostError::Offline)?;
    let hash = flat_type::<T>().hash;
    let capacity = u32::try_from(T::WIRE_SIZE).unwrap_or(u32::MAX);
    Ok(SegmentOptions::new(writer.topic().name(), T::type_name(), hash, capacity).guid(guid))
}

/// A `DataWriter` whose `write_flat` goes into a segment.
///
/// The segment is announced by the participant's own SEDP (`PID_SHM_LOCATOR`). A reader that the
/// participant does not match any more, because it left or its participant's lease expired, is
/// disconnected from the segment: it holds nobody up. If it returns it gets its place back by itself
/// in format 1; in ZDS2 it has to be named again.
///
/// A segment of format 1 that its owner replaces, because a reader pins every slot, is announced anew.
///
/// Dropping it takes the announcement and the backend back; `write_flat` goes by network again.
pub struct Publication<T: DdsType + FlatStruct + Send + Sync + 'static> {
    writer: DataWriter<T>,
    slots: Arc<WriterSlots>,
    watch: Arc<Watch>,
    thread: Option<JoinHandle<()>>,
}

/// What the watching thread works on.
struct Watch {
    runtime: Arc<DcpsRuntime>,
    writer: EntityId,
    slots: Arc<WriterSlots>,
    /// ZDS2: who has which index.
    indexes: Mutex<BTreeMap<[u8; 16], ReaderIndex>>,
    /// What is announced.
    locator: Mutex<ShmLocator>,
    over: AtomicBool,
}

impl<T: DdsType + FlatStruct + Send + Sync + 'static> Publication<T> {
    /// Makes the segment, gives it to the writer, and announces it.
    ///
    /// # Errors
    /// [`HostError::Offline`], or why the segment cannot be made or announced.
    pub fn open(
        node: &Arc<Node>,
        participant: &DomainParticipant,
        writer: &DataWriter<T>,
        options: &SegmentOptions,
    ) -> Result<Self, HostError> {
        let runtime = participant.runtime().cloned().ok_or(HostError::Offline)?;
        let guid = writer.rtps_guid().ok_or(HostError::Offline)?;
        let entity = EntityId::from_bytes([guid[12], guid[13], guid[14], guid[15]]);
        let slots = Arc::new(WriterSlots::new(PosixSlotAllocator::create(node, options)?));
        let locator = locator_of(slots.segment())?;
        let watch = Arc::new(Watch {
            runtime,
            writer: entity,
            slots: Arc::clone(&slots),
            indexes: Mutex::default(),
            locator: Mutex::new(locator.clone()),
            over: AtomicBool::new(false),
        });
        let watched = Arc::clone(&watch);
        watch.runtime.set_shm_locator(entity, locator.encode());
        let thread = std::thread::Builder::new()
            .name("dds-shm-leases".to_owned())
            .spawn(move || watched.run())
            .inspect_err(|_| watch.runtime.clear_shm_locator(entity))?;
        writer.set_flat_backend(Some(Arc::clone(&slots) as _), 0);
        let (writer, thread) = (writer.clone(), Some(thread));
        Ok(Self { writer, slots, watch, thread })
    }

    /// A ZDS2 segment has no table of readers: the reader with this GUID uses this index from now on,
    /// and the writer waits for it: until the participant has matched it and does not any more, or
    /// [`mark_reader_disconnected`](dds_shm::SlotBackend::mark_reader_disconnected). One that dies before
    /// it is matched is for the caller to disconnect.
    ///
    /// # Errors
    /// [`SlotError::Unsupported`] for format 1, where readers register themselves;
    /// [`SlotError::WrongReader`] for an index above 31.
    pub fn expect_reader(&self, guid: [u8; 16], index: ReaderIndex) -> Result<(), SlotError> {
        self.slots.segment().add_reader_as(index)?;
        self.watch.indexes().insert(guid, index);
        Ok(())
    }

    /// What is announced.
    #[must_use]
    pub fn locator(&self) -> ShmLocator {
        self.watch.locator().clone()
    }

    /// The segment behind ZeroDDS's trait.
    #[must_use]
    pub fn slots(&self) -> &Arc<WriterSlots> {
        &self.slots
    }
}

impl<T: DdsType + FlatStruct + Send + Sync + 'static> fmt::Debug for Publication<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Publication");
        shown.field("slots", &self.slots).field("locator", &self.locator()).finish_non_exhaustive()
    }
}

impl<T: DdsType + FlatStruct + Send + Sync + 'static> Drop for Publication<T> {
    fn drop(&mut self) {
        self.watch.over.store(true, Ordering::Release);
        self.watch.runtime.wake_discovery_waiters();
        self.writer.set_flat_backend(None, 0);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that watches readers panicked");
        }
        // After the thread, which announces too.
        self.watch.runtime.clear_shm_locator(self.watch.writer);
    }
}

impl Watch {
    fn indexes(&self) -> std::sync::MutexGuard<'_, BTreeMap<[u8; 16], ReaderIndex>> {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn locator(&self) -> std::sync::MutexGuard<'_, ShmLocator> {
        self.locator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces the segment anew if its owner has replaced it.
    fn follow(&self) {
        match locator_of(self.slots.segment()) {
            Ok(now) if now != *self.locator() => {
                self.runtime.set_shm_locator(self.writer, now.encode());
                *self.locator() = now;
            }
            Ok(_) => {}
            // Not possible: the path is the one that was announced.
            Err(error) => tracing::error!(%error, "no locator"),
        }
    }

    fn run(&self) {
        let mut matched = BTreeSet::new();
        let mut seen = self.runtime.discovery_generation();
        while !self.over.load(Ordering::Acquire) {
            let now: BTreeSet<[u8; 16]> =
                self.runtime.user_writer_matched_reader_guids(self.writer).into_iter().collect();
            for gone in matched.difference(&now) {
                self.disconnect(gone);
            }
            matched = now;
            self.follow();
            seen = self.runtime.wait_discovery_change(seen, LOOK_EVERY);
        }
    }

    /// ZeroDDS does not say why a reader is not matched any more; either way nobody waits for it.
    fn disconnect(&self, guid: &[u8; 16]) {
        let segment = self.slots.segment();
        let index = match segment.format() {
            SegmentFormat::ZDS2 => self.indexes().remove(guid),
            _ => segment.owner_handle().ok().and_then(|owner| {
                let readers = owner.readers();
                readers.iter().find(|(_, _, entry)| entry.guid == *guid).map(|found| found.0)
            }),
        };
        let Some(index) = index else { return };
        match segment.mark_reader_disconnected(index) {
            // It left the segment by itself meanwhile.
            Ok(()) | Err(SlotError::WrongReader { .. }) => {
                tracing::info!(reader = %index, "disconnected: left, or its lease expired");
            }
            Err(error) => tracing::error!(%error, reader = %index, "cannot disconnect"),
        }
    }
}
