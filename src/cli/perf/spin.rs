//! Busy waiting for the other process.

use super::CliError;

/// Looks so often before it lets somebody else have the processor and sees whether the other side is
/// still there: some ten microseconds, far longer than a round trip.
const LOOKS: u32 = 1 << 14;

/// Waits until `ready`, without a pause between looks. `check` is asked now and then whether to go on.
#[inline(always)]
pub(super) fn spin_until(
    mut ready: impl FnMut() -> bool,
    mut check: impl FnMut() -> Result<(), CliError>,
) -> Result<(), CliError> {
    loop {
        for _ in 0..LOOKS {
            if ready() {
                return Ok(());
            }
        }
        std::thread::yield_now();
        check()?;
    }
}

/// Passes the time without sleeping.
pub(super) fn pause_ns(ns: u64) {
    let start = dds_shm::shm::monotonic_ns();
    while dds_shm::shm::monotonic_ns() - start < ns {
        std::hint::spin_loop();
    }
}
