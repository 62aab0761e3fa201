//! CDR primitives: aligned numbers, strings and sequences, in either byte order.
//!
//! OMG CDR (CORBA 3.3 part 2, 9.3) as RTPS uses it; XTypes 1.3, 7.4 for the alignment of XCDR2.

mod encapsulation;
mod reader;
mod value;
mod writer;

pub use encapsulation::{Encapsulation, encapsulate};
pub use reader::CdrReader;
pub use value::CdrValue;
pub use writer::CdrWriter;

/// The greatest alignment of a primitive in XCDR1.
pub const XCDR1_MAX_ALIGNMENT: usize = 8;
/// The greatest alignment of a primitive in XCDR2.
pub const XCDR2_MAX_ALIGNMENT: usize = 4;

/// Octets of padding from `offset` to the next multiple of `alignment`, a power of two.
fn padding(offset: usize, alignment: usize) -> usize {
    offset.wrapping_neg() & (alignment - 1)
}
