//! A topic, as far as it concerns samples.

use dds_shm::TypeHash;

use crate::abi::props;

/// What Cyclone says of a topic and its type.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) type_name: String,
    pub(crate) properties: u64,
    /// `sizeof` of the type in C.
    pub(crate) size: u32,
    /// Hash of its layout in memory, if its samples are written so and the layout is known.
    pub(crate) type_hash: TypeHash,
    pub(crate) layout: String,
}

impl Topic {
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
