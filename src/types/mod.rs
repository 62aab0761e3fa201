//! What a type looks like in memory, and how two sides agree that they mean the same one.
//!
//! * [`FlatStruct`]: a type whose bytes are its value, so that a sample of it can lie in shared
//!   memory as it is. Derive it; the derive refuses what cannot be shared.
//! * [`Layout`]: the description of such a type, and the canonical *layout string* rendered from it.
//! * [`ParsedLayout`]: a layout string of somebody else, checked.
//! * [`TypeHash`]: the 16 octets that stand for a layout string in a segment and in discovery.
//!
//! Formats and test vectors: `spec-notes/type-hash.md`.

mod flat_struct;
mod key_holder;
mod layout;
mod parsed_layout;
mod primitives;
mod segment_format;
mod type_hash;

#[doc(hidden)]
pub mod derive_support;

pub use dds_shm_derive::FlatStruct;
pub use flat_struct::{FlatError, FlatStruct, ValueKind};
pub use key_holder::KeyHolder;
pub use layout::{Layout, Member, Scalar};
pub use parsed_layout::{LayoutStringError, MAX_LAYOUT_STRING, ParsedLayout};
pub use segment_format::SegmentFormat;
pub use type_hash::TypeHash;

#[cfg(test)]
mod tests;
