//! All policies of one endpoint.

use super::{
    DataRepresentation, Deadline, DestinationOrder, Durability, DurabilityService, History,
    LatencyBudget, Lifespan, Liveliness, Ownership, OwnershipStrength, Partition, Presentation,
    Reliability, ResourceLimits, TimeBasedFilter, TransportPriority, TypeConsistency,
};

/// The policies of one writer or reader, with those of its Publisher or Subscriber that matter for
/// matching (PRESENTATION and PARTITION).
///
/// The two defaults are what a parameter that is absent from discovery data stands for (RTPS 2.5,
/// 9.6.3.2, Table 9.19); they differ only in RELIABILITY.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each field is documented at its type")]
pub struct EndpointQos {
    pub reliability: Reliability,
    pub durability: Durability,
    pub durability_service: DurabilityService,
    pub history: History,
    pub resource_limits: ResourceLimits,
    pub deadline: Deadline,
    pub latency_budget: LatencyBudget,
    pub liveliness: Liveliness,
    pub lifespan: Lifespan,
    pub ownership: Ownership,
    pub ownership_strength: OwnershipStrength,
    pub destination_order: DestinationOrder,
    pub presentation: Presentation,
    pub partition: Partition,
    pub time_based_filter: TimeBasedFilter,
    pub transport_priority: TransportPriority,
    pub data_representation: DataRepresentation,
    pub type_consistency: TypeConsistency,
}

impl EndpointQos {
    /// Defaults of a writer: RELIABLE with a `max_blocking_time` of 100 ms, all else as for a
    /// reader.
    pub fn writer_default() -> Self {
        Self::with_reliability(Reliability::reliable())
    }

    /// Defaults of a reader: BEST_EFFORT, VOLATILE, KEEP_LAST 1, no deadline, no partition.
    pub fn reader_default() -> Self {
        Self::with_reliability(Reliability::best_effort())
    }

    fn with_reliability(reliability: Reliability) -> Self {
        Self {
            reliability,
            durability: Durability::default(),
            durability_service: DurabilityService::default(),
            history: History::default(),
            resource_limits: ResourceLimits::default(),
            deadline: Deadline::default(),
            latency_budget: LatencyBudget::default(),
            liveliness: Liveliness::default(),
            lifespan: Lifespan::default(),
            ownership: Ownership::default(),
            ownership_strength: OwnershipStrength::default(),
            destination_order: DestinationOrder::default(),
            presentation: Presentation::default(),
            partition: Partition::default(),
            time_based_filter: TimeBasedFilter::default(),
            transport_priority: TransportPriority::default(),
            data_representation: DataRepresentation::default(),
            type_consistency: TypeConsistency::default(),
        }
    }
}
