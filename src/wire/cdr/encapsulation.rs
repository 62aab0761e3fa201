//! The four octets in front of a serialised payload.

use super::{CdrReader, padding};
use crate::wire::{Endianness, RepresentationId, WireError};

/// A serialised payload: how it is encoded, and what is encoded.
///
/// RTPS 2.5, 10.5; XTypes 1.3, 7.6.3.1.2: the two low bits of the options say how many octets of
/// padding stand at the end. They are not removed here: nothing in a parameter list or in CDR needs
/// them gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encapsulation<'a> {
    /// How the body is encoded.
    pub representation: RepresentationId,
    /// Two octets of options, in the order of the wire.
    pub options: [u8; 2],
    /// What stands behind the four octets.
    pub body: &'a [u8],
}

impl<'a> Encapsulation<'a> {
    /// Splits a payload.
    pub fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let [a, b, c, d, body @ ..] = payload else {
            return Err(WireError::Truncated {
                what: "encapsulation header",
                offset: 0,
                needed: 4,
                available: payload.len(),
            });
        };
        let representation = RepresentationId(Endianness::Big.u16([*a, *b]));
        Ok(Self { representation, options: [*c, *d], body })
    }

    /// A reader of a body in plain CDR (XCDR1).
    ///
    /// # Errors
    ///
    /// If it is anything else.
    pub fn plain_cdr(self) -> Result<CdrReader<'a>, WireError> {
        let endianness = match self.representation {
            RepresentationId::CDR_LE => Endianness::Little,
            RepresentationId::CDR_BE => Endianness::Big,
            found => {
                return Err(WireError::UnexpectedRepresentation { found, expected: "CDR" });
            }
        };
        Ok(CdrReader::new(self.body, endianness))
    }
}

/// A payload with this body: header, body, and padding to a multiple of four, which the header
/// tells.
pub fn encapsulate(representation: RepresentationId, body: &[u8]) -> Vec<u8> {
    let padding = padding(body.len(), 4);
    let mut payload = Vec::with_capacity(4 + body.len() + padding);
    payload.extend(Endianness::Big.u16_bytes(representation.0));
    payload.extend([0, padding as u8]);
    payload.extend(body);
    payload.resize(payload.len() + padding, 0);
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_padded_and_says_so() {
        let payload = encapsulate(RepresentationId::CDR_LE, &[1, 2, 3]);
        assert_eq!(payload, [0, 1, 0, 1, 1, 2, 3, 0]);
        let parsed = Encapsulation::parse(&payload).unwrap();
        assert_eq!(parsed.representation, RepresentationId::CDR_LE);
        assert_eq!(parsed.plain_cdr().unwrap().read_u8(), Ok(1));
        assert!(Encapsulation::parse(&payload[..3]).is_err());
    }
}
