//! How far loom goes: as far as a test asks for, or as `scripts/loom.sh` says, and what came of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How often one execution may be preempted ("none": as often as it likes), and for how long a scenario
/// is explored, in seconds. For all that a test program does.
const PREEMPTIONS: &str = "DDS_SHM_LOOM_PREEMPTIONS";
const SECONDS: &str = "DDS_SHM_LOOM_SECONDS";

/// Runs a scenario in every way, with so many preemptions unless it is told otherwise; what went wrong,
/// if anything did.
pub(crate) fn explore(
    name: &str,
    preemptions: usize,
    body: impl Fn() + Send + Sync + 'static,
) -> Option<String> {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = match std::env::var(PREEMPTIONS).ok().as_deref() {
        Some("none") => None,
        Some(bound) => bound.parse().ok(),
        None => Some(preemptions),
    };
    builder.max_branches = 20_000;
    let limit = std::env::var(SECONDS).ok().and_then(|text| text.parse().ok());
    builder.max_duration = limit.map(Duration::from_secs);
    // It looks at the clock as often.
    builder.checkpoint_interval = 500;
    let begun = Instant::now();
    let executions = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&executions);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        builder.check(move || {
            counted.fetch_add(1, Relaxed);
            body();
        });
    }));
    let executions = executions.load(Relaxed);
    let failed = outcome.err().map(|cause| {
        let text = cause.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
    });
    let cut = limit.is_some_and(|seconds| begun.elapsed() >= Duration::from_secs(seconds));
    let said = failed.as_deref().and_then(|text| text.lines().next());
    let said = said.unwrap_or(if cut { "holds so far; the time is up" } else { "holds" });
    println!("{name:<44} {executions:>8} executions: {said}");
    failed
}

/// Runs a scenario in every way, none of which may go wrong.
#[track_caller]
pub(crate) fn holds(name: &str, preemptions: usize, body: impl Fn() + Send + Sync + 'static) {
    let failed = explore(name, preemptions, body);
    assert!(failed.is_none(), "{name}: {failed:?}");
}
