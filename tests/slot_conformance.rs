//! One suite over both allocators and both formats: what a segment is, by handles and in place. ZDS2
//! gives handles only.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dds_shm::liveness::Node;
use dds_shm::slots::{
    EntryStatus, OwnerEvent, ReaderIndex, ReaderLoss, ReaderSet, SlotHandle, SlotReader, SlotWriter,
};
use dds_shm::types::{SegmentFormat, TypeHash};
use dds_shm::{
    FlatReader, FlatStruct, FlatWriter, FlowPolicy, InMemorySlotAllocator, PosixSlotAllocator,
    ReaderOptions, SampleInfo, SegmentOptions, SlotBackend, SlotError,
};
use support::{Home, SOON, eventually};

/// One side that owns a segment, and one that reads it, by handles.
trait Fixture {
    /// What the start of a payload is a multiple of.
    const ALIGNMENT: usize = 64;
    fn new(options: SegmentOptions) -> Self;
    fn owner(&self) -> &dyn SlotBackend;
    fn consumer(&self) -> &dyn SlotBackend;
    fn add_reader(&self, options: ReaderOptions) -> Result<ReaderIndex, SlotError>;
}

/// The same in place.
trait InPlace: Fixture {
    /// Where readers of a [`SlotWriter`] come from.
    type Segment: Segment;
    fn in_place(options: SegmentOptions) -> (SlotWriter, Self::Segment);
}

trait Segment {
    fn open_reader(&self, options: ReaderOptions) -> Result<SlotReader, SlotError>;
}

struct InMemory(InMemorySlotAllocator);

impl Fixture for InMemory {
    fn new(options: SegmentOptions) -> Self {
        Self(InMemorySlotAllocator::create(&options).unwrap())
    }
    fn owner(&self) -> &dyn SlotBackend {
        &self.0
    }
    fn consumer(&self) -> &dyn SlotBackend {
        &self.0
    }
    fn add_reader(&self, options: ReaderOptions) -> Result<ReaderIndex, SlotError> {
        self.0.add_reader(&options)
    }
}

impl InPlace for InMemory {
    type Segment = InMemorySlotAllocator;
    fn in_place(options: SegmentOptions) -> (SlotWriter, InMemorySlotAllocator) {
        let segment = InMemorySlotAllocator::create(&options).unwrap();
        (segment.writer().unwrap(), segment)
    }
}

impl Segment for InMemorySlotAllocator {
    fn open_reader(&self, options: ReaderOptions) -> Result<SlotReader, SlotError> {
        self.open_reader(options)
    }
}

struct Posix {
    consumer: PosixSlotAllocator,
    owner: PosixSlotAllocator,
    _home: Home,
}

struct PosixSegment {
    node: Arc<Node>,
    flink: std::path::PathBuf,
    _home: Home,
}

impl Fixture for Posix {
    fn new(options: SegmentOptions) -> Self {
        let home = Home::new();
        let (writers, readers) = (home.node(), home.node());
        let owner = PosixSlotAllocator::create(&writers, &options).unwrap();
        let consumer = PosixSlotAllocator::attach(&readers, owner.flink_path(), None).unwrap();
        Self { consumer, owner, _home: home }
    }
    fn owner(&self) -> &dyn SlotBackend {
        &self.owner
    }
    fn consumer(&self) -> &dyn SlotBackend {
        &self.consumer
    }
    fn add_reader(&self, options: ReaderOptions) -> Result<ReaderIndex, SlotError> {
        self.consumer.add_reader(&options)
    }
}

impl InPlace for Posix {
    type Segment = PosixSegment;
    fn in_place(options: SegmentOptions) -> (SlotWriter, PosixSegment) {
        let home = Home::new();
        let owner = PosixSlotAllocator::create(&home.node(), &options).unwrap();
        let flink = owner.flink_path().to_owned();
        let segment = PosixSegment { node: home.node(), flink, _home: home };
        (owner.into_writer().unwrap(), segment)
    }
}

impl Segment for PosixSegment {
    fn open_reader(&self, options: ReaderOptions) -> Result<SlotReader, SlotError> {
        PosixSlotAllocator::open_reader(&self.node, &self.flink, None, options)
    }
}

struct Zds2 {
    sides: Posix,
    readers: Cell<usize>,
}

impl Fixture for Zds2 {
    const ALIGNMENT: usize = 16;
    fn new(options: SegmentOptions) -> Self {
        Self { sides: Posix::new(options.format(SegmentFormat::ZDS2)), readers: Cell::new(0) }
    }
    fn owner(&self) -> &dyn SlotBackend {
        &self.sides.owner
    }
    fn consumer(&self) -> &dyn SlotBackend {
        &self.sides.consumer
    }
    /// Both sides agree on the next index.
    fn add_reader(&self, _options: ReaderOptions) -> Result<ReaderIndex, SlotError> {
        let reader = ReaderIndex::new(self.readers.replace(self.readers.get() + 1)).unwrap();
        self.sides.owner.add_reader_as(reader)?;
        self.sides.consumer.add_reader_as(reader)?;
        Ok(reader)
    }
}

const CAPACITY: usize = 100;
/// A wait that is to end without what was waited for.
const BRIEF: Duration = Duration::from_millis(5);

fn options() -> SegmentOptions {
    SegmentOptions::new("Topic", "Type", TypeHash::of_layout("test"), CAPACITY as u32)
        .flow(FlowPolicy::keep_all(BRIEF))
}

fn best_effort() -> SegmentOptions {
    options().flow(FlowPolicy::best_effort())
}

/// A reader that is served: publishes until a commit covers it, then reads all of it.
fn admitted<F: Fixture>(fixture: &F, options: ReaderOptions) -> ReaderIndex {
    let reader = fixture.add_reader(options).unwrap();
    eventually("admission", || {
        let handle = fixture.owner().reserve_slot(ReaderSet::EMPTY).unwrap();
        fixture.owner().commit_slot(handle, b"hello").unwrap().covered.contains(reader)
    });
    let consumer = fixture.consumer();
    while let Some(handle) = consumer.next_unread_slot(reader).unwrap() {
        consumer.mark_read(handle, reader).unwrap();
    }
    reader
}

fn publish<F: Fixture>(fixture: &F, bytes: &[u8]) -> u64 {
    let handle = fixture.owner().reserve_slot(ReaderSet::ALL).unwrap();
    fixture.owner().commit_slot(handle, bytes).unwrap().seq
}

fn take<F: Fixture>(fixture: &F, reader: ReaderIndex) -> Option<(SlotHandle, Vec<u8>)> {
    let handle = fixture.consumer().next_unread_slot(reader).unwrap()?;
    let (header, bytes) = fixture.consumer().read_slot(handle).unwrap();
    assert_eq!(header.size as usize, bytes.len());
    Some((handle, bytes))
}

/// Takes and marks everything that is there.
fn drain<F: Fixture>(fixture: &F, reader: ReaderIndex) -> Vec<SlotHandle> {
    let mut handles = Vec::new();
    while let Some(handle) = fixture.consumer().next_unread_slot(reader).unwrap() {
        fixture.consumer().mark_read(handle, reader).unwrap();
        handles.push(handle);
    }
    handles
}

/// A reader that the writer serves.
fn served(segment: &impl Segment, options: ReaderOptions) -> SlotReader {
    let reader = segment.open_reader(options).unwrap();
    eventually("admission", || reader.is_admitted());
    reader
}

fn holding(max_held: usize) -> ReaderOptions {
    ReaderOptions { max_held, ..ReaderOptions::default() }
}

fn write(writer: &SlotWriter, number: u64) -> u64 {
    writer.write(&number.to_le_bytes(), &SampleInfo::default()).unwrap().unwrap().seq
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}

/// The numbers of everything that can be taken now.
fn take_all(reader: &SlotReader) -> Vec<u64> {
    std::iter::from_fn(|| reader.take().unwrap().map(|sample| number(sample.bytes()))).collect()
}

#[track_caller]
fn assert_stale<T: std::fmt::Debug>(result: Result<T, SlotError>) {
    assert!(matches!(result, Err(SlotError::StaleHandle { .. })), "{result:?}");
}

fn samples_arrive_in_order_and_whole<F: Fixture>() {
    let fixture = F::new(options().slots(8));
    let reader = admitted(&fixture, ReaderOptions::default());
    let mut last = 0;
    for round in 0..if cfg!(miri) { 10 } else { 100u8 } {
        let seqs = [publish(&fixture, &[round; 50]), publish(&fixture, &[!round; 20])];
        assert!(seqs[0] > last && seqs[1] == seqs[0] + 1);
        last = seqs[1];
        for (seq, expected) in seqs.iter().zip([vec![round; 50], vec![!round; 20]]) {
            let (handle, bytes) = take(&fixture, reader).unwrap();
            assert_eq!((handle.seq(), bytes), (Some(*seq), expected));
            fixture.consumer().mark_read(handle, reader).unwrap();
        }
        assert!(take(&fixture, reader).is_none());
    }
}

fn a_sample_can_be_empty_or_fill_its_slot<F: InPlace>() {
    let fixture = F::new(options());
    let reader = admitted(&fixture, ReaderOptions::default());
    for expected in [&[][..], &[7; CAPACITY], &[]] {
        publish(&fixture, expected);
        let (handle, bytes) = take(&fixture, reader).unwrap();
        assert_eq!(bytes, expected);
        fixture.consumer().mark_read(handle, reader).unwrap();
    }
    let (writer, segment) = F::in_place(options());
    let reader = served(&segment, ReaderOptions::default());
    for expected in [&[][..], &[7; CAPACITY], &[]] {
        writer.write(expected, &SampleInfo::default()).unwrap().unwrap();
        assert_eq!(reader.take().unwrap().unwrap().bytes(), expected);
    }
}

fn a_sample_that_is_too_large_is_refused_and_the_loan_stays<F: Fixture>() {
    let fixture = F::new(options().slots(2));
    let reader = admitted(&fixture, ReaderOptions::default());
    let handle = fixture.owner().reserve_slot(ReaderSet::ALL).unwrap();
    for result in [
        fixture.owner().commit_slot(handle, &[0; CAPACITY + 1]),
        fixture.owner().commit_in_place(handle, CAPACITY + 1),
        fixture.owner().commit_in_place(handle, usize::MAX),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, SlotError::SampleTooLarge { capacity: CAPACITY, .. }), "{error}");
    }
    fixture.owner().commit_slot(handle, b"fits").unwrap();
    assert_eq!(take(&fixture, reader).unwrap().1, b"fits");
}

fn a_writer_refuses_a_sample_that_is_too_large<F: InPlace>() {
    let (writer, _segment) = F::in_place(options().slots(2));
    for _ in 0..5 {
        let error = writer.write(&[0; CAPACITY + 1], &SampleInfo::default()).unwrap_err();
        assert!(matches!(error, SlotError::SampleTooLarge { sample: 101, .. }), "{error}");
        let error = writer.loan().unwrap().commit(CAPACITY + 1, &SampleInfo::default());
        assert!(matches!(error, Err(SlotError::SampleTooLarge { .. })));
    }
    assert_eq!(writer.head(), 0);
}

fn a_writer_that_never_waits_is_told_that_no_slot_is_free<F: Fixture>() {
    let fixture = F::new(best_effort().slots(2));
    let owner = fixture.owner();
    let loans = [(); 2].map(|()| owner.reserve_slot(ReaderSet::ALL).unwrap());
    assert_ne!(loans[0].slot(), loans[1].slot());
    let error = owner.reserve_slot(ReaderSet::ALL).unwrap_err();
    assert!(matches!(error, SlotError::NoFreeSlot { slots: 2 }), "{error}");
    owner.discard_slot(loans[1]).unwrap();
    owner.reserve_slot(ReaderSet::ALL).unwrap();
}

fn a_writer_does_not_wait_for_its_own_loans<F: InPlace>() {
    let options = options().slots(3).max_loans(2).flow(FlowPolicy::keep_all(Duration::MAX));
    let (writer, _segment) = F::in_place(options);
    let loans = [(); 3].map(|()| writer.loan().unwrap());
    let error = writer.loan().unwrap_err();
    assert!(matches!(error, SlotError::TooManyLoans { loans: 3, most: 2 }), "{error}");
    drop(loans);
    writer.loan().unwrap();
}

fn a_writer_that_waits_gives_up_in_time<F: Fixture>() {
    let fixture = F::new(options().slots(2));
    let reader = admitted(&fixture, ReaderOptions::default());
    publish(&fixture, b"1");
    publish(&fixture, b"2");
    let error = fixture.owner().reserve_slot(ReaderSet::ALL).unwrap_err();
    assert!(matches!(error, SlotError::Timeout { waited } if waited >= BRIEF), "{error}");
    let (first, bytes) = take(&fixture, reader).unwrap();
    assert_eq!(bytes, b"1");
    fixture.consumer().mark_read(first, reader).unwrap();
    publish(&fixture, b"3");
    assert_eq!(drain(&fixture, reader).len(), 2);
}

fn readers_that_are_not_named_are_not_waited_for<F: Fixture>() {
    let fixture = F::new(options().slots(2));
    let reader = admitted(&fixture, ReaderOptions::default());
    for _ in 0..5 {
        let handle = fixture.owner().reserve_slot(ReaderSet::EMPTY).unwrap();
        fixture.owner().commit_slot(handle, b"new").unwrap();
    }
    assert_eq!(drain(&fixture, reader).len(), 2);
}

fn a_best_effort_reader_holds_up_nobody<F: InPlace>() {
    let (writer, segment) = F::in_place(options().slots(4));
    let reader = served(&segment, ReaderOptions { reliable: false, ..ReaderOptions::default() });
    (1..=20).for_each(|n| assert_eq!(write(&writer, n), n));
    assert_eq!(take_all(&reader), [17, 18, 19, 20]);
    assert_eq!(reader.losses().lost, 16);
}

fn a_stale_handle_is_refused<F: Fixture>() {
    let fixture = F::new(options().slots(2));
    let (owner, consumer) = (fixture.owner(), fixture.consumer());
    let reader = admitted(&fixture, ReaderOptions::default());
    let committed = owner.reserve_slot(ReaderSet::ALL).unwrap();
    owner.commit_slot(committed, b"1").unwrap();
    let discarded = owner.reserve_slot(ReaderSet::ALL).unwrap();
    owner.discard_slot(discarded).unwrap();
    for gone in [committed, discarded] {
        assert_stale(owner.commit_slot(gone, b"2"));
        assert_stale(owner.commit_in_place(gone, 1));
        assert_stale(owner.slot_data(gone));
        assert_stale(owner.discard_slot(gone));
        // It never was a sample.
        assert_stale(consumer.read_slot(gone));
        assert_stale(consumer.mark_read(gone, reader));
    }
    let sample = consumer.next_unread_slot(reader).unwrap().unwrap();
    assert_stale(owner.commit_slot(sample, b"3"));
    assert_stale(owner.slot_data(sample));
    assert_stale(owner.discard_slot(sample));
    consumer.mark_read(sample, reader).unwrap();
    publish(&fixture, b"4");
    publish(&fixture, b"5");
    assert_stale(consumer.read_slot(sample));
    assert_eq!(drain(&fixture, reader).len(), 2);
}

fn a_handle_of_another_segment_is_refused<F: Fixture>() {
    let (here, there) = (F::new(options().slots(2)), F::new(options().slots(2)));
    let reader = admitted(&here, ReaderOptions::default());
    let reader_there = admitted(&there, ReaderOptions::default());
    publish(&there, b"1");
    let sample = there.consumer().next_unread_slot(reader_there).unwrap().unwrap();
    let loan = there.owner().reserve_slot(ReaderSet::ALL).unwrap();
    let own = here.owner().reserve_slot(ReaderSet::ALL).unwrap();
    for foreign in [sample, loan] {
        assert_stale(here.owner().commit_slot(foreign, b"2"));
        assert_stale(here.owner().commit_in_place(foreign, 1));
        assert_stale(here.owner().slot_data(foreign));
        assert_stale(here.owner().discard_slot(foreign));
        assert_stale(here.consumer().read_slot(foreign));
        assert_stale(here.consumer().mark_read(foreign, reader));
    }
    here.owner().commit_slot(own, b"3").unwrap();
    there.owner().commit_slot(loan, b"4").unwrap();
}

fn the_payload_of_a_loan_has_one_user_at_a_time<F: Fixture>() {
    let fixture = F::new(options());
    let reader = admitted(&fixture, ReaderOptions::default());
    let owner = fixture.owner();
    let handle = owner.reserve_slot(ReaderSet::ALL).unwrap();
    let mut data = owner.slot_data(handle).unwrap();
    assert_eq!(data.len(), CAPACITY);
    assert!(data.as_ptr().addr().is_multiple_of(F::ALIGNMENT));
    data[..8].copy_from_slice(b"in place");
    for result in [
        owner.slot_data(handle).map(drop),
        owner.commit_in_place(handle, 8).map(drop),
        owner.commit_slot(handle, b"").map(drop),
        owner.discard_slot(handle),
    ] {
        assert!(matches!(result, Err(SlotError::Borrowed { slot }) if slot == handle.slot()));
    }
    drop(data);
    assert_eq!(owner.slot_data(handle).unwrap()[..8], *b"in place");
    owner.commit_in_place(handle, 8).unwrap();
    assert_eq!(take(&fixture, reader).unwrap().1, b"in place");
}

fn a_wrong_reader_is_refused<F: Fixture>() {
    let fixture = F::new(options());
    let reader = admitted(&fixture, ReaderOptions::default());
    publish(&fixture, b"1");
    let sample = fixture.consumer().next_unread_slot(reader).unwrap().unwrap();
    let wrong = ReaderIndex::new(63).unwrap();
    for result in [
        fixture.consumer().next_unread_slot(wrong).map(drop),
        fixture.consumer().mark_read(sample, wrong),
        fixture.owner().mark_reader_disconnected(wrong),
    ] {
        assert!(matches!(result, Err(SlotError::WrongReader { reader }) if reader == wrong));
    }
}

fn samples_can_be_marked_in_any_order<F: Fixture>() {
    let fixture = F::new(options().slots(4));
    let [first, second] = [(); 2].map(|()| admitted(&fixture, ReaderOptions::default()));
    drain(&fixture, first);
    (1..=4).for_each(|n| {
        publish(&fixture, &[n]);
    });
    let handles = drain(&fixture, first);
    assert_eq!(handles.len(), 4);
    for handle in handles[1..].iter().rev() {
        fixture.consumer().mark_read(*handle, second).unwrap();
        assert_eq!(fixture.consumer().next_unread_slot(second).unwrap(), Some(handles[0]));
        // Its oldest sample is in the way.
        let error = fixture.owner().reserve_slot(ReaderSet::ALL).unwrap_err();
        assert!(matches!(error, SlotError::Timeout { .. }), "{error}");
    }
    fixture.consumer().mark_read(handles[0], second).unwrap();
    // Twice does no harm.
    fixture.consumer().mark_read(handles[0], second).unwrap();
    assert!(take(&fixture, second).is_none());
    (5..=8).for_each(|n| {
        publish(&fixture, &[n]);
    });
    assert_eq!(drain(&fixture, second).len(), 4);
}

fn a_late_release_cannot_mark_the_new_sample_read<F: Fixture>() {
    let fixture = F::new(best_effort().slots(2));
    let reader = admitted(&fixture, ReaderOptions::default());
    publish(&fixture, b"old");
    let old = fixture.consumer().next_unread_slot(reader).unwrap().unwrap();
    let seqs = [publish(&fixture, b"x"), publish(&fixture, b"y")];
    assert_stale(fixture.consumer().read_slot(old));
    fixture.consumer().mark_read(old, reader).unwrap();
    let unread = [(); 2].map(|()| {
        let (handle, _) = take(&fixture, reader).unwrap();
        fixture.consumer().mark_read(handle, reader).unwrap();
        handle
    });
    assert_eq!(unread.map(|handle| handle.seq().unwrap()), seqs);
    // The same slot, another sample.
    assert!(unread.iter().any(|handle| handle.slot() == old.slot()));
}

fn a_discarded_loan_leaves_no_trace<F: InPlace>() {
    let (writer, segment) = F::in_place(options().slots(3));
    let reader = served(&segment, ReaderOptions::default());
    for n in 0..10 {
        let mut loan = writer.loan().unwrap();
        loan.bytes_mut().fill(0xee);
        drop(loan);
        assert_eq!(write(&writer, n), n + 1);
        assert_eq!(take_all(&reader), [n]);
    }
    assert_eq!(reader.losses().lost, 0);
}

fn two_readers_in_one_process_get_everything<F: InPlace>() {
    let (writer, segment) = F::in_place(options().slots(4));
    let readers = [(); 2].map(|()| served(&segment, ReaderOptions::default()));
    assert_ne!(readers[0].index(), readers[1].index());
    for n in 0..if cfg!(miri) { 9 } else { 100 } {
        write(&writer, n);
        assert_eq!(take_all(&readers[0]), [n]);
        if n % 3 == 2 {
            assert_eq!(take_all(&readers[1]), [n - 2, n - 1, n]);
        }
    }
}

fn one_reader_too_many_is_refused_and_told_why<F: InPlace>() {
    let (writer, segment) = F::in_place(options().reader_capacity(2));
    let first = served(&segment, ReaderOptions::default());
    let _second = served(&segment, ReaderOptions::default());
    let error = segment.open_reader(ReaderOptions::default()).unwrap_err();
    assert!(
        matches!(&error, SlotError::ReaderTableFull { capacity: 2, topic } if topic == "Topic"),
        "{error}"
    );
    assert!(error.to_string().contains("larger reader capacity"));
    let index = first.index();
    drop(first);
    writer.serve(false);
    assert_eq!(served(&segment, ReaderOptions::default()).index(), index);

    let fixture = F::new(options().reader_capacity(1));
    admitted(&fixture, ReaderOptions::default());
    let error = fixture.add_reader(ReaderOptions::default()).unwrap_err();
    assert!(matches!(error, SlotError::ReaderTableFull { capacity: 1, .. }), "{error}");
}

fn readers_that_come_and_go_leave_no_entry_behind<F: InPlace>() {
    const TIMES: u64 = if cfg!(miri) { 6 } else { 1000 };
    let (writer, segment) = F::in_place(options().slots(4).reader_capacity(2));
    let keeps = served(&segment, ReaderOptions::default());
    for n in 0..TIMES {
        let comes = eventually_some(|| match segment.open_reader(ReaderOptions::default()) {
            // The owner has not looked yet.
            Err(SlotError::ReaderTableFull { .. }) => None,
            reader => Some(reader.unwrap()),
        });
        if n % 3 != 0 {
            eventually("admission", || comes.is_admitted());
            write(&writer, n);
            assert_eq!(take_all(&comes), [n]);
            assert_eq!(take_all(&keeps), [n]);
        }
    }
    eventually("that all are forgotten", || {
        writer.serve(false);
        writer.readers().len() == 1
    });
    assert_eq!(keeps.losses().lost, 0);
}

fn eventually_some<T>(mut get: impl FnMut() -> Option<T>) -> T {
    let mut got = None;
    eventually("it is there", || {
        got = get();
        got.is_some()
    });
    got.unwrap()
}

fn a_reader_that_left_pins_nothing<F: InPlace>() {
    let (writer, segment) = F::in_place(options().slots(4));
    let reader = served(&segment, holding(2));
    (1..=4).for_each(|n| {
        write(&writer, n);
    });
    let _ = (reader.take().unwrap().unwrap(), reader.take().unwrap().unwrap());
    assert!(matches!(writer.loan().map(drop), Ok(())));
    (5..=6).for_each(|n| {
        write(&writer, n);
    });
    let error = writer.loan().unwrap_err();
    assert!(matches!(error, SlotError::Timeout { .. }), "{error}");
    let index = reader.index().unwrap();
    drop(reader);
    (7..=14).for_each(|n| {
        write(&writer, n);
    });
    assert!(writer.readers().is_empty());
    assert!(writer.take_events().iter().any(|event| matches!(
        event,
        OwnerEvent::ReaderLost { reader, why: ReaderLoss::Left, resend_from: 3, .. }
            if *reader == index
    )));
}

fn a_disconnected_reader_does_not_block_and_may_return<F: Fixture>() {
    let fixture = F::new(options().slots(2));
    let owner = fixture.owner();
    let reader = admitted(&fixture, ReaderOptions::default());
    publish(&fixture, b"1");
    publish(&fixture, b"2");
    owner.mark_reader_disconnected(reader).unwrap();
    // Once more does no harm.
    owner.mark_reader_disconnected(reader).unwrap();
    for _ in 0..5 {
        let handle = owner.reserve_slot(ReaderSet::ALL).unwrap();
        assert!(!owner.commit_slot(handle, b"not for it").unwrap().covered.contains(reader));
    }
    eventually("its return", || {
        drain(&fixture, reader);
        let handle = owner.reserve_slot(ReaderSet::EMPTY).unwrap();
        owner.commit_slot(handle, b"for it").unwrap().covered.contains(reader)
    });
    // It may find samples from before its return, too.
    let last = drain(&fixture, reader).pop().unwrap();
    assert_eq!(fixture.consumer().read_slot(last).unwrap().1, b"for it");
    publish(&fixture, b"3");
    assert_eq!(take(&fixture, reader).unwrap().1, b"3");
    // It is waited for again.
    publish(&fixture, b"4");
    let error = owner.reserve_slot(ReaderSet::ALL).unwrap_err();
    assert!(matches!(error, SlotError::Timeout { .. }), "{error}");
}

fn a_disconnected_reader_keeps_what_it_holds_and_is_told_what_it_missed<F: InPlace>() {
    let (writer, segment) = F::in_place(options().slots(4));
    let reader = served(&segment, holding(2));
    write(&writer, 1);
    let held = reader.take().unwrap().unwrap();
    writer.mark_reader_disconnected(reader.index().unwrap()).unwrap();
    assert_eq!(writer.readers()[0].1, EntryStatus::Disconnected);
    (2..=50).for_each(|n| {
        write(&writer, n);
    });
    assert_eq!(number(held.bytes()), 1);
    let mut got = Vec::new();
    eventually("its return", || {
        got.extend(take_all(&reader));
        writer.serve(false);
        reader.disconnections() == 1 && reader.is_admitted()
    });
    got.extend(take_all(&reader));
    assert_eq!(number(held.bytes()), 1);
    drop(held);
    write(&writer, 51);
    got.extend(take_all(&reader));
    assert_eq!(got, [48, 49, 50, 51]);
    assert_eq!(reader.losses().lost, 46);
}

fn a_late_joiner_gets_the_history_it_wants<F: InPlace>() {
    let keep_last = FlowPolicy::keep_last(BRIEF);
    let (writer, segment) = F::in_place(options().flow(keep_last).keep_last(3, 1, true));
    (1..=10).for_each(|n| {
        write(&writer, n);
    });
    let wants = ReaderOptions { wants_history: true, ..ReaderOptions::default() };
    let late = served(&segment, wants);
    let volatile = served(&segment, ReaderOptions::default());
    assert_eq!(take_all(&late), [8, 9, 10]);
    assert_eq!(late.start_sn(), Some(8));
    assert_eq!(take_all(&volatile), []);
    write(&writer, 11);
    assert_eq!((take_all(&late), take_all(&volatile)), (vec![11], vec![11]));
    assert_eq!(late.losses(), volatile.losses());
    assert_eq!((late.losses().lost, late.losses().replaced), (0, 0));
}

fn what_a_keep_last_writer_replaces_is_not_lost<F: InPlace>() {
    let keep_last = FlowPolicy::keep_last(BRIEF);
    let (writer, segment) = F::in_place(options().flow(keep_last).keep_last(3, 1, false));
    let reader = served(&segment, ReaderOptions::default());
    (1..=100).for_each(|n| {
        write(&writer, n);
    });
    let got = take_all(&reader);
    assert!(got.ends_with(&[98, 99, 100]) && got.is_sorted());
    assert_eq!((reader.losses().lost, reader.losses().replaced), (0, 100 - got.len() as u64));
}

fn every_instance_keeps_its_own_history<F: InPlace>() {
    let keep_last = FlowPolicy::keep_last(BRIEF);
    let (writer, segment) =
        F::in_place(options().flow(keep_last).keyed(true).keep_last(1, 2, true));
    let of = |key: u8| SampleInfo { key_hash: [key; 16], ..SampleInfo::default() };
    let write = |key, n: u64| writer.write(&n.to_le_bytes(), &of(key));
    write(1, 1).unwrap();
    for n in 2..=30 {
        write(2, n).unwrap();
    }
    let wants = ReaderOptions { wants_history: true, ..ReaderOptions::default() };
    let late = served(&segment, wants);
    let got = take_all(&late);
    assert!(got.starts_with(&[1]) && got.ends_with(&[30]), "{got:?}");
    assert_eq!(late.losses().lost, 0);
    // More instances than there is room for, more often than there are slots.
    for n in 0..50 {
        let error = write(3, n).unwrap_err();
        assert!(matches!(error, SlotError::TooManyInstances { known: 2, most: 2 }), "{error}");
    }
    // Disposed and unregistered, an instance makes room.
    writer.write(&[], &SampleInfo { status_info: 3, key_only: true, ..of(1) }).unwrap();
    write(3, 50).unwrap();
}

fn gaps_are_counted_exactly<F: InPlace>() {
    let (sizes, bursts): (&[u32], &[u64]) = if cfg!(miri) {
        (&[1, 3], &[1, 2, 9])
    } else {
        (&[1, 2, 3, 7, 8], &[1, 2, 3, 20, 1, 8, 9, 64, 5])
    };
    for &slots in sizes {
        let (writer, segment) = F::in_place(best_effort().slots(slots));
        let reader = served(&segment, ReaderOptions::default());
        let (mut published, mut got) = (0, Vec::new());
        for &burst in bursts {
            for _ in 0..burst {
                published += 1;
                assert_eq!(write(&writer, published), published);
            }
            let now = take_all(&reader);
            assert_eq!(now.len() as u64, u64::from(slots).min(burst), "the newest are all there");
            assert_eq!(now.last(), Some(&published));
            got.extend(now);
            assert_eq!(got.len() as u64 + reader.losses().lost, published);
        }
        assert!(got.is_sorted());
    }
}

fn a_reader_that_keeps_up_loses_nothing<F: InPlace>() {
    const END: u64 = if cfg!(miri) { 8 } else { 100 };
    let (writer, segment) = F::in_place(best_effort().slots(2));
    let reader = served(&segment, ReaderOptions::default());
    let late = {
        (0..END).for_each(|n| {
            write(&writer, n);
            assert_eq!(take_all(&reader), [n]);
        });
        served(&segment, ReaderOptions::default())
    };
    // What was before it is no loss.
    assert_eq!(take_all(&late), []);
    write(&writer, END);
    assert_eq!(take_all(&late), [END]);
    assert_eq!(take_all(&reader), [END]);
    assert_eq!((reader.losses().lost, late.losses().lost), (0, 0));
}

fn a_dropped_sample_is_counted_by_every_reader<F: InPlace>() {
    let (writer, segment) = F::in_place(best_effort().slots(2).readers(2, 2));
    let reader = served(&segment, holding(2));
    let other = served(&segment, holding(2));
    write(&writer, 1);
    write(&writer, 2);
    let held = [(); 2].map(|()| reader.take().unwrap().unwrap());
    for n in 3..=5u64 {
        assert_eq!(writer.write(&n.to_le_bytes(), &SampleInfo::default()).unwrap(), None);
    }
    assert_eq!((writer.dropped(), writer.head()), (3, 5));
    drop(held);
    assert_eq!(take_all(&reader), []);
    write(&writer, 6);
    assert_eq!(take_all(&reader), [6]);
    assert_eq!(reader.losses().lost, 3);
    assert_eq!(take_all(&other), [2, 6]);
    assert_eq!(other.losses().lost, 4);
}

fn two_loans_can_be_published_in_either_order<F: InPlace>() {
    let (writer, segment) = F::in_place(options().slots(5));
    let reader = served(&segment, ReaderOptions::default());
    for round in 0..20u64 {
        let mut loans = [writer.loan().unwrap(), writer.loan().unwrap()];
        for (n, loan) in (2 * round..).zip(&mut loans) {
            loan.bytes_mut()[..8].copy_from_slice(&n.to_le_bytes());
        }
        let [first, second] = loans;
        let swapped = round % 2 == 1;
        let (a, b) = if swapped { (second, first) } else { (first, second) };
        a.commit(8, &SampleInfo::default()).unwrap();
        b.commit(8, &SampleInfo::default()).unwrap();
        let (low, high) = (2 * round, 2 * round + 1);
        assert_eq!(take_all(&reader), if swapped { [high, low] } else { [low, high] });
    }
    assert_eq!(reader.losses().lost, 0);
}

fn samples_can_be_held_and_released_in_any_order<F: InPlace>() {
    let (writer, segment) = F::in_place(best_effort().slots(8).readers(1, 3));
    let reader = served(&segment, holding(3));
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let mut n = 0;
    for order in orders {
        let mut held = Vec::new();
        for _ in 0..3 {
            n += 1;
            write(&writer, n);
            held.push((n, Some(reader.take().unwrap().unwrap())));
        }
        let error = reader.take().unwrap_err();
        assert!(matches!(error, SlotError::TooManyHeld { held: 3 }), "{error}");
        for at in order {
            // The writer goes round and round meanwhile.
            for _ in 0..if cfg!(miri) { 9 } else { 20 } {
                n += 1;
                write(&writer, n);
            }
            for (n, sample) in &held {
                assert!(sample.as_ref().is_none_or(|sample| number(sample.bytes()) == *n));
            }
            held[at].1 = None;
        }
        let before = take_all(&reader);
        assert_eq!(before.last(), Some(&n));
    }
}

fn no_reader_may_hold_more_than_the_segment_allows<F: InPlace>() {
    let (writer, segment) = F::in_place(best_effort().slots(8).readers(1, 2));
    let reader = served(&segment, holding(100));
    (1..=4).for_each(|n| {
        write(&writer, n);
    });
    let _held = [(); 2].map(|()| reader.take().unwrap().unwrap());
    let error = reader.take().unwrap_err();
    assert!(matches!(error, SlotError::TooManyHeld { held: 2 }), "{error}");
}

#[derive(Clone, Copy, Debug, PartialEq, FlatStruct)]
#[repr(C)]
struct Pose {
    stamp: u64,
    position: [f32; 4],
}

fn typed_samples_are_written_and_held_in_place<F: InPlace>() {
    let (writer, segment) = F::in_place(SegmentOptions::of::<Pose>("Pose").slots(8));
    let reader = FlatReader::<Pose>::new(served(&segment, holding(2))).unwrap();
    let writer = FlatWriter::<Pose>::new(writer).unwrap();
    let mut loan = writer.loan().unwrap();
    assert_eq!(*loan, Pose { stamp: 0, position: [0.0; 4] });
    loan.stamp = 1;
    loan.position[3] = 0.5;
    loan.publish().unwrap();
    writer.write(&Pose { stamp: 2, position: [2.0; 4] }).unwrap().unwrap();
    let (first, second) = (reader.take().unwrap().unwrap(), reader.take().unwrap().unwrap());
    assert!(first.is_in_place() && second.is_in_place());
    assert_eq!(first.data(), Some(&Pose { stamp: 1, position: [0.0, 0.0, 0.0, 0.5] }));
    assert_eq!(second.data().unwrap().stamp, 2);
    assert!(matches!(reader.take(), Err(SlotError::TooManyHeld { held: 2 })));
    drop((first, second));
    writer.write(&Pose { stamp: 3, position: [0.0; 4] }).unwrap();
    assert_eq!(reader.take_copy().unwrap().unwrap().stamp, 3);
    assert!(reader.take().unwrap().is_none());
}

fn a_typed_view_of_another_type_names_both_layouts<F: InPlace>() {
    let (writer, _segment) = F::in_place(SegmentOptions::of::<u32>("Number"));
    let error = FlatWriter::<Pose>::new(writer).unwrap_err();
    let SlotError::TypeMismatch { expected, found, expected_layout, found_layout } = &error else {
        panic!("{error}");
    };
    assert_eq!((*expected, *found), (Pose::type_hash(), u32::type_hash()));
    assert_eq!((expected_layout, found_layout), (&Pose::layout_string(), &u32::layout_string()));
    assert!(error.to_string().contains(&**found_layout), "{error}");
}

fn a_writer_that_closes_is_told_after_its_last_sample<F: InPlace>() {
    let fixture = F::in_place(options());
    let (writer, segment) = fixture;
    let reader = served(&segment, ReaderOptions::default());
    write(&writer, 1);
    drop(writer);
    if let Ok(Some(sample)) = reader.take() {
        assert_eq!(number(sample.bytes()), 1);
    }
    // The heap's segment itself owns what its writer writes, and goes last.
    drop(segment);
    assert!(matches!(reader.take(), Err(SlotError::WriterLost)));
    assert!(matches!(reader.take_within(SOON), Err(SlotError::WriterLost)));
}

fn waiting_ends_with_a_commit_or_in_time<F: Fixture>() {
    let fixture = F::new(options());
    admitted(&fixture, ReaderOptions::default());
    let consumer = fixture.consumer();
    let seen = consumer.generation();
    let start = Instant::now();
    assert_eq!(consumer.wait(seen, BRIEF), seen);
    assert!(start.elapsed() >= BRIEF);
    std::thread::scope(|scope| {
        let waits = scope.spawn(move || consumer.wait(seen, SOON));
        publish(&fixture, b"1");
        assert!(waits.join().unwrap() > seen);
    });
    assert!(start.elapsed() < SOON);
}

fn a_reader_that_waits_to_be_served_again_is_woken<F: Fixture>() {
    let fixture = F::new(options());
    let (reader, consumer) = (admitted(&fixture, ReaderOptions::default()), fixture.consumer());
    for _ in 0..20 {
        // The last sample for now: nothing else will wake it.
        publish(&fixture, b"1");
        fixture.owner().mark_reader_disconnected(reader).unwrap();
        let start = Instant::now();
        loop {
            let seen = consumer.generation();
            if !drain(&fixture, reader).is_empty() {
                break;
            }
            consumer.wait(seen, SOON);
        }
        assert!(start.elapsed() < SOON / 2);
    }
}

fn a_reader_that_waits_is_woken<F: InPlace>() {
    let (writer, segment) = F::in_place(options().flow(FlowPolicy::keep_all(SOON)).slots(4));
    let reader = served(&segment, ReaderOptions::default());
    // Both sides wait for each other all the time: four slots.
    const END: u64 = if cfg!(miri) { 20 } else { 5000 };
    let writes = std::thread::spawn(move || {
        (0..END).for_each(|n| {
            write(&writer, n);
        });
    });
    for n in 0..END {
        let sample = reader.take_within(SOON).unwrap().unwrap();
        assert_eq!(number(sample.bytes()), n);
    }
    writes.join().unwrap();
}

fn a_segment_says_what_it_is<F: Fixture>() {
    let fixture = F::new(options().slots(5));
    for side in [fixture.owner(), fixture.consumer()] {
        assert_eq!((side.slot_count(), side.slot_capacity()), (5, CAPACITY));
        assert!(side.slot_total_size() >= CAPACITY + 64);
        assert!(side.slot_total_size().is_multiple_of(64));
        assert_eq!(side.type_hash(), Some(TypeHash::of_layout("test")));
    }
}

fn the_unread_samples_can_be_found_slot_by_slot<F: Fixture>() {
    let fixture = F::new(options().slots(4));
    let (reader, consumer) = (admitted(&fixture, ReaderOptions::default()), fixture.consumer());
    let unread = || -> Vec<u64> {
        let slots = 0..consumer.slot_count();
        let handles = slots.filter_map(|slot| consumer.unread_slot(slot, reader).unwrap());
        let mut seqs: Vec<u64> = handles.map(|handle| handle.seq().unwrap()).collect();
        seqs.sort_unstable();
        seqs
    };
    assert_eq!(unread(), []);
    let [first, second, third] = [b"1", b"2", b"3"].map(|bytes| publish(&fixture, bytes));
    assert_eq!(unread(), [first, second, third]);
    let slots = 0..consumer.slot_count();
    let handles = slots.filter_map(|slot| consumer.unread_slot(slot, reader).unwrap());
    let middle = handles.into_iter().find(|handle| handle.seq() == Some(second)).unwrap();
    assert_eq!(consumer.read_slot(middle).unwrap().1, b"2");
    consumer.mark_read(middle, reader).unwrap();
    assert_eq!(unread(), [first, third]);
    assert_eq!(drain(&fixture, reader).len(), 2);
    assert_eq!(unread(), []);
    assert_eq!(consumer.unread_slot(4, reader).unwrap(), None);
    let wrong = consumer.unread_slot(0, ReaderIndex::new(63).unwrap());
    assert!(matches!(wrong, Err(SlotError::WrongReader { .. })));
}

macro_rules! conformance {
    ($fixture:ident in $module:ident: $($name:ident),* $(,)?) => {
        mod $module { $(#[test] fn $name() { super::$name::<super::$fixture>(); })* }
    };
}

macro_rules! format_1 {
    ($fixture:ident in $module:ident) => {
        conformance!($fixture in $module:
            samples_arrive_in_order_and_whole,
            a_sample_can_be_empty_or_fill_its_slot,
            a_sample_that_is_too_large_is_refused_and_the_loan_stays,
            a_writer_refuses_a_sample_that_is_too_large,
            a_writer_that_never_waits_is_told_that_no_slot_is_free,
            a_writer_does_not_wait_for_its_own_loans,
            a_writer_that_waits_gives_up_in_time,
            readers_that_are_not_named_are_not_waited_for,
            a_best_effort_reader_holds_up_nobody,
            a_stale_handle_is_refused,
            a_handle_of_another_segment_is_refused,
            the_payload_of_a_loan_has_one_user_at_a_time,
            a_wrong_reader_is_refused,
            samples_can_be_marked_in_any_order,
            a_late_release_cannot_mark_the_new_sample_read,
            a_discarded_loan_leaves_no_trace,
            two_readers_in_one_process_get_everything,
            one_reader_too_many_is_refused_and_told_why,
            readers_that_come_and_go_leave_no_entry_behind,
            a_reader_that_left_pins_nothing,
            a_disconnected_reader_does_not_block_and_may_return,
            a_disconnected_reader_keeps_what_it_holds_and_is_told_what_it_missed,
            a_late_joiner_gets_the_history_it_wants,
            what_a_keep_last_writer_replaces_is_not_lost,
            every_instance_keeps_its_own_history,
            gaps_are_counted_exactly,
            a_reader_that_keeps_up_loses_nothing,
            a_dropped_sample_is_counted_by_every_reader,
            two_loans_can_be_published_in_either_order,
            samples_can_be_held_and_released_in_any_order,
            no_reader_may_hold_more_than_the_segment_allows,
            typed_samples_are_written_and_held_in_place,
            a_typed_view_of_another_type_names_both_layouts,
            a_writer_that_closes_is_told_after_its_last_sample,
            waiting_ends_with_a_commit_or_in_time,
            a_reader_that_waits_is_woken,
            a_reader_that_waits_to_be_served_again_is_woken,
            a_segment_says_what_it_is,
            the_unread_samples_can_be_found_slot_by_slot,
        );
    };
}

format_1!(InMemory in in_memory);
format_1!(Posix in posix);
conformance!(Zds2 in zds2:
    samples_arrive_in_order_and_whole,
    a_sample_that_is_too_large_is_refused_and_the_loan_stays,
    a_writer_that_never_waits_is_told_that_no_slot_is_free,
    a_writer_that_waits_gives_up_in_time,
    a_stale_handle_is_refused,
    a_handle_of_another_segment_is_refused,
    the_payload_of_a_loan_has_one_user_at_a_time,
    a_wrong_reader_is_refused,
    waiting_ends_with_a_commit_or_in_time,
    the_unread_samples_can_be_found_slot_by_slot,
);

#[test]
fn only_the_owner_writes() {
    let fixture = Posix::new(options());
    let reader = admitted(&fixture, ReaderOptions::default());
    publish(&fixture, b"1");
    let sample = fixture.consumer.next_unread_slot(reader).unwrap().unwrap();
    let loan = fixture.owner.reserve_slot(ReaderSet::ALL).unwrap();
    let not_owner = |result: Result<(), SlotError>| {
        assert!(matches!(result, Err(SlotError::NotOwner)), "{result:?}");
    };
    not_owner(fixture.consumer.reserve_slot(ReaderSet::ALL).map(drop));
    for handle in [sample, loan] {
        not_owner(fixture.consumer.slot_data(handle).map(drop));
        not_owner(fixture.consumer.commit_slot(handle, b"x").map(drop));
        not_owner(fixture.consumer.commit_in_place(handle, 1).map(drop));
        not_owner(fixture.consumer.discard_slot(handle));
    }
    not_owner(fixture.consumer.mark_reader_disconnected(reader));
    not_owner(fixture.owner.add_reader(&ReaderOptions::default()).map(drop));
    not_owner(fixture.consumer.into_writer().map(drop));
}

#[test]
fn what_is_refused_at_commit_is_no_loan_any_more() {
    let keep_last = FlowPolicy::keep_last(BRIEF);
    let fixture = InMemory::new(options().slots(3).flow(keep_last).keep_last(1, 1, false));
    let of_another = SampleInfo { key_hash: [1; 16], ..SampleInfo::default() };
    fixture.0.writer().unwrap().write(b"first", &of_another).unwrap();
    for _ in 0..10 {
        let handle = fixture.owner().reserve_slot(ReaderSet::ALL).unwrap();
        let error = fixture.owner().commit_slot(handle, b"second").unwrap_err();
        assert!(matches!(error, SlotError::TooManyInstances { known: 1, most: 1 }), "{error}");
        assert_stale(fixture.owner().discard_slot(handle));
    }
}

#[test]
fn an_owner_leaves_nothing_behind() {
    let home = Home::new();
    let node = home.node();
    let segment = PosixSlotAllocator::create(&node, &options()).unwrap();
    let (flink, data) = (segment.flink_path().to_owned(), segment.segment_path().to_owned());
    let error = PosixSlotAllocator::create(&node, &options().flink(&flink)).unwrap_err();
    assert!(matches!(&error, SlotError::Exists { path } if *path == flink), "{error}");
    assert!(flink.exists() && data.exists());
    // Its own two names, and the segment's two objects.
    assert_eq!(support::remains(&home.dir, node.id()).len(), 4);
    drop(segment);
    assert!(!flink.exists() && !data.exists());
    assert_eq!(support::remains(&home.dir, node.id()).len(), 2);
}
