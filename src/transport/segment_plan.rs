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
        HistoryKind::KeepLast if !blocks => FlowPolicy::keep_last(blocking),
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
            let instances = if config.keyed {
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
