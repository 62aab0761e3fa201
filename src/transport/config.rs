//! What an endpoint is made from.

use std::path::PathBuf;
use std::time::Duration;

use crate::slots::{ExpectedType, MAX_READERS, Sharing};
use crate::types::{FlatStruct, TypeHash};
use crate::wire::EntityId;
use crate::wire::qos::EndpointQos;

/// What a writer is made from.
///
/// ```
/// use dds_shm::FlatStruct;
/// use dds_shm::transport::WriterConfig;
/// use dds_shm::wire::qos::{EndpointQos, History};
///
/// #[derive(Clone, Copy, FlatStruct)]
/// #[repr(C)]
/// struct Pose { x: f64, y: f64, z: f64 }
///
/// let qos = EndpointQos { history: History::keep_last(8), ..EndpointQos::writer_default() };
/// let config = WriterConfig { qos, expected_readers: 2, ..WriterConfig::of::<Pose>("Pose") };
/// assert_eq!(config.capacity, 24);
/// ```
#[derive(Clone, Debug)]
pub struct WriterConfig {
    /// Which entity it is in its participant; `None`: the transport chooses one.
    pub entity_id: Option<EntityId>,
    /// DDS topic.
    pub topic: String,
    /// DDS type name.
    pub type_name: String,
    /// Hash of the layout of the samples, or [`TypeHash::serialized_cdr`].
    pub type_hash: TypeHash,
    /// Canonical layout string, empty for serialised samples.
    pub layout: String,
    /// The largest sample, octets.
    pub capacity: u32,
    /// The topic has a key.
    pub keyed: bool,
    /// Its policies.
    pub qos: EndpointQos,
    /// Readers planned for. More are served too, as long as there are slots. Default 4.
    pub expected_readers: u32,
    /// Samples that a reader may have in use at once. Default 2.
    pub max_held: u32,
    /// Loans that may be out at once. Default 2.
    pub max_loans: u32,
    /// How many readers are admitted at most; 1 to 64. Default 64.
    pub reader_capacity: u32,
    /// Instances of a keyed topic, where RESOURCE_LIMITS does not say. `None`: then KEEP_LAST of a
    /// keyed topic cannot be sized.
    pub max_instances: Option<u32>,
    /// Slots, instead of the number that follows from all that.
    pub slots: Option<u32>,
    /// RELIABLE with KEEP_LAST waits for slow readers like KEEP_ALL, instead of replacing samples
    /// that they have not read; `None`: as the transport says.
    pub block_on_keep_last: Option<bool>,
    /// RELIABLE with KEEP_LAST, VOLATILE: the last samples of each instance, however many instances
    /// there are, stay until every reliable reader has read them, and not longer; a write waits when
    /// there is nothing else left to replace. Samples of a keyed topic need their key hash for that.
    pub keep_until_read: bool,
    /// How long such a writer waits for readers that use the time, before it replaces what they have
    /// not read. Default: not at all.
    pub patience: Duration,
    /// The segment outlives the writer for a while, and a writer that names it again adopts it.
    pub durable_name: Option<String>,
    /// Where the flink file is to be, instead of the runtime dir.
    pub flink: Option<PathBuf>,
    /// Who may open the segment; `None`: as the transport says.
    pub sharing: Option<Sharing>,
    /// The topic is protected by DDS-Security.
    pub secured: bool,
    /// Samples without a source timestamp get the time of writing. Default yes; it costs a look at
    /// the clock for each sample.
    pub stamp: bool,
}

impl WriterConfig {
    /// A writer of samples of up to `capacity` octets, with the default QoS.
    #[must_use]
    pub fn new(topic: &str, type_name: &str, type_hash: TypeHash, capacity: u32) -> Self {
        Self {
            entity_id: None,
            topic: topic.to_owned(),
            type_name: type_name.to_owned(),
            type_hash,
            layout: String::new(),
            capacity,
            keyed: false,
            qos: EndpointQos::writer_default(),
            expected_readers: 4,
            max_held: 2,
            max_loans: 2,
            reader_capacity: MAX_READERS as u32,
            max_instances: None,
            slots: None,
            block_on_keep_last: None,
            keep_until_read: false,
            patience: Duration::ZERO,
            durable_name: None,
            flink: None,
            sharing: None,
            secured: false,
            stamp: true,
        }
    }

    /// A writer of samples of type `T`, with the default QoS.
    #[must_use]
    pub fn of<T: FlatStruct>(topic: &str) -> Self {
        Self {
            layout: T::layout_string(),
            keyed: T::HAS_KEY,
            ..Self::new(topic, T::TYPE_NAME, T::type_hash(), size_of::<T>() as u32)
        }
    }
}

/// What a reader is made from.
#[derive(Clone, Debug)]
pub struct ReaderConfig {
    /// Which entity it is in its participant; `None`: the transport chooses one.
    pub entity_id: Option<EntityId>,
    /// DDS topic.
    pub topic: String,
    /// DDS type name.
    pub type_name: String,
    /// What it can read.
    pub expected: ExpectedType,
    /// The topic has a key.
    pub keyed: bool,
    /// Its policies.
    pub qos: EndpointQos,
    /// Samples of one writer that may be in use at once, as far as the writer allows. Default 2.
    pub max_held: usize,
    /// The host has a network path for this reader: samples below the start of a segment come by it,
    /// and are delivered first if the reader is reliable. The host then says when that part is complete
    /// ([`ReaderHandle::network_part_complete`](super::ReaderHandle::network_part_complete)); until
    /// then nothing is taken from the segment. Default no.
    pub network_path: bool,
    /// Samples of writers that run as another user may be read in place. Default no: they are copied.
    pub trust_other_users: bool,
    /// The topic is protected by DDS-Security.
    pub secured: bool,
}

impl ReaderConfig {
    /// A reader of such samples, with the default QoS (best effort).
    #[must_use]
    pub fn new(topic: &str, type_name: &str, expected: ExpectedType) -> Self {
        Self {
            entity_id: None,
            topic: topic.to_owned(),
            type_name: type_name.to_owned(),
            expected,
            keyed: false,
            qos: EndpointQos::reader_default(),
            max_held: 2,
            network_path: false,
            trust_other_users: false,
            secured: false,
        }
    }

    /// A reader of samples of type `T`, with the default QoS (best effort).
    #[must_use]
    pub fn of<T: FlatStruct>(topic: &str) -> Self {
        Self { keyed: T::HAS_KEY, ..Self::new(topic, T::TYPE_NAME, ExpectedType::of::<T>()) }
    }
}
