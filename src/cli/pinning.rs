//! Which processor runs what.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The first two processors this process may use, for the two sides of a measurement; `None` if
/// there is one only.
pub(crate) fn two_cpus() -> Option<[usize; 2]> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).ok()?;
    let mut cpus = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    Some([cpus.next()?, cpus.next()?])
}

/// Keeps the calling thread on one processor.
pub(crate) fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    // Numbers vary more without, and that is all.
    if let Err(error) = set.set(cpu).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set)) {
        tracing::warn!(cpu, %error, "cannot pin");
    }
}
