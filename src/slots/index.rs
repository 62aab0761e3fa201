//! The small numbers of a segment: which reader, which slot, which sets of readers.

use std::fmt;

/// The most readers a segment can have: one bit each in a hold word.
pub const MAX_READERS: usize = 64;

/// A reader's place in the reader table of one segment, and its bit in every hold word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReaderIndex(u8);

impl ReaderIndex {
    /// The index, if it is below [`MAX_READERS`].
    #[must_use]
    pub const fn new(index: usize) -> Option<Self> {
        if index < MAX_READERS { Some(Self(index as u8)) } else { None }
    }

    /// As a number below [`MAX_READERS`].
    #[must_use]
    pub const fn get(self) -> usize {
        self.0 as usize
    }

    /// This reader's bit in a hold word.
    #[must_use]
    pub const fn bit(self) -> u64 {
        1 << self.0
    }
}

impl fmt::Display for ReaderIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A slot's place in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotIndex(pub(crate) u32);

impl SlotIndex {
    /// As a number.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0 as usize
    }

    /// The next slot in ring order.
    #[must_use]
    pub(crate) const fn next(self, slots: u32) -> Self {
        let next = self.0 + 1;
        Self(if next == slots { 0 } else { next })
    }
}

impl fmt::Display for SlotIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A set of readers of one segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReaderSet(u64);

impl ReaderSet {
    /// No reader.
    pub const EMPTY: Self = Self(0);
    /// Every reader there can be.
    pub const ALL: Self = Self(u64::MAX);

    /// The set whose members are the set bits of `bits`.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// One bit per member.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether nobody is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many are in it.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether `reader` is in it.
    #[must_use]
    pub const fn contains(self, reader: ReaderIndex) -> bool {
        self.0 & reader.bit() != 0
    }

    /// Adds a reader.
    pub const fn insert(&mut self, reader: ReaderIndex) {
        self.0 |= reader.bit();
    }

    /// Removes a reader.
    pub const fn remove(&mut self, reader: ReaderIndex) {
        self.0 &= !reader.bit();
    }

    /// The members of both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The members of this set that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The members, in ascending order.
    pub fn iter(self) -> impl Iterator<Item = ReaderIndex> {
        let mut bits = self.0;
        std::iter::from_fn(move || {
            let index = ReaderIndex::new(bits.trailing_zeros() as usize)?;
            bits &= bits - 1;
            Some(index)
        })
    }
}

impl FromIterator<ReaderIndex> for ReaderSet {
    fn from_iter<I: IntoIterator<Item = ReaderIndex>>(readers: I) -> Self {
        let mut set = Self::EMPTY;
        for reader in readers {
            set.insert(reader);
        }
        set
    }
}
