//! Hints to the processor, and its own clock.

/// Asks for the cache line of `address` in a state fit for writing, and does not wait for it.
///
/// Only a hint: any address will do, even one that is not mapped. On processors for which we know
/// no such instruction this does nothing.
#[inline(always)]
pub fn prefetch_write(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: PREFETCHW reads and writes nothing that a program can observe and never faults.
    // Written out, because the intrinsic becomes a prefetch for reading unless the whole program is
    // compiled for a processor that has this one.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above, for PRFM.
    unsafe {
        std::arch::asm!("prfm pstl1keep, [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(any(not(any(target_arch = "x86_64", target_arch = "aarch64")), miri))]
    let _ = address;
}

/// Asks for the cache line of `address`, to be read, and does not wait for it. Only a hint, as
/// [`prefetch_write`].
#[inline(always)]
pub fn prefetch_read(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: PREFETCHT0 reads nothing that a program can observe and never faults.
    unsafe {
        std::arch::asm!("prefetcht0 [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above, for PRFM.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(any(not(any(target_arch = "x86_64", target_arch = "aarch64")), miri))]
    let _ = address;
}

/// Asks for the cache line of `address` to be moved from this processor's own caches to the one that
/// all share, because another processor will read it next. Only a hint, as [`prefetch_write`].
#[inline(always)]
pub fn demote(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: CLDEMOTE changes nothing that a program can observe, never faults, and is a NOP on
    // processors that do not know it.
    unsafe {
        std::arch::asm!("cldemote [{}]", in(reg) address, options(nostack, preserves_flags));
    }
    #[cfg(any(not(target_arch = "x86_64"), miri))]
    let _ = address;
}

/// A counter that runs at a constant rate and costs a few nanoseconds to read, for measuring what
/// [`monotonic_ns`](super::monotonic_ns) would disturb. Its unit is found by comparing the two; its
/// values mean something on one CPU only. Where the processor has none it is `monotonic_ns`.
#[inline(always)]
#[must_use]
pub fn ticks() -> u64 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: RDTSC reads a register, and Linux lets every process do it unless asked not to.
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
    #[cfg(any(not(target_arch = "x86_64"), miri))]
    super::monotonic_ns()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_may_be_prefetched() {
        prefetch_write(std::ptr::null());
        prefetch_write([0u8; 64].as_ptr());
        demote(std::ptr::null());
        demote([0u8; 64].as_ptr());
    }

    #[test]
    fn ticks_go_on() {
        let before = ticks();
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert!(ticks() > before);
    }
}
