//! Writers: loans in the segment, and their publication.

use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dds_shm::slots::{OutsizeObject, SampleHeader};
use dds_shm::transport::{ShmLoan, ShmWriter, TransportError};
use dds_shm::wire::{Guid, RepresentationId};
use dds_shm::{SampleInfo, SlotError};

use crate::abi::{
    self, LoanedSample, Metadata, NATIVE, PsmxEndpoint, ReturnCode, retcode, sample_state,
};
use crate::complaint::Complaints;
use crate::instance::{Instance, meet};
use crate::outsize::{Outsize, PLENTY};
use crate::plan::plan;
use crate::topic::Topic;
use dds_shm::wire::qos::EndpointQos;

/// A writer of an application of Cyclone's.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) topic: Arc<Topic>,
    qos: EndpointQos,
    instance: Arc<Instance>,
    complaints: Complaints,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    segment: Option<Segment>,
}

/// The segment, and by which GUID its readers know the writer.
#[derive(Debug)]
struct Segment {
    /// In an allocation of its own, because loans point to it.
    writer: Arc<ShmWriter>,
    origin: Option<[u8; 16]>,
    outsize: Outsize,
}

// `ShmWriter` is used under the lock of `Writer::state` alone, also by the drop of loans.
// SAFETY: whoever has a `Segment` or a `Loan` of it uses the writer with the lock held.
unsafe impl Send for Segment {}

/// Where the octets of a loan are.
#[derive(Debug)]
enum Payload {
    /// In a slot.
    Slot(SlotLoan),
    /// In an object of its own, because no slot is so large.
    Outsize(OutsizeObject),
    /// Not in the segment, because no slot was free. Words, to be aligned.
    Heap(Box<[u64]>),
    /// Published.
    Spent,
}

/// A loan that keeps its writer instead of borrowing it.
#[derive(Debug)]
struct SlotLoan {
    /// Borrows from `writer`, and goes before it, under the lock of the state.
    loan: ManuallyDrop<ShmLoan<'static>>,
    writer: Arc<ShmWriter>,
}

/// A loan in Cyclone's hands. Begins with what Cyclone knows of it.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Loan {
    abi: LoanedSample,
    metadata: Metadata,
    payload: Payload,
    owner: Arc<Writer>,
}

impl Writer {
    pub(crate) fn new(instance: Arc<Instance>, topic: Arc<Topic>, qos: EndpointQos) -> Arc<Self> {
        let complaints = Complaints::new(&topic.name);
        let state = Mutex::new(State { segment: None });
        let writer = Self { topic, qos, instance, complaints, state };
        // Now, so that readers are there before the first sample. If it fails, it is tried again with
        // every sample: which are errors as long as it fails.
        if let Err(error) = writer.open(&mut writer.lock()) {
            writer
                .complaints
                .tell("the writer has no segment, and every write is an error", &error);
        }
        Arc::new(writer)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the segment if there is none.
    fn open<'s>(&self, state: &'s mut State) -> Result<&'s mut Segment, TransportError> {
        if state.segment.is_none() {
            let Some(engine) = self.instance.engine() else {
                return Err(SlotError::NotOwner.into());
            };
            let config = plan(&self.topic, &self.qos, &self.instance.options);
            let writer = engine.participant.create_writer(config)?;
            let directory = engine.participant.directory();
            let readers = directory.subscriptions(&self.topic.name);
            meet(&self.topic.name, readers, |reader| writer.reachability(reader.data.guid));
            #[expect(clippy::arc_with_non_send_sync, reason = "used under the lock alone")]
            let writer = Arc::new(writer);
            state.segment = Some(Segment { writer, origin: None, outsize: Outsize::default() });
        }
        state.segment.as_mut().ok_or_else(|| SlotError::NotOwner.into())
    }

    /// A buffer for a sample of `size` octets, in the segment if there is a slot for it. Never waits: a
    /// write does.
    pub(crate) fn loan(self: &Arc<Self>, size: u32) -> Option<Box<Loan>> {
        let mut state = self.lock();
        let segment = match self.open(&mut state) {
            Ok(segment) => segment,
            Err(error) => {
                self.complaints.tell("no sample can be written", &error);
                return None;
            }
        };
        let payload = match segment.loan(size as usize, &self.instance) {
            Ok(payload) => payload,
            Err(error) => {
                self.complaints.tell("no sample can be written", &error);
                return None;
            }
        };
        let mut loan = Box::new(Loan {
            abi: LoanedSample {
                free: free_loan,
                origin_kind: abi::ORIGIN_PSMX,
                psmx_endpoint: ptr::null_mut(),
                metadata: ptr::null_mut(),
                sample_ptr: ptr::null_mut(),
                refc: AtomicU32::new(1),
            },
            metadata: Metadata::EMPTY,
            payload,
            owner: Arc::clone(self),
        });
        loan.abi.metadata = &raw mut loan.metadata;
        loan.abi.sample_ptr = match &mut loan.payload {
            Payload::Slot(slot) => slot.loan.bytes_mut().as_mut_ptr().cast(),
            Payload::Outsize(object) => object.ptr().as_ptr().cast(),
            Payload::Heap(words) => words.as_mut_ptr().cast(),
            Payload::Spent => ptr::null_mut(),
        };
        Some(loan)
    }

    /// Publishes a loan. What is left of it is Cyclone's to give back.
    pub(crate) fn write(&self, loan: &mut Loan) -> ReturnCode {
        if !std::ptr::eq(Arc::as_ptr(&loan.owner), self) {
            return retcode::BAD_PARAMETER;
        }
        let Some(shape) = Shape::of(&loan.metadata) else { return retcode::BAD_PARAMETER };
        let mut state = self.lock();
        let segment = match self.open(&mut state) {
            Ok(segment) => segment,
            Err(error) => {
                self.complaints.tell("the sample was not written", &error);
                return retcode::OUT_OF_RESOURCES;
            }
        };
        let result = segment.publish(loan, &shape);
        drop(state);
        match result {
            Ok(()) => {
                // The octets are not this side's any more.
                loan.abi.sample_ptr = ptr::null_mut();
                retcode::OK
            }
            Err(SlotError::Timeout { .. }) => retcode::TIMEOUT,
            Err(error) => {
                self.complaints.tell("the sample was not written", &error);
                match error {
                    SlotError::NoFreeSlot { .. } | SlotError::TooManyLoans { .. } => {
                        retcode::OUT_OF_RESOURCES
                    }
                    _ => retcode::ERROR,
                }
            }
        }
    }

    /// The application deletes the writer. Loans that are still out keep the memory.
    pub(crate) fn close(&self) {
        let segment = self.lock().segment.take();
        drop(segment);
    }
}

impl Segment {
    /// Room for `size` octets. Never waits.
    fn loan(&mut self, size: usize, instance: &Instance) -> Result<Payload, SlotError> {
        if size > self.writer.slots().capacity() {
            let engine = instance.engine().ok_or(SlotError::NotOwner)?;
            if self.outsize.octets() > PLENTY {
                self.look_for_read()?;
            }
            let object = self.outsize.get(engine.participant.transport().node(), size)?;
            return Ok(Payload::Outsize(object));
        }
        Ok(match self.slot()? {
            Some(slot) => Payload::Slot(slot),
            None => Payload::Heap(vec![0; size.div_ceil(8).max(1)].into()),
        })
    }

    /// A slot, if one is free.
    fn slot(&mut self) -> Result<Option<SlotLoan>, SlotError> {
        let Some(loan) = self.writer.try_loan()? else { return Ok(None) };
        self.outsize.slot_is_free(loan.slot().get(), self.writer.slots().incarnation());
        // SAFETY: the lifetime of a borrow of `*writer`, which lives in its allocation as long as the
        // `SlotLoan` has its `Arc`, and is never borrowed exclusively.
        let loan = unsafe { std::mem::transmute::<ShmLoan<'_>, ShmLoan<'static>>(loan) };
        Ok(Some(SlotLoan { loan: ManuallyDrop::new(loan), writer: Arc::clone(&self.writer) }))
    }

    /// Gives objects back whose samples everybody has read: goes on in the ring, and publishes nothing.
    fn look_for_read(&mut self) -> Result<(), SlotError> {
        let mut slots = Vec::new();
        while self.outsize.octets() > PLENTY
            && let Some(slot) = self.slot()?
        {
            slots.push(slot);
        }
        Ok(())
    }

    fn publish(&mut self, loan: &mut Loan, shape: &Shape) -> Result<(), SlotError> {
        let guid = loan.metadata.guid;
        if self.origin != Some(guid) {
            self.writer.set_origin(Guid::from_bytes(guid))?;
            self.origin = Some(guid);
        }
        match std::mem::replace(&mut loan.payload, Payload::Spent) {
            Payload::Slot(slot) => slot.publish(shape),
            Payload::Outsize(object) if shape.size <= object.capacity() => {
                self.publish_outsize(object, shape)
            }
            Payload::Outsize(object) => {
                Err(SlotError::SampleTooLarge { sample: shape.size, capacity: object.capacity() })
            }
            Payload::Heap(words) => {
                // SAFETY: octets of words, and not more than there are: `size` is what was asked for.
                let octets = unsafe {
                    std::slice::from_raw_parts(words.as_ptr().cast::<u8>(), words.len() * 8)
                };
                let sample = octets.get(..shape.size).ok_or(SlotError::SampleTooLarge {
                    sample: shape.size,
                    capacity: octets.len(),
                })?;
                let writer = Arc::clone(&self.writer);
                let Some(mut loan) = self.wait_for_slot(&writer)? else { return Ok(()) };
                loan.bytes_mut()[..sample.len()].copy_from_slice(sample);
                loan.publish(sample.len(), &shape.info).map(|_| ())
            }
            Payload::Spent => Err(SlotError::NotOwner),
        }
    }
}

impl Segment {
    /// A slot, waited for as the QoS says. `None`: BEST_EFFORT found none, and readers are told that the
    /// sample is lost.
    fn wait_for_slot<'w>(
        &mut self,
        writer: &'w ShmWriter,
    ) -> Result<Option<ShmLoan<'w>>, SlotError> {
        match writer.loan() {
            Ok(loan) => {
                self.outsize.slot_is_free(loan.slot().get(), writer.slots().incarnation());
                Ok(Some(loan))
            }
            Err(SlotError::NoFreeSlot { .. }) => writer.slots().drop_sample(None).map(|_| None),
            Err(error) => Err(error),
        }
    }

    fn publish_outsize(&mut self, object: OutsizeObject, shape: &Shape) -> Result<(), SlotError> {
        let writer = Arc::clone(&self.writer);
        let loan = match self.wait_for_slot(&writer) {
            Ok(Some(loan)) => loan,
            other => {
                self.outsize.put_back(object);
                return other.map(|_| ());
            }
        };
        let mut loan = loan;
        let announcement = object.announce(shape.size).to_bytes();
        loan.bytes_mut()[..announcement.len()].copy_from_slice(&announcement);
        let slot = loan.slot().get();
        // Before anybody can take the sample: from now on the object is the slot's.
        self.outsize.announced(slot, object, writer.slots().incarnation());
        let info = SampleInfo { outsize: true, ..shape.info };
        loan.publish(announcement.len(), &info).map(|_| ())
    }
}

impl SlotLoan {
    fn publish(mut self, shape: &Shape) -> Result<(), SlotError> {
        // SAFETY: taken once, because `self` is forgotten below and its drop does not see it again.
        let loan = unsafe { ManuallyDrop::take(&mut self.loan) };
        // SAFETY: as above; the field is not used again.
        let writer = unsafe { ptr::read(&raw const self.writer) };
        std::mem::forget(self);
        let published = loan.publish(shape.size, &shape.info).map(|_| ());
        drop(writer);
        published
    }
}

impl Drop for SlotLoan {
    fn drop(&mut self) {
        // SAFETY: dropped here alone, before the writer that it borrows from.
        unsafe { ManuallyDrop::drop(&mut self.loan) };
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if matches!(self.payload, Payload::Spent | Payload::Heap(_)) {
            // Nothing of the writer's. Cyclone's own threads drop these, and a write may be waiting with
            // the lock held.
            return;
        }
        // Under the lock, for what borrows from the writer.
        let owner = Arc::clone(&self.owner);
        let mut state = owner.lock();
        match std::mem::replace(&mut self.payload, Payload::Spent) {
            Payload::Outsize(object) => {
                if let Some(segment) = &mut state.segment {
                    segment.outsize.put_back(object);
                }
            }
            payload => drop(payload),
        }
    }
}

/// What a loan's metadata say of it.
#[derive(Debug, PartialEq)]
struct Shape {
    /// Octets of the sample, without padding.
    size: usize,
    info: SampleInfo,
}

impl Shape {
    fn of(metadata: &Metadata) -> Option<Self> {
        let (is_raw, key_only) = match metadata.sample_state {
            sample_state::RAW_KEY => (true, true),
            sample_state::RAW_DATA => (true, false),
            sample_state::SERIALIZED_KEY => (false, true),
            sample_state::SERIALIZED_DATA => (false, false),
            _ => return None,
        };
        let size = metadata.sample_size as usize;
        let padding = usize::from(u16::from_be(metadata.cdr_options) & 3);
        let (size, encapsulation) = if is_raw {
            (size, None)
        } else {
            // Only the number of octets of padding is ever said by the options.
            (size.checked_sub(padding)?, Some(u16::from_be(metadata.cdr_identifier)))
        };
        let info = SampleInfo {
            sn: None,
            source_timestamp: metadata.timestamp,
            key_hash: [0; 16],
            status_info: (metadata.statusinfo & 3) as u8,
            key_only,
            outsize: false,
            encapsulation,
        };
        Some(Self { size, info })
    }
}

/// What Cyclone is to see of a sample of `len` octets.
pub(crate) fn metadata_of(
    header: &SampleHeader,
    len: u32,
    origin: Guid,
    instance_id: u32,
) -> Metadata {
    let representation =
        Some(header.representation).filter(|id| *id != SampleHeader::RAW).map(RepresentationId);
    let key_only = !header.valid_data();
    let (size, identifier, padding) = match representation {
        None => (len, NATIVE, 0),
        Some(id) => {
            let padded = len.next_multiple_of(4);
            (padded, id.0.to_be(), (padded - len) as u16)
        }
    };
    Metadata {
        sample_state: match (representation.is_none(), key_only) {
            (true, true) => sample_state::RAW_KEY,
            (true, false) => sample_state::RAW_DATA,
            (false, true) => sample_state::SERIALIZED_KEY,
            (false, false) => sample_state::SERIALIZED_DATA,
        },
        data_type: 0,
        instance_id,
        sample_size: size,
        guid: origin.to_bytes(),
        timestamp: header.source_timestamp,
        statusinfo: u32::from(header.status_info),
        cdr_identifier: identifier,
        cdr_options: padding.to_be(),
    }
}

/// Cyclone gives a loan back: `ops.free`.
///
/// # Safety
/// `sample` is a loan of [`Writer::loan`], and is not used again.
unsafe extern "C" fn free_loan(sample: *mut LoanedSample) {
    crate::guard::guarded("freeing a loan", (), || {
        // SAFETY: the loan was boxed, and begins with what Cyclone knows of it.
        drop(unsafe { Box::from_raw(sample.cast::<Loan>()) });
    });
}

/// The loan that Cyclone hands back to be written.
///
/// # Safety
/// `sample` is a loan of [`Writer::loan`] that is in nobody else's hands.
pub(crate) unsafe fn loan_of<'l>(sample: *mut LoanedSample) -> Option<&'l mut Loan> {
    // SAFETY: as the caller promises; a loan of another plugin's has another `free`.
    unsafe {
        let sample = sample.as_mut()?;
        let is_ours =
            ptr::fn_addr_eq(sample.free, free_loan as unsafe extern "C" fn(*mut LoanedSample));
        is_ours.then(|| &mut *ptr::from_mut(sample).cast::<Loan>())
    }
}

impl Loan {
    /// Into Cyclone's hands.
    pub(crate) fn into_raw(mut self: Box<Self>, endpoint: *mut PsmxEndpoint) -> *mut LoanedSample {
        self.abi.psmx_endpoint = endpoint;
        Box::into_raw(self).cast()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn through_a_slot(metadata: &Metadata) -> Metadata {
        let Shape { size, info } = Shape::of(metadata).unwrap();
        let header = SampleHeader {
            size: size as u32,
            source_timestamp: info.source_timestamp,
            representation: info.encapsulation.unwrap_or(SampleHeader::RAW),
            status_info: info.status_info,
            flags: if info.key_only { SampleHeader::KEY_ONLY } else { 0 },
            ..SampleHeader::default()
        };
        metadata_of(&header, header.size, Guid::from_bytes(metadata.guid), metadata.instance_id)
    }

    #[test]
    fn what_a_sample_is_goes_through_a_slot() {
        let raw = Metadata {
            sample_state: sample_state::RAW_DATA,
            instance_id: 7,
            sample_size: 13,
            guid: [9; 16],
            timestamp: 123,
            cdr_identifier: NATIVE,
            ..Metadata::EMPTY
        };
        let key = Metadata { sample_state: sample_state::RAW_KEY, statusinfo: 3, ..raw };
        let cdr = Metadata {
            sample_state: sample_state::SERIALIZED_DATA,
            sample_size: 16,
            cdr_identifier: 0x0009_u16.to_be(),
            cdr_options: 3_u16.to_be(),
            ..raw
        };
        let cdr_key = Metadata {
            sample_state: sample_state::SERIALIZED_KEY,
            sample_size: 0,
            cdr_options: 0,
            ..cdr
        };
        for metadata in [raw, key, cdr, cdr_key] {
            let found = through_a_slot(&metadata);
            assert_eq!(format!("{found:?}"), format!("{metadata:?}"));
        }
        assert_eq!(Shape::of(&Metadata::EMPTY), None);
    }
}
