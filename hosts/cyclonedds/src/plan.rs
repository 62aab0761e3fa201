//! What a writer's QoS, type and options make of its segment.

use std::time::Duration;

use dds_shm::transport::WriterConfig;
use dds_shm::wire::qos::{EndpointQos, HistoryKind};

use crate::options::Options;
use crate::topic::{ANY_TYPE, Topic};

/// What an announcement of a larger sample takes; and a line has room for more than that.
const SMALLEST_SLOT: u32 = 64;
/// Slots are not larger than this: a larger sample has an object of its own.
const LARGEST_SLOT: u32 = 8 << 20;
/// Octets of slots that a writer gets beside what its QoS asks for, to be ahead of its readers by.
const AHEAD_OCTETS: u32 = 1 << 20;
/// Samples that a writer may be ahead by, if they are small.
const AHEAD: u32 = 256;
/// Octets of slots that a writer has at most.
const MOST_OCTETS: u64 = 256 << 20;
/// From here on each slot more is dear.
const LARGE: u32 = 256 << 10;

/// How long a RELIABLE writer with KEEP_LAST waits for a reader that is reading: about as long as the
/// buffers of a socket last.
const PATIENCE: Duration = Duration::from_millis(2);

/// What the writer is made from.
pub(crate) fn plan(topic: &Topic, qos: &EndpointQos, options: &Options) -> WriterConfig {
    let capacity = if topic.is_raw() {
        topic.size.clamp(SMALLEST_SLOT, LARGEST_SLOT)
    } else {
        options.slot_size
    };
    let stride = u64::from(capacity.next_multiple_of(64)) + 64;
    let is_large = capacity >= LARGE;
    // A reader has a sample in its history, one in the hands of the application, and one on the way.
    let (expected_readers, max_held) = if is_large { (2, 3) } else { (4, 4) };
    let max_loans = 2;
    let spare = max_loans + expected_readers * max_held;
    let ahead = (AHEAD_OCTETS / capacity).clamp(if is_large { 1 } else { 16 }, AHEAD);
    let most = u32::try_from(MOST_OCTETS / stride).unwrap_or(u32::MAX).max(4);
    let asked = match qos.history.kind {
        HistoryKind::KeepLast => limit(qos.history.depth),
        HistoryKind::KeepAll => limit(qos.resource_limits.max_samples),
    };
    let slots = options
        .slots
        .unwrap_or_else(|| asked.unwrap_or(1).max(ahead).saturating_add(spare).min(most));
    // The instance of a sample is known by its key, and that by the type's description alone. Without
    // it nothing is replaced that was not read.
    let is_blind = topic.is_keyed() && !topic.has_known_keys();
    let keep_last = qos.history.kind == HistoryKind::KeepLast;
    WriterConfig {
        layout: topic.layout.clone(),
        keyed: topic.is_keyed(),
        qos: qos.clone(),
        expected_readers,
        max_held,
        max_loans,
        slots: Some(slots),
        block_on_keep_last: Some(keep_last && (options.block_on_keep_last || is_blind)),
        keep_until_read: true,
        patience: PATIENCE,
        stamp: false,
        ..WriterConfig::new(&topic.name, ANY_TYPE, topic.type_hash, capacity)
    }
}

/// A limit of HISTORY or RESOURCE_LIMITS; `None` if there is none.
fn limit(value: i32) -> Option<u32> {
    u32::try_from(value).ok().filter(|value| *value > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::props;
    use dds_shm::TypeHash;
    use dds_shm::wire::qos::History;

    fn topic(size: u32, properties: u64) -> Topic {
        Topic {
            name: "T".to_owned(),
            type_name: "U".to_owned(),
            properties,
            size,
            type_hash: TypeHash::UNKNOWN,
            layout: String::new(),
        }
    }

    fn of(size: u32, properties: u64, change: impl Fn(&mut EndpointQos)) -> WriterConfig {
        let mut qos = EndpointQos::writer_default();
        change(&mut qos);
        plan(&topic(size, properties), &qos, &Options::default())
    }

    #[test]
    fn a_slot_is_as_large_as_the_type_or_as_the_option_says() {
        assert_eq!(of(24, props::IS_MEMCPY_SAFE, |_| ()).capacity, SMALLEST_SLOT);
        assert_eq!(of(200, props::IS_MEMCPY_SAFE, |_| ()).capacity, 200);
        assert_eq!(of(24, 0, |_| ()).capacity, crate::options::SLOT_SIZE);
        assert_eq!(of(100 << 20, props::IS_MEMCPY_SAFE, |_| ()).capacity, LARGEST_SLOT);
    }

    #[test]
    fn memory_is_bounded_whatever_is_asked_for() {
        let deep = |qos: &mut EndpointQos| qos.history = History::keep_last(100_000);
        let config = of(1 << 20, props::IS_MEMCPY_SAFE, deep);
        assert!(u64::from(config.slots.unwrap_or(0)) * (1 << 20) <= MOST_OCTETS);
    }

    #[test]
    fn of_a_keyed_topic_without_known_keys_nothing_is_replaced() {
        let keyed = props::IS_MEMCPY_SAFE | props::CONTAINS_KEY;
        assert_eq!(of(64, keyed, |_| ()).block_on_keep_last, Some(true));
        assert_eq!(of(64, props::IS_MEMCPY_SAFE, |_| ()).block_on_keep_last, Some(false));
    }
}
