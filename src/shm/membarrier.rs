//! `membarrier(2)`: a fence in every running thread of this process, at the expense of who asks.

use std::sync::OnceLock;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;

/// A process that could register for `membarrier`.
///
/// What is between a [`compiler_fence`](std::sync::atomic::compiler_fence) in one thread is ordered
/// against another thread's [`fence_all`](Self::fence_all) as by two `fence(SeqCst)`.
#[derive(Clone, Copy, Debug)]
pub struct Membarrier(());

impl Membarrier {
    /// Registers the process, once. `None` where the system call is missing or forbidden.
    #[must_use]
    pub fn register() -> Option<Self> {
        static REGISTERED: OnceLock<bool> = OnceLock::new();
        let call = || membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
        // A first barrier shows that those to come will not fail.
        let works = || call() && membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED);
        REGISTERED.get_or_init(works).then_some(Self(()))
    }

    /// Every running thread of the process executes a full fence, this one too. One system call,
    /// about a microsecond.
    ///
    /// # Panics
    /// If the system call was forbidden since it was registered for: going on would be a race.
    pub fn fence_all(self) {
        while !membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED) {
            let errno = Errno::last();
            assert!(errno == Errno::ENOMEM, "membarrier worked before: {errno}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[cfg(not(miri))]
fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: takes numbers, touches no memory.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

/// Its threads have no processors to interrupt.
#[cfg(miri)]
fn membarrier(_command: libc::c_int) -> bool {
    false
}
