//! A DDS writer of samples of one flat type.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use super::writer::{ShmLoan, ShmWriter};
use crate::slots::{Committed, SampleInfo, SlotError};
use crate::types::FlatStruct;
use crate::wire::{KeyHash, StatusInfo};

/// A typed view of a [`ShmWriter`].
///
/// ```
/// use dds_shm::FlatStruct;
/// use dds_shm::transport::{ReaderConfig, ShmDataReader, ShmDataWriter, ShmTransport, WriterConfig};
/// # use dds_shm::liveness::{Node, NodeOptions, RuntimeDir};
/// # use dds_shm::wire::GuidPrefix;
/// # let temp = tempfile::tempdir()?;
/// # let node = Node::new(&RuntimeDir::create(&temp.path().join("shm"))?, NodeOptions::default())?;
/// # let transport = ShmTransport::builder(0, GuidPrefix([7; 12])).node(node).match_own(true).build()?;
///
/// #[derive(Clone, Copy, FlatStruct)]
/// #[repr(C)]
/// struct Pose { #[flat(key)] robot: u32, #[flat(pad)] _pad: [u8; 4], x: f64 }
///
/// let reader = transport.create_reader(ReaderConfig::of::<Pose>("Pose"))?;
/// let reader = ShmDataReader::<Pose>::new(reader)?;
/// let config = WriterConfig { max_instances: Some(16), ..WriterConfig::of::<Pose>("Pose") };
/// let writer = ShmDataWriter::<Pose>::new(transport.create_writer(config)?)?;
/// # writer.writer().wait_for_readers(1, std::time::Duration::from_secs(5));
///
/// let mut pose = writer.loan()?;
/// pose.robot = 7;
/// pose.x = 1.5;
/// pose.publish(&Default::default())?;
///
/// let sample = reader.take()?.expect("just published");
/// assert_eq!(sample.data().map(|pose| pose.x), Some(1.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ShmDataWriter<T> {
    writer: ShmWriter,
    samples: PhantomData<fn(T)>,
}

impl<T: FlatStruct> ShmDataWriter<T> {
    /// A typed view of a writer.
    ///
    /// # Errors
    /// [`SlotError::TypeMismatch`] if the writer was made for samples of another layout.
    pub fn new(writer: ShmWriter) -> Result<Self, SlotError> {
        let identity = writer.slots().identity();
        let fits = size_of::<T>() <= identity.geometry.slot_capacity as usize;
        if identity.type_hash != T::type_hash() || !fits {
            return Err(SlotError::TypeMismatch {
                expected: T::type_hash(),
                found: identity.type_hash,
                expected_layout: T::layout_string(),
                found_layout: identity.layout.clone(),
            });
        }
        Ok(Self { writer, samples: PhantomData })
    }

    /// The untyped writer.
    #[must_use]
    pub fn writer(&self) -> &ShmWriter {
        &self.writer
    }

    /// Takes a slot to fill in place. See [`ShmWriter::loan`].
    ///
    /// # Errors
    /// As [`ShmWriter::loan`].
    #[inline]
    pub fn loan(&self) -> Result<DataLoan<'_, T>, SlotError> {
        Ok(DataLoan { loan: self.writer.loan()?, sample: PhantomData })
    }

    /// Publishes a copy of `sample`. The key hash of a keyed type is filled in. `Ok(None)`: dropped; see
    /// [`ShmWriter::write`].
    ///
    /// # Errors
    /// As [`ShmWriter::write`].
    pub fn write(&self, sample: &T, info: &SampleInfo) -> Result<Option<Committed>, SlotError> {
        let info = keyed(sample, info);
        let mut loan = match self.writer.loan() {
            Ok(loan) => loan,
            Err(SlotError::NoFreeSlot { .. }) => {
                self.writer.slots().drop_sample(info.sn)?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let bytes = &mut loan.bytes_mut()[..size_of::<T>()];
        bytes.copy_from_slice(sample.as_bytes());
        if T::HAS_PADDING {
            // What happens to be in padding is shown to nobody.
            T::zero_padding(bytes);
        }
        loan.publish(size_of::<T>(), &info).map(Some)
    }

    /// Publishes that the instance of `sample`, of which only the key counts, is disposed of.
    ///
    /// # Errors
    /// As [`ShmWriter::write`].
    pub fn dispose(&self, sample: &T, info: &SampleInfo) -> Result<Option<Committed>, SlotError> {
        self.write_key(sample, StatusInfo::DISPOSED, info)
    }

    /// Publishes that this writer no longer writes the instance of `sample`, of which only the key
    /// counts. See [`ShmWriter::unregister`].
    ///
    /// # Errors
    /// As [`ShmWriter::write`].
    pub fn unregister(
        &self,
        sample: &T,
        dispose: bool,
        info: &SampleInfo,
    ) -> Result<Option<Committed>, SlotError> {
        let disposed = if dispose { StatusInfo::DISPOSED } else { StatusInfo::NONE };
        self.write_key(sample, StatusInfo::UNREGISTERED | disposed, info)
    }

    fn write_key(
        &self,
        sample: &T,
        status: StatusInfo,
        info: &SampleInfo,
    ) -> Result<Option<Committed>, SlotError> {
        let info = SampleInfo { status_info: status.0 as u8, key_only: true, ..*info };
        self.write(sample, &info)
    }
}

fn keyed<T: FlatStruct>(sample: &T, info: &SampleInfo) -> SampleInfo {
    if T::HAS_KEY && KeyHash(info.key_hash) == KeyHash::NIL {
        SampleInfo { key_hash: sample.key_hash(), ..*info }
    } else {
        *info
    }
}

/// A sample on loan, to be filled in place. Dropped unpublished, its slot is given back.
///
/// It starts with what an older sample left there. A type with `bool` or enum members is written whole,
/// by [`Self::write`].
#[derive(Debug)]
pub struct DataLoan<'w, T> {
    loan: ShmLoan<'w>,
    sample: PhantomData<fn(T)>,
}

impl<T: FlatStruct> DataLoan<'_, T> {
    /// Writes the whole sample.
    #[inline]
    pub fn write(&mut self, sample: &T) {
        self.loan.bytes_mut()[..size_of::<T>()].copy_from_slice(sample.as_bytes());
    }

    /// Publishes the sample. The key hash of a keyed type is filled in.
    ///
    /// # Errors
    /// As [`ShmLoan::publish`]; [`SlotError::InvalidValue`] for octets that are no `T`.
    #[inline]
    pub fn publish(mut self, info: &SampleInfo) -> Result<Committed, SlotError> {
        let bytes = &mut self.loan.bytes_mut()[..size_of::<T>()];
        if T::HAS_PADDING {
            T::zero_padding(bytes);
        }
        if !T::IN_PLACE {
            T::validate(bytes)?;
        }
        let info = if T::HAS_KEY { keyed(&T::read_from(bytes)?, info) } else { *info };
        self.loan.publish(size_of::<T>(), &info)
    }
}

impl<T: FlatStruct> Deref for DataLoan<'_, T> {
    type Target = T;

    /// The sample in place. Does not compile for a type with `bool` or enum members, whose octets
    /// must be looked at first: [`DataLoan::write`] writes those.
    #[inline]
    fn deref(&self) -> &T {
        const { assert!(T::IN_PLACE, "a type with bool or enum members is written whole: `write`") }
        match T::ref_from(&self.loan.bytes()[..size_of::<T>()]) {
            Some(sample) => sample,
            None => unreachable!("slots are as large as the type, and aligned to 64 octets"),
        }
    }
}

impl<T: FlatStruct> DerefMut for DataLoan<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        const { assert!(T::IN_PLACE, "a type with bool or enum members is written whole: `write`") }
        match T::mut_from(&mut self.loan.bytes_mut()[..size_of::<T>()]) {
            Some(sample) => sample,
            None => unreachable!("slots are as large as the type, and aligned to 64 octets"),
        }
    }
}
