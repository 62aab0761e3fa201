//! The writer half of a reliable builtin endpoint (RTPS 2.5, 8.4.9): the announcements of this
//! participant, and what each remote reader of them has acknowledged.
//!
//! Keep-last 1 of each instance, transient-local: only the newest announcement of an endpoint is
//! kept, and a reader that joins late gets all of those. Numbers that were superseded are told as
//! gaps. No I/O and no clock; [`ReliableWriter::transmit`] says what to send.
//!
//! A reader that lost a datagram is found by heartbeats, which are repeated with growing distance
//! until everything is acknowledged, and only then stop: an idle participant sends none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::wire::{Guid, GuidPrefix, SequenceNumber};

/// First distance between heartbeats to a reader that has not acknowledged everything.
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);
/// Last distance: a reader that never answers costs one datagram in this time.
const HEARTBEAT_MAX: Duration = Duration::from_secs(4);
/// A change that was sent to a reader this recently is not sent again for a negative
/// acknowledgement, which may have crossed it on the way. The heartbeat after it asks again.
const NACK_SUPPRESSION: Duration = Duration::from_millis(20);
/// Changes in flight to one reader, so that a late joiner of thousands of endpoints does not lose
/// most of one long burst.
const WINDOW: i64 = 256;
/// Disposals kept for readers that do not acknowledge; beyond it the oldest becomes a gap.
const MAX_DISPOSALS: usize = 1024;

/// One announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The instance: the endpoint (or participant) announced.
    pub(crate) instance: Guid,
    /// The serialised payload with its encapsulation header.
    pub(crate) payload: Arc<[u8]>,
    /// The instance is gone; the payload is only its key.
    pub(crate) disposed: bool,
}

/// One submessage to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outgoing {
    /// A change.
    Data { number: SequenceNumber, change: Change },
    /// The numbers from `start` up to, and without, `end` will never come.
    Gap { start: SequenceNumber, end: SequenceNumber },
    /// What there is.
    Heartbeat { first: SequenceNumber, last: SequenceNumber, count: i32, is_final: bool },
}

/// What is known of one remote reader.
#[derive(Debug)]
struct ReaderProxy {
    /// Everything up to here is acknowledged.
    acknowledged: SequenceNumber,
    /// Everything up to here was sent at least once.
    sent: SequenceNumber,
    /// Asked for again.
    requested: BTreeSet<SequenceNumber>,
    /// When what is not acknowledged was last sent; pruned with acknowledgements.
    sent_at: BTreeMap<SequenceNumber, Instant>,
    /// A heartbeat goes out with the next transmission, whatever else there is.
    heartbeat_due: bool,
    /// When the next heartbeat is due; `None` while everything is acknowledged.
    next_heartbeat: Option<Instant>,
    interval: Duration,
}

impl ReaderProxy {
    fn new() -> Self {
        Self {
            acknowledged: SequenceNumber::ZERO,
            sent: SequenceNumber::ZERO,
            requested: BTreeSet::new(),
            sent_at: BTreeMap::new(),
            heartbeat_due: true,
            next_heartbeat: None,
            interval: HEARTBEAT_MIN,
        }
    }

    fn has_work(&self, now: Instant, last: SequenceNumber) -> bool {
        self.heartbeat_due
            || !self.requested.is_empty()
            || self.sent < self.window_end(last)
            || self.next_heartbeat.is_some_and(|at| at <= now)
    }

    fn window_end(&self, last: SequenceNumber) -> SequenceNumber {
        last.min(SequenceNumber(self.acknowledged.0.saturating_add(WINDOW)))
    }
}

/// The announcements of one kind, and who reads them.
#[derive(Debug, Default)]
pub(crate) struct ReliableWriter {
    last: SequenceNumber,
    changes: BTreeMap<SequenceNumber, Change>,
    /// Where the newest change of each instance is in `changes`.
    newest: BTreeMap<Guid, SequenceNumber>,
    /// The disposals among `changes`, oldest first.
    disposals: BTreeSet<SequenceNumber>,
    /// There is one reader of each kind per participant.
    readers: BTreeMap<GuidPrefix, ReaderProxy>,
    heartbeat_count: i32,
}

impl ReliableWriter {
    /// Announces `change` in the place of what was announced for the instance.
    pub(crate) fn write(&mut self, change: Change) {
        self.last = self.last.next();
        if let Some(superseded) = self.newest.insert(change.instance, self.last) {
            self.forget(superseded);
        }
        if change.disposed {
            self.disposals.insert(self.last);
        }
        self.changes.insert(self.last, change);
        self.drop_finished_disposals();
    }

    /// A remote reader that wants what there is and what will come. One that is known stays as it is.
    pub(crate) fn add_reader(&mut self, reader: GuidPrefix) {
        self.readers.entry(reader).or_insert_with(ReaderProxy::new);
    }

    /// The reader is gone.
    pub(crate) fn remove_reader(&mut self, reader: GuidPrefix) {
        self.readers.remove(&reader);
        self.drop_finished_disposals();
    }

    /// An ACKNACK: everything below `base` has arrived, `missing` has not.
    ///
    /// Counts are not looked at: an old message that comes late costs one heartbeat, where a reader
    /// that was restarted with its old GUID, and counts from 1 again, would never be heard.
    pub(crate) fn on_acknack(
        &mut self,
        now: Instant,
        reader: GuidPrefix,
        base: SequenceNumber,
        missing: impl IntoIterator<Item = SequenceNumber>,
        is_final: bool,
    ) {
        let Some(proxy) = self.readers.get_mut(&reader) else { return };
        // Some send a base of 0 with the first one, before they know anything.
        let acknowledged = base.previous().clamp(SequenceNumber::ZERO, proxy.sent);
        if acknowledged > proxy.acknowledged {
            proxy.interval = HEARTBEAT_MIN;
        }
        proxy.acknowledged = acknowledged;
        proxy.sent_at = proxy.sent_at.split_off(&acknowledged.next());
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < NACK_SUPPRESSION;
        let mut asked = false;
        for number in missing {
            // What was not sent yet comes in its turn.
            if number <= acknowledged || number > proxy.sent {
                continue;
            }
            asked = true;
            if !proxy.sent_at.get(&number).is_some_and(is_recent) {
                proxy.requested.insert(number);
            }
        }
        if acknowledged >= self.last {
            proxy.next_heartbeat = None;
            proxy.interval = HEARTBEAT_MIN;
        } else if proxy.next_heartbeat.is_none() {
            proxy.next_heartbeat = now.checked_add(proxy.interval);
        }
        if !is_final && !asked {
            proxy.heartbeat_due = true;
        }
        self.drop_finished_disposals();
    }

    /// Sends a heartbeat to everybody with the next transmission. For the rare reader that lost its
    /// state and does not know that it misses anything.
    pub(crate) fn remind(&mut self) {
        for proxy in self.readers.values_mut() {
            proxy.heartbeat_due = true;
        }
    }

    /// What has to be sent now to one reader; `None` when there is nothing more for now.
    pub(crate) fn transmit(&mut self, now: Instant) -> Option<(GuidPrefix, Vec<Outgoing>)> {
        let last = self.last;
        let (&reader, proxy) =
            self.readers.iter_mut().find(|(_, proxy)| proxy.has_work(now, last))?;
        let mut out = Vec::new();
        let requested = std::mem::take(&mut proxy.requested);
        for number in requested {
            push_change_or_gap(&mut out, &self.changes, number);
            proxy.sent_at.insert(number, now);
        }
        let end = proxy.window_end(last);
        if proxy.sent < end {
            let mut expected = proxy.sent.next();
            for (&number, change) in self.changes.range(expected..=end) {
                push_gap(&mut out, expected, number);
                out.push(Outgoing::Data { number, change: change.clone() });
                proxy.sent_at.insert(number, now);
                expected = number.next();
            }
            push_gap(&mut out, expected, end.next());
            proxy.sent = end;
        }
        let complete = proxy.acknowledged >= last;
        self.heartbeat_count = self.heartbeat_count.wrapping_add(1);
        let first = self.changes.keys().next().copied().unwrap_or(last.next());
        out.push(Outgoing::Heartbeat {
            first: first.min(proxy.sent.next()),
            last: proxy.sent,
            count: self.heartbeat_count,
            is_final: complete,
        });
        proxy.heartbeat_due = false;
        proxy.next_heartbeat = if complete { None } else { now.checked_add(proxy.interval) };
        proxy.interval = (proxy.interval * 2).min(HEARTBEAT_MAX);
        Some((reader, out))
    }

    /// When [`transmit`](Self::transmit) has something to send next, if nothing else happens.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        self.readers
            .values()
            .filter_map(|proxy| {
                if proxy.has_work(now, self.last) { Some(now) } else { proxy.next_heartbeat }
            })
            .min()
    }

    fn forget(&mut self, number: SequenceNumber) {
        if let Some(change) = self.changes.remove(&number) {
            self.disposals.remove(&number);
            if self.newest.get(&change.instance) == Some(&number) {
                self.newest.remove(&change.instance);
            }
        }
    }

    /// A disposal has done its work when every reader that there is has it; a late joiner never
    /// knew the instance.
    fn drop_finished_disposals(&mut self) {
        let everybody_has = self.readers.values().map(|proxy| proxy.acknowledged).min();
        while let Some(&oldest) = self.disposals.first() {
            let finished = everybody_has.is_none_or(|acknowledged| acknowledged >= oldest);
            if !finished && self.disposals.len() <= MAX_DISPOSALS {
                break;
            }
            self.forget(oldest);
            // `forget` leaves a number that is not in `changes`: there is none, but never loop.
            self.disposals.remove(&oldest);
        }
    }
}

fn push_change_or_gap(
    out: &mut Vec<Outgoing>,
    changes: &BTreeMap<SequenceNumber, Change>,
    number: SequenceNumber,
) {
    match changes.get(&number) {
        Some(change) => out.push(Outgoing::Data { number, change: change.clone() }),
        None => push_gap(out, number, number.next()),
    }
}

/// Adds a gap of `start..end`, to the gap before it if they touch.
fn push_gap(out: &mut Vec<Outgoing>, start: SequenceNumber, end: SequenceNumber) {
    if start >= end {
        return;
    }
    if let Some(Outgoing::Gap { end: before, .. }) = out.last_mut()
        && *before == start
    {
        *before = end;
        return;
    }
    out.push(Outgoing::Gap { start, end });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::EntityId;

    const READER: GuidPrefix = GuidPrefix([7; 12]);

    fn endpoint(key: u32) -> Guid {
        Guid::new(GuidPrefix([1; 12]), EntityId::user_writer(key, false))
    }

    fn alive(key: u32, payload: &[u8]) -> Change {
        Change { instance: endpoint(key), payload: payload.into(), disposed: false }
    }

    fn disposed(key: u32) -> Change {
        Change { instance: endpoint(key), payload: [].into(), disposed: true }
    }

    fn numbers(numbers: impl IntoIterator<Item = i64>) -> Vec<SequenceNumber> {
        numbers.into_iter().map(SequenceNumber).collect()
    }

    fn drain(writer: &mut ReliableWriter, now: Instant) -> Vec<Outgoing> {
        std::iter::from_fn(|| writer.transmit(now)).flat_map(|(_, out)| out).collect()
    }

    fn data_numbers(out: &[Outgoing]) -> Vec<i64> {
        out.iter()
            .filter_map(|o| match o {
                Outgoing::Data { number, .. } => Some(number.0),
                _ => None,
            })
            .collect()
    }

    fn heartbeat(out: &[Outgoing]) -> (i64, i64, bool) {
        match out.last() {
            Some(Outgoing::Heartbeat { first, last, is_final, .. }) => (first.0, last.0, *is_final),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_late_joiner_gets_the_newest_of_each_instance_and_gaps_for_the_rest() {
        let now = Instant::now();
        let mut writer = ReliableWriter::default();
        for change in [alive(1, b"a"), alive(2, b"b"), alive(1, b"c"), alive(3, b"d")] {
            writer.write(change);
        }
        writer.add_reader(READER);
        let out = drain(&mut writer, now);
        assert_eq!(out[0], Outgoing::Gap { start: SequenceNumber(1), end: SequenceNumber(2) });
        assert_eq!(data_numbers(&out), [2, 3, 4]);
        assert_eq!(heartbeat(&out), (2, 4, false));
    }

    #[test]
    fn heartbeats_are_repeated_until_everything_is_acknowledged_and_then_stop() {
        let start = Instant::now();
        let mut writer = ReliableWriter::default();
        writer.add_reader(READER);
        writer.write(alive(1, b"a"));
        drain(&mut writer, start);
        assert!(writer.transmit(start).is_none());
        let mut now = start;
        for _ in 0..20 {
            let due = writer.poll_timeout(now).unwrap();
            assert!(due > now && due - now <= HEARTBEAT_MAX);
            now = due;
            assert_eq!(heartbeat(&drain(&mut writer, now)), (1, 1, false));
        }
        writer.on_acknack(now, READER, SequenceNumber(2), [], true);
        assert_eq!(writer.poll_timeout(now), None);
        assert!(writer.transmit(now).is_none());
    }

    #[test]
    fn what_is_asked_for_is_sent_again_or_told_as_a_gap() {
        let start = Instant::now();
        let mut writer = ReliableWriter::default();
        writer.add_reader(READER);
        for key in 1..=4 {
            writer.write(alive(key, b"x"));
        }
        drain(&mut writer, start);
        writer.write(alive(2, b"y"));
        let later = start + NACK_SUPPRESSION;
        drain(&mut writer, later);
        writer.on_acknack(later, READER, SequenceNumber(2), numbers([2, 3]), false);
        let out = drain(&mut writer, later);
        assert_eq!(out[0], Outgoing::Gap { start: SequenceNumber(2), end: SequenceNumber(3) });
        assert_eq!(data_numbers(&out), [3]);
        assert_eq!(heartbeat(&out), (1, 5, false));
    }

    #[test]
    fn a_request_that_crossed_the_change_on_the_way_is_not_answered_twice() {
        let start = Instant::now();
        let mut writer = ReliableWriter::default();
        writer.add_reader(READER);
        writer.write(alive(1, b"x"));
        drain(&mut writer, start);
        writer.on_acknack(start, READER, SequenceNumber(1), numbers([1]), false);
        assert_eq!(drain(&mut writer, start), []);
        let due = writer.poll_timeout(start).unwrap();
        assert_eq!(heartbeat(&drain(&mut writer, due)), (1, 1, false));
        writer.on_acknack(due, READER, SequenceNumber(1), numbers([1]), false);
        assert_eq!(data_numbers(&drain(&mut writer, due)), [1]);
    }

    #[test]
    fn a_reader_that_forgot_everything_is_served_again() {
        let start = Instant::now();
        let mut writer = ReliableWriter::default();
        writer.add_reader(READER);
        writer.write(alive(1, b"x"));
        drain(&mut writer, start);
        writer.on_acknack(start, READER, SequenceNumber(2), [], true);
        let later = start + Duration::from_secs(5);
        writer.on_acknack(later, READER, SequenceNumber(0), [], false);
        assert_eq!(heartbeat(&drain(&mut writer, later)), (1, 1, false));
        writer.on_acknack(later, READER, SequenceNumber(1), numbers([1]), true);
        assert_eq!(data_numbers(&drain(&mut writer, later)), [1]);
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_sent_counts_for_what_was() {
        let now = Instant::now();
        let mut writer = ReliableWriter::default();
        writer.add_reader(READER);
        writer.write(alive(1, b"x"));
        drain(&mut writer, now);
        writer.on_acknack(now, READER, SequenceNumber(i64::MAX), numbers([i64::MAX]), true);
        assert_eq!(writer.poll_timeout(now), None);
        writer.write(alive(2, b"y"));
        assert_eq!(data_numbers(&drain(&mut writer, now)), [2]);
    }

    #[test]
    fn a_disposal_is_kept_until_every_reader_has_it() {
        let now = Instant::now();
        let mut writer = ReliableWriter::default();
        writer.write(alive(1, b"x"));
        writer.write(disposed(1));
        assert!(writer.changes.is_empty(), "nobody to tell");
        writer.add_reader(READER);
        writer.write(alive(2, b"x"));
        writer.write(disposed(2));
        let out = drain(&mut writer, now);
        assert_eq!(data_numbers(&out), [4]);
        assert_eq!(heartbeat(&out), (4, 4, false));
        writer.on_acknack(now, READER, SequenceNumber(5), [], true);
        assert!(writer.changes.is_empty() && writer.newest.is_empty());
    }

    #[test]
    fn a_reader_that_never_answers_does_not_fill_the_memory() {
        let now = Instant::now();
        let mut writer = ReliableWriter::default();
        writer.add_reader(READER);
        for key in 0..5000 {
            writer.write(alive(key, b"x"));
            writer.write(disposed(key));
            drain(&mut writer, now);
        }
        assert!(writer.changes.len() <= MAX_DISPOSALS);
        assert!(writer.newest.len() <= MAX_DISPOSALS);
        let proxy = &writer.readers[&READER];
        assert!(proxy.sent_at.len() as i64 <= WINDOW);
        writer.remove_reader(READER);
        assert!(writer.changes.is_empty());
    }

    #[test]
    fn a_long_history_is_sent_in_windows() {
        let now = Instant::now();
        let mut writer = ReliableWriter::default();
        for key in 0..1000 {
            writer.write(alive(key, b"x"));
        }
        writer.add_reader(READER);
        let out = drain(&mut writer, now);
        assert_eq!(data_numbers(&out).len() as i64, WINDOW);
        assert_eq!(heartbeat(&out), (1, WINDOW, false));
        writer.on_acknack(now, READER, SequenceNumber(WINDOW + 1), [], true);
        assert_eq!(data_numbers(&drain(&mut writer, now)).len() as i64, WINDOW);
    }

    #[test]
    fn an_empty_writer_says_so_once() {
        let now = Instant::now();
        let mut writer = ReliableWriter::default();
        writer.add_reader(READER);
        assert_eq!(heartbeat(&drain(&mut writer, now)), (1, 0, true));
        assert_eq!(writer.poll_timeout(now), None);
    }
}
