//! Sets of sequence numbers that lie close together.

use super::cdr::{CdrReader, CdrValue, CdrWriter};
use super::{SequenceNumber, WireError};

/// The most numbers that a set can span.
pub const SEQUENCE_NUMBER_SET_BITS: u32 = 256;

/// Some of the 256 sequence numbers from a base on: those that a reader misses (ACKNACK), or that
/// no longer exist (GAP).
///
/// The base means something even if the set is empty: in an ACKNACK everything before it has
/// arrived. RTPS 2.5, 8.3.5.5 and 9.4.2.6: the first bit is the most significant of the first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SequenceNumberSet {
    base: SequenceNumber,
    /// No more than [`SEQUENCE_NUMBER_SET_BITS`].
    num_bits: u32,
    /// Bits from `num_bits` on are 0.
    words: [u32; 8],
}

impl SequenceNumberSet {
    /// The empty set with this base.
    pub fn empty(base: SequenceNumber) -> Self {
        Self { base, num_bits: 0, words: [0; 8] }
    }

    /// The set with this base of those of `numbers` that fit in: between the base and 255 after it.
    pub fn with(base: SequenceNumber, numbers: impl IntoIterator<Item = SequenceNumber>) -> Self {
        let mut set = Self::empty(base);
        for number in numbers {
            set.insert(number);
        }
        set
    }

    /// The lowest number that can be in the set.
    pub fn base(&self) -> SequenceNumber {
        self.base
    }

    /// How many numbers from the base on the set says something about.
    pub fn num_bits(&self) -> u32 {
        self.num_bits
    }

    /// Whether no number is in the set.
    pub fn is_empty(&self) -> bool {
        self.words == [0; 8]
    }

    /// Adds a number; `false` if it does not fit in.
    pub fn insert(&mut self, number: SequenceNumber) -> bool {
        let Some(index) = self.index(number) else { return false };
        if let Some(word) = self.words.get_mut(index as usize / 32) {
            *word |= 1 << (31 - index % 32);
        }
        self.num_bits = self.num_bits.max(index + 1);
        true
    }

    /// Whether the number is in the set.
    pub fn contains(&self, number: SequenceNumber) -> bool {
        self.index(number).is_some_and(|index| self.bit(index))
    }

    /// The numbers of the set, from the lowest on.
    pub fn iter(&self) -> impl Iterator<Item = SequenceNumber> + '_ {
        (0..self.num_bits)
            .filter(|&index| self.bit(index))
            .filter_map(|index| self.base.0.checked_add(index.into()).map(SequenceNumber))
    }

    fn index(&self, number: SequenceNumber) -> Option<u32> {
        let distance = u32::try_from(number.0.checked_sub(self.base.0)?).ok()?;
        (distance < SEQUENCE_NUMBER_SET_BITS).then_some(distance)
    }

    fn bit(&self, index: u32) -> bool {
        self.words.get(index as usize / 32).is_some_and(|word| word >> (31 - index % 32) & 1 == 1)
    }

    fn words_in_use(num_bits: u32) -> usize {
        num_bits.div_ceil(32) as usize
    }
}

impl CdrValue for SequenceNumberSet {
    /// A base of 0 is read, though the specification begins at 1: some send it before they have
    /// heard anything.
    fn read(reader: &mut CdrReader<'_>) -> Result<Self, WireError> {
        let base = SequenceNumber::read(reader)?;
        let num_bits = reader.read_u32()?;
        if base < SequenceNumber::ZERO {
            return Err(WireError::InvalidValue {
                what: "base of a sequence number set",
                value: base.0,
            });
        }
        if num_bits > SEQUENCE_NUMBER_SET_BITS {
            return Err(WireError::InvalidValue {
                what: "length of a sequence number set",
                value: num_bits.into(),
            });
        }
        let mut words = [0; 8];
        for (index, word) in words.iter_mut().take(Self::words_in_use(num_bits)).enumerate() {
            let bits = num_bits - 32 * index as u32;
            let unused = 32u32.saturating_sub(bits);
            *word = reader.read_u32()? & (u32::MAX << unused);
        }
        Ok(Self { base, num_bits, words })
    }

    fn write(&self, writer: &mut CdrWriter) -> Result<(), WireError> {
        self.base.write(writer)?;
        writer.write_u32(self.num_bits);
        for word in self.words.iter().take(Self::words_in_use(self.num_bits)) {
            writer.write_u32(*word);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Endianness;
    use proptest::prelude::*;

    #[test]
    fn the_first_number_is_the_top_bit() {
        let numbers = [10, 12, 42].map(SequenceNumber);
        let set = SequenceNumberSet::with(SequenceNumber(10), numbers);
        let mut writer = CdrWriter::new(Endianness::Big);
        set.write(&mut writer).unwrap();
        assert_eq!(
            writer.as_bytes(),
            [0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 33, 0xa0, 0, 0, 0, 0x80, 0, 0, 0]
        );
    }

    #[test]
    fn what_is_too_far_away_does_not_fit_in() {
        let mut set = SequenceNumberSet::empty(SequenceNumber(5));
        assert!(!set.insert(SequenceNumber(4)));
        assert!(!set.insert(SequenceNumber(261)));
        assert!(!set.insert(SequenceNumber(i64::MIN)));
        assert!(set.is_empty());
        assert!(set.insert(SequenceNumber(260)));
        assert_eq!(set.num_bits(), 256);
    }

    #[test]
    fn a_set_that_cannot_be_is_refused_and_one_at_the_end_is_harmless() {
        let read =
            |bytes: &[u8]| SequenceNumberSet::read(&mut CdrReader::new(bytes, Endianness::Big));
        assert!(read(&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1]).is_err());
        assert!(read(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
        let mut end = vec![0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 32];
        end.extend([0xff; 4]);
        assert_eq!(read(&end).unwrap().iter().count(), 1);
    }

    proptest! {
        #[test]
        fn a_set_reads_back_what_it_writes(
            base in 0..i64::MAX, offsets in prop::collection::btree_set(0..256i64, 0..40), little: bool,
        ) {
            let base = SequenceNumber(base.min(i64::MAX - 256));
            let numbers: Vec<_> = offsets.iter().map(|o| SequenceNumber(base.0 + o)).collect();
            let set = SequenceNumberSet::with(base, numbers.iter().copied());
            let endianness = Endianness::from_flag(little);
            let mut writer = CdrWriter::new(endianness);
            set.write(&mut writer).unwrap();
            let read = SequenceNumberSet::read(&mut CdrReader::new(writer.as_bytes(), endianness));
            prop_assert_eq!(read, Ok(set));
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), numbers);
        }
    }
}
