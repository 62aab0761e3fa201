//! Memory that both processes map, with nothing around it: what the floors are measured on, and where
//! the two processes keep step.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::error::{Result, io};

/// Octets of a cache line.
pub(crate) const LINE: usize = 64;

/// A piece of shared memory. It has no name in the file system: nothing stays when both
/// processes have ended, however they ended.
#[derive(Debug)]
pub(crate) struct SharedPages {
    start: NonNull<u8>,
    len: usize,
    file: File,
}

// SAFETY: the mapping belongs to the process, not to a thread; all access is atomic or through the raw
// pointers of `octets`, whose users say why it is exclusive.
unsafe impl Send for SharedPages {}

impl SharedPages {
    /// Makes `len` octets of zeroes, all of them present.
    pub(crate) fn create(len: usize) -> Result<Self> {
        let file = memfd_create("dds-shm-benches", MemfdFlags::CLOEXEC)
            .map_err(io("make shared memory"))?;
        ftruncate(&file, len as u64).map_err(io("size shared memory"))?;
        Self::map(File::from(file), len)
    }

    /// Opens what another process made and has still open.
    pub(crate) fn open(address: &str) -> Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .open(address)
            .map_err(io(format!("open {address}")))?;
        let len = file.metadata().map_err(io(format!("look at {address}")))?.len() as usize;
        Self::map(file, len)
    }

    fn map(file: File, len: usize) -> Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { mmap(std::ptr::null_mut(), len, protection, flags, &file, 0) }
            .map_err(io("map shared memory"))?;
        let start = NonNull::new(start.cast()).ok_or_else(|| {
            io("map shared memory")(std::io::Error::from(std::io::ErrorKind::AddrNotAvailable))
        })?;
        Ok(Self { start, len, file })
    }

    /// By which another process of the same user opens it.
    pub(crate) fn address(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// The word at the start of the line at `offset`.
    #[inline(always)]
    pub(crate) fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(LINE), "{offset} is not the start of a line");
        // SAFETY: aligned and inside of the mapping, both checked; shared words are only used as atomics.
        unsafe { &*self.at(offset, LINE).cast() }
    }

    /// The half word at the start of the line at `offset`.
    #[inline(always)]
    pub(crate) fn half_word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(LINE), "{offset} is not the start of a line");
        // SAFETY: as in `word`.
        unsafe { &*self.at(offset, LINE).cast() }
    }

    /// `len` octets behind `offset`.
    #[inline(always)]
    pub(crate) fn octets(&self, offset: usize, len: usize) -> *mut u8 {
        self.at(offset, len)
    }

    #[inline(always)]
    fn at(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(offset + len <= self.len, "{offset} + {len} of {} octets", self.len);
        // SAFETY: inside of the mapping.
        unsafe { self.start.as_ptr().add(offset) }
    }
}

impl Drop for SharedPages {
    fn drop(&mut self) {
        // SAFETY: mapped by us, and no reference outlives `self`.
        if let Err(error) = unsafe { munmap(self.start.as_ptr().cast(), self.len) } {
            eprintln!("shared memory stays mapped: {error}");
        }
    }
}
