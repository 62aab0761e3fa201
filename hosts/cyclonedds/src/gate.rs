//! Which writers' samples a reader gets: those that Cyclone has matched with it. No I/O, no clock.
//!
//! Endpoints meet in shared memory by topic, partition and QoS, and often some milliseconds
//! before Cyclone has discovered them. Cyclone also knows things that the plugin does not (versions of
//! types, ignored participants), and takes whatever sample it is given. So the samples of a writer wait
//! here until Cyclone says that it is matched, for a bounded time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use dds_shm::wire::Guid;

use crate::cyclone::{MatchedWriter, MatchedWriters};

/// How often Cyclone is asked while samples wait.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// How often it is asked while all is well, or a writer has been given up.
const CONFIRM_EVERY: Duration = Duration::from_millis(100);
/// How long samples wait for discovery.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long, when there is no room for more of them.
const PATIENCE_WHEN_FULL: Duration = Duration::from_secs(1);

/// How long discovery takes at most, of a writer on the same host.
const DISCOVERY: Duration = Duration::from_secs(1);
/// How many writers that are gone are remembered.
const MAX_FORMER: usize = 256;

/// What becomes of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Deliver,
    /// Although the writer is not there any more: it was matched when it wrote the sample, or would have
    /// been if it had lived longer.
    DeliverLate(MatchedWriter),
    Wait,
    /// The reader is not matched with the writer.
    Drop,
}

/// What a reader knows of writers.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// By instance handle.
    matched: BTreeMap<u64, MatchedWriter>,
    guids: BTreeSet<Guid>,
    /// Those that were matched, and are not any more.
    former: VecDeque<MatchedWriter>,
    /// Since when a writer is waited for.
    awaited: BTreeMap<Guid, Instant>,
    asked: Option<Instant>,
}

impl Gate {
    /// Whether Cyclone is to be asked before a sample of this writer is decided about.
    pub(crate) fn must_ask(&self, writer: Guid, now: Instant) -> bool {
        let every = match self.awaited.get(&writer) {
            Some(since) if now.duration_since(*since) < PATIENCE => ASK_EVERY,
            None if !self.guids.contains(&writer) => Duration::ZERO,
            _ => CONFIRM_EVERY,
        };
        self.asked.is_none_or(|asked| now.duration_since(asked) >= every)
    }

    /// Whether this is the handle of a writer whose GUID is known.
    pub(crate) fn knows(&self, handle: u64) -> bool {
        self.matched.contains_key(&handle)
    }

    /// What Cyclone said.
    pub(crate) fn told(&mut self, now_matched: &MatchedWriters, now: Instant) {
        self.part(|handle, _| !now_matched.handles.contains(&handle));
        self.matched.extend(now_matched.new.iter().copied());
        self.guids = self.matched.values().map(|writer| writer.guid).collect();
        self.former.retain(|writer| !self.guids.contains(&writer.guid));
        while self.former.len() > MAX_FORMER {
            self.former.pop_front();
        }
        self.awaited.retain(|writer, _| !self.guids.contains(writer));
        self.asked = Some(now);
    }

    /// These are not matched any more.
    fn part(&mut self, leaves: impl Fn(u64, &MatchedWriter) -> bool) {
        self.matched.retain(|handle, writer| {
            let stays = !leaves(*handle, writer);
            if !stays {
                self.former.push_back(*writer);
            }
            stays
        });
    }

    /// Cyclone did not know the writer after all.
    pub(crate) fn denied(&mut self, writer: Guid, now: Instant) {
        self.guids.remove(&writer);
        self.part(|_, matched| matched.guid == writer);
        self.awaited.entry(writer).or_insert(now);
    }

    /// What becomes of a sample of this writer. `is_full`: there is no room for more that wait.
    /// `is_kin`: the writer's type is the reader's, beyond doubt, and so is its QoS. `is_gone`: whether the
    /// writer has been deleted, or its process is dead.
    pub(crate) fn verdict(
        &mut self,
        writer: Guid,
        is_full: bool,
        is_kin: bool,
        is_gone: impl FnOnce() -> bool,
        now: Instant,
    ) -> Verdict {
        if self.guids.contains(&writer) {
            return Verdict::Deliver;
        }
        let former = self.former.iter().find(|former| former.guid == writer).copied();
        // Between two questions Cyclone may have matched it and seen it leave.
        let new = is_kin && self.awaited.get(&writer).is_none_or(|since| !is_over(*since, now));
        let unseen = MatchedWriter { guid: writer, ownership_strength: 0, lifespan: i64::MAX };
        if let Some(late) = former.or(new.then_some(unseen))
            && is_gone()
        {
            return Verdict::DeliverLate(late);
        }
        let since = *self.awaited.entry(writer).or_insert(now);
        let patience = if is_full { PATIENCE_WHEN_FULL } else { PATIENCE };
        if now.duration_since(since) < patience {
            return Verdict::Wait;
        }
        // From now on it is one that is not matched, until Cyclone says otherwise.
        if let Some(given_up) = now.checked_sub(PATIENCE) {
            self.awaited.insert(writer, given_up);
        }
        Verdict::Drop
    }

    /// When to look again while samples wait.
    pub(crate) fn look_again_in() -> Duration {
        ASK_EVERY
    }
}

/// Whether Cyclone has had so much time for a writer that it would have been matched.
fn is_over(since: Instant, now: Instant) -> bool {
    now.duration_since(since) >= DISCOVERY
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITER: Guid = {
        use dds_shm::wire::{EntityId, GuidPrefix};
        Guid::new(GuidPrefix([1; 12]), EntityId::user_writer(1, false))
    };
    const HANDLE: u64 = 77;
    const MATCHED: MatchedWriter =
        MatchedWriter { guid: WRITER, ownership_strength: 3, lifespan: i64::MAX };

    fn still_there() -> bool {
        false
    }

    fn nobody() -> MatchedWriters {
        MatchedWriters::default()
    }

    fn the_writer() -> MatchedWriters {
        MatchedWriters { handles: vec![HANDLE], new: vec![(HANDLE, MATCHED)] }
    }

    fn later(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn samples_wait_until_cyclone_has_matched_their_writer() {
        let start = Instant::now();
        let mut gate = Gate::default();
        assert!(gate.must_ask(WRITER, start));
        gate.told(&nobody(), start);
        assert_eq!(gate.verdict(WRITER, false, false, still_there, start), Verdict::Wait);
        // Not again at once, but soon.
        assert!(!gate.must_ask(WRITER, start));
        assert!(gate.must_ask(WRITER, later(start, 1)));
        gate.told(&the_writer(), later(start, 1));
        assert_eq!(
            gate.verdict(WRITER, false, false, still_there, later(start, 1)),
            Verdict::Deliver
        );
        assert!(gate.knows(HANDLE));
        assert!(!gate.must_ask(WRITER, later(start, 50)));
        assert!(gate.must_ask(WRITER, later(start, 101)));
    }

    #[test]
    fn a_writer_that_is_not_matched_is_given_up_and_may_come_later() {
        let start = Instant::now() + 2 * PATIENCE;
        let mut gate = Gate::default();
        gate.told(&nobody(), start);
        assert_eq!(gate.verdict(WRITER, false, false, still_there, start), Verdict::Wait);
        let end = start + PATIENCE;
        assert_eq!(gate.verdict(WRITER, false, false, still_there, end), Verdict::Drop);
        gate.told(&the_writer(), end);
        assert_eq!(gate.verdict(WRITER, false, false, still_there, end), Verdict::Deliver);
    }

    #[test]
    fn where_there_is_no_room_a_writer_is_given_up_sooner_and_for_good() {
        let start = Instant::now() + 2 * PATIENCE;
        let mut gate = Gate::default();
        gate.told(&nobody(), start);
        assert_eq!(gate.verdict(WRITER, true, false, still_there, start), Verdict::Wait);
        assert_eq!(
            gate.verdict(WRITER, true, false, still_there, start + PATIENCE_WHEN_FULL),
            Verdict::Drop
        );
        assert_eq!(
            gate.verdict(WRITER, false, false, still_there, start + PATIENCE_WHEN_FULL),
            Verdict::Drop
        );
    }

    #[test]
    fn a_writer_that_is_not_matched_any_more_has_to_wait_again() {
        let start = Instant::now();
        let mut gate = Gate::default();
        gate.told(&the_writer(), start);
        gate.denied(WRITER, start);
        assert_eq!(gate.verdict(WRITER, false, false, still_there, start), Verdict::Wait);
        assert!(!gate.knows(HANDLE));
        // Told anew.
        gate.told(&the_writer(), start);
        assert_eq!(gate.verdict(WRITER, false, false, still_there, start), Verdict::Deliver);
        gate.told(&nobody(), start);
        assert_eq!(gate.verdict(WRITER, false, false, still_there, start), Verdict::Wait);
    }

    #[test]
    fn what_a_matched_writer_wrote_last_is_delivered_after_it_has_left() {
        let start = Instant::now();
        let mut gate = Gate::default();
        gate.told(&the_writer(), start);
        gate.told(&nobody(), start);
        // Not matched any more, but there.
        assert_eq!(gate.verdict(WRITER, false, false, still_there, start), Verdict::Wait);
        let late = gate.verdict(WRITER, false, false, || true, start);
        assert_eq!(late, Verdict::DeliverLate(MATCHED));
        // One that never was matched is not.
        let mut gate = Gate::default();
        gate.told(&nobody(), start);
        assert_eq!(gate.verdict(WRITER, false, false, || true, start), Verdict::Wait);
        // Unless it would have been, had it lived longer.
        let late = gate.verdict(WRITER, false, true, || true, start);
        assert!(matches!(late, Verdict::DeliverLate(_)));
        let late = gate.verdict(WRITER, false, true, || true, start + DISCOVERY);
        assert_eq!(late, Verdict::Wait);
    }
}
