//! QoS policies: their values, their defaults, and when a writer and a reader match.
//!
//! Names are those of DDS 1.4, 2.2.3 (`Reliability` for `ReliabilityQosPolicy` and so on). The
//! order of the variants of an enumeration is the order of the specification, in which a later
//! one offers more; so they can be compared.

mod codec;
mod compatibility;
mod endpoint_qos;
mod partition;
mod policy;

pub use compatibility::{QosPolicyId, incompatible_policies};
pub use endpoint_qos::EndpointQos;
pub use partition::Partition;
pub use policy::{
    DataRepresentation, DataRepresentationId, Deadline, DestinationOrder, Durability,
    DurabilityService, History, HistoryKind, LENGTH_UNLIMITED, LatencyBudget, Lifespan, Liveliness,
    LivelinessKind, Ownership, OwnershipStrength, Presentation, PresentationScope, Reliability,
    ReliabilityKind, ResourceLimits, TimeBasedFilter, TransportPriority, TypeConsistency,
    TypeConsistencyKind,
};
