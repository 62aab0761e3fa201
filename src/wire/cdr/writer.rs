//! Writing CDR.

use super::{XCDR1_MAX_ALIGNMENT, padding};
use crate::wire::{Endianness, WireError};

/// Writes CDR into a growing buffer.
///
/// Alignment counts from where the writer began; padding is zero.
///
/// ```
/// use dds_shm::wire::{Endianness, cdr::CdrWriter};
///
/// let mut writer = CdrWriter::new(Endianness::Big);
/// writer.write_u8(7);
/// writer.write_string("hi")?;
/// assert_eq!(writer.into_bytes(), [7, 0, 0, 0, 0, 0, 0, 3, b'h', b'i', 0]);
/// # Ok::<(), dds_shm::wire::WireError>(())
/// ```
#[derive(Clone, Debug)]
pub struct CdrWriter {
    bytes: Vec<u8>,
    endianness: Endianness,
    max_alignment: usize,
}

impl CdrWriter {
    /// Begins an empty buffer, with the alignment of XCDR1.
    pub fn new(endianness: Endianness) -> Self {
        Self { bytes: Vec::new(), endianness, max_alignment: XCDR1_MAX_ALIGNMENT }
    }

    /// The same with another greatest alignment:
    /// [`XCDR2_MAX_ALIGNMENT`](super::XCDR2_MAX_ALIGNMENT) for XCDR2.
    #[must_use]
    pub fn with_max_alignment(self, max_alignment: usize) -> Self {
        Self { max_alignment, ..self }
    }

    /// The byte order in which numbers are written.
    pub fn endianness(&self) -> Endianness {
        self.endianness
    }

    /// What has been written so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What has been written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes padding up to the next multiple of `alignment`, a power of two; more than the
    /// greatest alignment counts as that.
    pub fn align(&mut self, alignment: usize) {
        let gap = padding(self.bytes.len(), alignment.min(self.max_alignment));
        self.bytes.resize(self.bytes.len() + gap, 0);
    }

    /// Octets as they are.
    pub fn write_slice(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// An octet.
    pub fn write_u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// A boolean.
    pub fn write_bool(&mut self, value: bool) {
        self.write_u8(value.into());
    }

    /// A 16-bit number.
    pub fn write_u16(&mut self, value: u16) {
        self.align(2);
        self.write_slice(&self.endianness.u16_bytes(value));
    }

    /// A signed 16-bit number.
    pub fn write_i16(&mut self, value: i16) {
        self.write_u16(value as u16);
    }

    /// A 32-bit number.
    pub fn write_u32(&mut self, value: u32) {
        self.align(4);
        self.write_slice(&self.endianness.u32_bytes(value));
    }

    /// A signed 32-bit number.
    pub fn write_i32(&mut self, value: i32) {
        self.write_u32(value as u32);
    }

    /// A 64-bit number.
    pub fn write_u64(&mut self, value: u64) {
        self.align(8);
        self.write_slice(&self.endianness.u64_bytes(value));
    }

    /// A signed 64-bit number.
    pub fn write_i64(&mut self, value: i64) {
        self.write_u64(value as u64);
    }

    /// A string: its length with the NUL, its characters in UTF-8, the NUL.
    ///
    /// # Errors
    ///
    /// If it has a NUL inside (peers would read only what is before it) or is longer than a length
    /// field can say.
    pub fn write_string(&mut self, value: &str) -> Result<(), WireError> {
        if value.as_bytes().contains(&0) {
            return Err(WireError::InvalidString { offset: 0, reason: "has a NUL inside" });
        }
        self.write_length(value.len() + 1, "string")?;
        self.write_slice(value.as_bytes());
        self.write_u8(0);
        Ok(())
    }

    /// The length of a sequence; its elements follow.
    pub fn write_length(&mut self, length: usize, what: &'static str) -> Result<(), WireError> {
        let field = u32::try_from(length).map_err(|_| WireError::TooLong {
            what,
            length,
            limit: u32::MAX as usize,
        })?;
        self.write_u32(field);
        Ok(())
    }

    /// A sequence of octets.
    pub fn write_octet_sequence(&mut self, octets: &[u8]) -> Result<(), WireError> {
        self.write_length(octets.len(), "sequence of octets")?;
        self.write_slice(octets);
        Ok(())
    }

    /// A sequence of strings.
    pub fn write_string_sequence(&mut self, strings: &[String]) -> Result<(), WireError> {
        self.write_length(strings.len(), "sequence of strings")?;
        strings.iter().try_for_each(|string| self.write_string(string))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CdrReader, XCDR2_MAX_ALIGNMENT};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn eight_octets_align_to_four_in_xcdr2() {
        let write = |writer: CdrWriter| {
            let mut writer = writer;
            writer.write_u32(1);
            writer.write_u64(2);
            writer.into_bytes().len()
        };
        assert_eq!(write(CdrWriter::new(Endianness::Little)), 16);
        assert_eq!(
            write(CdrWriter::new(Endianness::Little).with_max_alignment(XCDR2_MAX_ALIGNMENT)),
            12
        );
    }

    #[test]
    fn strings_that_cannot_be_are_refused() {
        let mut writer = CdrWriter::new(Endianness::Little);
        assert!(writer.write_string("a\0b").is_err());
        let read = |bytes: &[u8]| {
            CdrReader::new(bytes, Endianness::Little).read_string().map(str::to_owned)
        };
        assert_eq!(read(&[0, 0, 0, 0]), Ok(String::new()));
        assert_eq!(read(&[1, 0, 0, 0, 0]), Ok(String::new()));
        for bad in [
            &[2, 0, 0, 0, b'a', b'b'][..],
            &[3, 0, 0, 0, b'a', 0, 0],
            &[2, 0, 0, 0, 0xff, 0],
            &[2, 0, 0, 0, b'a'],
            &[255, 255, 255, 255, 0],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_sequence_cannot_claim_more_than_is_there() {
        let mut bytes = vec![0xff; 4];
        bytes.extend([0; 16]);
        let reader = CdrReader::new(&bytes, Endianness::Little);
        assert!(reader.clone().read_octet_sequence().is_err());
        assert!(reader.clone().read_string_sequence().is_err());
        assert!(reader.clone().read_sequence_length(usize::MAX).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            little: bool, a: u8, b: i16, c: i32, d: i64, e: bool,
            text in "[^\0]{0,20}", octets: Vec<u8>, texts in prop::collection::vec("[^\0]{0,9}", 0..5),
        ) {
            let endianness = Endianness::from_flag(little);
            let mut writer = CdrWriter::new(endianness);
            writer.write_u8(a);
            writer.write_i16(b);
            writer.write_bool(e);
            writer.write_i32(c);
            writer.write_u8(a);
            writer.write_i64(d);
            writer.write_string(&text).unwrap();
            writer.write_octet_sequence(&octets).unwrap();
            writer.write_string_sequence(&texts).unwrap();
            let bytes = writer.into_bytes();
            let mut reader = CdrReader::new(&bytes, endianness);
            prop_assert_eq!(reader.read_u8(), Ok(a));
            prop_assert_eq!(reader.read_i16(), Ok(b));
            prop_assert_eq!(reader.read_bool(), Ok(e));
            prop_assert_eq!(reader.read_i32(), Ok(c));
            prop_assert_eq!(reader.read_u8(), Ok(a));
            prop_assert_eq!(reader.read_i64(), Ok(d));
            prop_assert_eq!(reader.read_string(), Ok(&*text));
            prop_assert_eq!(reader.read_octet_sequence(), Ok(&*octets));
            prop_assert_eq!(reader.read_string_sequence(), Ok(texts));
            prop_assert!(reader.remaining().is_empty());
        }
    }
}
