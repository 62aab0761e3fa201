//! Telling a process from the children it forks.
//!
//! A forked child shares its parent's open file descriptions, so it would keep the parent's lock
//! alive; and it runs the destructors of copies of the parent's values, so it would release what
//! the parent holds. Two means against that, neither of which costs a system call later:
//!
//! * a word in a page under `MADV_WIPEONFORK`. The kernel zeroes it in every child, whichever way
//!   the child was made, before the child runs. [`ProcessStamp`] compares with it;
//! * a table of descriptors that a `pthread_atfork` handler closes in the child.
//!
//! A child made by a bare `clone` system call runs no handler: until it executes another program or
//! ends, it keeps the descriptors, and with them its parent's locks.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::libc;

/// The process that made something.
///
/// Values that own names, locks, mappings or places in shared tables carry one and touch nothing
/// when it is not [current](ProcessStamp::is_current).
#[derive(Clone, Copy, Debug)]
pub struct ProcessStamp {
    word: &'static AtomicU64,
    /// Never 0, and never that of an ancestor: see `NEXT`.
    value: u64,
}

/// The next stamp value of this process. A child inherits a counter that is beyond every value its
/// ancestors have put into a stamp, so the stamps it sees of theirs never become current again.
static NEXT: AtomicU64 = AtomicU64::new(1);

impl ProcessStamp {
    /// The stamp of the calling process.
    #[must_use]
    pub fn current() -> ProcessStamp {
        let word = stamp_word();
        let mut value = word.load(Ordering::Relaxed);
        if value == 0 {
            let fresh = NEXT.fetch_add(1, Ordering::Relaxed);
            // Relaxed: the word publishes nothing but itself.
            value = match word.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => fresh,
                Err(other) => other,
            };
        }
        ProcessStamp { word, value }
    }

    /// Whether the calling process is the one that took the stamp: one relaxed load.
    #[inline]
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.word.load(Ordering::Relaxed) == self.value
    }

    /// The number that stands for the process; never 0.
    pub(crate) fn value(&self) -> u64 {
        self.value
    }
}

/// The number of the calling process's stamp, if it has taken one; 0 in a child that has not. Can be
/// called in a signal handler.
pub(crate) fn current_value() -> Option<u64> {
    WORD.get().map(|word| word.load(Ordering::Relaxed))
}

static WORD: OnceLock<&'static AtomicU64> = OnceLock::new();

fn stamp_word() -> &'static AtomicU64 {
    WORD.get_or_init(|| {
        wiped_word().unwrap_or_else(|| {
            // A kernel before 4.14 (or an interpreter): the handler below clears the word instead,
            // which covers every fork but a bare `clone`.
            let word: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(0)));
            FALLBACK_WORD.store(ptr::from_ref(word).cast_mut(), Ordering::Release);
            if let Err(errno) = install_child_handler() {
                tracing::error!(%errno, "forked children cannot be told from this process");
            }
            word
        })
    })
}

/// Set where `MADV_WIPEONFORK` is not to be had.
static FALLBACK_WORD: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

/// A word in a page of its own that the kernel zeroes in every child.
fn wiped_word() -> Option<&'static AtomicU64> {
    if cfg!(miri) {
        return None;
    }
    let len = page_size();
    // SAFETY: a fresh anonymous private mapping, at an address that the kernel chooses, takes
    // nothing away from anybody.
    let page = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the range is the mapping just made, which nobody else knows.
    if unsafe { libc::madvise(page, len, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: as above; nothing refers to the page.
        unsafe { libc::munmap(page, len) };
        return None;
    }
    // SAFETY: page-aligned, zeroed, readable and writable, and never unmapped: a word for the rest
    // of the process's life.
    Some(unsafe { &*page.cast::<AtomicU64>() })
}

/// The size of a page of memory in bytes.
pub(crate) fn page_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| match nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE) {
        Ok(Some(size)) if size > 0 => size.unsigned_abs() as usize,
        _ => 4096,
    })
}

const FREE: RawFd = -1;
const CHUNK: usize = 64;

/// Descriptors to close in a child. Chunks are only ever added, so that the handler can walk them
/// without a lock, whatever the thread that forks was interrupted in.
struct Chunk {
    fds: [AtomicI32; CHUNK],
    next: AtomicPtr<Chunk>,
}

impl Chunk {
    const fn new() -> Chunk {
        Chunk {
            fds: [const { AtomicI32::new(FREE) }; CHUNK],
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    fn next(&self) -> Option<&'static Chunk> {
        // SAFETY: the pointer is null or that of a leaked chunk; Acquire pairs with the Release
        // of the exchange that put it there.
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }
}

static CHUNKS: Chunk = Chunk::new();

/// A descriptor that forked children close before they run.
///
/// Enter a descriptor before it is given a lock, and drop this only when the lock is gone: a child
/// forked in between would keep the lock. Drop it before the descriptor is closed, or the child
/// closes whatever has the number by then.
#[derive(Debug)]
pub struct CloseOnFork {
    place: &'static AtomicI32,
    stamp: ProcessStamp,
}

impl CloseOnFork {
    /// Enters a descriptor.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, when the system has no room for the handler.
    pub fn new(fd: BorrowedFd<'_>) -> Result<CloseOnFork, Errno> {
        install_child_handler()?;
        let fd = fd.as_raw_fd();
        let mut chunk = &CHUNKS;
        loop {
            for place in &chunk.fds {
                // Relaxed: only a child reads it, and fork orders everything before it.
                if place.compare_exchange(FREE, fd, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                    return Ok(CloseOnFork { place, stamp: ProcessStamp::current() });
                }
            }
            chunk = match chunk.next() {
                Some(next) => next,
                None => append(chunk),
            };
        }
    }
}

impl Drop for CloseOnFork {
    fn drop(&mut self) {
        // In a child the place was freed by the handler and may be somebody else's by now.
        if self.stamp.is_current() {
            self.place.store(FREE, Ordering::Relaxed);
        }
    }
}

fn append(last: &'static Chunk) -> &'static Chunk {
    let fresh = Box::into_raw(Box::new(Chunk::new()));
    match last.next.compare_exchange(ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: `fresh` is in the chain now, which is never freed.
        Ok(_) => unsafe { &*fresh },
        Err(other) => {
            // SAFETY: the exchange failed, so `fresh` is still ours alone.
            drop(unsafe { Box::from_raw(fresh) });
            // SAFETY: not null, or the exchange would have succeeded; chunks are never freed.
            unsafe { &*other }
        }
    }
}

fn install_child_handler() -> Result<(), Errno> {
    static INSTALLED: OnceLock<Result<(), Errno>> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        if cfg!(miri) {
            return Ok(());
        }
        // SAFETY: the handler is a plain function that lives as long as this code is loaded (the C
        // library forgets the handlers of a library that is unloaded) and does only what may be
        // done between fork and exec in a threaded process.
        match unsafe { libc::pthread_atfork(None, None, Some(in_child)) } {
            0 => Ok(()),
            code => Err(Errno::from_raw(code)),
        }
    })
}

/// Runs in every forked child, on its only thread, before `fork` returns there: atomics and
/// `close`, nothing else.
extern "C" fn in_child() {
    let word = FALLBACK_WORD.load(Ordering::Acquire);
    // SAFETY: null or leaked.
    if let Some(word) = unsafe { word.as_ref() } {
        word.store(0, Ordering::Relaxed);
    }
    let mut chunk = Some(&CHUNKS);
    while let Some(this) = chunk {
        for place in &this.fds {
            let fd = place.swap(FREE, Ordering::Relaxed);
            if fd != FREE {
                // SAFETY: the descriptor is the child's copy of one that its owner entered; the
                // owner's value in the child is never used again (its stamp is not current).
                unsafe { libc::close(fd) };
            }
        }
        chunk = this.next();
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_stamp_is_current_in_the_process_that_took_it() {
        let stamp = ProcessStamp::current();
        assert!(stamp.is_current());
        assert_eq!(stamp.value, ProcessStamp::current().value);
        assert_ne!(stamp.value, 0);
    }

    #[test]
    fn places_are_used_again_and_the_table_grows() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let many: Vec<_> =
            (0..3 * CHUNK).map(|_| CloseOnFork::new(file.as_fd()).unwrap()).collect();
        let places: Vec<*const AtomicI32> =
            many.iter().map(|entry| ptr::from_ref(entry.place)).collect();
        drop(many);
        let again: Vec<_> =
            (0..3 * CHUNK).map(|_| CloseOnFork::new(file.as_fd()).unwrap()).collect();
        // Other tests of this process take and free places too, but not so many.
        let used_again = again.iter().filter(|entry| places.contains(&ptr::from_ref(entry.place)));
        assert!(used_again.count() > CHUNK);
    }
}
