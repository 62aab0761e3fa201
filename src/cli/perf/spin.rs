//! Busy waiting for the other process.

use dds_shm::shm::monotonic_ns;

use super::CliError;

/// Looks so often before it looks at the clock.
const LOOKS: u32 = 1 << 12;

/// Looks so long before it lets somebody else have the processor and sees whether the other side is still
/// there. On a busy machine the processor does not come back for milliseconds: who is only late is not to
/// lose it.
const STAY_NS: u64 = 10_000_000;

/// Waits until `ready`, without a pause between looks. `check` is asked now and then whether to go on.
#[inline(always)]
pub(super) fn spin_until(
    mut ready: impl FnMut() -> bool,
    mut check: impl FnMut() -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut since = None;
    loop {
        for _ in 0..LOOKS {
            if ready() {
                return Ok(());
            }
        }
        let now = monotonic_ns();
        if now - *since.get_or_insert(now) >= STAY_NS {
            std::thread::yield_now();
            check()?;
        }
    }
}

/// Passes the time without sleeping.
pub(super) fn pause_ns(ns: u64) {
    let start = monotonic_ns();
    while monotonic_ns() - start < ns {
        std::hint::spin_loop();
    }
}
