//! An attached segment behind ZeroDDS's slot trait.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dds_shm::slots::{Generation, ReaderIndex, ReaderSet, SampleHeader, SlotHandle};
use dds_shm::{PosixSlotAllocator, SlotBackend as _, SlotError};
use zerodds_flatdata::{
    ReaderMask, SlotBackend, SlotError as ZeroError, SlotHandle as ZeroHandle, SlotHeader,
};

use crate::error::to_zerodds;
use crate::publication::digest;

/// How long a wait is for a writer that is gone.
const LOST: Duration = Duration::from_secs(1);

/// Which samples a `read_flat` sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// The newest; older ones are marked read, as ZeroDDS does.
    #[default]
    Newest,
    /// Every sample, one for each `read_flat`, in order. For KEEP_ALL.
    Every,
}

/// The segment of a `DataReader`, for its `set_flat_backend`.
///
/// ZeroDDS reads by asking for a copy of *every* slot, each time, and then marks what was unread. Here
/// the first question of a round decides which one sample the round has to offer ([`Delivery`]); only
/// that is copied, and every other slot is answered with an empty header: no copy, no allocation, no
/// look at the memory. The slots have to be asked for in ascending order, as ZeroDDS does.
///
/// What ZeroDDS cannot read in place is marked read and not offered: a key without a value (dispose,
/// unregister), a sample in a CDR representation, one that is shorter than the type.
///
/// The reader index that ZeroDDS is given has no meaning: this is one reader, with the index that the
/// segment gave it.
#[derive(Debug)]
pub struct ReaderSlots {
    segment: PosixSlotAllocator,
    reader: ReaderIndex,
    delivery: Delivery,
    wire_size: usize,
    round: Mutex<Round>,
}

#[derive(Debug, Default)]
struct Round {
    /// The sample that this round has to offer.
    offered: Option<Offer>,
    /// The number it was, or was last, shown with.
    shown: Option<u32>,
    writer_lost: bool,
}

#[derive(Debug)]
struct Offer {
    handle: SlotHandle,
    /// Its copy, until it is given out.
    bytes: Option<Vec<u8>>,
}

impl ReaderSlots {
    /// Of a segment to which this process is attached, with a reader that it has added there.
    /// `wire_size`: octets of the type's samples (`FlatStruct::WIRE_SIZE`).
    #[must_use]
    pub fn new(
        segment: PosixSlotAllocator,
        reader: ReaderIndex,
        delivery: Delivery,
        wire_size: usize,
    ) -> Self {
        Self { segment, reader, delivery, wire_size, round: Mutex::default() }
    }

    /// The segment.
    #[must_use]
    pub fn segment(&self) -> &PosixSlotAllocator {
        &self.segment
    }

    /// This reader's index in the segment.
    #[must_use]
    pub fn reader(&self) -> ReaderIndex {
        self.reader
    }

    /// Whether the writer is gone and everything it published was offered.
    #[must_use]
    pub fn writer_is_lost(&self) -> bool {
        self.round().writer_lost
    }

    fn round(&self) -> MutexGuard<'_, Round> {
        // Every change is one step.
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides what the round has to offer.
    fn begin(&self, round: &mut Round) -> Result<(), SlotError> {
        round.offered = None;
        // Not for ever, where a writer replaces what is looked for.
        for _ in 0..=self.segment.slot_count() {
            let oldest = match self.segment.next_unread_slot(self.reader) {
                Err(SlotError::WriterLost) => {
                    round.writer_lost = true;
                    return Ok(());
                }
                oldest => oldest?,
            };
            round.writer_lost = false;
            let Some(oldest) = oldest else { return Ok(()) };
            round.offered = match self.delivery {
                Delivery::Every => self.offer(oldest)?,
                Delivery::Newest => self.offer_newest()?,
            };
            if round.offered.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// The newest sample that ZeroDDS can read; what is older is nobody's any more.
    fn offer_newest(&self) -> Result<Option<Offer>, SlotError> {
        let mut unread = Vec::new();
        for slot in 0..self.segment.slot_count() {
            unread.extend(self.segment.unread_slot(slot, self.reader)?);
        }
        unread.sort_unstable_by_key(SlotHandle::seq);
        let mut newest = None;
        while newest.is_none()
            && let Some(handle) = unread.pop()
        {
            newest = self.offer(handle)?;
        }
        // The oldest first: the reader's cursor follows, and need not keep what is marked above it.
        unread.into_iter().try_for_each(|older| self.segment.mark_read(older, self.reader))?;
        Ok(newest)
    }

    fn offer(&self, handle: SlotHandle) -> Result<Option<Offer>, SlotError> {
        Ok(self.value(handle)?.map(|bytes| Offer { handle, bytes: Some(bytes) }))
    }

    /// A copy of a sample, if it stayed and ZeroDDS can read it; what it cannot read is marked read.
    fn value(&self, handle: SlotHandle) -> Result<Option<Vec<u8>>, SlotError> {
        match self.segment.read_slot(handle) {
            Ok((header, bytes))
                if header.valid_data()
                    && header.representation == SampleHeader::RAW
                    && bytes.len() >= self.wire_size =>
            {
                Ok(Some(bytes))
            }
            Ok(_) => self.segment.mark_read(handle, self.reader).map(|()| None),
            // Replaced by a writer that does not wait.
            Err(SlotError::StaleHandle { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The copy of the sample that the round offers, if it is in this slot.
    fn offered(
        &self,
        round: &mut Round,
        slot: u32,
    ) -> Result<Option<(SlotHeader, Vec<u8>)>, SlotError> {
        let Some(offer) =
            round.offered.as_mut().filter(|offer| offer.handle.slot() == slot as usize)
        else {
            return Ok(None);
        };
        let handle = offer.handle;
        let bytes = match offer.bytes.take() {
            None => self.value(handle)?,
            bytes => bytes,
        };
        let Some(bytes) = bytes else {
            round.offered = None;
            return Ok(None);
        };
        let number = next_shown(round.shown, handle.seq().unwrap_or_default());
        round.shown = Some(number);
        Ok(Some((SlotHeader::new(number, bytes.len() as u32), bytes)))
    }
}

/// The number to show a sample with: its own, as far as 32 bits go. ZeroDDS takes only numbers above
/// the last one, and the greatest for "none yet"; so where the numbers begin anew, one sample is shown
/// with that.
fn next_shown(last: Option<u32>, seq: u64) -> u32 {
    let number = seq as u32;
    match last {
        Some(last) if last != u32::MAX && number <= last => u32::MAX,
        _ => number,
    }
}

impl SlotBackend for ReaderSlots {
    fn reserve_slot(&self, mask: ReaderMask) -> Result<ZeroHandle, ZeroError> {
        let reserved = self.segment.reserve_slot(ReaderSet::from_bits(mask.into()));
        // Not the owner: always an error.
        reserved.map_err(to_zerodds).and(Err(ZeroError::OutOfBounds))
    }

    fn commit_slot(&self, _handle: ZeroHandle, _bytes: &[u8]) -> Result<u32, ZeroError> {
        Err(ZeroError::OutOfBounds)
    }

    fn discard_slot(&self, _handle: ZeroHandle) -> Result<(), ZeroError> {
        Err(ZeroError::OutOfBounds)
    }

    fn read_slot(&self, handle: ZeroHandle) -> Result<(SlotHeader, Vec<u8>), ZeroError> {
        if handle.slot_index as usize >= self.segment.slot_count() {
            return Err(ZeroError::OutOfBounds);
        }
        let mut round = self.round();
        if handle.slot_index == 0 {
            self.begin(&mut round).map_err(to_zerodds)?;
        }
        let offered = self.offered(&mut round, handle.slot_index).map_err(to_zerodds)?;
        Ok(offered.unwrap_or((SlotHeader::new(0, 0), Vec::new())))
    }

    fn next_unread_slot(&self, _reader_index: u8) -> Result<Option<ZeroHandle>, ZeroError> {
        let mut round = self.round();
        self.begin(&mut round).map_err(to_zerodds)?;
        let slot = round.offered.as_ref().map(|offer| offer.handle.slot() as u32);
        Ok(slot.map(|slot_index| ZeroHandle { segment_id: 0, slot_index }))
    }

    fn mark_read(&self, handle: ZeroHandle, _reader_index: u8) -> Result<(), ZeroError> {
        let mut round = self.round();
        match round.offered.take_if(|offer| offer.handle.slot() == handle.slot_index as usize) {
            Some(offer) => self.segment.mark_read(offer.handle, self.reader).map_err(to_zerodds),
            None => Ok(()),
        }
    }

    fn mark_reader_disconnected(&self, _reader_index: u8) -> Result<(), ZeroError> {
        self.segment.mark_reader_disconnected(self.reader).map_err(to_zerodds)
    }

    fn slot_count(&self) -> Result<usize, ZeroError> {
        Ok(self.segment.slot_count())
    }

    fn slot_total_size(&self) -> usize {
        self.segment.slot_total_size()
    }

    fn slot_capacity(&self) -> usize {
        self.segment.slot_capacity()
    }

    fn type_hash(&self) -> Option<[u8; 16]> {
        self.segment.type_hash().and_then(digest)
    }

    fn notify_generation(&self) -> u64 {
        self.segment.generation().0
    }

    fn wait_for_change(&self, last: u64, timeout: Duration) {
        if self.writer_is_lost() {
            // Nothing comes, and ZeroDDS asks again until its deadline.
            std::thread::sleep(timeout.min(LOST));
        } else {
            self.segment.wait(Generation(last), timeout);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::Instant;

    use dds_shm::liveness::{Node, NodeOptions, RuntimeDir};
    use dds_shm::slots::{EntryStatus, SampleInfo};
    use dds_shm::{FlowPolicy, ReaderOptions, SegmentOptions, TypeHash};

    use super::*;

    /// As `scan_slots` does it, with a type of 8 octets.
    fn read_flat(slots: &ReaderSlots) -> Option<Vec<u8>> {
        let mut read = None;
        for slot_index in 0..slots.segment.slot_count() as u32 {
            let handle = ZeroHandle { segment_id: 0, slot_index };
            let (header, bytes) = slots.read_slot(handle).unwrap();
            if header.sample_size >= 8 {
                slots.mark_read(handle, 0).unwrap();
                read = Some(bytes);
            }
        }
        read
    }

    #[test]
    fn what_zerodds_cannot_read_is_passed_over_and_a_lost_writer_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let dir = RuntimeDir::create(home.path()).unwrap();
        let node = Node::new(&dir, NodeOptions { janitor: None, ..Default::default() }).unwrap();
        for delivery in [Delivery::Newest, Delivery::Every] {
            let options = SegmentOptions::new("Topic", "Type", TypeHash::UNKNOWN, 16);
            let options = options.slots(8).flow(FlowPolicy::keep_all(Duration::ZERO));
            let owner = PosixSlotAllocator::create(&node, &options).unwrap();
            let segment = PosixSlotAllocator::attach(&node, owner.flink_path(), None).unwrap();
            let reader = segment.add_reader(&ReaderOptions::default()).unwrap();
            let slots = ReaderSlots::new(segment, reader, delivery, 8);
            let writer = owner.into_writer().unwrap();
            let started = Instant::now();
            while writer.readers().first().is_none_or(|found| found.1 != EntryStatus::Admitted) {
                assert!(started.elapsed() < Duration::from_secs(10));
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(read_flat(&slots), None);

            let value = SampleInfo::default();
            let dispose = SampleInfo { key_only: true, status_info: 1, ..value };
            let cdr = SampleInfo { encapsulation: Some(7), ..value };
            // More than the slots take that nobody marks.
            for round in 0..5 {
                for (bytes, info) in [
                    (&[1; 4][..], &value),
                    (&[round; 8], &value),
                    (&[3; 8], &dispose),
                    (&[4; 8], &cdr),
                ] {
                    writer.write(bytes, info).unwrap();
                }
                assert_eq!(read_flat(&slots), Some(vec![round; 8]), "{delivery:?}");
                assert_eq!(read_flat(&slots), None);
            }
            assert!(!slots.writer_is_lost());
            drop(writer);
            assert_eq!(read_flat(&slots), None);
            assert!(slots.writer_is_lost());
            let (started, wait) = (Instant::now(), Duration::from_millis(20));
            slots.wait_for_change(slots.notify_generation(), wait);
            assert!(started.elapsed() >= wait);
        }
    }

    #[test]
    fn zerodds_never_takes_a_sample_for_an_old_one() {
        // As `scan_slots` decides.
        let (mut last_sn, mut shown) = (u32::MAX, None);
        let start = u64::from(u32::MAX) - 3;
        for seq in (1..4).chain(start..start + 8).chain(2 * start..2 * start + 20) {
            let number = next_shown(shown, seq);
            assert!(last_sn == u32::MAX || number > last_sn, "{seq}");
            (last_sn, shown) = (number, Some(number));
        }
    }
}
