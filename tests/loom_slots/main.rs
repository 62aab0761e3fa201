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

#[path = "../support/exploration.rs"]
mod exploration;
#[path = "../slot_model/layout.rs"]
mod layout;
mod scenarios;
mod segment;

use dds_shm::slots::SlotWord;
use dds_shm::sync::Ordering;
use scenarios::Scenario;
use segment::{Kind, Weak, Who};

/// Runs a scenario in every way; what went wrong, if anything did.
fn explore(scenario: &Scenario, weak: Weak) -> Option<String> {
    let body = scenario.body;
    exploration::explore(scenario.name, scenario.preemptions, move || body(weak))
}

fn holds(name: &str) {
    let Scenario { preemptions, body, .. } = Scenario::named(name);
    exploration::holds(name, *preemptions, || body(Weak::Nothing));
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

fn is_requests(word: SlotWord) -> bool {
    word == SlotWord::Requests
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
    fails("keep and slow reserve", reader(Kind::Clear, is_reading));
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
fn a_dropped_sample_hides_none_before_it() {
    holds("drop");
    fails("drop", owner(Kind::Store, is_head));
    fails("drop", reader(Kind::Load, is_head));
}

#[test]
fn an_adopter_hides_nothing_that_it_found() {
    holds("adoption");
    fails("adoption", owner(Kind::Load, is_seq));
    fails("adoption", owner(Kind::Store, is_head));
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
fn a_request_that_was_counted_is_there() {
    holds("requests");
    fails("requests", reader(Kind::Add, is_requests));
    fails("requests", owner(Kind::Load, is_requests));
}

#[test]
fn a_reader_that_returned_knows_from_where_on() {
    holds("return");
    fails("return", owner(Kind::Store, is_state));
    fails("return", reader(Kind::Load, is_state));
}

#[test]
fn an_entry_is_reused_as_it_was_left() {
    holds("entry reuse");
    fails("entry reuse", owner(Kind::Clear, is_node));
    fails("entry reuse", reader(Kind::Exchange, is_node));
}

/// Orderings that stand beside stronger ones: the two fences of the slow path, the head that an adopter
/// stores, and the last store to an entry that is freed. They cost nothing where they are, and say what is meant.
#[test]
fn some_orderings_are_stronger_than_the_scenarios_need() {
    let stronger = [
        ("take and slow reserve", reader(Kind::Load, is_seq)),
        ("take and slow reserve", owner(Kind::Clear, is_seq)),
        // All that is left of the owner's stores there: it puts the sample back.
        ("put back", owner(Kind::Store, is_seq)),
        // The head carries it.
        ("adoption", owner(Kind::Store, is_seq)),
        ("entry reuse", owner(Kind::Clear, is_hold)),
        ("entry reuse", owner(Kind::Store, is_state)),
        ("entry reuse", owner(Kind::Clear, is_request)),
        ("entry reuse", reader(Kind::Load, is_state)),
    ];
    for (name, weak) in stronger {
        let failed = explore(Scenario::named(name), weak);
        assert!(failed.is_none(), "{name}: {failed:?}");
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
