//! One reader of a segment: takes in place, keeps several samples, follows its writer.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::distance::Distance;
use super::held_sample::Protected;
use super::memory::SegmentMemory;
use super::owner_link::OwnerLink;
use super::reader::{Looked, Taken};
use super::segment_owner::SegmentOwner;
use super::{
    Claim, HeldSample, Identity, KeptHistory, NotServed, OwnerState, RawSample, ReaderCore,
    ReaderEntry, ReaderIndex, ReaderRef, ReaderWatch, SegmentFlags, SlotError, SlotWord, Waitable,
    claim_entry, leave_entry, space_bell, take_leave,
};
use crate::liveness::{BellBit, BitLease, Node, NodeId};
use crate::shm::ProcessStamp;
use crate::sync::{Ordering, Words};

/// How long a waiting reader spins before it goes to sleep.
const SPIN: Duration = Duration::from_micros(20);
/// How often a sleeping reader looks whether its writer lives.
pub(super) const PROBE_EVERY: Duration = Duration::from_secs(1);
/// How often a reader polls whose bell the writer may not ring.
const POLL_EVERY: Duration = Duration::from_millis(10);

/// How many incarnations a reader that leaves follows.
const MAX_FOLLOWED: usize = 4;

/// How a reader introduces itself.
#[derive(Clone, Copy, Debug)]
pub struct ReaderOptions {
    /// RTPS GUID of the reader.
    pub guid: [u8; 16],
    /// RELIABLE: the writer waits for it as far as its QoS does.
    pub reliable: bool,
    /// It wants the history that the writer keeps.
    pub wants_history: bool,
    /// Digest of the QoS it was matched with.
    pub qos_digest: u64,
    /// The most samples in use at once, as far as the segment allows so many; 1 or more.
    pub max_held: usize,
    /// Samples may be read in place although the writer runs as another user. Otherwise they are
    /// copied and checked again.
    pub trust_other_users: bool,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        Self {
            guid: rand::random(),
            reliable: true,
            wants_history: false,
            qos_digest: 0,
            max_held: 2,
            trust_other_users: false,
        }
    }
}

/// What went by a reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Samples it should have got and did not.
    pub lost: u64,
    /// Samples that newer ones of a KEEP_LAST writer replaced: not lost, as DDS counts.
    pub replaced: u64,
}

/// The memory of a segment in a process that reads it.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) memory: Arc<SegmentMemory>,
    pub(crate) identity: Identity,
    /// The owner's node; `None` if it is this process, or if nothing is left of it.
    pub(crate) owner: Option<OwnerLink>,
    /// The owner itself, if the segment is on this process's heap.
    pub(crate) local: Weak<SegmentOwner>,
    /// The data object belongs to this process's user.
    pub(crate) same_user: bool,
}

impl Attached {
    /// Whether the owner said that it goes on elsewhere.
    fn is_replaced(&self) -> bool {
        let word = self.memory.load(SlotWord::OwnerState, Ordering::Acquire);
        OwnerState::of(word) == Some(OwnerState::Replaced)
    }

    /// Looks whether the owner lives.
    pub(crate) fn owner_lives(&self) -> bool {
        match &self.owner {
            Some(owner) => owner.is_alive(),
            None => self.local.strong_count() > 0,
        }
    }

    /// Asks the owner to look at the reader table.
    pub(crate) fn ring_owner(&self) {
        if let Some(owner) = &self.owner {
            owner.ring_service();
        } else if let Some(owner) = self.local.upgrade() {
            // There is no service thread behind a segment on the heap.
            owner.serve_now(false);
        }
    }
}

/// Where a reader finds the next incarnation of its writer's segment.
pub(crate) trait Follow: Send + Sync + std::fmt::Debug {
    /// What is there now, be its owner alive or dead.
    fn follow(&self) -> Result<Attached, SlotError>;
}

#[derive(Debug)]
enum Service {
    /// Claimed and asked; not admitted yet.
    Joining(Claim),
    Served(ReaderCore),
    /// Everything was taken, and there will be no more.
    Over,
}

#[derive(Debug)]
struct State {
    attached: Attached,
    service: Service,
    losses: Losses,
    owner_dead: bool,
    /// Attachments that are over and of which samples are still in use; their memory stays mapped
    /// until the last of these is released.
    former: Vec<(Arc<SegmentMemory>, ReaderCore)>,
    /// What it wanted next when it had to join its writer's next incarnation anew: what goes by until
    /// it is admitted counts.
    wanted: Option<u64>,
}

impl State {
    /// Counts samples that went by, as the writer's QoS calls it.
    fn missed(&mut self, missed: u64) {
        let replaces = SegmentFlags::KEEP_LAST.with(SegmentFlags::RELIABLE);
        if self.attached.identity.flags.has(replaces) {
            self.losses.replaced += missed;
        } else {
            self.losses.lost += missed;
        }
    }

    /// Nothing more will be taken here. The entry is given back as soon as no sample is in use: who
    /// adopts the segment is not to wait for this reader.
    fn finish(&mut self) {
        let memory = Arc::clone(&self.attached.memory);
        match std::mem::replace(&mut self.service, Service::Over) {
            Service::Joining(claim) => claim.withdraw(&*memory),
            Service::Served(core) if core.in_use() > 0 => self.former.push((memory, core)),
            Service::Served(mut core) => give_back(&memory, &mut core),
            Service::Over => {}
        }
        self.attached.ring_owner();
    }

    /// Lets go of a sample of an attachment that is over, and with the last one of the attachment.
    #[cold]
    fn release_former(&mut self, looked: Looked, memory: *const SegmentMemory) {
        let known = |(known, _): &(Arc<SegmentMemory>, _)| std::ptr::eq(Arc::as_ptr(known), memory);
        let Some(at) = self.former.iter().position(known) else { return };
        let (memory, core) = &mut self.former[at];
        core.release(&**memory, looked);
        if core.in_use() == 0 {
            let (memory, mut core) = self.former.swap_remove(at);
            give_back(&memory, &mut core);
            self.attached.ring_owner();
        }
    }
}

/// Tells the owner that a reader goes, unless the entry is not the reader's any more.
fn give_back(memory: &SegmentMemory, core: &mut ReaderCore) {
    if core.check_served(memory) == Err(NotServed::Evicted) {
        return;
    }
    core.leave(memory);
    if core.must_ring() {
        space_bell::ring(memory);
    }
}

/// A reader attached to a segment. `Send`, not `Sync`: one thread at a time.
#[derive(Debug)]
pub struct SlotReader {
    state: RefCell<State>,
    options: ReaderOptions,
    node: Option<Arc<Node>>,
    bit: Option<BitLease>,
    stamp: ProcessStamp,
    follow: Option<Box<dyn Follow>>,
    disconnections: Cell<u64>,
    /// When it was last looked whether the writer lives.
    probed: Cell<Instant>,
    distance: Distance,
}

impl SlotReader {
    /// Claims an entry and asks to be admitted.
    pub(crate) fn join(
        attached: Attached,
        options: ReaderOptions,
        node: Option<Arc<Node>>,
        follow: Option<Box<dyn Follow>>,
    ) -> Result<Self, SlotError> {
        let allowed = attached.identity.max_held.max(1) as usize;
        let options = ReaderOptions { max_held: options.max_held.clamp(1, allowed), ..options };
        let bit = node.as_ref().map(|node| node.lease_bit());
        let claim = claim(&attached, &options, node.as_deref(), bit.as_ref())?;
        let service = Service::Joining(claim);
        let reader = Self {
            state: RefCell::new(State {
                attached,
                service,
                losses: Losses::default(),
                owner_dead: false,
                former: Vec::new(),
                wanted: None,
            }),
            options,
            node,
            bit,
            stamp: ProcessStamp::current(),
            follow,
            disconnections: Cell::new(0),
            probed: Cell::new(Instant::now()),
            distance: Distance::default(),
        };
        reader.state.borrow().attached.ring_owner();
        Ok(reader)
    }

    pub(super) fn check_process(&self) -> Result<(), SlotError> {
        if self.stamp.is_current() { Ok(()) } else { Err(SlotError::Forked) }
    }

    /// Takes the next sample in place; it is protected until it is dropped.
    ///
    /// `Ok(None)`: nothing new now, or not admitted yet. Samples that went by are counted in
    /// [`Self::losses`]. Never blocks.
    ///
    /// # Errors
    /// [`SlotError::TooManyHeld`], [`SlotError::WriterLost`] once everything was taken,
    /// [`SlotError::Refused`], [`SlotError::Evicted`], [`SlotError::Poisoned`],
    /// [`SlotError::Forked`].
    #[inline]
    pub fn take(&self) -> Result<Option<RawSample<'_>>, SlotError> {
        Self::take_by(self)
    }

    /// As [`Self::take`], for a sample that keeps another handle to the reader than a reference.
    ///
    /// # Errors
    /// As [`Self::take`].
    #[inline]
    pub(crate) fn take_by<R: ReaderRef>(reader: R) -> Result<Option<HeldSample<R>>, SlotError> {
        let protected = reader.take_protected()?;
        Ok(protected.map(|protected| HeldSample::new(reader, protected)))
    }

    #[inline]
    fn take_protected(&self) -> Result<Option<Protected>, SlotError> {
        self.check_process()?;
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if let Service::Served(core) = &mut state.service {
            let memory = &state.attached.memory;
            let held = in_use(core, &state.former);
            if held >= self.options.max_held {
                return Err(SlotError::TooManyHeld { held });
            }
            if core.check_served(&**memory).is_ok() {
                if self.distance.step() && self.is_waited_for(state.attached.identity.flags) {
                    Distance::keep(memory, core.want());
                }
                let taken = core.take(&**memory, state.owner_dead);
                if core.must_ring() {
                    space_bell::ring(memory);
                }
                match taken {
                    Taken::Sample(looked) => {
                        return Ok(Some(Protected::new(memory, looked)));
                    }
                    Taken::Missed(missed) => state.missed(missed),
                    Taken::Nothing => self.distance.waited(),
                }
            }
        }
        self.take_slow(state)
    }

    /// Whether the writer never replaces what this reader has not taken.
    fn is_waited_for(&self, flags: SegmentFlags) -> bool {
        self.options.reliable
            && flags.has(SegmentFlags::RELIABLE)
            && !flags.has(SegmentFlags::KEEP_LAST)
    }

    /// Everything but "the next sample is there".
    #[cold]
    fn take_slow(&self, state: &mut State) -> Result<Option<Protected>, SlotError> {
        // Each turn either returns or has made progress (admitted, counted a gap, followed).
        for _ in 0..8 {
            let memory = Arc::clone(&state.attached.memory);
            if memory.is_poisoned() {
                state.finish();
                return Err(SlotError::Poisoned);
            }
            let core = match &mut state.service {
                Service::Over => return Err(SlotError::WriterLost),
                Service::Joining(claim) => {
                    let slots = memory.geometry().slot_count;
                    match ReaderCore::admitted(&*memory, *claim, slots, self.options.max_held) {
                        Ok(mut core) => {
                            let start = core.want();
                            let wanted = state.wanted.take().unwrap_or(start);
                            // Kept history that it has taken already.
                            if wanted
                                <= memory.load(SlotWord::Head, Ordering::Acquire).saturating_add(1)
                            {
                                core.advance(&*memory, wanted);
                            }
                            state.service = Service::Served(core);
                            state.missed(start.saturating_sub(wanted));
                            continue;
                        }
                        Err(NotServed::Refused) => {
                            state.finish();
                            return Err(SlotError::Refused);
                        }
                        Err(NotServed::Evicted) => {
                            state.service = Service::Over;
                            return Err(SlotError::Evicted);
                        }
                        Err(_) if owner_is_over(&memory, state.owner_dead) => {
                            return self.writer_over(state);
                        }
                        Err(_) => return Ok(None),
                    }
                }
                Service::Served(core) => core,
            };
            if let Err(why) = core.check_served(&*memory) {
                if why != NotServed::Disconnected {
                    state.service = Service::Over;
                    return Err(SlotError::Evicted);
                }
                match core.rejoin(&*memory) {
                    // Before the next sample the caller may want to know that it missed some.
                    Ok(true) => {
                        self.disconnections.set(self.disconnections.get() + 1);
                        return Ok(None);
                    }
                    Ok(false) => {
                        state.attached.ring_owner();
                        if owner_is_over(&memory, state.owner_dead) {
                            return self.writer_over(state);
                        }
                        return Ok(None);
                    }
                    Err(_) => {
                        state.service = Service::Over;
                        return Err(SlotError::Evicted);
                    }
                }
            }
            // Before the look for a sample: what was published before the end is then seen.
            let over = owner_is_over(&memory, state.owner_dead);
            let taken = core.take(&*memory, state.owner_dead);
            if core.must_ring() {
                space_bell::ring(&memory);
            }
            match taken {
                Taken::Sample(looked) => return Ok(Some(Protected::new(&memory, looked))),
                Taken::Missed(missed) => state.missed(missed),
                Taken::Nothing if over => return self.writer_over(state),
                Taken::Nothing => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The owner closed, died, or replaced its segment, and everything was taken.
    fn writer_over(&self, state: &mut State) -> Result<Option<Protected>, SlotError> {
        if let Some(attached) = self.successor(state)? {
            return self.move_to(state, attached);
        }
        state.finish();
        Err(SlotError::WriterLost)
    }

    /// Where a writer went on that said so in this memory, or died before it could.
    fn successor(&self, state: &State) -> Result<Option<Attached>, SlotError> {
        let old = &state.attached;
        let is_replaced = old.is_replaced();
        let Some(follow) = self.follow.as_ref().filter(|_| is_replaced || state.owner_dead) else {
            return Ok(None);
        };
        let attached = match follow.follow() {
            Ok(attached) => attached,
            // What the dead leave may have been swept.
            Err(_) if state.owner_dead || !old.owner_lives() => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_awaited = || match &state.service {
            Service::Served(core) => {
                attached.identity.incarnation != old.identity.incarnation
                    && self.has_entry(&attached.memory, core)
            }
            _ => false,
        };
        let goes_on = is_replaced || is_awaited();
        Ok(Some(attached).filter(|_| goes_on))
    }

    /// Goes on in the next incarnation, where the owner put this reader at the same index.
    fn move_to(
        &self,
        state: &mut State,
        attached: Attached,
    ) -> Result<Option<Protected>, SlotError> {
        let old = std::mem::replace(&mut state.attached, attached);
        // A dead writer may have published there before it died.
        state.owner_dead = !state.attached.owner_lives();
        let mut moved = None;
        if let Service::Served(core) = std::mem::replace(&mut state.service, Service::Over) {
            let memory = &*state.attached.memory;
            if self.has_entry(memory, &core) {
                moved = Some(core.moved(memory.geometry().slot_count));
            } else if memory.load_owner().1 == old.memory.load_owner().1 {
                // The same writer's sequence goes on.
                state.wanted = Some(core.want());
            }
            // Also of a reader that was left behind: its samples are in the old memory.
            if core.in_use() > 0 {
                state.former.push((old.memory, core));
            }
        }
        state.service = match moved {
            Some(core) => Service::Served(core),
            // There is nobody to admit it.
            None if state.owner_dead => Service::Over,
            None => {
                let bit = self.bit.as_ref();
                Service::Joining(claim(&state.attached, &self.options, self.node.as_deref(), bit)?)
            }
        };
        state.attached.ring_owner();
        Ok(None)
    }

    /// Whether the owner gave the entry of `core` to this reader in `memory`, too. Another reader of
    /// the same node may have it by now: the GUID and the epoch tell.
    fn has_entry(&self, memory: &SegmentMemory, core: &ReaderCore) -> bool {
        let node = self.node.as_ref().map_or(1, |node| node.id().get());
        memory.load(SlotWord::Node(core.index()), Ordering::Acquire) == node
            && memory.load_entry(core.index()).guid == self.options.guid
            && core.check_served(memory) != Err(NotServed::Evicted)
    }

    /// Leaves the incarnations to which the owner took this reader along before it saw that it
    /// leaves; nobody looks at the request in the memory of `left` then.
    fn leave_successor(&self, left: &Attached, entry: &Entry) {
        let index = entry.index();
        let mut core = None;
        let Some(follow) = &self.follow else { return };
        let mut next: Option<Attached> = None;
        for _ in 0..MAX_FOLLOWED {
            let left = next.as_ref().unwrap_or(left);
            // With the owner's fence between its announcement and its last look at the requests:
            // either it sees this reader's, or this reader sees the announcement.
            left.memory.fence(Ordering::SeqCst);
            // Before the look at what it announced: a dead owner announces nothing more.
            let lives = left.owner_lives();
            if left.is_replaced() {
                // Whoever takes the request away sees to it.
                if !take_leave(&*left.memory, index) {
                    return;
                }
            } else if lives {
                return;
            }
            // A dead owner may have gone on before it could say so.
            let slots = left.memory.geometry().slot_count;
            core = core.or_else(|| entry.served(&left.memory, slots));
            let attached = match follow.follow() {
                Ok(attached) => attached,
                Err(error) => {
                    tracing::debug!(%error, "no segment to leave");
                    return;
                }
            };
            let is_other = attached.identity.incarnation != left.identity.incarnation;
            let Some(core) = core.as_ref().filter(|_| is_other) else { return };
            if !self.has_entry(&attached.memory, core) {
                return;
            }
            leave_entry(&*attached.memory, index);
            attached.ring_owner();
            next = Some(attached);
        }
    }

    /// Whether another sample may be taken beside those in use.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        let state = self.state.borrow();
        match &state.service {
            Service::Served(core) => in_use(core, &state.former) < self.options.max_held,
            _ => true,
        }
    }

    pub(super) fn release(&self, looked: Looked, memory: *const SegmentMemory) {
        if self.check_process().is_err() {
            return;
        }
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        match &mut state.service {
            Service::Served(core) if std::ptr::eq(Arc::as_ptr(&state.attached.memory), memory) => {
                core.release(&*state.attached.memory, looked);
                if core.must_ring() {
                    space_bell::ring(&state.attached.memory);
                }
            }
            _ => state.release_former(looked, memory),
        }
    }

    /// Whether the next sample is where it is expected: the cheapest look there is, one line. For
    /// a loop that spins; a sample that the writer put elsewhere only [`Self::take`] finds.
    #[inline]
    #[must_use]
    pub fn poll(&self) -> bool {
        if self.check_process().is_err() {
            return true;
        }
        let state = self.state.borrow();
        match &state.service {
            Service::Served(core) => {
                let ready = core.poll(&*state.attached.memory);
                if !ready {
                    self.distance.waited();
                }
                ready
            }
            _ => self.is_ready(),
        }
    }

    /// Whether a take has something to say: a sample, a gap, or that the writer is gone.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        if self.check_process().is_err() {
            return true;
        }
        let state = self.state.borrow();
        let memory = &*state.attached.memory;
        match &state.service {
            Service::Over => true,
            Service::Joining(claim) => {
                claim.check(memory) != Err(NotServed::Pending)
                    || owner_is_over(memory, state.owner_dead)
            }
            Service::Served(core) => {
                core.has_next(memory)
                    || owner_is_over(memory, state.owner_dead)
                    || core.check_served(memory).is_err()
                    || memory.is_poisoned()
            }
        }
    }

    /// Looks whether the owner lives (one system call). A dead owner's last samples are still
    /// taken before [`SlotError::WriterLost`].
    pub fn probe_writer(&self) -> bool {
        if self.check_process().is_err() {
            return false;
        }
        self.probed.set(Instant::now());
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let Some(owner) = &state.attached.owner else { return !state.owner_dead };
        if state.owner_dead || owner.is_alive() {
            return !state.owner_dead;
        }
        // Somebody may have adopted the segment meanwhile.
        let adopter = NodeId::new(state.attached.memory.load_owner().0)
            .filter(|id| *id != owner.node_id())
            .zip(self.node.as_deref())
            .map_or(Ok(None), |(id, node)| OwnerLink::open(node, id, owner.uid()));
        let adopter = match adopter {
            Ok(adopter) => adopter.filter(OwnerLink::is_alive),
            Err(error) => {
                tracing::debug!(%error, "whether somebody adopted the segment is to be seen");
                return true;
            }
        };
        state.owner_dead = adopter.is_none();
        if let Some(adopter) = adopter {
            state.attached.owner = Some(adopter);
        }
        !state.owner_dead
    }

    /// Waits until a take has something to say, at most `timeout`. True if it has.
    ///
    /// Spins for some microseconds, then sleeps on the node's bell; looks once a second whether
    /// the writer lives.
    pub fn wait(&self, timeout: Duration) -> bool {
        let started = Instant::now();
        // Here, too: not everybody waits for a second, and what a dead writer left half-claimed looks
        // like news for ever.
        if !self.writer_lives(started) {
            return true;
        }
        let spin = SPIN.min(timeout);
        loop {
            for _ in 0..32 {
                if self.poll() {
                    return true;
                }
                std::hint::spin_loop();
            }
            if self.is_ready() {
                return true;
            }
            if started.elapsed() >= spin {
                break;
            }
        }
        self.settle();
        loop {
            let Some(left) = timeout.checked_sub(started.elapsed()).filter(|left| !left.is_zero())
            else {
                return self.is_ready();
            };
            let slice = left.min(self.sleep_at_most());
            match &self.node {
                Some(node) => {
                    let _ = node.bell().wait(slice, || self.is_ready());
                }
                None => std::thread::sleep(slice.min(Duration::from_micros(200))),
            }
            if self.is_ready() {
                return true;
            }
            if !self.writer_lives(Instant::now()) {
                return true;
            }
        }
    }

    /// Looks whether the writer lives, if that is due.
    fn writer_lives(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.probed.get()) < PROBE_EVERY
            || self.check_process().is_err()
            || self.probe_writer()
    }

    /// Pays the look at the space bell that releases owe, before this thread sleeps.
    pub(crate) fn settle(&self) {
        if self.check_process().is_err() {
            return;
        }
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if let Service::Served(core) = &mut state.service {
            core.settle(&*state.attached.memory);
            if core.must_ring() {
                space_bell::ring(&state.attached.memory);
            }
        }
    }

    /// How long this reader may sleep before it has to look by itself.
    pub(crate) fn sleep_at_most(&self) -> Duration {
        if self.check_process().is_err() {
            return POLL_EVERY;
        }
        let state = self.state.borrow();
        match &state.service {
            Service::Served(core)
                if state.attached.memory.load(SlotWord::Rings(core.index()), Ordering::Relaxed)
                    == 0 =>
            {
                POLL_EVERY
            }
            _ => PROBE_EVERY,
        }
    }

    /// Takes the next sample, waiting up to `timeout` for one. `Ok(None)`: none came.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_within(&self, timeout: Duration) -> Result<Option<RawSample<'_>>, SlotError> {
        let started = Instant::now();
        loop {
            if let Some(sample) = self.take()? {
                return Ok(Some(sample));
            }
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() || !self.wait(left) {
                return self.take();
            }
        }
    }

    /// What went by this reader.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.state.borrow().losses
    }

    /// How often it was disconnected (lease expiry) and came back.
    #[must_use]
    pub fn disconnections(&self) -> u64 {
        self.disconnections.get()
    }

    /// Whether the writer serves it.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        if self.check_process().is_err() {
            return false;
        }
        let state = self.state.borrow();
        let memory = &*state.attached.memory;
        match &state.service {
            Service::Served(core) => core.check_served(memory).is_ok(),
            Service::Joining(claim) => claim.check(memory).is_ok(),
            Service::Over => false,
        }
    }

    /// The RTPS sequence number from which on the writer serves this reader through the segment,
    /// once it is admitted. What is below comes by network or not at all.
    #[must_use]
    pub fn start_sn(&self) -> Option<i64> {
        self.check_process().ok()?;
        let state = self.state.borrow();
        match &state.service {
            Service::Served(core) => {
                let word = SlotWord::StartSn(core.index());
                Some(state.attached.memory.load(word, Ordering::Relaxed) as i64)
            }
            _ => None,
        }
    }

    /// This reader's place in the reader table.
    #[must_use]
    pub fn index(&self) -> Option<ReaderIndex> {
        match &self.state.borrow().service {
            Service::Served(core) => Some(core.index()),
            Service::Joining(claim) => Some(claim.index()),
            Service::Over => None,
        }
    }

    /// What the segment is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.state.borrow().attached.identity.clone()
    }

    /// The writer's GUID as the segment says it; unknown (zero) in a forked child.
    #[must_use]
    pub fn writer_guid(&self) -> [u8; 16] {
        if self.check_process().is_err() {
            return [0; 16];
        }
        self.state.borrow().attached.memory.load_owner().1
    }

    /// The history that this reader was admitted with, if it was; see [`KeptHistory`].
    pub(crate) fn kept_history(&self) -> Option<KeptHistory> {
        let index = self.index().filter(|_| self.check_process().is_ok())?;
        let attached = &self.state.borrow().attached;
        let depth = attached.identity.history_depth as usize;
        let is_kept = attached.identity.flags.has(SegmentFlags::TRANSIENT_LOCAL);
        if !is_kept || !self.options.wants_history {
            return None;
        }
        KeptHistory::of(&attached.memory, index, depth)
    }

    /// A view of this attachment for other threads.
    #[must_use]
    pub fn watch(&self) -> ReaderWatch {
        let state = self.state.borrow();
        let index = match &state.service {
            Service::Served(core) => Some(core.index()),
            Service::Joining(claim) => Some(claim.index()),
            Service::Over => None,
        };
        let uid = state.attached.owner.as_ref().map(OwnerLink::uid);
        ReaderWatch::new(Arc::clone(&state.attached.memory), index, uid)
    }

    /// Whether samples may be read in place: the owner runs as this user, or is trusted.
    #[inline]
    #[must_use]
    pub fn may_read_in_place(&self) -> bool {
        self.state.borrow().attached.same_user || self.options.trust_other_users
    }
}

impl Waitable for SlotReader {
    fn is_ready(&self) -> bool {
        Self::is_ready(self)
    }

    fn is_rung_by(&self, bit: BellBit) -> bool {
        self.bit.as_ref().is_some_and(|lease| lease.bit() == bit)
    }

    fn bell_bit(&self) -> Option<BellBit> {
        self.bit.as_ref().map(BitLease::bit)
    }

    fn prepare_to_sleep(&self) -> Duration {
        self.settle();
        self.sleep_at_most()
    }

    fn look_after(&self) {
        self.probe_writer();
    }

    fn node(&self) -> Option<&Arc<Node>> {
        self.node.as_ref()
    }
}

impl Drop for SlotReader {
    fn drop(&mut self) {
        if self.check_process().is_err() {
            return;
        }
        let state = self.state.get_mut();
        let entry = match &state.service {
            Service::Served(core) => Some(Entry::Served(core.clone())),
            Service::Joining(claim) => Some(Entry::Claimed(*claim)),
            Service::Over => None,
        };
        state.finish();
        // Samples that were leaked: nobody can look at them any more.
        for (memory, mut core) in state.former.drain(..) {
            give_back(&memory, &mut core);
        }
        if let Some(entry) = entry {
            self.leave_successor(&self.state.borrow().attached, &entry);
        }
    }
}

/// What a reader that leaves had of a segment.
enum Entry {
    Served(ReaderCore),
    Claimed(Claim),
}

impl Entry {
    fn index(&self) -> ReaderIndex {
        match self {
            Self::Served(core) => core.index(),
            Self::Claimed(claim) => claim.index(),
        }
    }

    /// The reader as the owner served it, also if it did not notice.
    fn served(&self, memory: &SegmentMemory, slots: u32) -> Option<ReaderCore> {
        match self {
            Self::Served(core) => Some(core.clone()),
            Self::Claimed(claim) => ReaderCore::admitted(memory, *claim, slots, 0).ok(),
        }
    }
}

fn in_use(core: &ReaderCore, former: &[(Arc<SegmentMemory>, ReaderCore)]) -> usize {
    core.in_use() + former.iter().map(|(_, core)| core.in_use()).sum::<usize>()
}

pub(crate) fn claim(
    attached: &Attached,
    options: &ReaderOptions,
    node: Option<&Node>,
    bit: Option<&BitLease>,
) -> Result<Claim, SlotError> {
    let capacity = attached.identity.geometry.reader_capacity;
    let entry = ReaderEntry {
        guid: options.guid,
        uid: nix::unistd::geteuid().as_raw(),
        reliable: options.reliable,
        wants_history: options.wants_history,
        qos_digest: options.qos_digest,
        bell_bit: bit.map_or(0, |bit| bit.bit().get().into()),
        max_held: options.max_held as u32,
    };
    let node = node.map_or(1, |node| node.id().get());
    claim_entry(&*attached.memory, capacity as usize, node, |reader| {
        attached.memory.store_entry(reader, &entry);
    })
    .ok_or_else(|| SlotError::ReaderTableFull { capacity, topic: attached.identity.topic.clone() })
}

pub(crate) fn owner_is_over(memory: &SegmentMemory, owner_dead: bool) -> bool {
    let state = OwnerState::of(memory.load(SlotWord::OwnerState, Ordering::Acquire));
    owner_dead || matches!(state, Some(OwnerState::Closed | OwnerState::Replaced))
}
