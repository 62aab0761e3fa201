//! The values of the policies, one structure each.

use crate::wire::Duration;

/// No limit, in [`ResourceLimits`] and [`DurabilityService`].
pub const LENGTH_UNLIMITED: i32 = -1;

/// Whether a sample that was lost is sent again. DDS 1.4, 2.2.3.14.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReliabilityKind {
    /// It is not.
    BestEffort,
    /// It is, until it has arrived or history no longer has it.
    Reliable,
}

/// RELIABILITY. DDS 1.4, 2.2.3.14.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reliability {
    /// Whether a lost sample is sent again.
    pub kind: ReliabilityKind,
    /// How long a write waits for space before it fails with a timeout.
    pub max_blocking_time: Duration,
}

impl Reliability {
    /// Best effort.
    pub fn best_effort() -> Self {
        Self { kind: ReliabilityKind::BestEffort, max_blocking_time: Duration::from_millis(100) }
    }

    /// Reliable, with the default `max_blocking_time` of 100 ms.
    pub fn reliable() -> Self {
        Self { kind: ReliabilityKind::Reliable, max_blocking_time: Duration::from_millis(100) }
    }

    /// Whether the kind is [`ReliabilityKind::Reliable`].
    pub fn is_reliable(&self) -> bool {
        self.kind == ReliabilityKind::Reliable
    }
}

/// DURABILITY: what a late joiner gets. DDS 1.4, 2.2.3.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Durability {
    /// Nothing.
    #[default]
    Volatile,
    /// What the writer still has in its history.
    TransientLocal,
    /// What a service keeps in memory.
    Transient,
    /// What a service keeps on permanent storage.
    Persistent,
}

/// How many samples of an instance are kept. DDS 1.4, 2.2.3.18.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HistoryKind {
    /// The last ones, as many as the depth says.
    KeepLast,
    /// All, within the resource limits.
    KeepAll,
}

/// HISTORY. DDS 1.4, 2.2.3.18. Seldom announced by others; never rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct History {
    /// Which samples of an instance are kept.
    pub kind: HistoryKind,
    /// How many, with [`HistoryKind::KeepLast`]; 1 or more. Without meaning otherwise.
    pub depth: i32,
}

impl History {
    /// The last `depth` samples of each instance.
    pub fn keep_last(depth: i32) -> Self {
        Self { kind: HistoryKind::KeepLast, depth }
    }

    /// All samples, within the resource limits.
    pub fn keep_all() -> Self {
        Self { kind: HistoryKind::KeepAll, depth: 1 }
    }
}

impl Default for History {
    fn default() -> Self {
        Self::keep_last(1)
    }
}

/// RESOURCE_LIMITS. DDS 1.4, 2.2.3.19.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResourceLimits {
    /// Samples in all, or [`LENGTH_UNLIMITED`].
    pub max_samples: i32,
    /// Instances, or [`LENGTH_UNLIMITED`].
    pub max_instances: i32,
    /// Samples of one instance, or [`LENGTH_UNLIMITED`].
    pub max_samples_per_instance: i32,
}

impl Default for ResourceLimits {
    fn default() -> Self {
        Self {
            max_samples: LENGTH_UNLIMITED,
            max_instances: LENGTH_UNLIMITED,
            max_samples_per_instance: LENGTH_UNLIMITED,
        }
    }
}

/// DURABILITY_SERVICE: what the service behind TRANSIENT and PERSISTENT keeps. DDS 1.4, 2.2.3.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct DurabilityService {
    /// How long an instance stays after everybody has unregistered it.
    pub service_cleanup_delay: Duration,
    /// Its history.
    pub history: History,
    /// Its limits.
    pub resource_limits: ResourceLimits,
}

/// DEADLINE: an instance changes at least once in this time. DDS 1.4, 2.2.3.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Deadline {
    /// Longest time between two changes.
    pub period: Duration,
}

impl Default for Deadline {
    fn default() -> Self {
        Self { period: Duration::INFINITE }
    }
}

/// LATENCY_BUDGET: a hint how long a sample may be on its way. DDS 1.4, 2.2.3.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct LatencyBudget {
    /// Time from writing to reading.
    pub duration: Duration,
}

/// Who asserts that a writer is alive. DDS 1.4, 2.2.3.11.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LivelinessKind {
    /// The implementation, as long as the process runs.
    Automatic,
    /// The application, for all writers of the participant at once.
    ManualByParticipant,
    /// The application, for each writer.
    ManualByTopic,
}

/// LIVELINESS. DDS 1.4, 2.2.3.11.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Liveliness {
    /// Who asserts it.
    pub kind: LivelinessKind,
    /// How long an assertion lasts.
    pub lease_duration: Duration,
}

impl Default for Liveliness {
    fn default() -> Self {
        Self { kind: LivelinessKind::Automatic, lease_duration: Duration::INFINITE }
    }
}

/// LIFESPAN: after this time a sample is of no interest. DDS 1.4, 2.2.3.16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lifespan {
    /// Time from the source timestamp on.
    pub duration: Duration,
}

impl Default for Lifespan {
    fn default() -> Self {
        Self { duration: Duration::INFINITE }
    }
}

/// OWNERSHIP: whether several writers may write one instance. DDS 1.4, 2.2.3.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Ownership {
    /// All of them.
    #[default]
    Shared,
    /// Only the strongest.
    Exclusive,
}

/// OWNERSHIP_STRENGTH: who wins with [`Ownership::Exclusive`]. DDS 1.4, 2.2.3.10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct OwnershipStrength(pub i32);

/// DESTINATION_ORDER: what orders the changes of several writers. DDS 1.4, 2.2.3.17.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum DestinationOrder {
    /// When they arrived.
    #[default]
    ByReceptionTimestamp,
    /// When they were written.
    BySourceTimestamp,
}

/// What PRESENTATION extends over. DDS 1.4, 2.2.3.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum PresentationScope {
    /// One instance.
    #[default]
    Instance,
    /// All instances of a topic.
    Topic,
    /// All writers of a publisher.
    Group,
}

/// PRESENTATION. DDS 1.4, 2.2.3.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Presentation {
    /// What coherence and order extend over.
    pub access_scope: PresentationScope,
    /// Several changes can be made visible at once.
    pub coherent_access: bool,
    /// Changes keep their order.
    pub ordered_access: bool,
}

/// TIME_BASED_FILTER: a reader wants no more than one sample in this time. DDS 1.4, 2.2.3.12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TimeBasedFilter {
    /// Shortest time between two samples of an instance.
    pub minimum_separation: Duration,
}

/// TRANSPORT_PRIORITY: a hint. DDS 1.4, 2.2.3.15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TransportPriority(pub i32);

/// A way to encode samples, as DATA_REPRESENTATION names it. XTypes 1.3, 7.6.3.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DataRepresentationId(pub i16);

impl DataRepresentationId {
    /// CDR as it always was.
    pub const XCDR1: Self = Self(0);
    /// XML.
    pub const XML: Self = Self(1);
    /// CDR of XTypes 1.2 and later.
    pub const XCDR2: Self = Self(2);
}

/// DATA_REPRESENTATION: what a writer sends (the first entry) or a reader can read (any of them).
/// XTypes 1.3, 7.6.3.1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct DataRepresentation(pub Vec<DataRepresentationId>);

impl DataRepresentation {
    /// What a writer with this policy sends: the first entry, or XCDR1 if there is none.
    pub fn offered(&self) -> DataRepresentationId {
        self.0.first().copied().unwrap_or(DataRepresentationId::XCDR1)
    }

    /// Whether a reader with this policy can read `id`. An empty list stands for XCDR1.
    pub fn accepts(&self, id: DataRepresentationId) -> bool {
        if self.0.is_empty() { id == DataRepresentationId::XCDR1 } else { self.0.contains(&id) }
    }
}

/// Whether a reader takes types that are only assignable to its own. XTypes 1.3, 7.6.3.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TypeConsistencyKind {
    /// Only its own.
    DisallowTypeCoercion,
    /// Every type that is assignable to its own.
    AllowTypeCoercion,
}

/// TYPE_CONSISTENCY_ENFORCEMENT of a reader. XTypes 1.3, 7.6.3.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeConsistency {
    /// Which types are accepted.
    pub kind: TypeConsistencyKind,
    /// Bounds of sequences need not agree.
    pub ignore_sequence_bounds: bool,
    /// Bounds of strings need not agree.
    pub ignore_string_bounds: bool,
    /// Names of members need not agree.
    pub ignore_member_names: bool,
    /// A writer's type with fewer members is refused.
    pub prevent_type_widening: bool,
    /// Without type information there is no match.
    pub force_type_validation: bool,
}

impl Default for TypeConsistency {
    fn default() -> Self {
        Self {
            kind: TypeConsistencyKind::AllowTypeCoercion,
            ignore_sequence_bounds: true,
            ignore_string_bounds: true,
            ignore_member_names: false,
            prevent_type_widening: false,
            force_type_validation: false,
        }
    }
}
