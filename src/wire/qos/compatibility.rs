//! Requested against offered.

use std::fmt;

use super::EndpointQos;

/// The number that DDS gives a policy, for statuses and events. DDS 1.4, 2.3.3; XTypes 1.3, 7.6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the name of the policy is all there is to say")]
#[repr(u32)]
pub enum QosPolicyId {
    UserData = 1,
    Durability = 2,
    Presentation = 3,
    Deadline = 4,
    LatencyBudget = 5,
    Ownership = 6,
    OwnershipStrength = 7,
    Liveliness = 8,
    TimeBasedFilter = 9,
    Partition = 10,
    Reliability = 11,
    DestinationOrder = 12,
    History = 13,
    ResourceLimits = 14,
    EntityFactory = 15,
    WriterDataLifecycle = 16,
    ReaderDataLifecycle = 17,
    TopicData = 18,
    GroupData = 19,
    TransportPriority = 20,
    Lifespan = 21,
    DurabilityService = 22,
    DataRepresentation = 23,
    TypeConsistency = 24,
}

impl QosPolicyId {
    /// The name that the specification writes, in capitals.
    pub fn name(self) -> &'static str {
        match self {
            Self::UserData => "USER_DATA",
            Self::Durability => "DURABILITY",
            Self::Presentation => "PRESENTATION",
            Self::Deadline => "DEADLINE",
            Self::LatencyBudget => "LATENCY_BUDGET",
            Self::Ownership => "OWNERSHIP",
            Self::OwnershipStrength => "OWNERSHIP_STRENGTH",
            Self::Liveliness => "LIVELINESS",
            Self::TimeBasedFilter => "TIME_BASED_FILTER",
            Self::Partition => "PARTITION",
            Self::Reliability => "RELIABILITY",
            Self::DestinationOrder => "DESTINATION_ORDER",
            Self::History => "HISTORY",
            Self::ResourceLimits => "RESOURCE_LIMITS",
            Self::EntityFactory => "ENTITY_FACTORY",
            Self::WriterDataLifecycle => "WRITER_DATA_LIFECYCLE",
            Self::ReaderDataLifecycle => "READER_DATA_LIFECYCLE",
            Self::TopicData => "TOPIC_DATA",
            Self::GroupData => "GROUP_DATA",
            Self::TransportPriority => "TRANSPORT_PRIORITY",
            Self::Lifespan => "LIFESPAN",
            Self::DurabilityService => "DURABILITY_SERVICE",
            Self::DataRepresentation => "DATA_REPRESENTATION",
            Self::TypeConsistency => "TYPE_CONSISTENCY_ENFORCEMENT",
        }
    }
}

impl fmt::Display for QosPolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The policies in which a writer offers less than a reader requests; empty if they are compatible.
///
/// PARTITION is not among them: endpoints whose partitions have nothing in common do not match,
/// but that is no incompatibility that anybody is told of (see
/// [`Partition::matches`](super::Partition::matches)).
/// DDS 1.4, 2.2.3, column RxO; XTypes 1.3, 7.6.3.1.2 for DATA_REPRESENTATION.
///
/// ```
/// use dds_shm::wire::qos::{EndpointQos, QosPolicyId, Reliability, incompatible_policies};
///
/// let offered = EndpointQos { reliability: Reliability::best_effort(), ..EndpointQos::writer_default() };
/// let requested = EndpointQos { reliability: Reliability::reliable(), ..EndpointQos::reader_default() };
/// assert_eq!(incompatible_policies(&offered, &requested), [QosPolicyId::Reliability]);
/// ```
pub fn incompatible_policies(offered: &EndpointQos, requested: &EndpointQos) -> Vec<QosPolicyId> {
    let presentation = offered.presentation.access_scope >= requested.presentation.access_scope
        && offered.presentation.coherent_access >= requested.presentation.coherent_access
        && offered.presentation.ordered_access >= requested.presentation.ordered_access;
    let liveliness = offered.liveliness.kind >= requested.liveliness.kind
        && offered.liveliness.lease_duration <= requested.liveliness.lease_duration;
    let checks = [
        (QosPolicyId::Reliability, offered.reliability.kind >= requested.reliability.kind),
        (QosPolicyId::Durability, offered.durability >= requested.durability),
        (QosPolicyId::Presentation, presentation),
        (QosPolicyId::Deadline, offered.deadline <= requested.deadline),
        (QosPolicyId::LatencyBudget, offered.latency_budget <= requested.latency_budget),
        (QosPolicyId::Ownership, offered.ownership == requested.ownership),
        (QosPolicyId::Liveliness, liveliness),
        (QosPolicyId::DestinationOrder, offered.destination_order >= requested.destination_order),
        (
            QosPolicyId::DataRepresentation,
            requested.data_representation.accepts(offered.data_representation.offered()),
        ),
    ];
    checks.into_iter().filter(|(_, compatible)| !compatible).map(|(policy, _)| policy).collect()
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;
    use crate::wire::Duration;

    fn check(change: impl Fn(&mut EndpointQos, &mut EndpointQos)) -> Vec<QosPolicyId> {
        let mut offered = EndpointQos::writer_default();
        let mut requested = EndpointQos::reader_default();
        change(&mut offered, &mut requested);
        incompatible_policies(&offered, &requested)
    }

    #[test]
    fn the_defaults_match() {
        assert_eq!(check(|_, _| ()), []);
    }

    #[test]
    fn a_writer_that_offers_more_matches() {
        let found = check(|offered, _| {
            offered.durability = Durability::Persistent;
            offered.deadline.period = Duration::from_secs(1);
            offered.liveliness.kind = LivelinessKind::ManualByTopic;
            offered.liveliness.lease_duration = Duration::from_secs(1);
            offered.destination_order = DestinationOrder::BySourceTimestamp;
            offered.presentation = Presentation {
                access_scope: PresentationScope::Group,
                coherent_access: true,
                ordered_access: true,
            };
        });
        assert_eq!(found, []);
    }

    #[test]
    fn each_policy_that_offers_less_is_named() {
        use QosPolicyId as Id;
        type Change = fn(&mut EndpointQos, &mut EndpointQos);
        let cases: [(Id, Change); 12] = [
            (Id::Reliability, |o, r| {
                o.reliability = Reliability::best_effort();
                r.reliability = Reliability::reliable();
            }),
            (Id::Durability, |_, r| r.durability = Durability::TransientLocal),
            (Id::Presentation, |_, r| r.presentation.access_scope = PresentationScope::Topic),
            (Id::Presentation, |_, r| r.presentation.coherent_access = true),
            (Id::Presentation, |_, r| r.presentation.ordered_access = true),
            (Id::Deadline, |_, r| r.deadline.period = Duration::from_secs(5)),
            (Id::LatencyBudget, |o, _| o.latency_budget.duration = Duration::from_secs(1)),
            (Id::Ownership, |o, _| o.ownership = Ownership::Exclusive),
            (Id::Liveliness, |_, r| r.liveliness.kind = LivelinessKind::ManualByParticipant),
            (Id::Liveliness, |_, r| r.liveliness.lease_duration = Duration::from_secs(9)),
            (Id::DestinationOrder, |_, r| {
                r.destination_order = DestinationOrder::BySourceTimestamp;
            }),
            (Id::DataRepresentation, |o, _| {
                o.data_representation = DataRepresentation(vec![
                    DataRepresentationId::XCDR2,
                    DataRepresentationId::XCDR1,
                ]);
            }),
        ];
        for (policy, change) in cases {
            assert_eq!(check(change), [policy]);
        }
    }

    #[test]
    fn only_the_first_representation_of_a_writer_counts() {
        let found = check(|offered, requested| {
            offered.data_representation = DataRepresentation(vec![DataRepresentationId::XCDR2]);
            requested.data_representation =
                DataRepresentation(vec![DataRepresentationId::XCDR1, DataRepresentationId::XCDR2]);
        });
        assert_eq!(found, []);
    }
}
