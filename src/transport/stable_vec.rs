//! A list that grows and never moves what is in it.
//!
//! So that an element can be borrowed while another one is added, through a shared reference:
//!
//! ```text
//! chunk 0: 8 elements   chunk 1: 16   chunk 2: 32   …          made when they are needed
//! ```

use std::cell::{Cell, OnceCell};

const FIRST: usize = 8;
/// More elements than a process has file descriptors.
const CHUNKS: usize = 24;

/// A list of default values that grows and never moves what is in it; not shared between threads.
#[derive(Debug)]
pub(crate) struct StableVec<T> {
    chunks: [OnceCell<Box<[T]>>; CHUNKS],
    len: Cell<usize>,
}

impl<T: Default> StableVec<T> {
    pub(crate) fn new() -> Self {
        Self { chunks: [const { OnceCell::new() }; CHUNKS], len: Cell::new(0) }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        if index >= self.len.get() {
            return None;
        }
        let (chunk, offset) = place(index);
        self.chunks.get(chunk)?.get()?.get(offset)
    }

    /// A new element at the end; `None` if there are far too many.
    pub(crate) fn push_default(&self) -> Option<&T> {
        let index = self.len.get();
        let (chunk, offset) = place(index);
        let elements = self
            .chunks
            .get(chunk)?
            .get_or_init(|| (0..FIRST << chunk).map(|_| T::default()).collect());
        self.len.set(index + 1);
        elements.get(offset)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

#[inline]
fn place(index: usize) -> (usize, usize) {
    let number = index + FIRST;
    let chunk = (number.ilog2() - FIRST.ilog2()) as usize;
    (chunk, number - (FIRST << chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_stay_where_they_are() {
        let list = StableVec::<Cell<usize>>::new();
        let first = list.push_default().unwrap();
        for number in 1..1000 {
            list.push_default().unwrap().set(number);
        }
        assert!(std::ptr::eq(first, list.get(0).unwrap()));
        assert!(list.iter().map(Cell::get).eq(0..1000));
        assert!(list.get(1000).is_none());
    }
}
