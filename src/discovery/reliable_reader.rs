//! The reader half of a reliable builtin endpoint (RTPS 2.5, 8.4.12): what has come from one remote
//! writer, in order, and what to ask for.
//!
//! Changes are handed on in the order of their numbers, so that an old announcement never undoes a
//! newer one. What comes early waits in a bounded buffer; what does not fit is forgotten and asked
//! for again, because only what was handed on counts as received.
//!
//! A writer that was restarted with its old GUID counts from 1 again. Nothing in RTPS says so; it
//! shows in heartbeats that go backwards, and in changes whose numbers were used before. Then
//! [`WriterProxy::start_over`] asks for everything once more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::wire::SequenceNumber;

/// Changes that may wait for one that is missing.
const MAX_PENDING: usize = 512;
/// Octets that may wait for one that is missing.
const MAX_PENDING_OCTETS: usize = 512 * 1024;
/// How far ahead of what is expected a change may be: the reach of one ACKNACK.
const REACH: i64 = 256;
/// A writer that says nothing is greeted again after this long, then twice as long and so on.
const GREETING_MIN: Duration = Duration::from_millis(250);
/// A writer that has not answered this many greetings is left alone until it speaks.
const MAX_GREETINGS: u32 = 6;
/// So many heartbeats in a row that go backwards are no matter of order on the way.
const BACKWARD_HEARTBEATS: u32 = 3;

/// An ACKNACK to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AckNack {
    /// Everything below has arrived.
    pub(crate) base: SequenceNumber,
    /// What is missing: within [`REACH`] of `base`.
    pub(crate) missing: Vec<SequenceNumber>,
    pub(crate) count: i32,
    /// No answer is expected.
    pub(crate) is_final: bool,
}

/// One remote writer, as the local reader of its kind sees it. `T` is a change.
#[derive(Debug)]
pub(crate) struct WriterProxy<T> {
    /// Everything below was handed on, or will never come.
    next: SequenceNumber,
    /// Changes that came early with their size; `None` will never come.
    pending: BTreeMap<SequenceNumber, (Option<T>, usize)>,
    pending_octets: usize,
    /// The last number that the writer announced.
    announced: SequenceNumber,
    acknack_count: i32,
    reply: Option<AckNack>,
    greetings: u32,
    /// When to greet again; `None` once the writer has spoken, or never answers.
    next_greeting: Option<Instant>,
    backward: u32,
    /// A change up to here is part of what was asked for again.
    starting_over: Option<SequenceNumber>,
}

/// What a heartbeat or a change told beside its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing special.
    Nothing,
    /// The writer seems to have been restarted: it announces less than it has sent.
    Backwards,
}

impl<T> WriterProxy<T> {
    /// A writer of which nothing is known; it is greeted at once.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            next: SequenceNumber::FIRST,
            pending: BTreeMap::new(),
            pending_octets: 0,
            announced: SequenceNumber::ZERO,
            acknack_count: 0,
            reply: None,
            greetings: 0,
            next_greeting: Some(now),
            backward: 0,
            starting_over: None,
        }
    }

    /// The lowest number that was not handed on yet.
    pub(crate) fn next(&self) -> SequenceNumber {
        self.next
    }

    /// A change of `size` octets. Returns what can be handed on now, in order.
    pub(crate) fn on_data(&mut self, number: SequenceNumber, change: T, size: usize) -> Vec<T> {
        self.next_greeting = None;
        if !number.is_valid() || number < self.next {
            return Vec::new();
        }
        if number > self.next {
            // `next` itself always has room: it does not stay.
            let beyond = number.0 - self.next.0 >= REACH;
            let full = self.pending.len() >= MAX_PENDING
                || self.pending_octets + size > MAX_PENDING_OCTETS;
            if beyond || full || self.pending.contains_key(&number) {
                return Vec::new();
            }
        }
        self.put(number, Some(change), size);
        self.hand_on()
    }

    /// The numbers from `start` up to, and without, `end`, and the `others`, will never come.
    pub(crate) fn on_gap(
        &mut self,
        start: SequenceNumber,
        end: SequenceNumber,
        others: impl IntoIterator<Item = SequenceNumber>,
    ) -> Vec<T> {
        self.next_greeting = None;
        if !start.is_valid() || end < start {
            return Vec::new();
        }
        let mut out = Vec::new();
        if start <= self.next {
            out.extend(self.skip_to(end));
        } else {
            let end = end.min(SequenceNumber(self.next.0.saturating_add(REACH)));
            for number in start.0..end.0 {
                self.put(SequenceNumber(number), None, 0);
            }
        }
        for number in others {
            if number >= self.next && number.0 - self.next.0 < REACH {
                self.put(number, None, 0);
            }
        }
        out.extend(self.hand_on());
        out
    }

    /// A heartbeat: the writer has `first` to `last`. Returns what can be handed on now.
    pub(crate) fn on_heartbeat(
        &mut self,
        first: SequenceNumber,
        last: SequenceNumber,
        is_final: bool,
    ) -> (Vec<T>, Told) {
        if !first.is_valid() || last < first.previous() {
            return (Vec::new(), Told::Nothing);
        }
        self.next_greeting = None;
        if last < self.next.previous() {
            self.backward += 1;
            let told =
                if self.backward >= BACKWARD_HEARTBEATS { Told::Backwards } else { Told::Nothing };
            if !is_final {
                self.reply = Some(self.acknack(last));
            }
            return (Vec::new(), told);
        }
        self.backward = 0;
        self.announced = last;
        if self.starting_over == Some(SequenceNumber::UNKNOWN) {
            self.starting_over = Some(last);
        }
        let out = self.skip_to(first);
        let acknack = self.acknack(last);
        if !acknack.missing.is_empty() || !is_final {
            self.reply = Some(acknack);
        }
        (out, Told::Nothing)
    }

    /// Forgets what was received and asks for everything again.
    pub(crate) fn start_over(&mut self, now: Instant) {
        *self = Self {
            acknack_count: self.acknack_count,
            starting_over: Some(SequenceNumber::UNKNOWN),
            ..Self::new(now)
        };
    }

    /// True once after [`start_over`](Self::start_over), when everything has come again.
    pub(crate) fn has_started_over(&mut self) -> bool {
        let complete = self
            .starting_over
            .is_some_and(|last| last != SequenceNumber::UNKNOWN && self.next > last);
        if complete {
            self.starting_over = None;
        }
        complete
    }

    /// The ACKNACK to send now, if one is due.
    pub(crate) fn transmit(&mut self, now: Instant) -> Option<AckNack> {
        if self.next_greeting.is_some_and(|at| at <= now) {
            self.greetings += 1;
            self.next_greeting = (self.greetings < MAX_GREETINGS)
                .then(|| now.checked_add(GREETING_MIN * (1 << self.greetings)))
                .flatten();
            let greeting = AckNack { is_final: false, ..self.acknack(self.next.previous()) };
            self.reply = Some(greeting);
        }
        let mut reply = self.reply.take()?;
        self.acknack_count = self.acknack_count.wrapping_add(1);
        reply.count = self.acknack_count;
        Some(reply)
    }

    /// When [`transmit`](Self::transmit) has something to send, if nothing else happens.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        if self.reply.is_some() { Some(now) } else { self.next_greeting }
    }

    fn acknack(&self, last: SequenceNumber) -> AckNack {
        let end = last.0.min(self.next.0.saturating_add(REACH - 1));
        let missing: Vec<_> = (self.next.0..=end)
            .map(SequenceNumber)
            .filter(|number| !self.pending.contains_key(number))
            .collect();
        let is_final = missing.is_empty();
        AckNack { base: self.next, missing, count: 0, is_final }
    }

    fn put(&mut self, number: SequenceNumber, change: Option<T>, size: usize) {
        if let Some((_, size)) = self.pending.insert(number, (change, size)) {
            self.pending_octets -= size;
        }
        self.pending_octets += size;
    }

    /// Everything below `first` that has not come will not come.
    fn skip_to(&mut self, first: SequenceNumber) -> Vec<T> {
        if first <= self.next {
            return self.hand_on();
        }
        let beyond = self.pending.split_off(&first);
        let skipped = std::mem::replace(&mut self.pending, beyond);
        self.next = first;
        self.pending_octets -= skipped.values().map(|(_, size)| size).sum::<usize>();
        let mut out: Vec<T> = skipped.into_values().filter_map(|(change, _)| change).collect();
        out.extend(self.hand_on());
        out
    }

    fn hand_on(&mut self) -> Vec<T> {
        let mut out = Vec::new();
        while let Some((change, size)) = self.pending.remove(&self.next) {
            self.pending_octets -= size;
            self.next = self.next.next();
            out.extend(change);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sn(number: i64) -> SequenceNumber {
        SequenceNumber(number)
    }

    fn greeted(now: Instant) -> WriterProxy<i64> {
        let mut proxy = WriterProxy::new(now);
        proxy.transmit(now).unwrap();
        proxy
    }

    #[test]
    fn a_new_writer_is_greeted_until_it_speaks() {
        let mut now = Instant::now();
        let mut proxy = WriterProxy::<i64>::new(now);
        for count in 1..=MAX_GREETINGS as i32 {
            assert_eq!(
                proxy.transmit(now),
                Some(AckNack { base: sn(1), missing: vec![], count, is_final: false })
            );
            assert_eq!(proxy.transmit(now), None);
            match proxy.poll_timeout(now) {
                Some(at) => now = at,
                None => assert_eq!(count, MAX_GREETINGS as i32),
            }
        }
        let mut proxy = greeted(now);
        proxy.on_heartbeat(sn(1), sn(0), true);
        assert_eq!(proxy.poll_timeout(now), None);
    }

    #[test]
    fn changes_are_handed_on_in_order_whatever_the_order_they_come_in() {
        let mut proxy = greeted(Instant::now());
        assert_eq!(proxy.on_data(sn(3), 3, 1), []);
        assert_eq!(proxy.on_data(sn(2), 2, 1), []);
        assert_eq!(proxy.on_data(sn(2), 2, 1), []);
        assert_eq!(proxy.on_data(sn(1), 1, 1), [1, 2, 3]);
        assert_eq!(proxy.on_data(sn(2), 2, 1), []);
        assert_eq!(proxy.pending_octets, 0);
    }

    #[test]
    fn a_heartbeat_asks_for_what_is_missing_and_acknowledges_what_is_not() {
        let now = Instant::now();
        let mut proxy = greeted(now);
        proxy.on_data(sn(2), 2, 1);
        proxy.on_heartbeat(sn(1), sn(4), true);
        let reply = proxy.transmit(now).unwrap();
        assert_eq!(
            (reply.base, reply.missing, reply.is_final),
            (sn(1), vec![sn(1), sn(3), sn(4)], false)
        );
        assert_eq!(proxy.on_gap(sn(1), sn(2), [sn(3)]), [2]);
        assert_eq!(proxy.on_data(sn(4), 4, 1), [4]);
        proxy.on_heartbeat(sn(1), sn(4), true);
        assert_eq!(proxy.transmit(now), None);
        proxy.on_heartbeat(sn(1), sn(4), false);
        let reply = proxy.transmit(now).unwrap();
        assert_eq!((reply.base, reply.missing, reply.is_final), (sn(5), vec![], true));
    }

    #[test]
    fn what_the_writer_no_longer_has_is_not_waited_for() {
        let mut proxy = greeted(Instant::now());
        proxy.on_data(sn(3), 3, 1);
        proxy.on_data(sn(6), 6, 1);
        assert_eq!(proxy.on_heartbeat(sn(5), sn(6), true).0, [3]);
        assert_eq!(proxy.on_data(sn(5), 5, 1), [5, 6]);
    }

    #[test]
    fn absurd_numbers_change_nothing() {
        let now = Instant::now();
        let mut proxy = greeted(now);
        for (first, last) in [(0, 5), (-1, 5), (5, 3), (i64::MIN, i64::MAX)] {
            assert_eq!(proxy.on_heartbeat(sn(first), sn(last), false), (vec![], Told::Nothing));
        }
        assert_eq!(proxy.on_data(sn(0), 0, 1), []);
        assert_eq!(proxy.on_data(sn(i64::MAX), 0, 1), []);
        assert_eq!(proxy.on_gap(sn(5), sn(2), []), []);
        assert_eq!(proxy.on_gap(sn(2), sn(i64::MAX), [sn(i64::MAX), sn(i64::MIN)]), []);
        assert_eq!(proxy.next(), sn(1));
        proxy.on_heartbeat(sn(1), sn(i64::MAX), false);
        let reply = proxy.transmit(now).unwrap();
        assert_eq!(reply.missing, [sn(1)]);
    }

    #[test]
    fn the_end_of_all_numbers_is_no_panic() {
        let now = Instant::now();
        let mut proxy = greeted(now);
        proxy.on_heartbeat(sn(i64::MAX), sn(i64::MAX), false);
        assert_eq!(proxy.next(), sn(i64::MAX));
        proxy.on_data(sn(i64::MAX), 1, 1);
        proxy.on_gap(sn(i64::MAX), sn(i64::MAX), [sn(i64::MAX)]);
        proxy.on_heartbeat(sn(i64::MAX), sn(i64::MAX), false);
        let _ = proxy.transmit(now);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut proxy = greeted(Instant::now());
        for number in 2..10_000 {
            proxy.on_data(sn(number), number, 10_000);
        }
        assert!(proxy.pending.len() <= MAX_PENDING);
        assert!(proxy.pending_octets <= MAX_PENDING_OCTETS);
        proxy.on_gap(sn(2), sn(i64::MAX), []);
        assert!(proxy.pending.len() <= MAX_PENDING);
    }

    #[test]
    fn heartbeats_that_keep_going_backwards_tell_of_a_restart() {
        let mut proxy = greeted(Instant::now());
        for number in 1..=5 {
            proxy.on_data(sn(number), number, 1);
        }
        let backwards = |proxy: &mut WriterProxy<i64>| proxy.on_heartbeat(sn(1), sn(2), true).1;
        assert_eq!(backwards(&mut proxy), Told::Nothing);
        proxy.on_heartbeat(sn(1), sn(5), true);
        assert_eq!(backwards(&mut proxy), Told::Nothing);
        assert_eq!(backwards(&mut proxy), Told::Nothing);
        assert_eq!(backwards(&mut proxy), Told::Backwards);
    }

    #[test]
    fn starting_over_ends_when_everything_announced_has_come() {
        let now = Instant::now();
        let mut proxy = greeted(now);
        proxy.on_data(sn(1), 1, 1);
        assert!(!proxy.has_started_over());
        proxy.start_over(now);
        assert!(!proxy.transmit(now).unwrap().is_final);
        assert!(!proxy.has_started_over());
        proxy.on_heartbeat(sn(1), sn(2), false);
        assert_eq!(proxy.on_data(sn(1), 1, 1), [1]);
        assert!(!proxy.has_started_over());
        assert_eq!(proxy.on_data(sn(2), 2, 1), [2]);
        assert!(proxy.has_started_over());
        assert!(!proxy.has_started_over());
    }
}
