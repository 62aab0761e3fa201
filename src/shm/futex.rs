//! `futex(2)`: sleeping on a word of shared memory.
//!
//! Never the private kind: the sleeper and its waker are different processes.

use std::ptr;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;

/// How a [`wait`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FutexWait {
    /// Somebody woke us, or something did that looks the same.
    Woken,
    /// The word did not have the expected value: nobody slept.
    Changed,
    /// The time is up.
    TimedOut,
    /// A signal was handled.
    Interrupted,
}

/// Sleeps while `word` is `expected`, until somebody calls [`wake_all`] on the word or `timeout`
/// (measured on the monotonic clock) is over; `None` waits forever.
///
/// The word must be writable memory of the calling process, or shared memory.
#[must_use]
pub fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> FutexWait {
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(timeout.subsec_nanos() as i32),
    });
    let timeout_ptr = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the word and the timeout live through the call; the kernel only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            expected,
            timeout_ptr,
            ptr::null::<u32>(),
            0,
        )
    };
    if result == 0 {
        return FutexWait::Woken;
    }
    match Errno::last() {
        Errno::EAGAIN => FutexWait::Changed,
        Errno::ETIMEDOUT => FutexWait::TimedOut,
        Errno::EINTR => FutexWait::Interrupted,
        // EFAULT, EINVAL, ENOSYS: nothing a caller's loop could do about it but look again; a
        // sleeper must not become a spinner either.
        errno => {
            tracing::error!(%errno, "futex wait failed");
            std::thread::sleep(Duration::from_millis(1));
            FutexWait::Interrupted
        }
    }
}

/// Wakes everybody who sleeps on `word`, in any process; returns how many did.
pub fn wake_all(word: &AtomicU32) -> usize {
    crash_point!("a wake");
    // SAFETY: FUTEX_WAKE uses the address only as a key; it does not touch the memory.
    let woken = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE,
            i32::MAX,
            ptr::null::<libc::timespec>(),
            ptr::null::<u32>(),
            0,
        )
    };
    usize::try_from(woken).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_word_that_changed_is_not_slept_on() {
        assert_eq!(wait(&AtomicU32::new(1), 0, None), FutexWait::Changed);
    }

    #[test]
    fn a_sleep_ends_with_its_time() {
        let start = Instant::now();
        let timeout = Duration::from_millis(20);
        assert_eq!(wait(&AtomicU32::new(0), 0, Some(timeout)), FutexWait::TimedOut);
        assert!(start.elapsed() >= timeout);
    }

    #[test]
    fn a_sleeper_is_woken() {
        let word = AtomicU32::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                word.store(1, Ordering::Release);
                wake_all(&word);
            });
            while word.load(Ordering::Acquire) == 0 {
                let _ = wait(&word, 0, None);
            }
        });
    }
}
