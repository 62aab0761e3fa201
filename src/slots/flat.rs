//! Typed writers and readers: samples of one flat type, in place.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use super::{
    Committed, ExpectedType, Loan, Losses, RawSample, SampleHeader, SampleInfo, SlotError,
    SlotReader, SlotWriter, Waitable,
};
use crate::liveness::{BellBit, Node};
use crate::types::FlatStruct;

/// Writes samples of type `T` into a segment.
///
/// ```
/// use dds_shm::{FlatReader, FlatStruct, FlatWriter, InMemorySlotAllocator, ReaderOptions, SegmentOptions};
///
/// #[derive(Clone, Copy, FlatStruct)]
/// #[repr(C)]
/// struct Pose { x: f64, y: f64, z: f64 }
///
/// # fn main() -> Result<(), dds_shm::SlotError> {
/// let segment = InMemorySlotAllocator::create(&SegmentOptions::of::<Pose>("Pose"))?;
/// let reader = FlatReader::<Pose>::new(segment.open_reader(ReaderOptions::default())?)?;
/// let writer = FlatWriter::<Pose>::new(segment.writer()?)?;
///
/// let mut pose = writer.loan()?;
/// pose.x = 1.5;
/// pose.publish()?;
///
/// let sample = reader.take()?.expect("just published");
/// assert_eq!(sample.data().map(|pose| pose.x), Some(1.5));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FlatWriter<T> {
    writer: SlotWriter,
    samples: PhantomData<fn(T)>,
}

impl<T: FlatStruct> FlatWriter<T> {
    /// A typed view of a writer.
    ///
    /// # Errors
    /// [`SlotError::TypeMismatch`] if the segment is for samples of another layout.
    pub fn new(writer: SlotWriter) -> Result<Self, SlotError> {
        check_type::<T>(writer.identity())?;
        Ok(Self { writer, samples: PhantomData })
    }

    /// Takes a slot to fill in place: it starts as what an older sample left there. A `T` that cannot
    /// be read in place is written whole, by [`FlatLoan::write`].
    ///
    /// Blocks as the writer's QoS says. Several loans may be out at once.
    ///
    /// # Errors
    /// As [`SlotWriter::loan`].
    #[inline]
    pub fn loan(&self) -> Result<FlatLoan<'_, T>, SlotError> {
        Ok(FlatLoan { loan: self.writer.loan()?, sample: PhantomData })
    }

    /// Publishes a copy of `sample`. `Ok(None)`: dropped, and counted by every reader, because a
    /// writer that never waits found no slot.
    ///
    /// # Errors
    /// As [`SlotWriter::write`].
    pub fn write(&self, sample: &T) -> Result<Option<Committed>, SlotError> {
        self.write_with(sample, &SampleInfo::default())
    }

    /// As [`Self::write`], with metadata. The key hash of a keyed type is filled in.
    ///
    /// # Errors
    /// As [`SlotWriter::write`].
    pub fn write_with(
        &self,
        sample: &T,
        info: &SampleInfo,
    ) -> Result<Option<Committed>, SlotError> {
        let info = keyed(sample, info);
        let mut loan = match self.loan() {
            Ok(loan) => loan,
            Err(SlotError::NoFreeSlot { .. }) => {
                self.writer.drop_sample(info.sn)?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        loan.write(sample);
        loan.loan.commit(size_of::<T>(), &info).map(Some)
    }

    /// The untyped writer.
    #[must_use]
    pub fn slots(&self) -> &SlotWriter {
        &self.writer
    }
}

fn keyed<T: FlatStruct>(sample: &T, info: &SampleInfo) -> SampleInfo {
    if T::HAS_KEY { SampleInfo { key_hash: sample.key_hash(), ..*info } } else { *info }
}

fn check_type<T: FlatStruct>(identity: &super::Identity) -> Result<(), SlotError> {
    let expected = ExpectedType::of::<T>();
    if expected.hash == identity.type_hash
        && size_of::<T>() <= identity.geometry.slot_capacity as usize
    {
        return Ok(());
    }
    Err(SlotError::TypeMismatch {
        expected: expected.hash,
        found: identity.type_hash,
        expected_layout: expected.layout,
        found_layout: identity.layout.clone(),
    })
}

/// A sample on loan, to be filled in place. Dropped unpublished, its slot is given back.
#[derive(Debug)]
pub struct FlatLoan<'w, T> {
    loan: Loan<'w>,
    sample: PhantomData<fn(T)>,
}

impl<T: FlatStruct> FlatLoan<'_, T> {
    const ALIGNED: () = assert!(align_of::<T>() <= 64, "slots are aligned to 64 octets");

    /// Writes the whole sample.
    #[inline]
    pub fn write(&mut self, sample: &T) {
        self.loan.bytes_mut()[..size_of::<T>()].copy_from_slice(sample.as_bytes());
    }

    /// Publishes the sample.
    ///
    /// # Errors
    /// As [`Loan::commit`]; [`SlotError::InvalidValue`] for octets that are no `T`.
    #[inline]
    pub fn publish(self) -> Result<Committed, SlotError> {
        self.publish_with(&SampleInfo::default())
    }

    /// Publishes the sample with metadata. The key hash of a keyed type is filled in.
    ///
    /// # Errors
    /// As [`Self::publish`].
    #[inline]
    pub fn publish_with(mut self, info: &SampleInfo) -> Result<Committed, SlotError> {
        let bytes = &mut self.loan.bytes_mut()[..size_of::<T>()];
        if T::HAS_PADDING {
            T::zero_padding(bytes);
        }
        if !T::IN_PLACE {
            T::validate(bytes)?;
        }
        let info = if T::HAS_KEY { keyed(&T::read_from(bytes)?, info) } else { *info };
        self.loan.commit(size_of::<T>(), &info)
    }
}

impl<T: FlatStruct> Deref for FlatLoan<'_, T> {
    type Target = T;

    /// The sample in place. Does not compile for a type with `bool` or enum members, whose octets
    /// must be looked at first: [`FlatLoan::write`] writes those.
    #[inline]
    fn deref(&self) -> &T {
        const { assert!(T::IN_PLACE, "a type with bool or enum members is written whole: `write`") }
        let () = Self::ALIGNED;
        // SAFETY: every bit pattern is a `T`, a slot has room for it (checked in
        // `FlatWriter::new`) and is aligned to 64 octets, no less than `T` (`ALIGNED`).
        unsafe { &*self.loan.bytes().as_ptr().cast::<T>() }
    }
}

impl<T: FlatStruct> DerefMut for FlatLoan<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        const { assert!(T::IN_PLACE, "a type with bool or enum members is written whole: `write`") }
        let () = Self::ALIGNED;
        // SAFETY: as in `deref`; the loan is borrowed exclusively.
        unsafe { &mut *self.loan.bytes_mut().as_mut_ptr().cast::<T>() }
    }
}

/// Reads samples of type `T` from a segment.
#[derive(Debug)]
pub struct FlatReader<T> {
    reader: SlotReader,
    in_place: bool,
    samples: PhantomData<fn() -> T>,
}

impl<T: FlatStruct> FlatReader<T> {
    /// A typed view of a reader.
    ///
    /// # Errors
    /// [`SlotError::TypeMismatch`] if the segment has samples of another layout.
    pub fn new(reader: SlotReader) -> Result<Self, SlotError> {
        check_type::<T>(&reader.identity())?;
        let in_place = T::IN_PLACE && reader.may_read_in_place();
        Ok(Self { reader, in_place, samples: PhantomData })
    }

    /// Takes the next sample. `Ok(None)`: nothing new now. Never blocks.
    ///
    /// The sample is read in place where every bit pattern is a `T` and the writer runs as this
    /// user; otherwise it is copied out and checked. In place it is protected until dropped, and
    /// up to the reader's `max_held` can be in use at once, dropped in any order.
    ///
    /// # Errors
    /// As [`SlotReader::take`]; [`SlotError::InvalidValue`] for a sample whose octets are no `T`,
    /// [`SlotError::Representation`] for one that is not as in memory: it is consumed.
    #[inline]
    pub fn take(&self) -> Result<Option<FlatSample<'_, T>>, SlotError> {
        let Some(raw) = self.reader.take()? else { return Ok(None) };
        self.sample(raw).map(Some)
    }

    /// As [`Self::take`], waiting up to `timeout` for a sample.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_within(&self, timeout: Duration) -> Result<Option<FlatSample<'_, T>>, SlotError> {
        let Some(raw) = self.reader.take_within(timeout)? else { return Ok(None) };
        self.sample(raw).map(Some)
    }

    /// Takes a copy of the next sample that holds data (not a key alone); nothing stays in use.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_copy(&self) -> Result<Option<T>, SlotError> {
        while let Some(sample) = self.take()? {
            if let Some(value) = sample.data() {
                return Ok(Some(*value));
            }
        }
        Ok(None)
    }

    #[inline]
    fn sample<'r>(&self, raw: RawSample<'r>) -> Result<FlatSample<'r, T>, SlotError> {
        let header = *raw.header();
        let is_data = header.valid_data();
        let flat = header.representation == SampleHeader::RAW && !header.is_outsize();
        if is_data && !flat {
            return Err(SlotError::Representation { found: header.representation });
        }
        let whole = flat && header.size as usize == size_of::<T>();
        if is_data && !whole {
            T::validate(raw.bytes())?;
        }
        let value = if !is_data && !whole {
            Value::None
        } else if self.in_place && raw.bytes().as_ptr().cast::<T>().is_aligned() {
            Value::InPlace(raw)
        } else {
            let mut copy = Vec::new();
            raw.copy_checked(&mut copy)?;
            Value::Copied(T::read_boxed(&copy)?)
        };
        Ok(FlatSample { value, header })
    }

    /// The untyped reader: waiting, losses, whom it reads.
    #[must_use]
    pub fn slots(&self) -> &SlotReader {
        &self.reader
    }

    /// What went by this reader.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.reader.losses()
    }
}

impl<T> Waitable for FlatReader<T> {
    fn is_ready(&self) -> bool {
        self.reader.is_ready()
    }

    fn is_rung_by(&self, bit: BellBit) -> bool {
        self.reader.is_rung_by(bit)
    }

    fn bell_bit(&self) -> Option<BellBit> {
        self.reader.bell_bit()
    }

    fn prepare_to_sleep(&self) -> Duration {
        self.reader.prepare_to_sleep()
    }

    fn look_after(&self) {
        self.reader.look_after();
    }

    fn node(&self) -> Option<&Arc<Node>> {
        self.reader.node()
    }
}

#[derive(Debug)]
enum Value<'r, T> {
    InPlace(RawSample<'r>),
    Copied(Box<T>),
    None,
}

/// A sample that was taken. In place, it keeps its slot until it is dropped.
#[derive(Debug)]
pub struct FlatSample<'r, T> {
    value: Value<'r, T>,
    header: SampleHeader,
}

impl<T: FlatStruct> FlatSample<'_, T> {
    /// The sample, if it is one; `None` for a key alone (DDS `valid_data` false).
    #[inline]
    #[must_use]
    pub fn data(&self) -> Option<&T> {
        if self.header.valid_data() { self.value() } else { None }
    }

    /// The value whose key members tell the instance that was disposed of or unregistered, or the
    /// sample itself.
    #[inline]
    #[must_use]
    pub fn key(&self) -> Option<&T> {
        self.value()
    }

    #[inline]
    fn value(&self) -> Option<&T> {
        match &self.value {
            // SAFETY: `FlatReader::sample` put it here only if every bit pattern is a `T`, the
            // payload has its size and alignment, and the owner runs as this user or is trusted.
            Value::InPlace(raw) => Some(unsafe { &*raw.bytes().as_ptr().cast::<T>() }),
            Value::Copied(value) => Some(value),
            Value::None => None,
        }
    }

    /// Whether it is read in place.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        matches!(self.value, Value::InPlace(_))
    }

    /// Its metadata.
    #[inline]
    #[must_use]
    pub fn header(&self) -> &SampleHeader {
        &self.header
    }
}
