//! Parameter lists: how discovery data and inline QoS are put together.
//!
//! ```text
//! | id u16 | length u16 | value: length octets | id | length | value | ... | 0x0001 | any |
//! ```
//!
//! RTPS 2.5, 9.4.2.11. A length is a multiple of four and counts the padding behind the value;
//! alignment within a value counts from the beginning of that value.

use super::cdr::{CdrReader, CdrValue, CdrWriter, Encapsulation};
use super::{Endianness, ParameterId, RepresentationId, WireError};

/// The longest value of a parameter: the greatest multiple of four that a length field can say.
pub const MAX_PARAMETER_LENGTH: usize = 65_532;

/// One entry of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// What it is, with all its bits.
    pub id: ParameterId,
    /// Its value, with whatever padding stands behind it.
    pub value: &'a [u8],
    /// The byte order of the list.
    pub endianness: Endianness,
}

impl<'a> Parameter<'a> {
    /// A reader of the value.
    pub fn reader(&self) -> CdrReader<'a> {
        CdrReader::new(self.value, self.endianness)
    }

    /// The value. What stands behind it, padding or what a later version added, is ignored.
    ///
    /// # Errors
    ///
    /// If it is not one.
    pub fn read<T: CdrValue>(&self) -> Result<T, WireError> {
        T::read(&mut self.reader())
    }

    /// Puts the value where none was before.
    pub(super) fn read_once<T: CdrValue>(&self, place: &mut Option<T>) -> Result<(), WireError> {
        if place.is_some() {
            return Err(WireError::DuplicateParameter { id: self.id });
        }
        *place = Some(self.read()?);
        Ok(())
    }

    /// What to do with a parameter that is not known: nothing, if it need not be understood.
    ///
    /// # Errors
    ///
    /// [`WireError::MustUnderstand`].
    pub fn skip_unknown(&self) -> Result<(), WireError> {
        if self.id.must_understand() {
            return Err(WireError::MustUnderstand { id: self.id });
        }
        Ok(())
    }
}

/// A list that was checked from its beginning to its sentinel, and borrowed.
#[derive(Clone, Copy, Debug)]
pub struct ParameterList<'a> {
    /// The entries, without the sentinel. Each one is whole: `parse` made sure.
    entries: &'a [u8],
    endianness: Endianness,
}

impl<'a> ParameterList<'a> {
    /// Reads the list that `bytes` begin with; says how many octets it takes, sentinel included.
    ///
    /// # Errors
    ///
    /// If a length is no multiple of four or leads beyond `bytes`, the sentinel is missing, or there
    /// is an entry of the long form (PID_EXTENDED).
    pub fn parse(bytes: &'a [u8], endianness: Endianness) -> Result<(Self, usize), WireError> {
        let mut reader = CdrReader::new(bytes, endianness);
        loop {
            let start = reader.position();
            if reader.remaining().is_empty() {
                return Err(WireError::MissingSentinel);
            }
            let (id, length) = read_entry_header(&mut reader)?;
            if id.ends_list() {
                let entries = bytes.get(..start).unwrap_or(&[]);
                return Ok((Self { entries, endianness }, reader.position()));
            }
            // Its value would be as long as a field inside it says; no discovery data needs that.
            if id.known_as() == ParameterId::EXTENDED {
                return Err(WireError::InvalidValue { what: "parameter id", value: id.0.into() });
            }
            if !length.is_multiple_of(4) {
                return Err(WireError::UnalignedParameter { id, length });
            }
            reader.read_slice(length.into(), "parameter")?;
        }
    }

    /// Reads a payload that is a list: discovery data. What stands behind the sentinel is ignored.
    ///
    /// # Errors
    ///
    /// If it is not PL_CDR (of XCDR1), and as [`ParameterList::parse`].
    pub fn from_payload(payload: &'a [u8]) -> Result<Self, WireError> {
        let encapsulation = Encapsulation::parse(payload)?;
        let endianness = match encapsulation.representation {
            RepresentationId::PL_CDR_LE => Endianness::Little,
            RepresentationId::PL_CDR_BE => Endianness::Big,
            found => {
                return Err(WireError::UnexpectedRepresentation { found, expected: "PL_CDR" });
            }
        };
        Ok(Self::parse(encapsulation.body, endianness)?.0)
    }

    /// The byte order of the list.
    pub fn endianness(&self) -> Endianness {
        self.endianness
    }

    /// The parameters in their order, without padding (PID_PAD, PID_IGNORE).
    pub fn iter(&self) -> impl Iterator<Item = Parameter<'a>> + use<'a> {
        let endianness = self.endianness;
        let mut reader = CdrReader::new(self.entries, endianness);
        std::iter::from_fn(move || {
            let (id, length) = read_entry_header(&mut reader).ok()?;
            let value = reader.read_slice(length.into(), "parameter").ok()?;
            Some(Parameter { id, value, endianness })
        })
        .filter(|parameter| {
            !matches!(parameter.id.known_as(), ParameterId::PAD | ParameterId::IGNORE)
        })
    }

    /// The first parameter with this id.
    pub fn find(&self, id: ParameterId) -> Option<Parameter<'a>> {
        self.iter().find(|parameter| parameter.id == id)
    }
}

fn read_entry_header(reader: &mut CdrReader<'_>) -> Result<(ParameterId, u16), WireError> {
    Ok((ParameterId(reader.read_u16()?), reader.read_u16()?))
}

/// Puts a list together.
///
/// ```
/// use dds_shm::wire::{Endianness, ParameterId, ParameterListBuilder};
///
/// let mut list = ParameterListBuilder::new(Endianness::Little);
/// list.with(ParameterId::DOMAIN_ID, |value| {
///     value.write_u32(7);
///     Ok(())
/// })?;
/// assert_eq!(list.finish(), [0x0f, 0, 4, 0, 7, 0, 0, 0, 1, 0, 0, 0]);
/// # Ok::<(), dds_shm::wire::WireError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ParameterListBuilder {
    bytes: Vec<u8>,
    endianness: Endianness,
}

impl ParameterListBuilder {
    /// An empty list.
    pub fn new(endianness: Endianness) -> Self {
        Self { bytes: Vec::new(), endianness }
    }

    /// Appends a parameter whose value `write` writes; pads it.
    ///
    /// # Errors
    ///
    /// Those of `write`, and if the value is longer than [`MAX_PARAMETER_LENGTH`]. The list is then
    /// as before.
    pub fn with(
        &mut self,
        id: ParameterId,
        write: impl FnOnce(&mut CdrWriter) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let mut writer = CdrWriter::new(self.endianness);
        write(&mut writer)?;
        self.raw(id, writer.as_bytes())
    }

    /// Appends a parameter with this value; pads it.
    ///
    /// # Errors
    ///
    /// If it cannot be written, or is longer than [`MAX_PARAMETER_LENGTH`].
    pub fn value(&mut self, id: ParameterId, value: &impl CdrValue) -> Result<(), WireError> {
        self.with(id, |writer| value.write(writer))
    }

    /// Appends a parameter with these octets for a value; pads it.
    ///
    /// # Errors
    ///
    /// If the value is longer than [`MAX_PARAMETER_LENGTH`].
    pub fn raw(&mut self, id: ParameterId, value: &[u8]) -> Result<(), WireError> {
        let too_long = WireError::TooLong {
            what: "parameter",
            length: value.len(),
            limit: MAX_PARAMETER_LENGTH,
        };
        if value.len() > MAX_PARAMETER_LENGTH {
            return Err(too_long);
        }
        let length = value.len().next_multiple_of(4);
        let field = u16::try_from(length).map_err(|_| too_long)?;
        self.bytes.extend(self.endianness.u16_bytes(id.0));
        self.bytes.extend(self.endianness.u16_bytes(field));
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len() + length - value.len(), 0);
        Ok(())
    }

    /// The list with its sentinel: what stands inline in a DATA submessage.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend(self.endianness.u16_bytes(ParameterId::SENTINEL.0));
        self.bytes.extend([0, 0]);
        self.bytes
    }

    /// The list as a payload: with its encapsulation header and its sentinel.
    pub fn finish_payload(self) -> Vec<u8> {
        let representation = RepresentationId::pl_cdr(self.endianness);
        super::cdr::encapsulate(representation, &self.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Entries = Vec<(u16, Vec<u8>)>;

    fn parse(bytes: &[u8]) -> Result<(Entries, usize), WireError> {
        let (list, length) = ParameterList::parse(bytes, Endianness::Little)?;
        Ok((list.iter().map(|p| (p.id.0, p.value.to_vec())).collect(), length))
    }

    #[test]
    fn a_list_ends_at_its_sentinel_whatever_length_that_has() {
        let bytes = [5, 0, 4, 0, 1, 2, 3, 4, 1, 0, 0xff, 0xff, 9, 9];
        assert_eq!(parse(&bytes), Ok((vec![(5, vec![1, 2, 3, 4])], 12)));
        assert_eq!(parse(&[2, 0x3f, 0, 0]), Ok((vec![], 4)));
        assert_eq!(parse(&[2, 0x7f, 0, 0]), Ok((vec![], 4)));
    }

    #[test]
    fn padding_is_skipped() {
        let bytes = [0, 0, 4, 0, 9, 9, 9, 9, 3, 0x3f, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0];
        assert_eq!(parse(&bytes), Ok((vec![(5, vec![])], 20)));
    }

    #[test]
    fn a_list_that_is_not_whole_is_refused() {
        let bytes = [5, 0, 4, 0, 1, 2, 3, 4, 1, 0, 0, 0];
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length]).is_err(), "{length}");
        }
        assert_eq!(parse(&bytes[..8]), Err(WireError::MissingSentinel));
        assert_eq!(
            parse(&[5, 0, 3, 0, 1, 2, 3, 4, 1, 0, 0, 0]),
            Err(WireError::UnalignedParameter { id: ParameterId(5), length: 3 })
        );
    }

    #[test]
    fn a_value_that_no_length_can_say_is_refused() {
        let mut list = ParameterListBuilder::new(Endianness::Big);
        assert!(list.raw(ParameterId(5), &vec![0; MAX_PARAMETER_LENGTH + 1]).is_err());
        list.raw(ParameterId(5), &vec![0; MAX_PARAMETER_LENGTH]).unwrap();
        let bytes = list.finish();
        let (list, _) = ParameterList::parse(&bytes, Endianness::Big).unwrap();
        assert_eq!(list.find(ParameterId(5)).unwrap().value.len(), MAX_PARAMETER_LENGTH);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, little: bool) {
            if let Ok((list, length)) = ParameterList::parse(&bytes, Endianness::from_flag(little)) {
                prop_assert!(length <= bytes.len());
                list.iter().for_each(drop);
            }
        }

        #[test]
        fn what_is_built_is_parsed(
            little: bool,
            entries in prop::collection::vec((2u16..0x3f00, prop::collection::vec(0u8.., 0..9)), 0..6),
        ) {
            let endianness = Endianness::from_flag(little);
            let mut list = ParameterListBuilder::new(endianness);
            for (id, value) in &entries {
                list.raw(ParameterId(*id), value).unwrap();
            }
            let payload = list.finish_payload();
            let parsed = ParameterList::from_payload(&payload).unwrap();
            prop_assert_eq!(parsed.iter().count(), entries.len());
            for (parameter, (id, value)) in parsed.iter().zip(&entries) {
                prop_assert_eq!(parameter.id.0, *id);
                prop_assert!(parameter.value.starts_with(value));
            }
        }
    }
}
