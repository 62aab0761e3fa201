//! Memory that several threads or processes work on at once: a mapped object, or a piece of the heap
//! behind the same interface, so that in-memory segments run the same code.

use std::alloc::{self, Layout};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

use memmap2::{Advice, MmapOptions, MmapRaw};
use nix::libc;

use super::fork::ProcessStamp;
use super::sigbus::RangeGuard;
use super::{Access, SharedObject, ShmError};

/// How an object is mapped.
#[derive(Clone, Copy, Debug)]
pub struct MapOptions {
    /// Mappings up to this many bytes get all of their pages at once; the first store to each page
    /// of a larger one takes a page fault (about 2 us). Default 256 MiB.
    pub populate_up_to: usize,
}

impl Default for MapOptions {
    fn default() -> MapOptions {
        MapOptions { populate_up_to: 256 << 20 }
    }
}

/// A piece of memory that is shared.
///
/// Other threads and processes may store to it at any time, so nothing here hands out `&[u8]`:
/// words are reached as atomics, bytes are copied with atomic loads, and the rest is for code that
/// takes [`ptr`](Memory::ptr) and says why that is right.
///
/// Mapped memory is not inherited by forked children (`MADV_DONTFORK`): in a child the addresses lead
/// nowhere, or to something else. Whoever keeps a `Memory` checks a [`ProcessStamp`] at its entry
/// points; dropping one in a child does nothing.
#[derive(Debug)]
pub struct Memory {
    start: NonNull<u8>,
    len: usize,
    writable: bool,
    backing: Backing,
}

#[derive(Debug)]
enum Backing {
    Mapped { map: Option<MmapRaw>, guard: Option<RangeGuard>, stamp: ProcessStamp },
    Heap(Layout),
}

// SAFETY: the memory is reached through atomics, or through `ptr` under the rules of whoever uses
// it; the struct itself is never changed before it is dropped.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

/// The alignment of the start of any [`Memory`].
const ALIGNMENT: usize = 4096;

impl Memory {
    /// Maps the whole object, as it is long now, with the access it was opened for.
    ///
    /// The mapping stays when the object is dropped. If [`sigbus::install`](super::sigbus::install)
    /// was called before, the range is guarded against truncation.
    ///
    /// # Errors
    ///
    /// [`ShmError::BadLength`] for an empty object, or what the system says.
    pub fn map(object: &SharedObject, options: MapOptions) -> Result<Memory, ShmError> {
        let path = object.name().path();
        let failed = |action, error| ShmError::from_io(action, &path, error);
        let info = object.info()?;
        let len = match usize::try_from(info.len) {
            Ok(len) if len > 0 && len <= isize::MAX as usize => len,
            _ => return Err(ShmError::BadLength { path, len: info.len }),
        };
        let mut how = MmapOptions::new();
        how.len(len);
        if len <= options.populate_up_to {
            how.populate();
        }
        let writable = object.access() == Access::ReadWrite;
        let map = if writable {
            how.map_raw(object.file())
        } else {
            how.map_raw_read_only(object.file())
        }
        .map_err(|error| failed("map", error))?;
        map.advise(Advice::DontFork).map_err(|error| failed("keep from children", error))?;
        // Not worth failing for: a core dump would only be larger.
        if let Err(error) = map.advise(Advice::DontDump) {
            tracing::debug!(%error, ?path, "mapping will be in core dumps");
        }
        let Some(start) = NonNull::new(map.as_mut_ptr()) else {
            return Err(failed("map", std::io::Error::from_raw_os_error(libc::ENOMEM)));
        };
        let stamp = ProcessStamp::current();
        let guard = RangeGuard::new(start.as_ptr() as usize, len, stamp);
        Ok(Memory {
            start,
            len,
            writable,
            backing: Backing::Mapped { map: Some(map), guard, stamp },
        })
    }

    /// Takes `len` zero bytes (at least one) from the heap.
    ///
    /// # Panics
    ///
    /// Aborts the process when there is no memory, like every allocation.
    #[must_use]
    pub fn heap(len: usize) -> Memory {
        let len = len.max(1);
        let layout = match Layout::from_size_align(len, ALIGNMENT) {
            Ok(layout) => layout,
            Err(_) => alloc::handle_alloc_error(Layout::new::<u8>()),
        };
        // SAFETY: the layout's size is not 0.
        let start = unsafe { alloc::alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { alloc::handle_alloc_error(layout) };
        Memory { start, len, writable: true, backing: Backing::Heap(layout) }
    }

    /// The first byte. Aligned to 4096; valid for [`len`](Memory::len) bytes of reading, and of
    /// writing if [`is_writable`](Memory::is_writable), while the `Memory` lives, in the process
    /// that made it.
    #[inline]
    #[must_use]
    pub fn ptr(&self) -> NonNull<u8> {
        self.start
    }

    /// How many bytes there are; never 0.
    #[inline]
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it may be written.
    #[inline]
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Whether the memory was cut off under us and replaced with zero pages: nothing in it can be
    /// believed any more. Always false unless the SIGBUS handler is installed.
    #[inline]
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        match &self.backing {
            Backing::Mapped { guard: Some(guard), .. } => guard.is_poisoned(),
            _ => false,
        }
    }

    /// The address of `T` at `offset`, if it is inside and aligned.
    #[inline]
    fn place<T>(&self, offset: usize) -> Option<NonNull<T>> {
        let end = offset.checked_add(size_of::<T>())?;
        if end > self.len || !offset.is_multiple_of(align_of::<T>()) || align_of::<T>() > ALIGNMENT
        {
            return None;
        }
        // SAFETY: `offset` is inside the memory.
        Some(unsafe { self.start.add(offset) }.cast())
    }

    /// The words at `offset`; `None` if they are not inside, not aligned, or the memory is
    /// read-only (where nothing but relaxed loads is defined: see [`load_u64`](Memory::load_u64)).
    #[inline]
    #[must_use]
    pub fn words<T: SharedWords>(&self, offset: usize) -> Option<&T> {
        let place = self.place::<T>(offset).filter(|_| self.writable)?;
        // SAFETY: inside, aligned and initialised; `T` is made of atomics only, so that it may be
        // shared with whoever else reaches it; the memory lives as long as `self`.
        Some(unsafe { place.as_ref() })
    }

    /// The 64-bit word at `offset`, in the same cases as [`words`](Memory::words).
    #[inline]
    #[must_use]
    pub fn atomic_u64(&self, offset: usize) -> Option<&AtomicU64> {
        self.words(offset)
    }

    /// The 32-bit word at `offset`, in the same cases as [`words`](Memory::words).
    #[inline]
    #[must_use]
    pub fn atomic_u32(&self, offset: usize) -> Option<&AtomicU32> {
        self.words(offset)
    }

    /// Loads a 64-bit word, also from read-only memory; `None` if it is not inside or not aligned.
    ///
    /// `order` must be one a load can have; `SeqCst` is treated as `Acquire`.
    #[inline]
    #[must_use]
    pub fn load_u64(&self, offset: usize, order: Ordering) -> Option<u64> {
        let place = self.place::<AtomicU64>(offset)?;
        // SAFETY: inside, aligned, initialised and alive. A relaxed load of this size is the one
        // atomic access that is defined on read-only pages; the fence makes it an acquiring one.
        let value = unsafe { place.as_ref() }.load(Ordering::Relaxed);
        if order != Ordering::Relaxed {
            fence(Ordering::Acquire);
        }
        Some(value)
    }

    /// Loads a 32-bit word, like [`load_u64`](Memory::load_u64).
    #[inline]
    #[must_use]
    pub fn load_u32(&self, offset: usize, order: Ordering) -> Option<u32> {
        let place = self.place::<AtomicU32>(offset)?;
        // SAFETY: as in `load_u64`.
        let value = unsafe { place.as_ref() }.load(Ordering::Relaxed);
        if order != Ordering::Relaxed {
            fence(Ordering::Acquire);
        }
        Some(value)
    }

    /// Copies bytes out, each loaded once; `None` if they are not inside.
    ///
    /// A copy made while somebody writes can mix old and new bytes; it is never undefined.
    #[must_use]
    pub fn copy_out(&self, offset: usize, into: &mut [u8]) -> Option<()> {
        let end = offset.checked_add(into.len())?;
        if end > self.len {
            return None;
        }
        for (at, byte) in (offset..end).zip(into) {
            // SAFETY: `at` is below `end`, which is inside; a relaxed load is defined on read-only
            // pages too.
            *byte =
                unsafe { self.start.add(at).cast::<AtomicU8>().as_ref() }.load(Ordering::Relaxed);
        }
        Some(())
    }

    /// Copies bytes in; `None`, and nothing is done, if they are not inside or the memory is
    /// read-only.
    #[must_use]
    pub fn copy_in(&self, offset: usize, from: &[u8]) -> Option<()> {
        let end = offset.checked_add(from.len())?;
        if end > self.len || !self.writable {
            return None;
        }
        for (at, byte) in (offset..end).zip(from) {
            // SAFETY: `at` is below `end`, which is inside, and the memory is writable.
            unsafe { self.start.add(at).cast::<AtomicU8>().as_ref() }
                .store(*byte, Ordering::Relaxed);
        }
        Some(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        match &mut self.backing {
            Backing::Mapped { map, guard, stamp } => {
                if stamp.is_current() {
                    // The guard first: nobody may replace pages of a range that is not ours.
                    *guard = None;
                    *map = None;
                } else {
                    // The range was never this process's, and something else may be there by now.
                    std::mem::forget(map.take());
                    std::mem::forget(guard.take());
                }
            }
            Backing::Heap(layout) => {
                // SAFETY: allocated in `heap` with this layout. (A child frees its own copy.)
                unsafe { alloc::dealloc(self.start.as_ptr(), *layout) };
            }
        }
    }
}

/// Types made of atomics only: every bit pattern is a value, and any number of threads and processes
/// may use one at once.
///
/// # Safety
///
/// Nothing in the type but atomics of the fixed sizes, and no padding that matters.
pub unsafe trait SharedWords: Sync {}

// SAFETY: an atomic.
unsafe impl SharedWords for AtomicU32 {}
// SAFETY: an atomic.
unsafe impl SharedWords for AtomicU64 {}
// SAFETY: an array has no padding of its own.
unsafe impl<T: SharedWords, const N: usize> SharedWords for [T; N] {}

/// Words at a fixed place of a [`Memory`], which it keeps alive.
#[derive(Debug)]
pub struct MappedWords<T> {
    place: NonNull<T>,
    memory: Arc<Memory>,
}

// SAFETY: a shared reference to a `T: Sync` and what keeps it alive.
unsafe impl<T: SharedWords> Send for MappedWords<T> {}
// SAFETY: as above.
unsafe impl<T: SharedWords> Sync for MappedWords<T> {}

impl<T: SharedWords> MappedWords<T> {
    /// The words at `offset`; `None` if they are not inside, not aligned, or the memory is
    /// read-only.
    #[must_use]
    pub fn new(memory: Arc<Memory>, offset: usize) -> Option<MappedWords<T>> {
        let place = NonNull::from(memory.words::<T>(offset)?);
        Some(MappedWords { place, memory })
    }

    /// The memory they are in.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }
}

impl<T: SharedWords> Deref for MappedWords<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: taken from `memory` when this was made; `memory` does not move and lives as long.
        unsafe { self.place.as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::test_support::TestName;

    fn check_access(memory: &Memory) {
        let len = memory.len();
        assert!(memory.is_writable());
        assert_eq!(memory.ptr().as_ptr() as usize % ALIGNMENT, 0);
        memory.atomic_u64(len - 8).unwrap().store(7, Ordering::Release);
        assert_eq!(memory.load_u64(len - 8, Ordering::Acquire), Some(7));
        assert_eq!(memory.load_u32(4, Ordering::Relaxed), Some(0));
        for outside in [len - 4, len, usize::MAX, usize::MAX - 7] {
            assert!(memory.atomic_u64(outside).is_none());
            assert!(memory.load_u64(outside, Ordering::Relaxed).is_none());
        }
        for crooked in [1, 2, 4, 9] {
            assert!(memory.atomic_u64(crooked).is_none());
        }
        memory.copy_in(3, b"hello").unwrap();
        let mut back = [0; 5];
        memory.copy_out(3, &mut back).unwrap();
        assert_eq!(&back, b"hello");
        assert!(memory.copy_in(len - 2, b"hello").is_none());
        assert!(memory.copy_out(usize::MAX, &mut back).is_none());
        assert!(!memory.is_poisoned());
    }

    #[test]
    fn heap_memory_is_zeroed_and_checked() {
        check_access(&Memory::heap(128));
        assert_eq!(Memory::heap(0).len(), 1);
    }

    #[test]
    #[cfg_attr(miri, ignore = "maps a file")]
    fn a_mapping_is_checked_and_outlives_its_object() {
        let name = TestName::new("map");
        let object = SharedObject::create(&name, 8192, 0o600).unwrap();
        let memory = Memory::map(&object, MapOptions::default()).unwrap();
        drop(object);
        check_access(&memory);
    }

    #[test]
    #[cfg_attr(miri, ignore = "maps a file")]
    fn a_reader_sees_what_is_written_and_gets_no_way_to_write() {
        let name = TestName::new("ro");
        let object = SharedObject::create(&name, 4096, 0o600).unwrap();
        let writer = Arc::new(Memory::map(&object, MapOptions { populate_up_to: 0 }).unwrap());
        let object = SharedObject::open(&name, Access::ReadOnly).unwrap();
        let reader = Arc::new(Memory::map(&object, MapOptions::default()).unwrap());
        let words = MappedWords::<[AtomicU32; 4]>::new(Arc::clone(&writer), 64).unwrap();
        words[1].store(5, Ordering::Release);
        assert_eq!(reader.load_u32(68, Ordering::Acquire), Some(5));
        assert!(!reader.is_writable());
        assert!(reader.atomic_u64(0).is_none());
        assert!(reader.copy_in(0, b"x").is_none());
        assert!(MappedWords::<[AtomicU32; 4]>::new(reader, 64).is_none());
    }
}
