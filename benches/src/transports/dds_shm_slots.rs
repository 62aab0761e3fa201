//! dds-shm, the slot plane: a segment, its writer, and readers that take in place.

use std::mem::forget;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dds_shm::liveness::{Node, NodeOptions, RuntimeDir};
use dds_shm::slots::{EntryStatus, SlotReader, SlotWriter};
use dds_shm::{
    ExpectedType, FlowPolicy, PosixSlotAllocator, ReaderOptions, SampleInfo, SegmentOptions,
    SlotError, TypeHash,
};

use crate::error::{Result, failed};
use crate::figures::Figure;
use crate::transport::{Place, Plan, Receiver, Sender, Transport};

/// Samples that a reader may have in use at once.
pub(super) const MAX_HELD: u32 = 2;

/// How often a reader polls before it looks more closely.
const POLLS: u32 = 1 << 10;

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Slots {
    node: Arc<Node>,
}

/// The node of this process, with its files where the run keeps its own.
pub(super) fn node(place: &Place) -> Result<Arc<Node>> {
    let dir = RuntimeDir::create(&place.dir.join("dds-shm"));
    let dir = dir.map_err(failed("runtime dir of dds-shm"))?;
    Node::new(&dir, NodeOptions::default()).map_err(failed("node of dds-shm"))
}

/// The type of samples of `size` octets: that of the structure that has the array as its only member.
pub(super) fn type_of(size: u32) -> ExpectedType {
    let endianness = if cfg!(target_endian = "big") { "be" } else { "le" };
    let layout = format!("shmlay1;{endianness};s{size},1{{0:value:[{size}*u8]}}");
    ExpectedType { hash: TypeHash::of_layout(&layout), layout }
}

/// What went wrong, or that there was no room for as long as the plan has patience.
pub(super) fn room(result: std::result::Result<(), SlotError>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(SlotError::Timeout { .. }) => Ok(false),
        Err(error) => Err(failed("publishing with dds-shm")(error)),
    }
}

/// Slots of a segment: more than the samples that wait, so that nobody waits for a slot that was just
/// left; fewer where what is written would not stay in the processors' own caches.
pub(super) fn slots(plan: &Plan) -> u32 {
    match plan.figure {
        // Depth and what may be on loan or in use, as anybody would ask for it.
        Figure::Memory | Figure::Recovery => plan.depth + 2 + plan.readers * MAX_HELD,
        // Room for a writer that is interrupted now and then.
        Figure::Throughput => ((2 << 20) / plan.size).clamp(2, 512),
        Figure::LatencyTouched => ((512 << 10) / plan.size).clamp(2, 64),
        _ => ((16 << 20) / plan.size).clamp(4, 64),
    }
}

impl Transport for Slots {
    type Sender = SlotsSender;
    type Receiver = SlotsReceiver;

    fn start(place: &Place) -> Result<Self> {
        Ok(Self { node: node(place)? })
    }

    fn sender(&self, plan: &Plan) -> Result<SlotsSender> {
        let of_type = type_of(plan.size);
        let options = SegmentOptions::new(&plan.name, "Octets", of_type.hash, plan.size)
            .layout(&of_type.layout)
            .readers(plan.readers, MAX_HELD)
            .slots(slots(plan))
            .flow(FlowPolicy::keep_all(plan.patience()));
        let segment = PosixSlotAllocator::create(&self.node, &options)
            .map_err(failed("segment of dds-shm"))?;
        let flink = segment.flink_path().to_string_lossy().into_owned();
        let writer = segment.into_writer().map_err(failed("writer of dds-shm"))?;
        Ok(SlotsSender { writer, flink })
    }

    fn receiver(&self, plan: &Plan, address: &str, _: u32) -> Result<SlotsReceiver> {
        let options = ReaderOptions { max_held: MAX_HELD as usize, ..ReaderOptions::default() };
        let expected = type_of(plan.size);
        let flink = Path::new(address);
        let reader = PosixSlotAllocator::open_reader(&self.node, flink, Some(&expected), options)
            .map_err(failed("reader of dds-shm"))?;
        Ok(SlotsReceiver { reader, looks: 0 })
    }
}

#[derive(Debug)]
pub(crate) struct SlotsSender {
    writer: SlotWriter,
    flink: String,
}

impl SlotsSender {
    #[inline(always)]
    fn publish(
        &self,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> std::result::Result<(), SlotError> {
        let mut loan = self.writer.loan()?;
        fill(loan.bytes_mut());
        loan.commit(len, &SampleInfo::default())?;
        Ok(())
    }
}

impl Sender for SlotsSender {
    fn address(&self) -> Result<String> {
        Ok(self.flink.clone())
    }

    fn is_ready(&mut self, readers: u32) -> Result<bool> {
        let known = self.writer.readers();
        let admitted = known.iter().filter(|(_, status, _)| *status == EntryStatus::Admitted);
        Ok(admitted.count() == readers as usize)
    }

    fn warm_up(&self, plan: &Plan) -> u64 {
        u64::from(2 * slots(plan))
    }

    #[inline]
    fn send_untouched(&mut self, len: usize) -> Result<bool> {
        room(self.publish(len, |_| {}))
    }

    #[inline]
    fn send_copy(&mut self, bytes: &[u8]) -> Result<bool> {
        room(self.publish(bytes.len(), |slot| slot[..bytes.len()].copy_from_slice(bytes)))
    }
}

#[derive(Debug)]
pub(crate) struct SlotsReceiver {
    reader: SlotReader,
    looks: u32,
}

impl SlotsReceiver {
    pub(super) fn into_reader(self) -> SlotReader {
        self.reader
    }
}

impl Receiver for SlotsReceiver {
    fn is_ready(&mut self) -> Result<bool> {
        Ok(self.reader.is_admitted())
    }

    #[inline]
    fn take<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        // The cheapest look while there is nothing: one line. Now and then all of a take, which also
        // finds a sample that was put elsewhere.
        if !self.reader.poll() {
            self.looks = (self.looks + 1) % POLLS;
            if self.looks != 0 {
                return Ok(None);
            }
        }
        let sample = self.reader.take().map_err(failed("taking with dds-shm"))?;
        Ok(sample.map(|sample| read(sample.bytes())))
    }

    fn sleep(&mut self, at_most: Duration) -> Result<()> {
        self.reader.wait(at_most);
        Ok(())
    }

    fn hoard(&mut self) -> Result<usize> {
        let mut held = 0;
        loop {
            match self.reader.take() {
                Ok(Some(sample)) => forget(sample),
                Ok(None) | Err(SlotError::TooManyHeld { .. }) => return Ok(held),
                Err(error) => return Err(failed("taking with dds-shm")(error)),
            }
            held += 1;
        }
    }
}
