//! What is sent, and how it is read.

use std::hint::black_box;

/// Samples that take turns where they are short, so that the next number is written well before the sample
/// is copied: a short copy right behind the store would wait for it, in every transport alike.
const TURNS: u64 = 4;
/// Longer ones would not fit the cache.
const SHORT: u32 = 4096;

/// Where samples begin in their page. A copy to right behind this place in another page is several times
/// slower (the processor takes stores and loads there for overlapping); payload begins near the start of
/// a page in all transports.
const IN_PAGE: usize = PAGE / 2;
const PAGE: usize = 4096;

/// Numbered samples of one size.
#[derive(Debug)]
pub(crate) struct Samples {
    samples: Vec<Sample>,
    next: u64,
}

#[derive(Debug)]
struct Sample {
    memory: Vec<u8>,
    start: usize,
    size: usize,
}

impl Sample {
    fn new(size: u32) -> Self {
        let size = size as usize;
        let mut memory: Vec<u8> = (0..size + 2 * PAGE).map(|at| at as u8).collect();
        let start = (PAGE - memory.as_mut_ptr().addr() % PAGE) + IN_PAGE;
        Self { memory, start, size }
    }
}

impl Samples {
    /// Numbers start at 1.
    pub(crate) fn new(size: u32) -> Self {
        let turns = if size > SHORT { 1 } else { TURNS };
        let mut samples =
            Self { samples: (0..turns).map(|_| Sample::new(size)).collect(), next: 1 };
        (1..=turns).for_each(|number| samples.prepare(number));
        samples
    }

    #[inline(always)]
    fn index(&self, number: u64) -> usize {
        number as usize % self.samples.len()
    }

    #[inline(always)]
    fn prepare(&mut self, number: u64) {
        let index = self.index(number);
        let Sample { memory, start, size } = &mut self.samples[index];
        if let Some(place) = memory[*start..][..*size].first_chunk_mut::<8>() {
            *place = number.to_le_bytes();
        }
    }

    /// Passes on to the next sample.
    #[inline(always)]
    pub(crate) fn advance(&mut self) {
        self.next += 1;
        self.prepare(self.next + self.samples.len() as u64 - 1);
    }

    /// The sample that is next.
    #[inline(always)]
    pub(crate) fn current(&self) -> &[u8] {
        let Sample { memory, start, size } = &self.samples[self.index(self.next)];
        black_box(&memory[*start..][..*size])
    }
}

/// Reads a sample: all octets of it, or none. The number it starts with, if it has one.
#[inline(always)]
pub(crate) fn read(bytes: &[u8], touched: bool) -> u64 {
    if !touched {
        black_box(bytes.as_ptr());
        return 0;
    }
    black_box(fold(bytes));
    bytes.first_chunk().map_or(0, |start| u64::from_le_bytes(*start))
}

/// Adds up all octets, eight at a time.
#[inline(always)]
pub(crate) fn fold(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(0u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, octet| sum.wrapping_add(u64::from(*octet)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_numbered_from_one_and_begin_where_they_should() {
        for size in [8, 64, SHORT, SHORT + 1] {
            let mut samples = Samples::new(size);
            for number in 1..100 {
                assert_eq!(read(samples.current(), true), number);
                assert_eq!(samples.current().len(), size as usize);
                assert_eq!(samples.current().as_ptr().addr() % PAGE, IN_PAGE);
                samples.advance();
            }
        }
    }

    #[test]
    fn samples_of_less_than_a_number_have_none() {
        let mut samples = Samples::new(4);
        samples.advance();
        assert_eq!(read(samples.current(), true), 0);
    }

    #[test]
    fn every_octet_counts() {
        let mut bytes = [0; 67];
        for at in 0..bytes.len() {
            bytes[at] = 1;
            assert_ne!(fold(&bytes), 0, "{at}");
            bytes[at] = 0;
        }
    }
}
