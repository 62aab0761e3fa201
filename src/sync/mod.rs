//! Shared words: the abstraction that lets one protocol run on mapped memory, on the heap, in the
//! exhaustive model and under loom.
//!
//! Protocol code never names an atomic type. It asks a [`Words`] for a word by name and says which
//! ordering it needs; whoever implements [`Words`] decides where the word lives.
#![forbid(unsafe_code)]

pub mod turn;

pub use std::sync::atomic::Ordering;

/// A set of shared words named by `W`.
///
/// Every word is handled as a `u64`; a word that is a `u32` in memory (a futex word, a directory
/// entry) is extended when loaded and truncated when stored. All operations are atomic; none
/// blocks, none allocates.
pub trait Words<W: Copy> {
    /// Loads a word.
    fn load(&self, word: W, order: Ordering) -> u64;
    /// Stores a word.
    fn store(&self, word: W, value: u64, order: Ordering);
    /// Replaces a word and returns what was there.
    fn swap(&self, word: W, value: u64, order: Ordering) -> u64;
    /// Adds to a word (wrapping at its width) and returns what was there.
    fn fetch_add(&self, word: W, value: u64, order: Ordering) -> u64;
    /// Sets bits of a word and returns what was there.
    fn fetch_or(&self, word: W, bits: u64, order: Ordering) -> u64;
    /// Keeps only `bits` of a word and returns what was there.
    fn fetch_and(&self, word: W, bits: u64, order: Ordering) -> u64;
    /// Stores `new` if the word is `current` (AcqRel); returns what was there, as `Err` if it was
    /// something else.
    fn compare_exchange(&self, word: W, current: u64, new: u64) -> Result<u64, u64>;
    /// A memory fence.
    fn fence(&self, order: Ordering);
    /// A hint that what lies behind `word` will be read soon. Changes nothing.
    #[inline(always)]
    fn expect_read(&self, _word: W) {}
}
