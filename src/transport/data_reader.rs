//! A DDS reader of samples of one flat type.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use super::reader::ShmReader;
use super::sample::ShmSample;
use crate::slots::SlotError;
use crate::types::FlatStruct;

/// A typed view of a [`ShmReader`]; see [`ShmDataWriter`](super::ShmDataWriter).
#[derive(Debug)]
pub struct ShmDataReader<T> {
    reader: ShmReader,
    samples: PhantomData<fn() -> T>,
}

impl<T: FlatStruct> ShmDataReader<T> {
    /// A typed view of a reader.
    ///
    /// # Errors
    /// [`SlotError::TypeMismatch`] if the reader was made for samples of another layout.
    pub fn new(reader: ShmReader) -> Result<Self, SlotError> {
        let found = reader.expected();
        if found.hash != T::type_hash() {
            return Err(SlotError::TypeMismatch {
                expected: T::type_hash(),
                found: found.hash,
                expected_layout: T::layout_string(),
                found_layout: found.layout.clone(),
            });
        }
        Ok(Self { reader, samples: PhantomData })
    }

    /// The untyped reader: waiting, losses, reachability.
    #[must_use]
    pub fn reader(&self) -> &ShmReader {
        &self.reader
    }

    /// Takes the next sample. `Ok(None)`: nothing new now. Never blocks.
    ///
    /// The sample is read in place where every bit pattern is a `T` and the writer runs as this user;
    /// otherwise it is copied out and checked. One that is no `T` is passed over, with an
    /// [`Unreadable`](super::TransportEvent::Unreadable) event.
    ///
    /// # Errors
    /// As [`ShmReader::take`].
    #[inline]
    pub fn take(&self) -> Result<Option<DataSample<'_, T>>, SlotError> {
        loop {
            let Some(sample) = self.reader.take()? else { return Ok(None) };
            match DataSample::new(sample) {
                Ok(sample) => return Ok(Some(sample)),
                Err(sample) => self.reader.tell_unreadable(&sample),
            }
        }
    }

    /// As [`Self::take`], waiting up to `timeout` for a sample.
    ///
    /// # Errors
    /// As [`ShmReader::take`].
    pub fn take_within(&self, timeout: Duration) -> Result<Option<DataSample<'_, T>>, SlotError> {
        let started = Instant::now();
        loop {
            if let Some(sample) = self.take()? {
                return Ok(Some(sample));
            }
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() || !self.reader.wait(left) {
                return self.take();
            }
        }
    }
}

/// A sample that was taken. In place, it keeps its slot until it is dropped.
#[derive(Debug)]
pub struct DataSample<'r, T> {
    sample: ShmSample<'r>,
    copy: Option<Box<T>>,
}

impl<'r, T: FlatStruct> DataSample<'r, T> {
    #[inline]
    fn new(sample: ShmSample<'r>) -> Result<Self, ShmSample<'r>> {
        if sample.header().is_outsize() {
            return Err(sample);
        }
        let is_key_alone = !sample.valid_data() && sample.bytes().len() != size_of::<T>();
        if is_key_alone
            || (sample.representation().is_none() && T::ref_from(sample.bytes()).is_some())
        {
            return Ok(Self { sample, copy: None });
        }
        if sample.representation().is_some() {
            return Err(sample);
        }
        match T::read_boxed(sample.bytes()) {
            Ok(copy) => Ok(Self { sample, copy: Some(copy) }),
            Err(error) => {
                tracing::debug!(%error, writer = %sample.writer(), "sample passed over");
                Err(sample)
            }
        }
    }

    /// The sample, if it is one; `None` for a key alone (DDS `valid_data` false).
    #[inline]
    #[must_use]
    pub fn data(&self) -> Option<&T> {
        if self.sample.valid_data() { self.key() } else { None }
    }

    /// The value whose key members tell the instance that was disposed of or unregistered, or the
    /// sample itself. `None` if there is only the key hash, [`ShmSample::instance`].
    #[inline]
    #[must_use]
    pub fn key(&self) -> Option<&T> {
        match &self.copy {
            Some(copy) => Some(copy),
            None => T::ref_from(self.sample.bytes()),
        }
    }

    /// The untyped sample: metadata and octets.
    #[inline]
    #[must_use]
    pub fn sample(&self) -> &ShmSample<'r> {
        &self.sample
    }
}
