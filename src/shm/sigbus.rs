//! What to do when a mapped object is truncated.
//!
//! Whoever may write an object may cut it short, and the next access beyond its new end raises
//! SIGBUS, whose default is to end the process. A process that maps objects of others can
//! [`install`] a handler: an access to a page that is no longer there puts zero pages over the whole
//! range, marks it [poisoned](super::Memory::is_poisoned) and lets the access go on, so that the
//! attachment ends with an error and the process does not. Every other SIGBUS goes to the handler
//! that was there before.
//!
//! Optional, because a signal handler belongs to the whole process: a handler installed later that
//! does not pass signals on takes this one out of work.

use std::io;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::errno::Errno;
use nix::libc;

use super::ShmError;
use super::fork::{self, ProcessStamp};

/// What was installed before us.
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();
static INSTALLED: AtomicBool = AtomicBool::new(false);
static PAGE: AtomicUsize = AtomicUsize::new(4096);

/// Installs the handler; memory mapped from now on is guarded. Calling it again does nothing.
///
/// # Errors
///
/// What the system says.
pub fn install() -> Result<(), ShmError> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if INSTALLED.load(Ordering::Acquire) {
        return Ok(());
    }
    PAGE.store(fork::page_size(), Ordering::Relaxed);
    let failed = || ShmError::from_io("handle", Path::new("SIGBUS"), io::Error::last_os_error());
    // SAFETY: all-zero is a valid `sigaction`: the default action, no flags, an empty mask.
    let mut previous: libc::sigaction = unsafe { std::mem::zeroed() };
    // Known before our handler can run.
    // SAFETY: only reads the current action into a value of ours.
    if unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), &mut previous) } != 0 {
        return Err(failed());
    }
    let previous = PREVIOUS.get_or_init(|| previous);
    // SAFETY: as above.
    let mut ours: libc::sigaction = unsafe { std::mem::zeroed() };
    ours.sa_sigaction = on_sigbus as *const () as usize;
    // On the alternate stack, if the thread has one: the fault may be a stack's.
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // So that a handler we call has blocked what it asked for.
    ours.sa_mask = previous.sa_mask;
    // SAFETY: the handler only does what a signal handler may do; it stays loaded as long as this
    // code does, and a plugin that unloads with live mappings has broken worse things.
    if unsafe { libc::sigaction(libc::SIGBUS, &ours, ptr::null_mut()) } != 0 {
        return Err(failed());
    }
    INSTALLED.store(true, Ordering::Release);
    Ok(())
}

/// Bits 0-1 of an entry's state; the rest counts how often it changed hands.
const FREE: u64 = 0;
const BUSY: u64 = 1;
const LIVE: u64 = 2;
const STATE: u64 = 3;
const CHUNK: usize = 64;

/// A guarded range.
///
/// A seqlock that the handler reads: `state` is not LIVE, or another generation, while the rest
/// changes.
#[derive(Debug)]
struct Entry {
    state: AtomicU64,
    start: AtomicUsize,
    len: AtomicUsize,
    /// The process that mapped it: in a child the range belongs to nobody, or to somebody else.
    stamp: AtomicU64,
    poisoned: AtomicBool,
}

/// Entries are never freed, so that the handler walks them without a lock.
struct Chunk {
    entries: [Entry; CHUNK],
    next: AtomicPtr<Chunk>,
}

impl Chunk {
    const fn new() -> Chunk {
        Chunk {
            entries: [const {
                Entry {
                    state: AtomicU64::new(FREE),
                    start: AtomicUsize::new(0),
                    len: AtomicUsize::new(0),
                    stamp: AtomicU64::new(0),
                    poisoned: AtomicBool::new(false),
                }
            }; CHUNK],
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    fn next(&self) -> Option<&'static Chunk> {
        // SAFETY: null, or leaked; Acquire pairs with the Release of the exchange in `new`.
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }
}

static CHUNKS: Chunk = Chunk::new();

/// The entry of a mapped range; drop it before the range is unmapped.
#[derive(Debug)]
pub(crate) struct RangeGuard {
    entry: &'static Entry,
}

impl RangeGuard {
    /// `None` if the handler is not installed.
    pub(crate) fn new(start: usize, len: usize, stamp: ProcessStamp) -> Option<RangeGuard> {
        if !INSTALLED.load(Ordering::Acquire) {
            return None;
        }
        let mut chunk = &CHUNKS;
        loop {
            if let Some(entry) = chunk.entries.iter().find(|entry| entry.claim()) {
                entry.fill(start, len, stamp);
                return Some(RangeGuard { entry });
            }
            chunk = match chunk.next() {
                Some(next) => next,
                None => {
                    let fresh = Box::into_raw(Box::new(Chunk::new()));
                    let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
                    match chunk.next.compare_exchange(ptr::null_mut(), fresh, success, failure) {
                        // SAFETY: in the chain now, which is never freed.
                        Ok(_) => unsafe { &*fresh },
                        Err(other) => {
                            // SAFETY: not in the chain, so still ours alone.
                            drop(unsafe { Box::from_raw(fresh) });
                            // SAFETY: in the chain.
                            unsafe { &*other }
                        }
                    }
                }
            };
        }
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.entry.poisoned.load(Ordering::Relaxed)
    }
}

impl Drop for RangeGuard {
    fn drop(&mut self) {
        let state = self.entry.state.load(Ordering::Relaxed);
        self.entry.state.store((state & !STATE) | FREE, Ordering::Release);
    }
}

impl Entry {
    fn claim(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        let busy = (state & !STATE).wrapping_add(STATE + 1) | BUSY;
        state & STATE == FREE
            && self
                .state
                .compare_exchange(state, busy, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    fn fill(&self, start: usize, len: usize, stamp: ProcessStamp) {
        // Whoever sees one of the stores below sees BUSY when it looks at the state again.
        fence(Ordering::Release);
        self.start.store(start, Ordering::Relaxed);
        self.len.store(len, Ordering::Relaxed);
        self.stamp.store(stamp.value(), Ordering::Relaxed);
        self.poisoned.store(false, Ordering::Relaxed);
        let state = self.state.load(Ordering::Relaxed);
        self.state.store((state & !STATE) | LIVE, Ordering::Release);
    }

    /// The range, if `address` is inside and it is one of this process's.
    fn range_with(&self, address: usize, stamp: u64) -> Option<(usize, usize)> {
        let state = self.state.load(Ordering::Acquire);
        let start = self.start.load(Ordering::Relaxed);
        let len = self.len.load(Ordering::Relaxed);
        let of = self.stamp.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let whole = state & STATE == LIVE && self.state.load(Ordering::Relaxed) == state;
        // The last page counts to its end: an access may be there too.
        let end = start.saturating_add(len).next_multiple_of(PAGE.load(Ordering::Relaxed));
        (whole && of == stamp && (start..end).contains(&address)).then_some((start, end - start))
    }
}

/// Puts zero pages over the guarded range around `address`; says whether there was one.
fn replace_with_zeros(address: usize) -> bool {
    let Some(stamp) = fork::current_value() else { return false };
    let mut chunk = Some(&CHUNKS);
    while let Some(this) = chunk {
        for entry in &this.entries {
            let Some((start, len)) = entry.range_with(address, stamp) else { continue };
            entry.poisoned.store(true, Ordering::Relaxed);
            // SAFETY: the range is a mapping of ours: the thread that faulted is using it, so
            // nobody has dropped it. Replacing its pages is as if a peer had stored zeros, which
            // every user of shared memory must be ready for.
            let page = unsafe {
                libc::mmap(
                    start as *mut libc::c_void,
                    len,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE,
                    -1,
                    0,
                )
            };
            return page != libc::MAP_FAILED;
        }
        chunk = this.next();
    }
    false
}

/// The handler: atomics and system calls only.
extern "C" fn on_sigbus(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    let errno = Errno::last_raw();
    // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    // Only accesses beyond the end of a file; not memory that failed, not `kill`.
    if code != libc::BUS_ADRERR || !replace_with_zeros(address) {
        pass_on(signal, info, context, code);
    }
    Errno::set_raw(errno);
}

/// Does what would have happened without us.
fn pass_on(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
    code: libc::c_int,
) {
    let Some(previous) = PREVIOUS.get() else { return };
    // Sent by a process, not raised by an access that would fault again.
    let sent = code <= 0;
    match previous.sa_sigaction {
        libc::SIG_IGN if sent => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // Faults cannot be ignored: the kernel ends the process, too.
            // SAFETY: all-zero is the default action.
            let default: libc::sigaction = unsafe { std::mem::zeroed() };
            // SAFETY: sigaction and raise may be called in a handler. A fault comes again as soon
            // as the handler returns; a sent signal is raised again and comes then.
            unsafe {
                libc::sigaction(signal, &default, ptr::null_mut());
                if sent {
                    libc::raise(signal);
                }
            }
        }
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: installed with SA_SIGINFO, so it has this signature; it gets what the kernel
            // gave us.
            unsafe {
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    std::mem::transmute(handler);
                handler(signal, info, context);
            }
        }
        handler => {
            // SAFETY: installed without SA_SIGINFO, so it has this signature.
            unsafe {
                let handler: extern "C" fn(libc::c_int) = std::mem::transmute(handler);
                handler(signal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;
    use crate::shm::test_support::{TestName, in_child, is_child};
    use crate::shm::{MapOptions, Memory, SharedObject};

    #[test]
    fn a_truncated_mapping_reads_as_zeros_and_says_so() {
        let path = "shm::sigbus::tests::a_truncated_mapping_reads_as_zeros_and_says_so";
        if !is_child() {
            let output = in_child(path, "zeros");
            assert!(output.status.success(), "{output:?}");
            return;
        }
        install().unwrap();
        install().unwrap();
        let names = [TestName::new("cut"), TestName::new("whole")];
        let memories = names.each_ref().map(|name| {
            let object = SharedObject::create(name, 4 * 4096, 0o600).unwrap();
            let memory = Memory::map(&object, MapOptions::default()).unwrap();
            memory.atomic_u64(3 * 4096).unwrap().store(7, Ordering::Relaxed);
            (object, memory)
        });
        let [(cut, gone), (_, whole)] = &memories;
        cut.file().set_len(4096).unwrap();
        assert!(!gone.is_poisoned());
        assert_eq!(gone.load_u64(3 * 4096, Ordering::Relaxed), Some(0));
        assert!(gone.is_poisoned());
        gone.atomic_u64(3 * 4096).unwrap().store(1, Ordering::Relaxed);
        assert!(!whole.is_poisoned());
        assert_eq!(whole.load_u64(3 * 4096, Ordering::Relaxed), Some(7));
        // Its place in the table is free for the next.
        drop(memories);
        for _ in 0..3 * CHUNK {
            let object = SharedObject::create(&names[0], 4096, 0o600);
            let Ok(object) = object else {
                super::super::object::unlink(&names[0]).unwrap();
                continue;
            };
            assert!(!Memory::map(&object, MapOptions::default()).unwrap().is_poisoned());
        }
    }

    #[test]
    fn every_other_sigbus_does_what_it_did_before() {
        let path = "shm::sigbus::tests::every_other_sigbus_does_what_it_did_before";
        if !is_child() {
            for how in ["sent", "fault"] {
                let output = in_child(path, how);
                assert_eq!(output.status.signal(), Some(libc::SIGBUS), "{how}: {output:?}");
            }
            return;
        }
        let sent = std::env::var("DDS_SHM_TEST_CHILD").unwrap() == "sent";
        if sent {
            // The standard library's handler, which the fault below gets to, takes one signal for
            // its own and lets the program go on.
            use nix::sys::signal::{SigHandler, Signal, signal};
            // SAFETY: the default action.
            unsafe { signal(Signal::SIGBUS, SigHandler::SigDfl) }.unwrap();
        }
        let name = TestName::new("unguarded");
        let object = SharedObject::create(&name, 4096, 0o600).unwrap();
        // Mapped before the handler was there, so not guarded.
        let memory = Memory::map(&object, MapOptions::default()).unwrap();
        install().unwrap();
        object.file().set_len(0).unwrap();
        object.unlink().unwrap();
        if sent {
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGBUS).unwrap();
        } else {
            let _ = memory.load_u64(0, Ordering::Relaxed);
        }
        unreachable!("the signal ends the process");
    }
}
