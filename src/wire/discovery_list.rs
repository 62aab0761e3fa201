//! What the lists of participants and of endpoints have in common.

use std::collections::BTreeSet;

use super::cdr::{CdrReader, CdrValue, CdrWriter};
use super::{
    Endianness, Guid, Locator, Parameter, ParameterId, ParameterList, ParameterListBuilder,
    WireError,
};

/// Names and values of PID_PROPERTY_LIST. RTPS 2.5, 9.6.3.2; DDS-Security appends binary
/// properties, which are skipped.
pub(super) struct Properties(pub(super) Vec<(String, String)>);

impl CdrValue for Properties {
    fn read(reader: &mut CdrReader<'_>) -> Result<Self, WireError> {
        let length = reader.read_sequence_length(8)?;
        let mut properties = Vec::new();
        for _ in 0..length {
            properties.push((String::read(reader)?, String::read(reader)?));
        }
        Ok(Self(properties))
    }

    fn write(&self, writer: &mut CdrWriter) -> Result<(), WireError> {
        write_properties(&self.0, writer)
    }
}

fn write_properties(
    properties: &[(String, String)],
    writer: &mut CdrWriter,
) -> Result<(), WireError> {
    writer.write_length(properties.len(), "PROPERTY_LIST")?;
    properties.iter().try_for_each(|(name, value)| {
        writer.write_string(name)?;
        writer.write_string(value)
    })
}

/// The parameters of a list that have been read, to find those that come twice.
#[derive(Default)]
pub(super) struct Seen(BTreeSet<ParameterId>);

impl Seen {
    /// The value of a parameter that may come once only.
    pub(super) fn once<T: CdrValue>(&mut self, parameter: &Parameter<'_>) -> Result<T, WireError> {
        self.mark(parameter)?;
        parameter.read()
    }

    /// The octets of a parameter that may come once only and is a sequence of octets.
    pub(super) fn octets_once(&mut self, parameter: &Parameter<'_>) -> Result<Vec<u8>, WireError> {
        self.mark(parameter)?;
        Ok(parameter.reader().read_octet_sequence()?.to_vec())
    }

    /// The whole value, as it is, of a parameter that may come once only.
    pub(super) fn raw_once(&mut self, parameter: &Parameter<'_>) -> Result<Vec<u8>, WireError> {
        self.mark(parameter)?;
        Ok(parameter.value.to_vec())
    }

    fn mark(&mut self, parameter: &Parameter<'_>) -> Result<(), WireError> {
        if self.0.insert(parameter.id.known_as()) {
            Ok(())
        } else {
            Err(WireError::DuplicateParameter { id: parameter.id })
        }
    }
}

/// What to do with a parameter that is not known here: keep it if it is a vendor's, skip it
/// otherwise.
///
/// # Errors
///
/// [`WireError::MustUnderstand`].
pub(super) fn keep_vendor_parameter(
    parameter: &Parameter<'_>,
    kept: &mut Vec<(ParameterId, Vec<u8>)>,
) -> Result<(), WireError> {
    parameter.skip_unknown()?;
    if parameter.id.is_vendor_specific() {
        kept.push((parameter.id, parameter.value.to_vec()));
    }
    Ok(())
}

/// A payload that is nothing but a key. RTPS 2.5, 9.4.2.11.2.
pub(super) fn key_payload(
    id: ParameterId,
    guid: Guid,
    endianness: Endianness,
) -> Result<Vec<u8>, WireError> {
    let mut list = ParameterListBuilder::new(endianness);
    list.value(id, &guid)?;
    Ok(list.finish_payload())
}

/// The key in a payload that is one; other parameters are of no interest.
pub(super) fn key_from_payload(id: ParameterId, payload: &[u8]) -> Result<Guid, WireError> {
    ParameterList::from_payload(payload)?
        .iter()
        .find(|parameter| parameter.id.known_as() == id)
        .ok_or(WireError::MissingParameter { id })?
        .read()
}

impl ParameterListBuilder {
    /// Appends the parameter unless its value is what its absence stands for.
    pub(super) fn unless_default<T: CdrValue + PartialEq>(
        &mut self,
        id: ParameterId,
        value: &T,
        default: &T,
    ) -> Result<(), WireError> {
        if value == default { Ok(()) } else { self.value(id, value) }
    }

    /// One parameter for each locator.
    pub(super) fn locators(
        &mut self,
        id: ParameterId,
        locators: &[Locator],
    ) -> Result<(), WireError> {
        locators.iter().try_for_each(|locator| self.value(id, locator))
    }

    /// Appends a sequence of octets, unless it is empty.
    pub(super) fn octets(&mut self, id: ParameterId, octets: &[u8]) -> Result<(), WireError> {
        if octets.is_empty() {
            return Ok(());
        }
        self.with(id, |writer| writer.write_octet_sequence(octets))
    }

    /// Appends a string, unless it is empty.
    pub(super) fn string(&mut self, id: ParameterId, text: &str) -> Result<(), WireError> {
        if text.is_empty() {
            return Ok(());
        }
        self.with(id, |writer| writer.write_string(text))
    }

    /// Appends PID_PROPERTY_LIST, unless there are none.
    pub(super) fn properties(&mut self, properties: &[(String, String)]) -> Result<(), WireError> {
        if properties.is_empty() {
            return Ok(());
        }
        self.with(ParameterId::PROPERTY_LIST, |writer| write_properties(properties, writer))
    }

    /// Appends the parameters of vendors, as they are.
    pub(super) fn vendor_parameters(
        &mut self,
        parameters: &[(ParameterId, Vec<u8>)],
    ) -> Result<(), WireError> {
        parameters.iter().try_for_each(|(id, value)| {
            if id.is_vendor_specific() {
                self.raw(*id, value)
            } else {
                Err(WireError::InvalidValue { what: "vendor parameter", value: id.0.into() })
            }
        })
    }
}
