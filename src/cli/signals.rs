//! SIGINT and SIGTERM: both ask to end, and whatever is at work ends at its next look.
//!
//! No handler runs: the signals are blocked in every thread and fetched by one that waits for them,
//! so that no system call is interrupted, and what a command made is taken back by its destructors.

use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use nix::sys::signal::{SigSet, Signal};

use super::CliError;

/// The signal that came, 0 while none has.
static CAUGHT: AtomicI32 = AtomicI32::new(0);

fn ending() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM].into_iter().collect()
}

/// Catches both from now on. To be called before any thread is started. `on_signal` runs when one
/// comes, on a thread of its own: to wake who sleeps.
pub(crate) fn catch(on_signal: impl Fn() + Send + 'static) -> Result<(), CliError> {
    let set = ending();
    set.thread_block().map_err(|errno| CliError::io("block signals")(errno.into()))?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            while let Ok(signal) = set.wait() {
                CAUGHT.store(signal as i32, Ordering::Relaxed);
                on_signal();
            }
        })
        .map(drop)
        .map_err(CliError::io("start a thread"))
}

/// Leaves both to the parent, which a terminal signals too.
pub(crate) fn leave_to_parent() -> Result<(), CliError> {
    ending().thread_block().map_err(|errno| CliError::io("block signals")(errno.into()))
}

/// Whether a signal asked us to end.
pub(crate) fn caught() -> bool {
    CAUGHT.load(Ordering::Relaxed) != 0
}

/// `Err` once a signal asked us to end.
pub(crate) fn check() -> Result<(), CliError> {
    if caught() { Err(CliError::Interrupted) } else { Ok(()) }
}

/// What a shell says of a process that this signal ended.
pub(crate) fn exit_code() -> u8 {
    128u8.saturating_add(CAUGHT.load(Ordering::Relaxed).try_into().unwrap_or(0))
}
