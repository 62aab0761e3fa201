//! Which processor runs what.

use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::error::{Result, io};

/// What this process was allowed to run on at its start.
static ALLOWED: OnceLock<CpuSet> = OnceLock::new();

/// The processors this process may use. To be called first by the main thread, before it is pinned.
pub(crate) fn allowed() -> Result<Vec<usize>> {
    let now = sched_getaffinity(None).map_err(io("ask for processors"))?;
    let allowed = ALLOWED.get_or_init(|| now);
    Ok((0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect())
}

/// Keeps the calling thread on one processor.
pub(crate) fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).map_err(io(format!("pin to processor {cpu}")))
}

/// Lets the calling thread go where the system likes, and threads that it starts.
pub(crate) fn unpin() -> Result<()> {
    match ALLOWED.get() {
        Some(allowed) => sched_setaffinity(None, allowed).map_err(io("unpin")),
        None => Ok(()),
    }
}
