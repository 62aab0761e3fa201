//! The owner of a segment: reserves and commits, admits readers, lets the dead go.
//!
//! The writer's thread and the node's service thread meet here: `hot` is what a sample's path needs,
//! `service` what the rest does. Who needs both takes `service` first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::memory::SegmentMemory;
use super::options::{FlowPolicy, SegmentOptions, Sharing};
use super::owner::tagged;
use super::owner_cell::{OwnerCell, WriterSide};
use super::pace::Pace;
use super::posix::SegmentFiles;
use super::replacement::Former;
use super::{
    Committed, EntryStatus, Identity, Incarnation, OwnerCore, OwnerEvent, OwnerState, ReaderEntry,
    ReaderIndex, ReaderLoss, ReaderSet, Request, SampleHeader, SampleInfo, SlotError, SlotIndex,
    SlotWord, space_bell,
};
use crate::liveness::{
    BellBit, LivenessError, Node, NodeId, PeerNode, RemoteBell, Serve, Serviced,
};
use crate::shm::ProcessStamp;
use crate::sync::{Ordering, Words};

/// How long a writer that waits for space sleeps before it looks whether its readers live.
const PROBE_EVERY: Duration = Duration::from_millis(50);
/// How often a writer that drops one sample after the other looks whether its readers live.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long a writer that finds no free slot spins before it goes to sleep.
const SPIN: Duration = Duration::from_micros(50);
/// How long an entry stays refused if its reader does not give it back.
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// The most events kept for who does not fetch them.
const MAX_EVENTS: usize = 1024;

/// From where a call comes: the writer's thread, or any other.
pub(crate) type Side<'a> = Option<&'a WriterSide>;

/// A slot that was taken, and its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reserved {
    pub(crate) slot: SlotIndex,
    pub(crate) payload: *mut u8,
}

/// The bell of one node and the readers of it.
#[derive(Debug)]
pub(super) struct NodeBell {
    node: u64,
    bell: Arc<RemoteBell>,
    readers: Vec<(ReaderIndex, BellBit)>,
}

#[derive(Debug)]
pub(super) struct Hot {
    pub(super) memory: Arc<SegmentMemory>,
    pub(super) core: OwnerCore,
    pub(super) bells: Vec<NodeBell>,
    pub(super) last_sn: i64,
    pub(super) epoch: u32,
    pub(super) loans: usize,
    pub(super) dropped: u64,
    pub(super) commits: u64,
    pub(super) pace: Pace,
    /// Where the slowest reader was when it was waited for in vain.
    pub(super) patience_ended_at: Option<u64>,
    pub(super) guid: [u8; 16],
    pub(super) incarnation: Incarnation,
}

#[derive(Debug)]
pub(super) struct Peer {
    /// `None` for a reader in the same process that needs no watching.
    pub(super) node: Option<Arc<PeerNode>>,
    pub(super) entry: ReaderEntry,
    pub(super) since: Instant,
}

#[derive(Debug)]
pub(super) struct Service {
    pub(super) requests_seen: u64,
    pub(super) peers: Vec<Option<Peer>>,
    pub(super) events: VecDeque<OwnerEvent>,
    pub(super) events_missed: u64,
    /// Since when no slot was free, and how many commits there had been.
    pub(super) full_since: Option<(Instant, u64)>,
    pub(super) former: Vec<Former>,
    /// When a writer that does not wait looked last who is dead.
    pub(super) looked: Option<Instant>,
    /// When going on in new memory failed last.
    pub(super) stuck_since: Option<Instant>,
    /// The writer is gone: nothing in the segment is touched any more.
    is_over: bool,
}

/// Where an owner starts.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) core: OwnerCore,
    pub(crate) last_sn: i64,
    pub(crate) epoch: u32,
}

/// What a segment in shared memory has and one on the heap has not.
#[derive(Debug)]
pub(crate) struct Home {
    /// Taken back when the writer goes, and exchanged when it goes on in new memory. Before the node,
    /// which keeps its own names for the janitor while it finds some of these.
    pub(crate) files: Mutex<Option<SegmentFiles>>,
    pub(crate) node: Arc<Node>,
    pub(crate) options: SegmentOptions,
}

/// The shared half of a [`SlotWriter`]: what the node's service thread works on too.
#[derive(Debug)]
pub(crate) struct SegmentOwner {
    pub(super) hot: OwnerCell<Hot>,
    pub(super) service: Mutex<Service>,
    pub(super) identity: Identity,
    pub(super) flow: FlowPolicy,
    /// See [`SegmentOptions::readers_hold_up`].
    readers_hold_up: bool,
    pub(super) max_instances: usize,
    max_loans: u32,
    pub(super) misbehaves_after: Duration,
    pub(super) home: Option<Home>,
    pub(super) stamp: ProcessStamp,
}

impl SegmentOwner {
    pub(crate) fn new(
        memory: Arc<SegmentMemory>,
        identity: Identity,
        beginning: Beginning,
        options: &SegmentOptions,
        home: Option<Home>,
    ) -> Self {
        let readers = identity.geometry.reader_capacity as usize;
        let Beginning { core, last_sn, epoch } = beginning;
        let inherited = core.live();
        let owner = Self {
            hot: OwnerCell::new(Hot {
                memory,
                core,
                bells: Vec::new(),
                last_sn,
                epoch,
                loans: 0,
                dropped: 0,
                commits: 0,
                pace: Pace::default(),
                patience_ended_at: None,
                guid: options.guid,
                incarnation: identity.incarnation,
            }),
            service: Mutex::new(Service {
                requests_seen: 0,
                peers: (0..readers).map(|_| None).collect(),
                events: VecDeque::new(),
                events_missed: 0,
                full_since: None,
                former: Vec::new(),
                looked: None,
                stuck_since: None,
                is_over: false,
            }),
            identity,
            flow: options.flow,
            readers_hold_up: options.readers_hold_up(),
            max_instances: options.instances.max(1) as usize,
            max_loans: options.max_loans,
            misbehaves_after: options.misbehaves_after,
            home,
            stamp: ProcessStamp::current(),
        };
        owner.inherit(inherited);
        owner
    }

    /// Takes over the readers of an adopted segment: who lives is served on.
    fn inherit(&self, readers: ReaderSet) {
        let mut service = self.service();
        let memory = self.memory();
        for reader in readers.iter() {
            let entry = memory.load_entry(reader);
            let node = memory.load(SlotWord::Node(reader), Ordering::Acquire);
            let since = Instant::now();
            let peer = match self.find(node, &entry) {
                Ok(peer) => peer,
                Err(error) => {
                    // It may live and read: what it uses stays, and nobody waits for it.
                    tracing::warn!(%error, %reader, "cannot watch a reader of the adopted segment");
                    service.peers[reader.get()] = Some(Peer { node: None, entry, since });
                    self.hot.lock().core.disconnect(&*memory, reader);
                    continue;
                }
            };
            let lives = peer.as_ref().is_some_and(|peer| peer.is_alive());
            service.peers[reader.get()] = Some(Peer { node: peer, entry, since });
            if !lives {
                self.vacate(&mut service, reader, ReaderLoss::Died);
                continue;
            }
            let bell = self.bell(node, entry.uid);
            memory.store(SlotWord::Rings(reader), u64::from(bell.is_some()), Ordering::Relaxed);
            let mut hot = self.hot.lock();
            if let Some(bell) = bell {
                hot.enter_bell(node, bell, reader, entry.bell_bit);
            }
            if hot.core.connected().contains(reader) {
                let start_sn = hot.last_sn.saturating_add(1);
                let start = hot.core.head() + 1;
                let (guid, covered_from) = (entry.guid, start);
                let event =
                    OwnerEvent::ReaderAttached { reader, guid, start, start_sn, covered_from };
                service.tell(event);
            }
        }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn memory(&self) -> Arc<SegmentMemory> {
        Arc::clone(&self.hot.lock().memory)
    }

    #[inline]
    pub(crate) fn check_process(&self) -> Result<(), SlotError> {
        if self.stamp.is_current() { Ok(()) } else { Err(SlotError::Forked) }
    }

    pub(super) fn service(&self) -> MutexGuard<'_, Service> {
        // A panic in between leaves nothing half-done that a later pass would not look at again.
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot. Waits as the flow policy says, but not with all the loans that the caller may
    /// have.
    #[inline]
    pub(crate) fn reserve(
        &self,
        side: Side<'_>,
        loans: u32,
        may_block: ReaderSet,
    ) -> Result<Reserved, SlotError> {
        self.check_process()?;
        match self.try_reserve(side, may_block) {
            Some(slot) => Ok(slot),
            None => self.reserve_slow(side, loans, may_block),
        }
    }

    /// Takes a slot if one is free.
    #[inline]
    pub(crate) fn try_reserve(&self, side: Side<'_>, may_block: ReaderSet) -> Option<Reserved> {
        let mut hot = self.hot.lock_from(side);
        let hot = &mut *hot;
        let slot = hot.core.reserve(&*hot.memory, may_block).ok()?;
        hot.loans += 1;
        Some(Reserved { slot, payload: hot.memory.payload(slot) })
    }

    fn check_memory(&self) -> Result<(), SlotError> {
        if self.memory().is_poisoned() { Err(SlotError::Poisoned) } else { Ok(()) }
    }

    fn no_free_slot(&self) -> SlotError {
        SlotError::NoFreeSlot { slots: self.identity.geometry.slot_count }
    }

    #[cold]
    fn reserve_slow(
        &self,
        side: Side<'_>,
        loans: u32,
        may_block: ReaderSet,
    ) -> Result<Reserved, SlotError> {
        self.check_memory()?;
        let Some(most) = self.flow.max_blocking_time else {
            // Who is dead pins nothing: a look, then the sample is dropped.
            let due = self.look_is_due();
            self.serve_now(due);
            if due {
                self.leave_behind();
            }
            return self.try_reserve(side, may_block).ok_or_else(|| self.no_free_slot());
        };
        // It would wait for itself.
        if loans > 0 && loans >= self.max_loans {
            return Err(SlotError::TooManyLoans { loans, most: self.max_loans });
        }
        let started = Instant::now();
        let mut may_block = may_block;
        if !self.flow.waits_for_readers {
            let slot = self.reserve_patiently(side, may_block, self.flow.patience.min(most));
            may_block = ReaderSet::EMPTY;
            if let Some(slot) = slot.or_else(|| self.try_reserve(side, may_block)) {
                return Ok(slot);
            }
        }
        let spin = SPIN.min(most);
        while started.elapsed() < spin {
            for _ in 0..32 {
                std::hint::spin_loop();
            }
            if let Some(slot) = self.try_reserve(side, may_block) {
                return Ok(slot);
            }
        }
        loop {
            self.check_memory()?;
            self.serve_now(true);
            self.leave_behind();
            let waited = started.elapsed();
            let Some(left) = most.checked_sub(waited).filter(|left| !left.is_zero()) else {
                return self.try_reserve(side, may_block).ok_or(SlotError::Timeout { waited });
            };
            let mut slot = None;
            space_bell::wait(&self.memory(), left.min(PROBE_EVERY), || {
                slot = self.try_reserve(side, may_block);
                slot.is_some()
            });
            if let Some(slot) = slot.or_else(|| self.try_reserve(side, may_block)) {
                return Ok(slot);
            }
        }
    }

    /// Gives readers some time that are not waited for, unless they did not use it the last time.
    fn reserve_patiently(
        &self,
        side: Side<'_>,
        may_block: ReaderSet,
        patience: Duration,
    ) -> Option<Reserved> {
        if patience.is_zero() {
            return None;
        }
        {
            let hot = self.hot.lock_from(side);
            if hot.patience_ended_at.is_some_and(|at| at == hot.core.slowest()) {
                return None;
            }
        }
        let mut slot = None;
        space_bell::wait(&self.memory(), patience, || {
            slot = self.try_reserve(side, may_block);
            slot.is_some()
        });
        let mut hot = self.hot.lock_from(side);
        hot.patience_ended_at = slot.is_none().then(|| hot.core.slowest());
        slot
    }

    /// Whether a writer that does not wait is to look at who is dead: not at every sample that it
    /// drops, because the look costs a system call per reader.
    fn look_is_due(&self) -> bool {
        let mut service = self.service();
        let due = service.looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
        if due {
            service.looked = Some(Instant::now());
        }
        due
    }

    /// Gives a loan back.
    pub(crate) fn discard(&self, side: Side<'_>, slot: SlotIndex) {
        if self.check_process().is_ok() {
            let mut hot = self.hot.lock_from(side);
            hot.core.discard(slot);
            hot.loans -= 1;
        }
    }

    /// Publishes the loan in `slot`, whose payload is written. With `ahead`, takes the next slot too
    /// if that is to be had for a look: off the path of the next sample.
    #[inline(always)]
    pub(crate) fn commit(
        &self,
        side: Side<'_>,
        slot: SlotIndex,
        len: usize,
        info: &SampleInfo,
        ahead: bool,
    ) -> Result<(Committed, Option<Reserved>), SlotError> {
        self.check_process()?;
        let mut hot = self.hot.lock_from(side);
        let hot = &mut *hot;
        // Known after the payload was written: nobody else sees the zero pages it went to.
        if hot.memory.is_poisoned() {
            return Err(SlotError::Poisoned);
        }
        if self.identity.history_depth != 0 {
            let (known, is_known) = hot.core.instances(&info.key_hash);
            if !is_known && known >= self.max_instances {
                return Err(SlotError::TooManyInstances { known, most: self.max_instances });
            }
        }
        let sn = info.sn.unwrap_or(hot.last_sn.saturating_add(1));
        hot.last_sn = hot.last_sn.max(sn);
        let header = SampleHeader {
            size: len as u32,
            sn,
            source_timestamp: info.source_timestamp,
            representation: info.encapsulation.unwrap_or(SampleHeader::RAW),
            status_info: info.status_info,
            flags: if info.key_only { SampleHeader::KEY_ONLY } else { 0 }
                | if info.outsize { SampleHeader::OUTSIZE } else { 0 },
            owner_epoch: hot.epoch,
            key_hash: info.key_hash,
        };
        let memory = &*hot.memory;
        if hot.pace.has_pauses() {
            memory.hand_over(slot, len);
        }
        memory.store_header(slot, &header);
        let seq = hot.core.commit(memory, slot, info.key_hash);
        hot.loans -= 1;
        hot.commits += 1;
        hot.pace.step(hot.commits);
        if info.status_info & 3 == 3 {
            // Disposed and unregistered: nobody is to find it any more.
            hot.core.forget_instance(&info.key_hash);
        }
        // Between the publication and the look at who sleeps: either a reader that goes to sleep
        // sees the sample, or its flag is seen here.
        memory.fence(Ordering::SeqCst);
        hot.ring();
        let ahead = if ahead { hot.core.reserve_ahead(memory) } else { None };
        hot.loans += usize::from(ahead.is_some());
        if let Some(next) = hot.core.upcoming(3) {
            memory.prefetch(next);
        }
        let committed = Committed { seq, sn, covered: hot.core.connected() };
        Ok((committed, ahead.map(|slot| Reserved { slot, payload: memory.payload(slot) })))
    }

    /// Gives a number to a sample that found no slot, so that every reader counts it.
    pub(crate) fn drop_sample(
        &self,
        side: Side<'_>,
        sn: Option<i64>,
    ) -> Result<Committed, SlotError> {
        self.check_process()?;
        let mut hot = self.hot.lock_from(side);
        let hot = &mut *hot;
        let sn = sn.unwrap_or(hot.last_sn.saturating_add(1));
        hot.last_sn = hot.last_sn.max(sn);
        hot.dropped += 1;
        let seq = hot.core.drop_sample(&*hot.memory);
        hot.memory.fence(Ordering::SeqCst);
        hot.ring();
        Ok(Committed { seq, sn, covered: hot.core.connected() })
    }

    /// Says by which other GUID the host's own discovery knows the writer.
    pub(crate) fn set_origin(&self, origin: [u8; 16]) {
        self.hot.lock().memory.store_origin(origin);
    }

    /// How many samples were dropped for want of a slot.
    pub(crate) fn dropped(&self, side: Side<'_>) -> u64 {
        self.hot.lock_from(side).dropped
    }

    pub(crate) fn head(&self, side: Side<'_>) -> u64 {
        self.hot.lock_from(side).core.head()
    }

    pub(crate) fn mark_reader_disconnected(&self, reader: ReaderIndex) -> Result<(), SlotError> {
        self.check_process()?;
        let mut service = self.service();
        if service.is_over {
            return Err(SlotError::WrongReader { reader });
        }
        let resend_from = {
            let mut hot = self.hot.lock();
            let hot = &mut *hot;
            if !hot.core.connected().contains(reader) {
                return if hot.core.live().contains(reader) {
                    Ok(())
                } else {
                    Err(SlotError::WrongReader { reader })
                };
            }
            let from = hot.first_unread_sn(reader);
            hot.core.disconnect(&*hot.memory, reader);
            hot.memory.fence(Ordering::SeqCst);
            hot.ring_reader(reader);
            hot.forget_bell(reader);
            from
        };
        let guid = service.guid(reader);
        service.tell(OwnerEvent::ReaderLost {
            reader,
            guid,
            why: ReaderLoss::Disconnected,
            resend_from,
        });
        Ok(())
    }

    /// The entries that are taken: index, status, and who says it is there.
    pub(crate) fn readers(&self) -> Vec<(ReaderIndex, EntryStatus, ReaderEntry)> {
        let service = self.service();
        let hot = self.hot.lock();
        let known = service.peers.iter().enumerate();
        known
            .filter_map(|(index, peer)| Some((ReaderIndex::new(index)?, peer.as_ref()?.entry)))
            .map(|(reader, entry)| (reader, hot.core.status(reader), entry))
            .collect()
    }

    pub(crate) fn take_events(&self) -> Vec<OwnerEvent> {
        self.service().events.drain(..).collect()
    }

    /// Looks at what readers ask for; with `probe` also at who of them is dead.
    pub(crate) fn serve_now(&self, probe: bool) {
        if self.check_process().is_err() {
            return;
        }
        let mut service = self.service();
        if service.is_over {
            return;
        }
        let memory = self.memory();
        let requests = memory.load(SlotWord::Requests, Ordering::Acquire);
        if requests == service.requests_seen && !probe {
            return;
        }
        service.requests_seen = requests;
        for reader in (0..service.peers.len()).filter_map(ReaderIndex::new) {
            self.serve_reader(&mut service, &memory, reader, probe);
        }
    }

    fn serve_reader(
        &self,
        service: &mut Service,
        memory: &SegmentMemory,
        reader: ReaderIndex,
        probe: bool,
    ) {
        let node = memory.load(SlotWord::Node(reader), Ordering::Acquire);
        if node == 0 && service.peers[reader.get()].is_none() {
            return;
        }
        // The service mutex is held: nobody else changes an entry's status or epoch.
        let (status, epoch) = {
            let hot = self.hot.lock();
            (hot.core.status(reader), hot.core.epoch(reader))
        };
        let request = memory.load(SlotWord::Request(reader), Ordering::Acquire);
        let asks = |what: Request| request == tagged(epoch, what as u8);
        match status {
            EntryStatus::Vacant if node == 0 => service.peers[reader.get()] = None,
            EntryStatus::Vacant if request & 0xff == Request::Leave as u64 => {
                self.hot.lock().core.vacate(memory, reader);
                service.peers[reader.get()] = None;
            }
            EntryStatus::Vacant if asks(Request::Join) => {
                self.admit(service, memory, reader, node);
            }
            EntryStatus::Vacant => self.watch_claimed(service, memory, reader, node, probe),
            // Under any epoch: a reader may leave before it notices that it was admitted.
            _ if request & 0xff == Request::Leave as u64 => {
                self.vacate(service, reader, ReaderLoss::Left)
            }
            EntryStatus::Refused => {
                // It is for the living to learn of it.
                let since = service.peers[reader.get()].as_ref().map(|peer| peer.since);
                if since.is_none_or(|since| since.elapsed() > REFUSED_FOR)
                    || (probe && service.is_dead(reader))
                {
                    self.vacate(service, reader, ReaderLoss::Left);
                }
            }
            EntryStatus::Disconnected if asks(Request::Return) => self.readmit(service, reader),
            EntryStatus::Admitted | EntryStatus::Disconnected => {
                if probe && service.is_dead(reader) {
                    self.vacate(service, reader, ReaderLoss::Died);
                }
            }
        }
    }

    /// Whoever claimed an entry and has not asked to join yet may have died in between.
    fn watch_claimed(
        &self,
        service: &mut Service,
        memory: &SegmentMemory,
        reader: ReaderIndex,
        node: u64,
        probe: bool,
    ) {
        if service.peers[reader.get()].is_none() {
            let entry = ReaderEntry::default();
            let since = Instant::now();
            service.peers[reader.get()] =
                Some(Peer { node: self.watch(node, &entry), entry, since });
        } else if probe
            && (service.is_dead(reader)
                || (service.peers[reader.get()].as_ref())
                    .is_some_and(|peer| peer.node.is_none() && peer.since.elapsed() > REFUSED_FOR))
        {
            self.hot.lock().core.vacate(memory, reader);
            service.peers[reader.get()] = None;
        }
    }

    fn watch(&self, node: u64, entry: &ReaderEntry) -> Option<Arc<PeerNode>> {
        self.find(node, entry).ok().flatten()
    }

    /// The node of a reader; `None` if there is proof that there is none.
    fn find(&self, node: u64, entry: &ReaderEntry) -> Result<Option<Arc<PeerNode>>, LivenessError> {
        let (Some(home), Some(id)) = (&self.home, NodeId::new(node)) else { return Ok(None) };
        match home.node.peer(id, entry.uid) {
            Ok(peer) => Ok(Some(peer)),
            Err(LivenessError::NoTrace { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn admit(&self, service: &mut Service, memory: &SegmentMemory, reader: ReaderIndex, node: u64) {
        let entry = memory.load_entry(reader);
        let peer = match self.find(node, &entry) {
            Ok(None) if self.home.is_some() => {
                // It asked, and died.
                self.hot.lock().core.vacate(memory, reader);
                service.peers[reader.get()] = None;
                return;
            }
            found => found.ok().flatten(),
        };
        let watched = peer.as_ref().is_some_and(|peer| peer.is_alive()) || self.home.is_none();
        let bell = self.bell(node, entry.uid);
        let since = Instant::now();
        service.peers[reader.get()] = Some(Peer { node: peer, entry, since });
        let mut hot = self.hot.lock();
        let hot = &mut *hot;
        if !watched {
            hot.core.refuse(memory, reader);
            service.tell(OwnerEvent::ReaderRefused { guid: entry.guid, uid: entry.uid });
            return;
        }
        memory.store(SlotWord::Rings(reader), u64::from(bell.is_some()), Ordering::Relaxed);
        let history =
            entry.wants_history && self.identity.flags.has(super::SegmentFlags::TRANSIENT_LOCAL);
        let blocking = entry.reliable && self.readers_hold_up;
        let start_sn = hot.start_sn(history);
        let start = hot.core.admit(memory, reader, blocking, history, start_sn);
        let (guid, covered_from) = (entry.guid, hot.core.head() + 1);
        if let Some(bell) = bell {
            hot.enter_bell(node, bell, reader, entry.bell_bit);
        }
        memory.fence(Ordering::SeqCst);
        hot.ring_reader(reader);
        service.tell(OwnerEvent::ReaderAttached { reader, guid, start, start_sn, covered_from });
    }

    fn bell(&self, node: u64, uid: u32) -> Option<Arc<RemoteBell>> {
        self.home.as_ref()?.node.peer_bell(NodeId::new(node)?, uid).ok()
    }

    fn readmit(&self, service: &mut Service, reader: ReaderIndex) {
        let Some(node) = service.peers[reader.get()].as_ref() else { return };
        let entry = node.entry;
        let node = self.memory().load(SlotWord::Node(reader), Ordering::Relaxed);
        let bell = self.bell(node, entry.uid);
        let mut hot = self.hot.lock();
        let hot = &mut *hot;
        let start_sn = hot.last_sn.saturating_add(1);
        hot.core.readmit(&*hot.memory, reader, start_sn);
        if let Some(bell) = bell {
            hot.enter_bell(node, bell, reader, entry.bell_bit);
        }
        hot.memory.fence(Ordering::SeqCst);
        hot.ring_reader(reader);
        service.tell(OwnerEvent::ReaderReturned { reader, guid: entry.guid, start_sn });
    }

    fn vacate(&self, service: &mut Service, reader: ReaderIndex, why: ReaderLoss) {
        let was_connected;
        let resend_from;
        {
            let mut hot = self.hot.lock();
            let hot = &mut *hot;
            was_connected = hot.core.connected().contains(reader);
            resend_from = hot.first_unread_sn(reader);
            hot.forget_bell(reader);
            hot.core.vacate(&*hot.memory, reader);
        }
        let guid = service.guid(reader);
        service.peers[reader.get()] = None;
        if was_connected {
            service.tell(OwnerEvent::ReaderLost { reader, guid, why, resend_from });
        }
    }

    /// The end: tells readers that there will be no more, and takes the names back. From then on
    /// another writer may have the names, and the memory too.
    pub(crate) fn end(&self) {
        let mut service = self.service();
        if self.check_process().is_err() || service.is_over {
            return;
        }
        service.is_over = true;
        self.close();
        if let Some(home) = &self.home {
            *home.files.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Tells readers that there will be no more.
    fn close(&self) {
        let mut hot = self.hot.lock();
        let hot = &mut *hot;
        let closed = tagged(u64::from(hot.epoch), OwnerState::Closed as u8);
        hot.memory.store(SlotWord::OwnerState, closed, Ordering::Release);
        hot.memory.fence(Ordering::SeqCst);
        hot.ring();
    }
}

impl Hot {
    #[inline]
    pub(super) fn ring(&self) {
        for node in &self.bells {
            if node.bell.sleeps() {
                node.ring();
            }
        }
    }

    fn ring_reader(&self, reader: ReaderIndex) {
        for node in &self.bells {
            for (_, bit) in node.readers.iter().filter(|(index, _)| *index == reader) {
                node.bell.ring_data([*bit]);
            }
        }
    }

    fn enter_bell(&mut self, node: u64, bell: Arc<RemoteBell>, reader: ReaderIndex, bit: u32) {
        let bit = BellBit::new(bit);
        match self.bells.iter_mut().find(|known| known.node == node) {
            Some(known) => known.readers.push((reader, bit)),
            None => self.bells.push(NodeBell { node, bell, readers: vec![(reader, bit)] }),
        }
    }

    pub(super) fn forget_bell(&mut self, reader: ReaderIndex) {
        for node in &mut self.bells {
            node.readers.retain(|(index, _)| *index != reader);
        }
        self.bells.retain(|node| !node.readers.is_empty());
    }

    /// RTPS sequence number of the sample at sequence number `start`, or the one after the last.
    fn start_sn(&self, history: bool) -> i64 {
        let oldest = history.then(|| self.core.oldest_kept()).flatten();
        oldest.map_or(self.last_sn.saturating_add(1), |slot| self.memory.load_header(slot).sn)
    }

    /// RTPS sequence number of the first sample that `reader` has not taken.
    pub(super) fn first_unread_sn(&self, reader: ReaderIndex) -> i64 {
        let cursor = self.memory.load(SlotWord::Cursor(reader), Ordering::Acquire);
        let slots = self.memory.geometry().slot_count;
        (0..slots)
            .map(SlotIndex)
            .filter(|slot| (cursor.max(1)..=self.core.head()).contains(&self.core.seq(*slot)))
            .map(|slot| self.memory.load_header(slot).sn)
            .min()
            .unwrap_or(self.last_sn.saturating_add(1))
    }
}

impl NodeBell {
    #[cold]
    fn ring(&self) {
        self.bell.ring_data(self.readers.iter().map(|(_, bit)| *bit));
    }
}

impl Service {
    fn guid(&self, reader: ReaderIndex) -> [u8; 16] {
        self.peers[reader.get()].as_ref().map_or([0; 16], |peer| peer.entry.guid)
    }

    fn is_dead(&self, reader: ReaderIndex) -> bool {
        let node = self.peers[reader.get()].as_ref().and_then(|peer| peer.node.as_ref());
        node.is_some_and(|node| !node.is_alive())
    }

    pub(super) fn tell(&mut self, event: OwnerEvent) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
            self.events_missed += 1;
        }
        self.events.push_back(event);
    }
}

impl Drop for SegmentOwner {
    fn drop(&mut self) {
        if self.check_process().is_ok() {
            self.end();
        } else {
            // The names are the parent's.
            std::mem::forget(self.home.take());
        }
    }
}

impl Serviced for SegmentOwner {
    fn serve(&self, _now: Instant, why: Serve) {
        self.serve_now(why == Serve::Tick);
    }

    fn wants_tick(&self) -> bool {
        // A reader of another user may not be able to ring this node: it is found by looking.
        let shared = |home: &Home| home.options.sharing != Sharing::Owner;
        self.check_process().is_ok()
            && (self.home.as_ref().is_some_and(shared)
                || self.service().peers.iter().any(Option::is_some))
    }
}
