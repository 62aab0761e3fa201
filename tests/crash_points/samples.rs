//! Samples that show it when they are torn, and readers that keep count of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dds_shm::crash_points;
use dds_shm::liveness::{Node, NodeOptions};
use dds_shm::shm::monotonic_ns;
use dds_shm::slots::{RawSample, SlotReader, SlotWriter};
use dds_shm::types::TypeHash;
use dds_shm::{
    FlowPolicy, PosixSlotAllocator, ReaderOptions, SampleInfo, SegmentOptions, SlotError,
};

use crate::support::{SOON, eventually};
use crate::sweep::{ASLEEP, BLOCKED, Death, Trial};

const SIZE: usize = 1024;
/// Who is slow in these tests is so on purpose.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) fn options() -> SegmentOptions {
    SegmentOptions::new("Topic", "Type", TypeHash::of_layout("test"), SIZE as u32)
        .guid([7; 16])
        .slots(16)
        .flow(FlowPolicy::keep_all(SOON))
        .misbehaves_after(PATIENCE)
}

/// Of a writer that goes on where it was killed, and keeps three samples.
pub(crate) fn durable() -> SegmentOptions {
    options().keep_last(3, 1, true).durable_name("the writer")
}

/// What octet `at` of sample `number` is.
fn octet(number: u64, at: usize) -> u8 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (at % 57)) as u8 ^ at as u8
}

/// Publishes the next sample, which has the number of its place in the sequence.
pub(crate) fn publish(writer: &SlotWriter) -> Result<u64, SlotError> {
    let number = writer.head() + 1;
    let mut loan = writer.loan()?;
    let (number_octets, rest) = loan.bytes_mut().split_at_mut(8);
    number_octets.copy_from_slice(&number.to_le_bytes());
    for (at, byte) in rest.iter_mut().enumerate() {
        if at == SIZE / 2 {
            crash_points::pass(&"the other half of a payload");
        }
        *byte = octet(number, at);
    }
    let info = SampleInfo { source_timestamp: monotonic_ns() as i64, ..SampleInfo::default() };
    let committed = loan.commit(SIZE, &info)?;
    assert_eq!(committed.seq, number);
    Ok(number)
}

/// The number of a sample that is whole.
#[track_caller]
pub(crate) fn number_in(bytes: &[u8]) -> u64 {
    let (number, rest) = bytes.split_first_chunk().unwrap();
    let number = u64::from_le_bytes(*number);
    assert_eq!(bytes.len(), SIZE);
    let torn = rest.iter().enumerate().position(|(at, byte)| *byte != octet(number, at));
    assert_eq!(torn, None, "{number} is torn");
    number
}

#[track_caller]
pub(crate) fn number(sample: &RawSample<'_>) -> u64 {
    assert_eq!(number_in(sample.bytes()), sample.seq());
    sample.seq()
}

pub(crate) fn create(node: &Arc<Node>, options: &SegmentOptions) -> (SlotWriter, PathBuf) {
    let owner = PosixSlotAllocator::create(node, options).unwrap();
    let flink = owner.flink_path().to_owned();
    (owner.into_writer().unwrap(), flink)
}

pub(crate) fn join(node: &Arc<Node>, flink: &Path, options: ReaderOptions) -> SlotReader {
    PosixSlotAllocator::open_reader(node, flink, None, options).unwrap()
}

pub(crate) fn open(node: &Arc<Node>, flink: &Path, options: ReaderOptions) -> SlotReader {
    let reader = join(node, flink, options);
    eventually("admission", || reader.is_admitted());
    reader
}

/// What a reader got.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) samples: Vec<(u64, Instant)>,
    /// When it was told that its writer is gone.
    pub(crate) lost_writer: Option<Instant>,
    /// Counted by the reader.
    pub(crate) missed: u64,
}

/// Takes, asleep where there is nothing, to the number `last` or until the writer is gone; `keeps` each
/// sample until it has the next, if so.
pub(crate) fn receive(reader: &SlotReader, last: u64, keeps: bool) -> Received {
    receive_and_tell(reader, last, keeps, &AtomicU64::new(0))
}

/// As [`receive`]; `progress` is the last number that it is done with, or keeps.
pub(crate) fn receive_and_tell(
    reader: &SlotReader,
    last: u64,
    keeps: bool,
    progress: &AtomicU64,
) -> Received {
    let mut received = Received::default();
    let mut held = None;
    while received.samples.last().is_none_or(|(number, _)| *number < last) {
        match reader.take_within(SOON) {
            Ok(Some(sample)) => {
                received.samples.push((number(&sample), Instant::now()));
                if !keeps {
                    drop(sample);
                } else if let Some(before) = held.replace(sample) {
                    // Still as it was, with the next one taken.
                    number(&before);
                }
                progress.store(received.last(), Ordering::Relaxed);
            }
            Ok(None) => panic!("nothing within {SOON:?} after {:?}", received.samples.last()),
            Err(SlotError::WriterLost) => {
                received.lost_writer = Some(Instant::now());
                break;
            }
            Err(error) => panic!("{error} after {:?}", received.samples.last()),
        }
    }
    let losses = reader.losses();
    received.missed = losses.lost + losses.replaced;
    received
}

impl Received {
    pub(crate) fn last(&self) -> u64 {
        self.samples.last().map_or(0, |(number, _)| *number)
    }

    /// Everything from `first` to `committed` came, and maybe more, once and in order; but for what the
    /// reader knows it missed, if it is not to be `complete`.
    #[track_caller]
    pub(crate) fn expect(&self, first: u64, committed: u64, complete: bool) -> &Self {
        let numbers: Vec<u64> = self.samples.iter().map(|(number, _)| *number).collect();
        assert!(numbers.iter().zip(numbers.iter().skip(1)).all(|(a, b)| a < b), "{numbers:?}");
        assert!(numbers.first().is_none_or(|number| *number >= first), "{numbers:?}");
        let last = self.last().max(committed);
        let accounted = numbers.len() as u64 + self.missed;
        let missed = self.missed;
        assert!(accounted >= last + 1 - first, "{numbers:?}, missed {missed}, of {first}..={last}");
        assert!(!complete || missed == 0, "{numbers:?}, missed {missed}");
        self
    }

    /// What the dead writer had published came soon, and so did the news of its death.
    pub(crate) fn expect_soon_after(&self, death: &Death, trial: &Trial) {
        let last = self.samples.last().map(|(_, at)| *at);
        for at in last.into_iter().chain(self.lost_writer) {
            trial.expect_within(ASLEEP, death.at, at, "a reader slept");
        }
    }
}

/// When the writing of a sample began, and when it was over.
pub(crate) type Written = (Instant, Instant);

/// Publishes one sample. Who lives is waited for before the time is taken: it is for the dead alone to
/// be in the way.
pub(crate) fn publish_timed<'a>(
    writer: &SlotWriter,
    living: impl IntoIterator<Item = &'a AtomicU64> + Clone,
) -> Written {
    let seen = |progress: &AtomicU64| progress.load(Ordering::Relaxed) >= writer.head();
    eventually("readers that keep up", || living.clone().into_iter().all(seen));
    let started = Instant::now();
    publish(writer).unwrap();
    (started, Instant::now())
}

/// Nobody who is dead since `since` held the writer up for long.
pub(crate) fn expect_unblocked(trial: &Trial, written: &[Written], since: Instant) {
    for (started, written) in written {
        trial.expect_within(BLOCKED, since.max(*started), *written, "a writer was blocked");
    }
}

/// A writer, and what may be expected of it.
pub(crate) struct Plan {
    pub(crate) options: SegmentOptions,
    /// It goes on where it was killed.
    pub(crate) is_durable: bool,
    /// Readers miss nothing.
    pub(crate) is_complete: bool,
}

/// Starts a writer after the death of another, as any process starts, and lets it write; with
/// `patient` readers of the dead one's segment, who have taken nothing since the number `read`.
///
/// `committed`: the highest number that the dead one said it had published.
pub(crate) fn restart(
    trial: &Trial,
    plan: &Plan,
    committed: u64,
    read: u64,
    patient: Vec<SlotReader>,
) {
    let started = Instant::now();
    let node = Node::new(&trial.home.dir, NodeOptions::default()).unwrap();
    let (writer, flink) = create(&node, &plan.options.clone().misbehaves_after(PATIENCE));
    let head = writer.head();
    let is_adopted = plan.is_durable && head > 0;
    if plan.is_durable {
        assert!((committed..=committed + 1).contains(&head), "{committed} and {head}");
    }
    let readers = trial.home.node();
    let wants = ReaderOptions { wants_history: true, ..ReaderOptions::default() };
    let late = open(&readers, &flink, wants);
    let last = head + 40;
    // Those of the dead writer's readers that go on, and one more.
    let begun = std::iter::repeat_n(read, patient.len());
    let progress: Vec<_> = std::iter::once(0).chain(begun).map(AtomicU64::new).collect();
    let living = if is_adopted { &progress[..] } else { &progress[..1] };
    std::thread::scope(|scope| {
        let until = if is_adopted { last } else { u64::MAX };
        let late = scope.spawn(|| {
            let late = late;
            receive_and_tell(&late, last, true, &progress[0])
        });
        let patient: Vec<_> = (patient.into_iter().zip(&progress[1..]))
            .map(|(reader, progress)| {
                scope.spawn(move || receive_and_tell(&reader, until, false, progress))
            })
            .collect();
        // What there is already they may still have to read.
        living.iter().for_each(|progress| {
            let has_begun = || !is_adopted || progress.load(Ordering::Relaxed) >= head;
            eventually("the kept samples", has_begun);
            progress.fetch_max(head, Ordering::Relaxed);
        });
        let written: Vec<_> = (head..last).map(|_| publish_timed(&writer, living)).collect();
        expect_unblocked(trial, &written, started);
        let kept = if is_adopted { head.saturating_sub(2).max(1) } else { head + 1 };
        let mut late = late.join().unwrap();
        if plan.is_complete {
            late.expect(kept, last, true);
        } else {
            // What was replaced before it came to look was never for it.
            late.samples.retain(|(number, _)| *number > head);
            late.expect(head + 1, last, false);
        }
        for patient in patient {
            let committed = if is_adopted { last } else { committed };
            patient.join().unwrap().expect(read + 1, committed, plan.is_complete);
        }
    });
}
