//! An attached segment behind ZeroDDS's slot trait.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dds_shm::slots::{Generation, ReaderIndex, ReaderSet, SlotHandle};
use dds_shm::{PosixSlotAllocator, SlotBackend as _, SlotError};
use zerodds_flatdata::{
    ReaderMask, SlotBackend, SlotError as ZeroError, SlotHandle as ZeroHandle, SlotHeader,
};

use crate::error::to_zerodds;
use crate::publication::digest;

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
/// The reader index that ZeroDDS is given has no meaning: this is one reader, with the index that the
/// segment gave it.
#[derive(Debug)]
pub struct ReaderSlots {
    segment: PosixSlotAllocator,
    reader: ReaderIndex,
    delivery: Delivery,
    round: Mutex<Round>,
}

#[derive(Debug, Default)]
struct Round {
    /// The sample that this round has to offer.
    offered: Option<SlotHandle>,
    /// The number it was, or was last, shown with.
    shown: Option<u32>,
    writer_lost: bool,
}

impl ReaderSlots {
    /// Of a segment to which this process is attached, with a reader that it has added there.
    #[must_use]
    pub fn new(segment: PosixSlotAllocator, reader: ReaderIndex, delivery: Delivery) -> Self {
        Self { segment, reader, delivery, round: Mutex::default() }
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
        round.offered = match self.segment.next_unread_slot(self.reader) {
            Err(SlotError::WriterLost) => {
                round.writer_lost = true;
                None
            }
            oldest => oldest?,
        };
        if self.delivery == Delivery::Every || round.offered.is_none() {
            return Ok(());
        }
        // What is read between the newest and the oldest is nobody's any more.
        for slot in 0..self.segment.slot_count() {
            let Some(found) = self.segment.unread_slot(slot, self.reader)? else { continue };
            let older = match round.offered {
                Some(offered) if offered.seq() < found.seq() => offered,
                Some(offered) if offered != found => found,
                _ => continue,
            };
            if older != found {
                round.offered = Some(found);
            }
            self.segment.mark_read(older, self.reader)?;
        }
        Ok(())
    }

    /// A copy of the sample that the round offers, if it is in this slot and stayed.
    fn offered(
        &self,
        round: &mut Round,
        slot: u32,
    ) -> Result<Option<(SlotHeader, Vec<u8>)>, SlotError> {
        let Some(handle) = round.offered.filter(|handle| handle.slot() == slot as usize) else {
            return Ok(None);
        };
        let bytes = match self.segment.read_slot(handle) {
            Ok((_, bytes)) => bytes,
            // Replaced by a writer that does not wait.
            Err(SlotError::StaleHandle { .. }) => {
                round.offered = None;
                return Ok(None);
            }
            Err(error) => return Err(error),
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
        let slot = round.offered.map(|handle| handle.slot() as u32);
        Ok(slot.map(|slot_index| ZeroHandle { segment_id: 0, slot_index }))
    }

    fn mark_read(&self, handle: ZeroHandle, _reader_index: u8) -> Result<(), ZeroError> {
        let mut round = self.round();
        match round.offered.take_if(|offered| offered.slot() == handle.slot_index as usize) {
            Some(offered) => self.segment.mark_read(offered, self.reader).map_err(to_zerodds),
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
        self.segment.wait(Generation(last), timeout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
