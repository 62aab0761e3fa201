//! The orderings of the slot protocol under loom: every interleaving of small scenarios, and every
//! order in which the memory model lets stores be seen.
//!
//! The protocol's own code runs on loom's atomics; payloads are cells in which loom notices a use
//! that does not happen before the next. Each ordering and fence that a scenario needs is also
//! weakened in turn, and loom must find out.
//!
//! What loom does not try (kills, expiry, adoption) is in `slot_model`. `scripts/loom.sh` runs the
//! scenarios with more preemptions than `cargo test` does.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../slot_model/layout.rs"]
mod layout;
mod scenarios;
mod segment;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use dds_shm::slots::SlotWord;
use dds_shm::sync::Ordering;
use scenarios::Scenario;
use segment::{Kind, Weak, Who};

/// Runs a scenario in every way; what went wrong, if anything did.
fn explore(scenario: &Scenario, weak: Weak) -> Option<String> {
    let mut builder = loom::model::Builder::new();
    let bound = std::env::var("DDS_SHM_LOOM_PREEMPTIONS").ok();
    builder.preemption_bound = match bound.as_deref() {
        Some("none") => None,
        Some(bound) => bound.parse().ok(),
        None => Some(scenario.preemptions),
    };
    builder.max_branches = 20_000;
    let seconds = std::env::var("DDS_SHM_LOOM_SECONDS").ok().and_then(|text| text.parse().ok());
    builder.max_duration = seconds.map(Duration::from_secs);
    let begun = Instant::now();
    let executions = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&executions);
    let body = scenario.body;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        builder.check(move || {
            counted.fetch_add(1, Relaxed);
            body(weak);
        });
    }));
    let executions = executions.load(Relaxed);
    let failed = outcome.err().map(|cause| {
        let text = cause.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
    });
    let cut = seconds.is_some_and(|seconds| begun.elapsed() >= Duration::from_secs(seconds));
    let said = failed.as_deref().and_then(|text| text.lines().next());
    let said = said.unwrap_or(if cut { "holds so far; the time is up" } else { "holds" });
    println!("{:<44} {executions:>8} executions: {said}", scenario.name);
    failed
}

fn holds(name: &str) {
    let failed = explore(Scenario::named(name), Weak::Nothing);
    assert!(failed.is_none(), "{name}: {failed:?}");
}

fn fails(name: &str, weak: Weak) {
    let failed = explore(Scenario::named(name), weak);
    assert!(failed.is_some(), "{name}: loom does not notice the weaker ordering");
}

const fn owner(kind: Kind, word: fn(SlotWord) -> bool) -> Weak {
    Weak::Relaxed(Who::Owner, kind, word)
}

const fn reader(kind: Kind, word: fn(SlotWord) -> bool) -> Weak {
    Weak::Relaxed(Who::Reader, kind, word)
}

fn is_seq(word: SlotWord) -> bool {
    matches!(word, SlotWord::Seq(_))
}

fn is_hold(word: SlotWord) -> bool {
    matches!(word, SlotWord::Hold(_))
}

fn is_cursor(word: SlotWord) -> bool {
    matches!(word, SlotWord::Cursor(_))
}

fn is_reading(word: SlotWord) -> bool {
    matches!(word, SlotWord::Reading(_))
}

fn is_head(word: SlotWord) -> bool {
    word == SlotWord::Head
}

fn is_state(word: SlotWord) -> bool {
    matches!(word, SlotWord::State(_))
}

fn is_node(word: SlotWord) -> bool {
    matches!(word, SlotWord::Node(_))
}

fn is_request(word: SlotWord) -> bool {
    matches!(word, SlotWord::Request(_))
}

const OWNER_FENCE: Weak = Weak::NoFence(Who::Owner, Ordering::SeqCst);
const READER_FENCE: Weak = Weak::NoFence(Who::Reader, Ordering::SeqCst);

#[test]
fn a_sample_under_a_hazard_is_not_overwritten() {
    holds("take and slow reserve");
    fails("take and slow reserve", READER_FENCE);
    fails("take and slow reserve", OWNER_FENCE);
    fails("take and slow reserve", reader(Kind::Store, is_reading));
    fails("take and slow reserve", reader(Kind::Clear, is_reading));
    fails("take and slow reserve", owner(Kind::Load, is_reading));
    fails("take and slow reserve", owner(Kind::Store, is_seq));
}

#[test]
fn a_sample_that_a_cursor_has_passed_is_free() {
    holds("take and fast reserve");
    fails("take and fast reserve", reader(Kind::Store, is_cursor));
    fails("take and fast reserve", owner(Kind::Load, is_cursor));
    fails("take and fast reserve", owner(Kind::Store, is_seq));
}

#[test]
fn a_kept_sample_is_not_overwritten() {
    holds("keep and slow reserve");
    fails("keep and slow reserve", READER_FENCE);
    fails("keep and slow reserve", OWNER_FENCE);
    fails("keep and slow reserve", owner(Kind::Load, is_hold));
    fails("keep and slow reserve", reader(Kind::Clear, is_hold));
}

#[test]
fn a_kept_sample_is_not_taken_for_passed() {
    holds("keep and fast reserve");
    fails("keep and fast reserve", reader(Kind::Store, is_cursor));
    fails("keep and fast reserve", owner(Kind::Load, is_cursor));
    fails("keep and fast reserve", owner(Kind::Load, is_hold));
    fails("keep and fast reserve", reader(Kind::Clear, is_hold));
}

#[test]
fn a_sample_that_was_put_back_can_be_read() {
    holds("put back");
}

#[test]
fn a_disconnected_reader_keeps_what_it_reads_and_holds() {
    holds("disconnection while reading");
    fails("disconnection while reading", OWNER_FENCE);
    fails("disconnection while reading", READER_FENCE);
    holds("disconnection while holding");
    fails("disconnection while holding", owner(Kind::Load, is_hold));
}

#[test]
fn a_sample_that_is_elsewhere_is_not_lost() {
    holds("sample elsewhere");
    fails("sample elsewhere", owner(Kind::Store, is_head));
    fails("sample elsewhere", reader(Kind::Load, is_head));
}

#[test]
fn a_scan_misses_nothing_up_to_the_head() {
    holds("scan");
    fails("scan", owner(Kind::Store, is_head));
    fails("scan", reader(Kind::Load, is_head));
}

#[test]
fn an_admitted_reader_knows_where_it_starts() {
    holds("admission and slow reserve");
    fails("admission and slow reserve", owner(Kind::Store, is_state));
    fails("admission and slow reserve", reader(Kind::Load, is_state));
}

#[test]
fn a_reader_that_asks_has_said_who_it_is() {
    holds("request");
    fails("request", reader(Kind::Store, is_request));
    fails("request", owner(Kind::Load, is_request));
}

#[test]
fn an_entry_is_reused_as_it_was_left() {
    holds("entry reuse");
    fails("entry reuse", owner(Kind::Clear, is_node));
}

/// Orderings that the two fences of the slow path make good for. They cost nothing where they are,
/// and say what is meant.
#[test]
fn some_orderings_are_stronger_than_the_scenarios_need() {
    for weak in [reader(Kind::Load, is_seq), owner(Kind::Clear, is_seq)] {
        assert!(explore(Scenario::named("take and slow reserve"), weak).is_none());
    }
}

#[test]
fn a_copy_that_was_accepted_is_whole() {
    holds("copy without hazard");
    fails("copy without hazard", Weak::NoFence(Who::Owner, Ordering::Release));
    fails("copy without hazard", Weak::NoFence(Who::Reader, Ordering::Acquire));
}

#[test]
fn nobody_sleeps_beside_free_space() {
    holds("space bell, release");
    fails("space bell, release", READER_FENCE);
    fails("space bell, release", OWNER_FENCE);
    holds("space bell, next take");
    fails("space bell, next take", READER_FENCE);
    fails("space bell, next take", OWNER_FENCE);
    holds("space bell, lowered hazard");
}
