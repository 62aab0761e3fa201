//! A topic, as far as it concerns samples.

use dds_shm::TypeHash;

use crate::abi::props;
use crate::type_layout::TypeLayout;

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
    pub(crate) fn new(
        name: &str,
        type_name: &str,
        properties: u64,
        size: u32,
        mapping: Option<&[u8]>,
    ) -> Self {
        let is_raw = properties & props::IS_MEMCPY_SAFE != 0;
        let layout =
            mapping.filter(|_| is_raw).and_then(|mapping| TypeLayout::of(mapping, type_name, size));
        if is_raw && layout.is_none() {
            tracing::info!(topic = name, type_name, "no type hash: the layout is not described");
        }
        let (layout, type_hash) = layout
            .map_or((String::new(), TypeHash::UNKNOWN), |layout| (layout.string, layout.hash));
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
