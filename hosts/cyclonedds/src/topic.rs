//! A topic, as far as it concerns samples.

use dds_shm::TypeHash;

use crate::abi::props;
use crate::type_description::Description;
use crate::type_layout::TypeLayout;

/// The type's name of every endpoint in shared memory. Cyclone matches types by what they are, whatever
/// they are called; whether it does is asked for each writer, and nobody is to be missing who may match.
pub const ANY_TYPE: &str = "*";

/// What Cyclone says of a topic and its type.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) type_name: String,
    pub(crate) properties: u64,
    /// `sizeof` of the type in C.
    pub(crate) size: u32,
    /// Hash of its layout in memory, if its samples are written so and the layout is known; else the one
    /// of XTypes, if that is known.
    pub(crate) type_hash: TypeHash,
    pub(crate) layout: String,
}

impl Topic {
    pub(crate) fn new(
        name: &str,
        type_name: &str,
        properties: u64,
        size: u32,
        description: Option<&Description>,
    ) -> Self {
        let is_raw = properties & props::IS_MEMCPY_SAFE != 0;
        let layout = description
            .filter(|_| is_raw)
            .and_then(|known| TypeLayout::of(&known.type_mapping, type_name, size));
        if is_raw && layout.is_none() {
            tracing::info!(topic = name, type_name, "the layout of the type is not described");
        }
        let (layout, type_hash) = match (layout, description) {
            (Some(layout), _) => (layout.string, layout.hash),
            (None, Some(known)) => (String::new(), xtypes_complete(known.equivalence_hash)),
            (None, None) => (String::new(), TypeHash::UNKNOWN),
        };
        let (name, type_name) = (name.to_owned(), type_name.to_owned());
        Self { name, type_name, properties, size, type_hash, layout }
    }

    pub(crate) fn is_keyed(&self) -> bool {
        self.properties & props::CONTAINS_KEY != 0
    }

    /// Whether the instance of a sample can be told from its key.
    pub(crate) fn has_known_keys(&self) -> bool {
        false
    }

    /// Whether samples are written as they are in memory.
    pub(crate) fn is_raw(&self) -> bool {
        self.properties & props::IS_MEMCPY_SAFE != 0
    }
}

/// XTypes' hash of a complete type, as scheme 3 has it.
fn xtypes_complete(equivalence_hash: [u8; 14]) -> TypeHash {
    let mut digest = [0; 16];
    digest[0] = 0xf2;
    digest[1..15].copy_from_slice(&equivalence_hash);
    TypeHash { scheme: TypeHash::XTYPES_COMPLETE, digest }
}
