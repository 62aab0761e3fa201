//! QoS: from Cyclone's to ours, and which of it goes through shared memory.

use std::time::Duration;

use dds_shm::wire::Duration as WireDuration;
use dds_shm::wire::qos::{
    Durability, DurabilityService, EndpointQos, History, Liveliness, LivelinessKind, Ownership,
    Partition, Reliability, ReliabilityKind, ResourceLimits,
};

use crate::abi::{Qos, endpoint_type, props};
use crate::cyclone::Cyclone;
use crate::options::Options;

/// `DDS_INFINITY`.
const INFINITE: i64 = i64::MAX;
/// How long a RELIABLE writer waits at most, if its QoS does not say.
const MAX_BLOCKING_TIME: Duration = Duration::from_millis(100);

/// Why an endpoint is the network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Peers may have other versions of the type, and samples are not converted in shared memory.
    #[error("the type may evolve, and its samples are written as they are in memory")]
    Evolves,
    /// Whom the endpoint meets cannot be found by a name.
    #[error("the partition is a pattern")]
    PartitionPattern,
    /// By PARTITIONS or EXCLUDE_PARTITIONS.
    #[error("the options exclude its partition")]
    Excluded,
    /// What is written asserts nothing on the network.
    #[error("LIVELINESS is not AUTOMATIC")]
    Liveliness,
    /// There is no history to give.
    #[error("DURABILITY is not VOLATILE, and what it keeps cannot be bounded")]
    Durability,
}

/// Whether an endpoint goes through shared memory. A function of these arguments alone: Cyclone asks
/// twice for the same endpoint, and announces it by the first answer.
pub(crate) fn check(
    kind: u32,
    properties: u64,
    qos: &EndpointQos,
    options: &Options,
) -> Result<(), Refusal> {
    // C writes it as it is in memory, also where a reader has another version of it.
    if properties & props::IS_MEMCPY_SAFE != 0 && properties & props::DEFAULTS_TO_XCDR2 != 0 {
        return Err(Refusal::Evolves);
    }
    // The topic decides nothing that an endpoint's QoS decides: an endpoint that is accepted on a topic
    // that was refused would be announced, and not be there.
    if kind == endpoint_type::UNSET {
        return Ok(());
    }
    if qos.partition.0.iter().any(|name| name.contains(['*', '?', '[', '\\'])) {
        return Err(Refusal::PartitionPattern);
    }
    if !options.wants(&qos.partition) {
        return Err(Refusal::Excluded);
    }
    if kind == endpoint_type::WRITER {
        if qos.liveliness.kind != LivelinessKind::Automatic {
            return Err(Refusal::Liveliness);
        }
        if qos.durability != Durability::Volatile {
            return Err(Refusal::Durability);
        }
    }
    Ok(())
}

impl Cyclone {
    /// What a QoS of Cyclone's says, as far as it concerns who matches whom and what is kept. LIFESPAN
    /// is Cyclone's: its readers let samples expire.
    ///
    /// # Safety
    /// `qos` is null, or a QoS of this library's.
    pub(crate) unsafe fn qos(&self, kind: u32, qos: *const Qos) -> EndpointQos {
        let mut read = if kind == endpoint_type::WRITER {
            EndpointQos::writer_default()
        } else {
            EndpointQos::reader_default()
        };
        if qos.is_null() {
            return read;
        }
        // SAFETY: a QoS of Cyclone's; everything else is written to.
        unsafe {
            let mut number = 0;
            if (self.dds_qget_durability)(qos, &raw mut number) {
                read.durability = match number {
                    0 => Durability::Volatile,
                    1 => Durability::TransientLocal,
                    2 => Durability::Transient,
                    _ => Durability::Persistent,
                };
            }
            let mut time = 0;
            if (self.dds_qget_reliability)(qos, &raw mut number, &raw mut time) {
                let kind =
                    [ReliabilityKind::BestEffort, ReliabilityKind::Reliable][(number & 1) as usize];
                read.reliability = Reliability { kind, max_blocking_time: duration(time) };
            } else {
                read.reliability.max_blocking_time =
                    WireDuration::from_millis(MAX_BLOCKING_TIME.as_millis() as u64);
            }
            let mut depth = 0;
            if (self.dds_qget_history)(qos, &raw mut number, &raw mut depth) {
                read.history = history(number, depth);
            }
            let (mut samples, mut instances, mut each) = (0, 0, 0);
            if (self.dds_qget_resource_limits)(
                qos,
                &raw mut samples,
                &raw mut instances,
                &raw mut each,
            ) {
                read.resource_limits = limits(samples, instances, each);
            }
            if (self.dds_qget_durability_service)(
                qos,
                &raw mut time,
                &raw mut number,
                &raw mut depth,
                &raw mut samples,
                &raw mut instances,
                &raw mut each,
            ) {
                read.durability_service = DurabilityService {
                    service_cleanup_delay: duration(time),
                    history: history(number, depth),
                    resource_limits: limits(samples, instances, each),
                };
            }
            if (self.dds_qget_deadline)(qos, &raw mut time) {
                read.deadline.period = duration(time);
            }
            if (self.dds_qget_liveliness)(qos, &raw mut number, &raw mut time) {
                let kind = match number {
                    0 => LivelinessKind::Automatic,
                    1 => LivelinessKind::ManualByParticipant,
                    _ => LivelinessKind::ManualByTopic,
                };
                read.liveliness = Liveliness { kind, lease_duration: duration(time) };
            }
            if (self.dds_qget_ownership)(qos, &raw mut number) {
                read.ownership = [Ownership::Shared, Ownership::Exclusive][(number & 1) as usize];
            }
            read.partition = Partition(self.partitions(qos));
        }
        read
    }
}

fn history(kind: u32, depth: i32) -> History {
    if kind == 0 { History::keep_last(depth) } else { History::keep_all() }
}

fn limits(max_samples: i32, max_instances: i32, max_samples_per_instance: i32) -> ResourceLimits {
    ResourceLimits { max_samples, max_instances, max_samples_per_instance }
}

/// A `dds_duration_t`: nanoseconds.
fn duration(nanoseconds: i64) -> WireDuration {
    if nanoseconds == INFINITE {
        return WireDuration::INFINITE;
    }
    let seconds = i32::try_from(nanoseconds.max(0) / 1_000_000_000).unwrap_or(i32::MAX);
    let rest = (nanoseconds.max(0) % 1_000_000_000) as u64;
    WireDuration::new(seconds, ((rest << 32) / 1_000_000_000) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kind: u32, properties: u64, change: impl Fn(&mut EndpointQos)) -> Result<(), Refusal> {
        let mut qos = EndpointQos::writer_default();
        change(&mut qos);
        check(kind, properties, &qos, &Options::default())
    }

    #[test]
    fn the_table_of_what_is_accepted() {
        use endpoint_type::{READER, UNSET, WRITER};
        type Edit = fn(&mut EndpointQos);
        let partition: Edit = |qos| qos.partition = Partition(vec!["a".to_owned()]);
        let pattern: Edit = |qos| qos.partition = Partition(vec!["a".to_owned(), "b*".to_owned()]);
        let durable: Edit = |qos| qos.durability = Durability::TransientLocal;
        let manual: Edit = |qos| qos.liveliness.kind = LivelinessKind::ManualByTopic;
        let cases: [(u32, Edit, Result<(), Refusal>); 9] = [
            (WRITER, |_| (), Ok(())),
            (WRITER, partition, Ok(())),
            (WRITER, pattern, Err(Refusal::PartitionPattern)),
            (READER, pattern, Err(Refusal::PartitionPattern)),
            (WRITER, durable, Err(Refusal::Durability)),
            (READER, durable, Ok(())),
            (WRITER, manual, Err(Refusal::Liveliness)),
            (READER, manual, Ok(())),
            // Whatever its QoS says, an endpoint may be accepted.
            (UNSET, pattern, Ok(())),
        ];
        for (number, (kind, edit, expected)) in cases.into_iter().enumerate() {
            assert_eq!(asked(kind, 0, edit), expected, "case {number}");
            let keyed = props::CONTAINS_KEY | props::IS_MEMCPY_SAFE;
            assert_eq!(asked(kind, keyed, edit), expected, "case {number}, keyed");
        }
    }

    #[test]
    fn a_type_that_may_evolve_goes_serialised_or_by_network() {
        let evolves = props::DEFAULTS_TO_XCDR2;
        assert_eq!(asked(endpoint_type::WRITER, evolves, |_| ()), Ok(()));
        for kind in [endpoint_type::UNSET, endpoint_type::READER, endpoint_type::WRITER] {
            let refused = asked(kind, evolves | props::IS_MEMCPY_SAFE, |_| ());
            assert_eq!(refused, Err(Refusal::Evolves));
        }
    }

    #[test]
    fn durations_are_nanoseconds() {
        assert_eq!(duration(INFINITE), WireDuration::INFINITE);
        assert_eq!(duration(1_500_000_000).to_std(), Some(Duration::from_millis(1500)));
        assert_eq!(duration(0), WireDuration::ZERO);
    }
}
