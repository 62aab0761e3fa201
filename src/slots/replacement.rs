//! Leaving a reader behind that pins the segment while it lives.
//!
//! A hold is reclaimed only from the dead. A living reader that holds more than it may, or pins every
//! slot for a second, gets to keep the memory it holds: the owner goes on in a new incarnation, and
//! everybody else follows by the flink, at the same index and epoch, without missing anything. The
//! old memory lives in the mappings of those who still use it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::memory::SegmentMemory;
use super::owner::tagged;
use super::posix::SegmentFiles;
use super::segment_owner::{Home, Hot, SegmentOwner, Service};
use super::{
    Identity, Incarnation, OwnerEvent, OwnerState, ReaderIndex, ReaderLoss, ReaderSet, SlotError,
    SlotIndex, SlotWord, leave_entry, take_leave,
};
use crate::liveness::PeerNode;
use crate::sync::{Ordering, Words};

/// How many old incarnations may be held by living readers at once.
const MAX_FORMER: usize = 2;

/// How long after a failure to make new memory it is not tried again.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The readers that an old incarnation was left to.
#[derive(Debug)]
pub(super) struct Former {
    left_to: Vec<Arc<PeerNode>>,
}

impl SegmentOwner {
    /// Called by a writer that found no free slot: goes on in new memory if living readers pin the
    /// old one against the rules. Where that cannot be made, the writer waits or drops as before.
    pub(super) fn leave_behind(&self) {
        let Some(home) = &self.home else { return };
        let mut service = self.service();
        if service.stuck_since.is_some_and(|since| since.elapsed() < TRY_AGAIN_AFTER) {
            return;
        }
        let mut hot = self.hot.lock();
        let left = self.misbehaving(&mut service, &hot);
        if left.is_empty() || hot.loans > 0 {
            return;
        }
        service.former.retain(|former| former.left_to.iter().any(|peer| peer.is_alive()));
        if service.former.len() >= MAX_FORMER {
            return;
        }
        let replaced = self.replace(home, &mut service, &mut hot, left);
        // A log may be written to this very segment.
        drop(hot);
        service.stuck_since = replaced.is_err().then(Instant::now);
        if let Err(error) = replaced {
            tracing::warn!(%error, "readers pin the segment, and there is no new memory");
        }
    }

    /// Who pins the segment against the rules.
    fn misbehaving(&self, service: &mut Service, hot: &Hot) -> ReaderSet {
        let commits = hot.commits;
        let since = match service.full_since {
            Some((since, at)) if at == commits => since,
            _ => {
                let now = Instant::now();
                service.full_since = Some((now, commits));
                now
            }
        };
        // Two looks, because readers go on while the slots are looked at one by one: no reader comes
        // back to a sample it let go of, so what it uses in both looks it used all the time between
        // them, all of that at once.
        let slots = || (0..self.identity.geometry.slot_count).map(SlotIndex);
        let first: Vec<_> = slots().map(|slot| hot.core.users(&*hot.memory, slot)).collect();
        let mut held = [0u32; super::MAX_READERS];
        let mut users = ReaderSet::EMPTY;
        for (slot, first) in slots().zip(first) {
            for reader in hot.core.users(&*hot.memory, slot).and(first).iter() {
                held[reader.get()] += 1;
                users.insert(reader);
            }
        }
        let greedy: ReaderSet =
            users.iter().filter(|reader| held[reader.get()] > self.identity.max_held).collect();
        if !greedy.is_empty() {
            return greedy;
        }
        // Slots that wait for a reliable reader to come by are the QoS's business, not this.
        let waits = hot.core.waits_for_readers(&*hot.memory);
        if waits || since.elapsed() < self.misbehaves_after { ReaderSet::EMPTY } else { users }
    }

    fn replace(
        &self,
        home: &Home,
        service: &mut Service,
        hot: &mut Hot,
        left: ReaderSet,
    ) -> Result<(), SlotError> {
        let identity = Identity { incarnation: Incarnation::random(), ..self.identity.clone() };
        let mut current = home.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // There is a writer, so there are names.
        let current = current.as_mut().ok_or(SlotError::NotOwner)?;
        let (mut files, memory) =
            SegmentFiles::make(&home.node, &home.options, &identity, &current.flink)?;
        let kept: Vec<_> = (hot.core.kept_slots().into_iter().enumerate())
            .map(|(new, old)| copy_sample(hot, &memory, old, SlotIndex(new as u32)))
            .collect();
        let depth = self.identity.history_depth as usize;
        let core = hot.core.succeed(&memory, left, &kept, depth);
        let (node, guid) = (home.node.id().get(), hot.guid);
        memory.store_owner(node, guid);
        memory.store_origin(hot.memory.load_origin());
        let alive = tagged(u64::from(hot.epoch), OwnerState::Alive as u8);
        memory.store(SlotWord::OwnerState, alive, Ordering::Relaxed);
        for reader in core.live().iter() {
            memory.store_entry(reader, &hot.memory.load_entry(reader));
            let words = [SlotWord::Node, SlotWord::Rings, SlotWord::StartSn];
            for word in words.map(|word| word(reader)) {
                memory.store(word, hot.memory.load(word, Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        memory.write_identity(&identity);
        files.publish(Some(&current.name))?;
        // The names of the old memory go; the flink is the new one's now.
        current.published = false;
        *current = files;
        let replaced = tagged(u64::from(hot.epoch), OwnerState::Replaced as u8);
        hot.memory.store(SlotWord::OwnerState, replaced, Ordering::Release);
        hot.memory.fence(Ordering::SeqCst);
        for reader in core.live().iter() {
            // It asked to leave since the requests were last looked at. Who asks from here on finds
            // the announcement above, and asks in the new memory.
            if take_leave(&*hot.memory, reader) {
                leave_entry(&memory, reader);
            }
        }
        hot.ring();
        let mut left_to = Vec::new();
        for reader in hot.core.live().without(core.live()).iter() {
            hot.forget_bell(reader);
            let resend_from = hot.first_unread_sn(reader);
            let Some(peer) = service.peers[reader.get()].take() else { continue };
            if left.contains(reader) {
                let guid = peer.entry.guid;
                let why = ReaderLoss::Misbehaved;
                service.tell(OwnerEvent::ReaderLost { reader, guid, why, resend_from });
            }
            left_to.extend(peer.node);
        }
        hot.memory = Arc::new(memory);
        hot.core = core;
        service.former.push(Former { left_to });
        service.requests_seen = 0;
        service.full_since = None;
        service.tell(OwnerEvent::SegmentReplaced { incarnation: identity.incarnation });
        hot.incarnation = identity.incarnation;
        Ok(())
    }
}

/// Copies a kept sample into the next incarnation.
fn copy_sample(
    hot: &Hot,
    memory: &SegmentMemory,
    from: SlotIndex,
    to: SlotIndex,
) -> (u64, super::InstanceKey) {
    let header = hot.memory.load_header(from);
    let mut payload = vec![0; header.size as usize];
    hot.memory.copy_payload(from, &mut payload);
    memory.store_header(to, &header);
    // SAFETY: nobody else has the new memory yet, and a header's size is within the capacity.
    unsafe {
        std::ptr::copy_nonoverlapping(payload.as_ptr(), memory.payload(to), payload.len());
    }
    (hot.core.seq(from), header.key_hash)
}

impl super::OwnerCore {
    /// Who holds or looks at the sample in `slot`, as far as the owner may believe it.
    fn users<W: Words<SlotWord>>(&self, words: &W, slot: SlotIndex) -> ReaderSet {
        let held = ReaderSet::from_bits(words.load(SlotWord::Hold(slot), Ordering::Acquire));
        let seq = self.seq(slot);
        let looks = |reader: &ReaderIndex| {
            seq != 0 && words.load(SlotWord::Reading(*reader), Ordering::Acquire) == seq
        };
        let mut users: ReaderSet = self.live().iter().filter(looks).collect();
        held.and(self.live()).iter().for_each(|reader| users.insert(reader));
        users
    }

    /// Whether a slot that nobody uses waits for a blocking reader to come by.
    fn waits_for_readers<W: Words<SlotWord>>(&self, words: &W) -> bool {
        let blocking = self.connected().and(self.blocking);
        let behind = blocking
            .iter()
            .map(|reader| words.load(SlotWord::Cursor(reader), Ordering::Acquire))
            .min()
            .unwrap_or(u64::MAX);
        (0..self.slots).map(SlotIndex).any(|slot| {
            let seq = self.seq(slot);
            seq != 0 && seq >= behind && self.users(words, slot).is_empty()
        })
    }

    /// The slots of kept samples, oldest first.
    fn kept_slots(&self) -> Vec<SlotIndex> {
        let mut slots: Vec<_> = self.history.slots().filter(|slot| self.seq(*slot) != 0).collect();
        slots.sort_by_key(|slot| self.seq(*slot));
        slots
    }
}
