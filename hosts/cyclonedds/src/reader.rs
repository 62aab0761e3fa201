//! Readers: what Cyclone gets to see of samples, in place where that is possible.

use std::collections::{HashMap, VecDeque};
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dds_shm::TypeHash;
use dds_shm::liveness::{BellBit, Node};
use dds_shm::slots::{ExpectedType, OutsizeCache, OutsizeSample, Waitable};
use dds_shm::transport::{NetworkReason, ReaderConfig, ShmReader, ShmSample, TransportError};
use dds_shm::wire::Guid;
use dds_shm::wire::qos::EndpointQos;

use crate::abi::{self, EntityHandle, LoanedSample, Metadata, NATIVE, retcode};
use crate::complaint::Complaints;
use crate::cyclone::{Cyclone, MatchedWriter};
use crate::gate::{Gate, Verdict};
use crate::instance::{Engine, Instance, meet};
use crate::topic::{ANY_TYPE, Topic};
use crate::writer::metadata_of;

/// Samples in use at once, of one writer, as far as the writer allows.
const MAX_HELD: usize = 64;
/// Samples that wait for Cyclone, and their octets.
const MAX_WAITING: usize = 4096;
const MAX_WAITING_OCTETS: usize = 16 << 20;
/// Writers whose types are remembered.
const MAX_KIN: usize = 1024;
/// Status info: the writer unregisters the instance.
const UNREGISTERED: u32 = 2;
/// Samples that are delivered before the next reader has its turn.
const TURN: usize = 64;

/// A reader of an application of Cyclone's.
#[derive(Debug)]
pub(crate) struct Reader {
    topic: Arc<Topic>,
    instance: Arc<Instance>,
    complaints: Complaints,
    slots: Arc<Slots>,
    outsize: Mutex<OutsizeCache>,
    /// 0 until Cyclone says who it is.
    entity: AtomicI32,
    /// Deleted by the application; samples of it may still be in use.
    is_closed: AtomicBool,
    /// There is no room for what it would take.
    is_paused: AtomicBool,
}

/// The reader of the segments, in an allocation of its own, because samples point to it.
#[derive(Debug)]
struct Slots(Mutex<ShmReader>);

impl Slots {
    fn lock(&self) -> MutexGuard<'_, ShmReader> {
        // It is whole after each of its methods.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sample that keeps its reader instead of borrowing it.
#[derive(Debug)]
struct OwnedSample {
    /// Borrows from `slots`, and goes before it, under its lock.
    sample: ManuallyDrop<ShmSample<'static>>,
    /// In the slot, or in an object that this keeps mapped.
    octets: *const u8,
    len: u32,
    _outsize: Option<OutsizeSample>,
    slots: Arc<Slots>,
}

impl OwnedSample {
    fn bytes(&self) -> &[u8] {
        // SAFETY: so many octets, which stay as they are while the slot is protected by `sample`.
        unsafe { std::slice::from_raw_parts(self.octets, self.len as usize) }
    }
}

// SAFETY: what a sample shares with its reader is touched by its drop alone, which takes the lock of the
// reader. Everything else that is looked at (octets, header) is its own.
unsafe impl Send for OwnedSample {}

impl Drop for OwnedSample {
    fn drop(&mut self) {
        let guard = self.slots.lock();
        // SAFETY: dropped here alone; the reader is there, and nobody else uses it.
        unsafe { ManuallyDrop::drop(&mut self.sample) };
        drop(guard);
    }
}

/// Where the octets of a sample are.
#[derive(Debug)]
enum Payload {
    InPlace {
        _sample: OwnedSample,
    },
    /// Words, to be aligned.
    Copied {
        _words: Box<[u64]>,
    },
}

/// A sample in Cyclone's hands. Begins with what Cyclone knows of it.
#[repr(C)]
#[derive(Debug)]
struct Loan {
    abi: LoanedSample,
    metadata: Metadata,
    payload: Payload,
}

/// A reference to a loan, counted as Cyclone counts.
#[derive(Debug)]
struct LoanRef(ptr::NonNull<Loan>);

impl LoanRef {
    fn new(payload: Payload, octets: *const u8, metadata: Metadata) -> Self {
        let mut loan = Box::new(Loan {
            abi: LoanedSample {
                free: free_loan,
                origin_kind: abi::ORIGIN_PSMX,
                psmx_endpoint: ptr::null_mut(),
                metadata: ptr::null_mut(),
                sample_ptr: octets.cast_mut().cast(),
                refc: AtomicU32::new(1),
            },
            metadata,
            payload,
        });
        loan.abi.metadata = &raw mut loan.metadata;
        Self(ptr::NonNull::from(Box::leak(loan)))
    }

    fn metadata(&self) -> &Metadata {
        // SAFETY: there while this reference is; Cyclone does not write to it.
        unsafe { &(*self.0.as_ptr()).metadata }
    }

    /// The sample is the last that its writer says of the instance.
    fn mark_unregistered(&self) {
        // SAFETY: there while this reference is, and not in Cyclone's hands yet.
        unsafe { (*self.0.as_ptr()).metadata.statusinfo |= UNREGISTERED };
    }

    fn as_raw(&self) -> *mut LoanedSample {
        self.0.as_ptr().cast()
    }
}

impl Drop for LoanRef {
    fn drop(&mut self) {
        let loan = self.as_raw();
        // SAFETY: there while this reference is, which ends here. Acquire, with the release of others:
        // they are done with it.
        unsafe {
            if (*loan).refc.fetch_sub(1, Ordering::AcqRel) == 1 {
                free_loan(loan);
            }
        }
    }
}

/// The last reference to a loan is gone: `ops.free`. On any thread, also inside of a store.
///
/// # Safety
/// `sample` is a loan of a [`LoanRef`], and is not used again.
unsafe extern "C" fn free_loan(sample: *mut LoanedSample) {
    crate::guard::guarded("freeing a sample", (), || {
        // SAFETY: the loan was boxed, and begins with what Cyclone knows of it.
        drop(unsafe { Box::from_raw(sample.cast::<Loan>()) });
    });
}

impl Reader {
    pub(crate) fn new(
        instance: &Arc<Instance>,
        engine: &Engine,
        topic: Arc<Topic>,
        qos: EndpointQos,
    ) -> Result<Arc<Self>, TransportError> {
        let config = ReaderConfig {
            keyed: topic.is_keyed(),
            qos,
            max_held: MAX_HELD,
            ..ReaderConfig::new(&topic.name, ANY_TYPE, ExpectedType::any())
        };
        let reader = engine.participant.create_reader(config)?;
        let writers = engine.participant.directory().publications(&topic.name);
        meet(&topic.name, writers, |writer| reader.reachability(writer.data.guid));
        Ok(Arc::new(Self {
            complaints: Complaints::new(&topic.name),
            topic,
            instance: Arc::clone(instance),
            slots: Arc::new(Slots(Mutex::new(reader))),
            outsize: Mutex::default(),
            entity: AtomicI32::new(0),
            is_closed: AtomicBool::new(false),
            is_paused: AtomicBool::new(false),
        }))
    }

    /// Cyclone says who it is: samples can be delivered.
    pub(crate) fn open(&self, entity: EntityHandle) {
        self.entity.store(entity, Ordering::Release);
    }

    /// The application deletes it. What is in use stays.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// As the transport knows it.
    pub(crate) fn guid(&self) -> Guid {
        self.slots.lock().guid()
    }

    /// The transport cannot reach a writer.
    pub(crate) fn cannot_reach(&self, writer: Guid, reason: &NetworkReason) {
        // Whoever is gone is missed by nobody.
        if !self.is_closed() && self.slots.lock().handle().announced(writer).is_some() {
            self.complaints.tell("no samples of a writer come, by network neither", reason);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Whether nothing of a closed reader is in use.
    pub(crate) fn is_over(&self) -> bool {
        self.is_closed() && Arc::strong_count(&self.slots) == 1
    }

    /// Takes what there is, for nobody: the writers are not to wait for a reader that is deleted.
    pub(crate) fn discard(&self) {
        // Not for ever: others want their turn, and it comes again.
        for _ in 0..MAX_WAITING {
            if self.take().is_none() {
                break;
            }
        }
    }

    /// Whether there is more to be taken.
    fn has_more(&self) -> bool {
        self.slots.lock().is_ready()
    }

    fn take(&self) -> Option<Taken> {
        let reader = self.slots.lock();
        let (sample, outsize) = loop {
            let sample = match reader.take() {
                Ok(sample) => sample?,
                Err(error) => {
                    self.complaints.tell("nothing can be taken", &error);
                    return None;
                }
            };
            if !sample.header().is_outsize() {
                break (sample, None);
            }
            let mut cache = self.outsize.lock().unwrap_or_else(PoisonError::into_inner);
            match cache.find(sample.bytes()) {
                Ok(outsize) => break (sample, Some(outsize)),
                Err(error) => self.complaints.tell("a large sample is lost", &error),
            }
        };
        let source = Source { origin: sample.origin(), writer: sample.writer() };
        let header = sample.header();
        let len = outsize.as_ref().map_or(sample.bytes().len(), OutsizeSample::len);
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let metadata = metadata_of(header, len, source.origin, self.instance.id);
        // Cyclone writes to serialised samples while it looks at them.
        let in_place =
            metadata.cdr_identifier == NATIVE && sample.is_in_place() && sample.leaves_room();
        if !in_place {
            // SAFETY: so many octets, which stay as they are while the sample is in use.
            let octets = outsize.as_ref().map_or(sample.bytes(), |outsize| unsafe {
                std::slice::from_raw_parts(outsize.ptr().as_ptr(), outsize.len())
            });
            let words = words_of(octets);
            return Some(Taken { source, metadata, place: Place::Copied(words) });
        }
        let octets =
            outsize.as_ref().map_or(sample.bytes().as_ptr(), |outsize| outsize.ptr().as_ptr());
        // SAFETY: the lifetime of a borrow of `*self.slots`, which lives in its allocation as long as the
        // `OwnedSample` has its `Arc`, and is never borrowed exclusively.
        let sample = unsafe { std::mem::transmute::<ShmSample<'_>, ShmSample<'static>>(sample) };
        let sample = ManuallyDrop::new(sample);
        let sample =
            OwnedSample { sample, octets, len, _outsize: outsize, slots: Arc::clone(&self.slots) };
        Some(Taken { source, metadata, place: Place::InPlace(sample) })
    }
}

/// Room for so many octets.
fn words_for(octets: usize) -> Box<[u64]> {
    vec![0_u64; octets.div_ceil(8).max(1)].into_boxed_slice()
}

/// A copy, padded with zeroes.
fn words_of(octets: &[u8]) -> Box<[u64]> {
    let mut words = words_for(octets.len());
    // SAFETY: at least as many octets as there are to be copied, in an allocation of its own.
    unsafe { ptr::copy_nonoverlapping(octets.as_ptr(), words.as_mut_ptr().cast(), octets.len()) };
    words
}

#[derive(Debug)]
enum Place {
    InPlace(OwnedSample),
    Copied(Box<[u64]>),
}

/// Who wrote a sample: as Cyclone knows it, and as it is entered in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Source {
    origin: Guid,
    writer: Guid,
}

/// A sample on its way to Cyclone.
#[derive(Debug)]
struct Taken {
    source: Source,
    metadata: Metadata,
    place: Place,
}

impl Taken {
    /// A copy, for a sample that has to wait: a slot is not for that.
    fn detach(self) -> Self {
        let place = match self.place {
            Place::InPlace(sample) => Place::Copied(words_of(sample.bytes())),
            copied => copied,
        };
        Self { place, ..self }
    }

    fn into_loan(self) -> LoanRef {
        match self.place {
            Place::InPlace(sample) => {
                let octets = sample.octets;
                LoanRef::new(Payload::InPlace { _sample: sample }, octets, self.metadata)
            }
            Place::Copied(words) => {
                let octets = words.as_ptr().cast();
                LoanRef::new(Payload::Copied { _words: words }, octets, self.metadata)
            }
        }
    }
}

/// A sample that waits for Cyclone.
#[derive(Debug)]
struct Waiting {
    source: Source,
    loan: LoanRef,
}

/// What the receive thread knows of a reader.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    gate: Gate,
    waiting: VecDeque<Waiting>,
    octets: usize,
    /// What is known of the types of writers.
    kin: HashMap<Guid, Kin>,
}

/// How a writer's type stands to the reader's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kin {
    Same,
    /// Another layout in memory.
    Other,
    Unknown,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Done,
    /// Cyclone does not know the writer.
    UnknownWriter,
    /// The reader's resource limits are reached.
    Rejected,
    /// The reader is being deleted.
    Gone,
}

impl Delivery {
    /// Delivers what there is. When to come again even if nothing new comes.
    pub(crate) fn deliver(&mut self, reader: &Reader, cyclone: &Cyclone) -> Option<Duration> {
        let entity = reader.entity.load(Ordering::Acquire);
        if reader.is_closed() {
            self.waiting.clear();
            reader.discard();
            return None;
        }
        self.deliver_waiting(reader, cyclone, entity);
        for _ in 0..TURN {
            let is_full = self.is_full();
            reader.is_paused.store(is_full, Ordering::Release);
            if is_full {
                break;
            }
            let Some(taken) = reader.take() else { break };
            let source = taken.source;
            let verdict = self.verdict(reader, source, is_full, cyclone, entity);
            let has_turn = !self.waiting.iter().any(|other| other.source == source);
            if verdict == Verdict::Drop {
                continue;
            }
            // What comes late waits for the last one, which says that no more will come.
            if matches!(verdict, Verdict::Wait | Verdict::DeliverLate(_)) || !has_turn {
                self.wait(Waiting { source, loan: taken.detach().into_loan() });
                continue;
            }
            let loan = taken.into_loan();
            match self.store(reader, cyclone, entity, source, verdict, &loan) {
                Stored::Done => {}
                Stored::Gone => return None,
                Stored::UnknownWriter | Stored::Rejected => self.wait(Waiting { source, loan }),
            }
        }
        (!self.waiting.is_empty()).then(Gate::look_again_in)
    }

    fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_WAITING || self.octets >= MAX_WAITING_OCTETS
    }

    fn wait(&mut self, waiting: Waiting) {
        self.octets += waiting.loan.metadata().sample_size as usize;
        self.waiting.push_back(waiting);
    }

    fn verdict(
        &mut self,
        reader: &Reader,
        Source { origin, writer }: Source,
        is_full: bool,
        cyclone: &Cyclone,
        entity: EntityHandle,
    ) -> Verdict {
        let now = Instant::now();
        if self.gate.must_ask(origin, now)
            && let Some(matched) = cyclone.matched_writers(entity, |handle| self.gate.knows(handle))
        {
            self.gate.told(&matched, now);
        }
        let is_kin = self.kin(reader, writer) == Kin::Same;
        let is_gone = || reader.slots.lock().handle().announced(writer).is_none();
        self.gate.verdict(origin, is_full, is_kin, is_gone, now)
    }

    /// How the type of a writer stands to the reader's, by the hash that its segment has.
    fn kin(&mut self, reader: &Reader, writer: Guid) -> Kin {
        if let Some(kin) = self.kin.get(&writer) {
            return *kin;
        }
        if self.kin.len() >= MAX_KIN {
            self.kin.clear();
        }
        let announced = reader.slots.lock().handle().announced(writer);
        let locator = announced.as_ref().and_then(|remote| remote.locator.as_ref());
        let hash = locator.and_then(|locator| locator.segment.as_ref()?.type_hash);
        let own = reader.topic.type_hash;
        let kin = match hash {
            Some(hash) if hash == own => Kin::Same,
            Some(hash) if own != TypeHash::UNKNOWN && hash.scheme == own.scheme => Kin::Other,
            _ => Kin::Unknown,
        };
        self.kin.insert(writer, kin);
        kin
    }

    /// Looks who of those that wait has waited long enough.
    fn deliver_waiting(&mut self, reader: &Reader, cyclone: &Cyclone, entity: EntityHandle) {
        let mut held_up: Vec<Source> = Vec::new();
        // Before the queue is taken apart.
        let is_full = self.is_full();
        let mut queue = std::mem::take(&mut self.waiting);
        while let Some(waiting) = queue.pop_front() {
            self.octets -= waiting.loan.metadata().sample_size as usize;
            let source = waiting.source;
            if held_up.contains(&source) {
                self.wait(waiting);
                continue;
            }
            let is_last =
                |queue: &VecDeque<Waiting>| !queue.iter().any(|other| other.source == source);
            let stays = match self.verdict(reader, source, is_full, cyclone, entity) {
                Verdict::Drop => false,
                Verdict::Wait => true,
                Verdict::DeliverLate(_) if is_last(&queue) && !is_full && reader.has_more() => true,
                verdict => {
                    // Cyclone makes up a writer for what comes late, which nobody else will ever end: not
                    // for any instance, and which one a sample is of is not known here.
                    if matches!(verdict, Verdict::DeliverLate(_))
                        && (reader.topic.is_keyed() || is_last(&queue))
                    {
                        waiting.loan.mark_unregistered();
                    }
                    matches!(
                        self.store(reader, cyclone, entity, source, verdict, &waiting.loan),
                        Stored::UnknownWriter | Stored::Rejected
                    )
                }
            };
            if stays {
                held_up.push(source);
                self.wait(waiting);
            }
        }
    }

    fn store(
        &mut self,
        reader: &Reader,
        cyclone: &Cyclone,
        entity: EntityHandle,
        source: Source,
        verdict: Verdict,
        loan: &LoanRef,
    ) -> Stored {
        let metadata = loan.metadata();
        let topic = &reader.topic;
        if metadata.cdr_identifier == NATIVE
            && (!topic.is_raw()
                || metadata.sample_size != topic.size
                || self.kin.get(&source.writer) == Some(&Kin::Other))
        {
            let (size, expected) = (metadata.sample_size, topic.size);
            reader.complaints.tell(
                "a sample was dropped",
                &format!(
                    "{size} octets as in the writer's memory are no {} ({expected} octets) here",
                    topic.type_name
                ),
            );
            return Stored::Done;
        }
        let sample = loan.as_raw();
        // No lock is held.
        let stored =
            if let Verdict::DeliverLate(MatchedWriter { ownership_strength, lifespan, .. }) =
                verdict
            {
                // SAFETY: a loan with a reference that lasts longer than this call.
                unsafe {
                    (cyclone.dds_reader_store_loaned_sample_wr_metadata)(
                        entity,
                        sample,
                        ownership_strength,
                        true,
                        lifespan,
                    )
                }
            } else {
                // SAFETY: as above.
                unsafe { (cyclone.dds_reader_store_loaned_sample)(entity, sample) }
            };
        if stored != retcode::OK {
            tracing::debug!(stored, ?source, ?verdict, "a sample was not stored");
        }
        match stored {
            retcode::NOT_FOUND => {
                self.gate.denied(source.origin, Instant::now());
                Stored::UnknownWriter
            }
            retcode::ALREADY_DELETED | retcode::BAD_PARAMETER => Stored::Gone,
            // SAFETY: as above.
            retcode::ERROR if unsafe { cyclone.is_sample_of(entity, loan.as_raw()) } => {
                Stored::Rejected
            }
            retcode::ERROR => {
                let cause = "its octets are no sample of the type";
                reader.complaints.tell("a sample was dropped", &cause);
                Stored::Done
            }
            _ => Stored::Done,
        }
    }
}

impl Waitable for Reader {
    fn is_ready(&self) -> bool {
        // What comes for a closed one is discarded, for which there is always room.
        (self.is_closed() || !self.is_paused.load(Ordering::Acquire))
            && self.entity.load(Ordering::Acquire) != 0
            && self.slots.lock().is_ready()
    }

    fn is_rung_by(&self, bit: BellBit) -> bool {
        self.slots.lock().is_rung_by(bit)
    }

    fn prepare_to_sleep(&self) -> Duration {
        self.slots.lock().prepare_to_sleep()
    }

    fn look_after(&self) {
        self.slots.lock().look_after();
    }

    fn node(&self) -> Option<&Arc<Node>> {
        self.instance.engine().map(|engine| engine.participant.transport().node())
    }
}
