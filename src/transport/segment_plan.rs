//! QoS as the flow policy and the size of a segment: the table of `spec-notes/qos.md`.

use std::time::Duration;

use super::config::WriterConfig;
use super::reachability::NetworkReason;
use crate::slots::{FlowPolicy, SegmentOptions, Sharing};
use crate::wire::Guid;
use crate::wire::qos::{Durability, HistoryKind};

/// What a writer takes from its transport where its configuration is silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlanDefaults {
    /// Octets of slots for a writer whose limits are open (KEEP_ALL without RESOURCE_LIMITS).
    pub(crate) open_octets: u64,
    /// No segment may have more octets of slots than this.
    pub(crate) most_octets: u64,
    pub(crate) block_on_keep_last: bool,
    pub(crate) sharing: Sharing,
    pub(crate) populate_up_to: usize,
}

/// Samples that a writer with open limits keeps room for, if they are small.
const OPEN_DEPTH: u64 = 256;
/// An infinite `max_blocking_time`.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// How many samples are there at once, beside those on loan or held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// Any number will do.
    Open,
    /// So many samples, whatever their instance.
    Samples(u32),
    /// The last so many of each of so many instances.
    Last { depth: u32, instances: u32 },
}

/// The options of the segment for a writer.
///
/// # Errors
/// [`NetworkReason::NotSizable`] for QoS that no segment can keep.
pub(crate) fn plan_segment(
    guid: Guid,
    config: &WriterConfig,
    defaults: &PlanDefaults,
) -> Result<SegmentOptions, NetworkReason> {
    let qos = &config.qos;
    if qos.durability > Durability::TransientLocal {
        return Err(not_sizable(format!(
            "durability {:?} is kept by a service behind the network path, not by the writer",
            qos.durability
        )));
    }
    let transient_local = qos.durability == Durability::TransientLocal;
    let depth = depth(config, transient_local)?;
    let flow = flow(config, defaults);
    // RELIABLE with KEEP_LAST: the last ones of an instance are there even for who is behind.
    let keeps_last = transient_local || (qos.reliability.is_reliable() && !flow.waits_for_readers);
    let octets = u64::from(config.capacity).next_multiple_of(64) + 64;
    let mut options =
        SegmentOptions::new(&config.topic, &config.type_name, config.type_hash, config.capacity)
            .layout(&config.layout)
            .guid(guid.to_bytes())
            .keyed(config.keyed)
            .max_loans(config.max_loans)
            .readers(config.expected_readers, config.max_held)
            .reader_capacity(config.reader_capacity)
            .flow(flow)
            .sharing(config.sharing.unwrap_or(defaults.sharing))
            .populate_up_to(defaults.populate_up_to);
    options = match depth {
        Depth::Open => {
            let depth = (defaults.open_octets / octets).clamp(2, OPEN_DEPTH);
            options.depth(depth as u32)
        }
        Depth::Samples(samples) => options.depth(samples),
        Depth::Last { depth, .. } if keeps_last && config.keep_until_read && !transient_local => {
            options.depth(depth).keep_until_read(depth)
        }
        Depth::Last { depth, instances } if keeps_last => {
            options.keep_last(depth, instances, transient_local)
        }
        // Either nothing is promised to who is behind, or nothing is replaced: no book of what is
        // the last is needed.
        Depth::Last { depth, instances } => {
            let samples = depth.checked_mul(instances);
            options.depth(samples.ok_or_else(|| too_many(depth, instances))?)
        }
    };
    if let Some(slots) = config.slots {
        options = options.slots(slots);
    }
    if let Some(name) = &config.durable_name {
        options = options.durable_name(name);
    }
    if let Some(path) = &config.flink {
        options = options.flink(path);
    }
    let slots = options.planned_slots().map_err(|error| not_sizable(error.to_string()))?;
    let planned = u64::from(slots) * octets;
    if planned > defaults.most_octets {
        return Err(not_sizable(format!(
            "{slots} slots of {octets} octets are {planned} octets, more than the limit of {}: \
             lower HISTORY or RESOURCE_LIMITS, or raise the limit",
            defaults.most_octets
        )));
    }
    Ok(options)
}

fn flow(config: &WriterConfig, defaults: &PlanDefaults) -> FlowPolicy {
    let reliability = &config.qos.reliability;
    if !reliability.is_reliable() {
        return FlowPolicy::best_effort();
    }
    let blocking = reliability.max_blocking_time.to_std().unwrap_or(FOR_EVER);
    let blocks = config.block_on_keep_last.unwrap_or(defaults.block_on_keep_last);
    match config.qos.history.kind {
        HistoryKind::KeepLast if !blocks => {
            FlowPolicy::keep_last(blocking).with_patience(config.patience)
        }
        HistoryKind::KeepLast | HistoryKind::KeepAll => FlowPolicy::keep_all(blocking),
    }
}

fn depth(config: &WriterConfig, transient_local: bool) -> Result<Depth, NetworkReason> {
    let qos = &config.qos;
    let limits = &qos.resource_limits;
    match qos.history.kind {
        HistoryKind::KeepLast => {
            let depth = limit(qos.history.depth).ok_or_else(|| {
                not_sizable(format!("HISTORY depth {} is not 1 or more", qos.history.depth))
            })?;
            let instances = if config.keyed && (transient_local || !config.keep_until_read) {
                limit(limits.max_instances).or(config.max_instances).ok_or_else(|| {
                    not_sizable(
                        "KEEP_LAST of a keyed topic without a limit on instances: \
                         set RESOURCE_LIMITS max_instances"
                            .to_owned(),
                    )
                })?
            } else {
                1
            };
            Ok(Depth::Last { depth, instances })
        }
        HistoryKind::KeepAll if transient_local => Err(not_sizable(
            "KEEP_ALL with TRANSIENT_LOCAL keeps every sample for late joiners: use KEEP_LAST"
                .to_owned(),
        )),
        HistoryKind::KeepAll => {
            let of_instances = limit(limits.max_samples_per_instance).and_then(|samples| {
                let instances = if config.keyed {
                    limit(limits.max_instances).or(config.max_instances)?
                } else {
                    1
                };
                samples.checked_mul(instances)
            });
            let samples = [limit(limits.max_samples), of_instances].into_iter().flatten().min();
            Ok(samples.map_or(Depth::Open, Depth::Samples))
        }
    }
}

/// A limit of RESOURCE_LIMITS or HISTORY; `None` if there is none.
fn limit(value: i32) -> Option<u32> {
    u32::try_from(value).ok().filter(|value| *value > 0)
}

fn too_many(depth: u32, instances: u32) -> NetworkReason {
    not_sizable(format!("{depth} samples of each of {instances} instances are too many"))
}

fn not_sizable(reason: String) -> NetworkReason {
    NetworkReason::NotSizable(reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TypeHash;
    use crate::wire::Duration as WireDuration;
    use crate::wire::qos::{EndpointQos, History, Reliability, ResourceLimits};

    const DEFAULTS: PlanDefaults = PlanDefaults {
        open_octets: 16 << 20,
        most_octets: 1 << 30,
        block_on_keep_last: false,
        sharing: Sharing::Owner,
        populate_up_to: 0,
    };

    fn config(change: impl Fn(&mut EndpointQos)) -> WriterConfig {
        let mut config = WriterConfig::new("T", "U", TypeHash::of_layout("x"), 64);
        change(&mut config.qos);
        config
    }

    fn plan(config: &WriterConfig) -> Result<SegmentOptions, NetworkReason> {
        plan_segment(Guid::UNKNOWN, config, &DEFAULTS)
    }

    fn is_not_sizable(config: &WriterConfig) -> bool {
        matches!(plan(config), Err(NetworkReason::NotSizable(_)))
    }

    #[test]
    fn reliable_keep_all_waits_for_its_readers() {
        let config = config(|qos| {
            qos.history = History::keep_all();
            qos.reliability.max_blocking_time = WireDuration::from_secs(2);
        });
        let options = plan(&config).unwrap();
        assert_eq!(options.flow, FlowPolicy::keep_all(Duration::from_secs(2)));
        assert!(!options.history);
        // Open limits: as many small samples as are worth it, and the loans and holds.
        assert_eq!(options.planned_slots().unwrap(), 256 + 2 + 4 * 2);
    }

    #[test]
    fn keep_all_is_as_deep_as_its_resource_limits() {
        let mut config = config(|qos| {
            qos.history = History::keep_all();
            qos.resource_limits = ResourceLimits { max_samples: 50, ..Default::default() };
        });
        assert_eq!(plan(&config).unwrap().depth, 50);
        config.keyed = true;
        config.qos.resource_limits =
            ResourceLimits { max_samples: -1, max_instances: 3, max_samples_per_instance: 4 };
        assert_eq!(plan(&config).unwrap().depth, 12);
    }

    #[test]
    fn a_large_sample_with_open_limits_gets_few_slots() {
        let mut config = config(|qos| qos.history = History::keep_all());
        config.capacity = 4 << 20;
        assert_eq!(plan(&config).unwrap().depth, 3);
        config.capacity = 64 << 20;
        assert_eq!(plan(&config).unwrap().depth, 2);
    }

    #[test]
    fn reliable_keep_last_replaces_or_waits_by_choice() {
        let mut config = config(|qos| qos.history = History::keep_last(5));
        let options = plan(&config).unwrap();
        assert_eq!(options.flow, FlowPolicy::keep_last(Duration::from_millis(100)));
        assert_eq!((options.history_depth(), options.instances), (5, 1));
        config.block_on_keep_last = Some(true);
        let options = plan(&config).unwrap();
        assert_eq!(options.flow, FlowPolicy::keep_all(Duration::from_millis(100)));
        assert_eq!((options.history_depth(), options.depth), (0, 5));
    }

    #[test]
    fn best_effort_never_waits_and_keeps_no_book() {
        let config = config(|qos| {
            qos.reliability = Reliability::best_effort();
            qos.history = History::keep_last(5);
        });
        let options = plan(&config).unwrap();
        assert_eq!(options.flow, FlowPolicy::best_effort());
        assert_eq!((options.history_depth(), options.depth), (0, 5));
    }

    #[test]
    fn transient_local_keeps_the_last_of_each_instance() {
        let mut config = config(|qos| {
            qos.durability = Durability::TransientLocal;
            qos.history = History::keep_last(3);
            qos.resource_limits.max_instances = 10;
        });
        config.keyed = true;
        let options = plan(&config).unwrap();
        assert!(options.transient_local);
        assert_eq!((options.history_depth(), options.instances), (3, 10));
        assert_eq!(options.planned_slots().unwrap(), 30 + 2 + 8);
    }

    #[test]
    fn what_cannot_be_sized_is_the_networks() {
        let keyed = |config: WriterConfig| WriterConfig { keyed: true, ..config };
        assert!(is_not_sizable(&keyed(config(|_| ()))));
        assert!(!is_not_sizable(&WriterConfig { max_instances: Some(4), ..keyed(config(|_| ())) }));
        assert!(is_not_sizable(&config(|qos| {
            qos.history = History::keep_all();
            qos.durability = Durability::TransientLocal;
        })));
        assert!(is_not_sizable(&config(|qos| qos.durability = Durability::Persistent)));
        assert!(is_not_sizable(&config(|qos| qos.history.depth = 0)));
        assert!(is_not_sizable(&config(|qos| qos.history = History::keep_last(i32::MAX))));
        let huge = WriterConfig { capacity: 1 << 30, ..config(|_| ()) };
        assert!(is_not_sizable(&huge));
    }

    #[test]
    fn an_infinite_max_blocking_time_is_long() {
        let config = config(|qos| {
            qos.history = History::keep_all();
            qos.reliability.max_blocking_time = WireDuration::INFINITE;
        });
        assert_eq!(plan(&config).unwrap().flow, FlowPolicy::keep_all(FOR_EVER));
    }
}
