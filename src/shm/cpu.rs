//! Hints to the processor.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_may_be_prefetched() {
        prefetch_write(std::ptr::null());
        prefetch_write([0u8; 64].as_ptr());
    }
}
