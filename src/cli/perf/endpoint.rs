//! The segments of a measurement: a writer here, readers there.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dds_shm::liveness::Node;
use dds_shm::slots::{EntryStatus, RawSample, SampleInfo, SlotReader, SlotWriter};
use dds_shm::{FlowPolicy, PosixSlotAllocator, ReaderOptions, SegmentOptions, SlotError};
use serde::{Deserialize, Serialize};

use super::CliError;
use crate::cli::octets::{self, fold};

/// How long a writer waits for readers that are behind before the measurement fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a reader polls before it looks more closely.
const POLLS: u32 = 1 << 10;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Load {
    /// Octets of a sample.
    pub(super) size: u32,
    /// Every octet is written and read.
    pub(super) touched: bool,
    /// Readers in each direction.
    pub(super) readers: u32,
    /// Slots of a segment.
    pub(super) slots: u32,
}

/// A reliable writer that loses nothing, with what it sends.
#[derive(Debug)]
pub(super) struct Sender {
    writer: SlotWriter,
    flink: PathBuf,
    load: Load,
    source: Vec<u8>,
}

impl Sender {
    pub(super) fn create(node: &Arc<Node>, load: Load) -> Result<Self, CliError> {
        let of_type = octets::type_of(load.size);
        let options =
            SegmentOptions::new("dds-shm perf", octets::TYPE_NAME, of_type.hash, load.size)
                .layout(&of_type.layout)
                .guid(rand::random())
                .readers(load.readers, 1)
                .slots(load.slots)
                .flow(FlowPolicy::keep_all(PATIENCE));
        let segment = PosixSlotAllocator::create(node, &options)?;
        let flink = segment.flink_path().to_owned();
        let source = (0..load.size).map(|at| at as u8).collect();
        Ok(Self { writer: segment.into_writer()?, flink, load, source })
    }

    pub(super) fn flink(&self) -> &Path {
        &self.flink
    }

    /// Whether every reader is served.
    pub(super) fn is_ready(&self) -> bool {
        let readers = self.writer.readers();
        let admitted = readers.iter().filter(|(_, status, _)| *status == EntryStatus::Admitted);
        admitted.count() == self.load.readers as usize
    }

    /// Sends one sample. Where there is room and it is touched, it starts with `number`.
    #[inline]
    pub(super) fn send(&mut self, number: u64) -> Result<(), SlotError> {
        let mut loan = self.writer.loan()?;
        if self.load.touched {
            let bytes = &mut loan.bytes_mut()[..self.source.len()];
            bytes.copy_from_slice(black_box(&self.source));
            if let Some(start) = bytes.first_chunk_mut::<8>() {
                *start = number.to_le_bytes();
            }
        } else {
            black_box(loan.bytes_mut().as_mut_ptr());
        }
        loan.commit(self.source.len(), &SampleInfo::default())?;
        Ok(())
    }

    /// Sends one sample of which no more than the first line is written, however long it is.
    #[inline]
    pub(super) fn send_line(&mut self) -> Result<(), SlotError> {
        let mut loan = self.writer.loan()?;
        let line = self.source.len().min(64);
        loan.bytes_mut()[..line].copy_from_slice(black_box(&self.source[..line]));
        loan.commit(self.source.len(), &SampleInfo::default())?;
        Ok(())
    }
}

/// The readers of one segment, for one thread.
#[derive(Debug)]
pub(super) struct Receivers {
    readers: Vec<SlotReader>,
    touched: bool,
}

impl Receivers {
    pub(super) fn open(node: &Arc<Node>, flink: &Path, load: Load) -> Result<Self, CliError> {
        let expected = octets::type_of(load.size);
        let open = |_| {
            let options = ReaderOptions { max_held: 1, ..ReaderOptions::default() };
            PosixSlotAllocator::open_reader(node, flink, Some(&expected), options)
        };
        let readers = (0..load.readers).map(open).collect::<Result<_, _>>()?;
        Ok(Self { readers, touched: load.touched })
    }

    pub(super) fn is_ready(&self) -> bool {
        self.readers.iter().all(SlotReader::is_admitted)
    }

    /// The first of them, which is waited for.
    pub(super) fn first(&self) -> &SlotReader {
        &self.readers[0]
    }

    /// Takes a sample for one of the readers; the number it starts with, if one is there.
    #[inline]
    pub(super) fn take(&self, reader: usize) -> Result<Option<u64>, SlotError> {
        let reader = &self.readers[reader];
        // The cheapest look, while there is nothing: it touches no line that the writer writes but
        // the one that the sample comes on. A sample that is put elsewhere is found by the take.
        let _ = (0..POLLS).any(|_| reader.poll());
        let Some(sample) = reader.take()? else { return Ok(None) };
        let bytes = sample.bytes();
        if self.touched {
            black_box(fold(bytes));
            Ok(Some(bytes.first_chunk().map_or(0, |start| u64::from_le_bytes(*start))))
        } else {
            black_box(bytes.as_ptr());
            Ok(Some(0))
        }
    }

    /// Takes a sample for the first reader, and reads its first line.
    pub(super) fn take_first_line(&self) -> Result<Option<RawSample<'_>>, SlotError> {
        let sample = self.first().take()?;
        if let Some(sample) = &sample {
            let bytes = sample.bytes();
            black_box(fold(&bytes[..bytes.len().min(64)]));
        }
        Ok(sample)
    }

    /// Takes one sample for each reader but the first, waiting without a pause.
    pub(super) fn take_rest(&self) -> Result<(), CliError> {
        for reader in 1..self.readers.len() {
            while self.readers[reader].take()?.is_none() {}
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.readers.len()
    }

    /// Takes one sample for each reader in turn, waiting without a pause.
    #[inline]
    pub(super) fn take_all(&self) -> Result<(), CliError> {
        for reader in 0..self.readers.len() {
            while self.take(reader)?.is_none() {}
        }
        Ok(())
    }

    /// Samples that went by a reader.
    pub(super) fn lost(&self, reader: usize) -> u64 {
        let losses = self.readers[reader].losses();
        losses.lost + losses.replaced
    }
}
