//! Reading CDR.

use super::{XCDR1_MAX_ALIGNMENT, padding};
use crate::wire::{Endianness, WireError};

/// Reads CDR from a slice, front to back.
///
/// Alignment counts from the beginning of the slice. No method panics; lengths that come from the
/// wire are checked against what is left before anything is allocated. After an error the position
/// is unspecified.
///
/// ```
/// use dds_shm::wire::{Endianness, cdr::CdrReader};
///
/// let mut reader = CdrReader::new(&[7, 0, 0, 0, 3, 0, 0, 0, b'h', b'i', 0], Endianness::Little);
/// assert_eq!(reader.read_u8()?, 7);
/// assert_eq!(reader.read_string()?, "hi");
/// # Ok::<(), dds_shm::wire::WireError>(())
/// ```
#[derive(Clone, Debug)]
pub struct CdrReader<'a> {
    bytes: &'a [u8],
    /// Never beyond `bytes.len()`.
    position: usize,
    endianness: Endianness,
    max_alignment: usize,
}

impl<'a> CdrReader<'a> {
    /// Reads `bytes` from the beginning, with the alignment of XCDR1.
    pub fn new(bytes: &'a [u8], endianness: Endianness) -> Self {
        Self { bytes, position: 0, endianness, max_alignment: XCDR1_MAX_ALIGNMENT }
    }

    /// The same with another greatest alignment:
    /// [`XCDR2_MAX_ALIGNMENT`](super::XCDR2_MAX_ALIGNMENT) for XCDR2.
    #[must_use]
    pub fn with_max_alignment(self, max_alignment: usize) -> Self {
        Self { max_alignment, ..self }
    }

    /// The byte order in which numbers are read.
    pub fn endianness(&self) -> Endianness {
        self.endianness
    }

    /// Octets read so far, padding included.
    pub fn position(&self) -> usize {
        self.position
    }

    /// What has not been read yet.
    pub fn remaining(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or(&[])
    }

    /// Skips padding up to the next multiple of `alignment`, a power of two; more than the greatest
    /// alignment counts as that.
    pub fn align(&mut self, alignment: usize) -> Result<(), WireError> {
        let gap = padding(self.position, alignment.min(self.max_alignment));
        self.read_slice(gap, "padding").map(drop)
    }

    /// The next `length` octets, as they are. `what` is named in the error if they are not there.
    pub fn read_slice(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], WireError> {
        let remaining = self.remaining();
        let slice = remaining.get(..length).ok_or(WireError::Truncated {
            what,
            offset: self.position,
            needed: length,
            available: remaining.len(),
        })?;
        self.position += length;
        Ok(slice)
    }

    /// The next `N` octets, as they are.
    pub fn read_array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let mut array = [0; N];
        array.copy_from_slice(self.read_slice(N, "array of octets")?);
        Ok(array)
    }

    fn read_aligned<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], WireError> {
        self.align(N)?;
        let mut array = [0; N];
        array.copy_from_slice(self.read_slice(N, what)?);
        Ok(array)
    }

    /// An octet.
    pub fn read_u8(&mut self) -> Result<u8, WireError> {
        self.read_aligned::<1>("u8").map(|[octet]| octet)
    }

    /// A boolean: 0 or 1.
    pub fn read_bool(&mut self) -> Result<bool, WireError> {
        match self.read_u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(WireError::InvalidValue { what: "boolean", value: other.into() }),
        }
    }

    /// A 16-bit number.
    pub fn read_u16(&mut self) -> Result<u16, WireError> {
        self.read_aligned("u16").map(|bytes| self.endianness.u16(bytes))
    }

    /// A signed 16-bit number.
    pub fn read_i16(&mut self) -> Result<i16, WireError> {
        self.read_u16().map(|value| value as i16)
    }

    /// A 32-bit number.
    pub fn read_u32(&mut self) -> Result<u32, WireError> {
        self.read_aligned("u32").map(|bytes| self.endianness.u32(bytes))
    }

    /// A signed 32-bit number.
    pub fn read_i32(&mut self) -> Result<i32, WireError> {
        self.read_u32().map(|value| value as i32)
    }

    /// A 64-bit number.
    pub fn read_u64(&mut self) -> Result<u64, WireError> {
        self.read_aligned("u64").map(|bytes| self.endianness.u64(bytes))
    }

    /// A signed 64-bit number.
    pub fn read_i64(&mut self) -> Result<i64, WireError> {
        self.read_u64().map(|value| value as i64)
    }

    /// A string: its length with the NUL, its characters in UTF-8, the NUL.
    ///
    /// A length of 0, which some send for the empty string, is the empty string.
    pub fn read_string(&mut self) -> Result<&'a str, WireError> {
        self.align(4)?;
        let offset = self.position;
        let error = |reason| WireError::InvalidString { offset, reason };
        let length = self.read_u32()? as usize;
        if length == 0 {
            return Ok("");
        }
        match self.read_slice(length, "string")? {
            [characters @ .., 0] if characters.contains(&0) => Err(error("has a NUL inside")),
            [characters @ .., 0] => {
                std::str::from_utf8(characters).map_err(|_| error("is not UTF-8"))
            }
            _ => Err(error("has no NUL at its end")),
        }
    }

    /// The length of a sequence whose elements take at least `smallest_element` octets each;
    /// refused if so many cannot be there. A caller may allocate for that many elements.
    pub fn read_sequence_length(&mut self, smallest_element: usize) -> Result<usize, WireError> {
        let length = self.read_u32()? as usize;
        let needed = length.saturating_mul(smallest_element.max(1));
        let available = self.remaining().len();
        if needed > available {
            return Err(WireError::Truncated {
                what: "sequence",
                offset: self.position,
                needed,
                available,
            });
        }
        Ok(length)
    }

    /// A sequence of octets.
    pub fn read_octet_sequence(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.read_sequence_length(1)?;
        self.read_slice(length, "sequence of octets")
    }

    /// A sequence of strings.
    pub fn read_string_sequence(&mut self) -> Result<Vec<String>, WireError> {
        let length = self.read_sequence_length(4)?;
        // Not `with_capacity`: a String is six times as large as the four octets that announce it.
        let mut strings = Vec::new();
        for _ in 0..length {
            strings.push(self.read_string()?.to_owned());
        }
        Ok(strings)
    }
}
