//! Nanoseconds and the 2⁻³² s of RTPS.
//!
//! Rounding down on the way out and up on the way in gives every nanosecond back: a unit of 2⁻³² s
//! is shorter than a quarter of a nanosecond.

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Units of 2⁻³² s in `nanos`, rounded down; `nanos` of a second or more is cut to under a second.
pub(super) fn from_nanos(nanos: u32) -> u32 {
    let nanos = u64::from(nanos).min(NANOS_PER_SECOND - 1);
    ((nanos << 32) / NANOS_PER_SECOND) as u32
}

/// Nanoseconds in `fraction`, rounded up: up to and including a whole second.
pub(super) fn to_nanos(fraction: u32) -> u64 {
    (u64::from(fraction) * NANOS_PER_SECOND).div_ceil(1 << 32)
}
