//! What a match asks for and shared memory does not do.

use std::fmt;

use crate::wire::qos::{
    DestinationOrder, EndpointQos, LivelinessKind, Ownership, PresentationScope,
};
use crate::wire::{Duration, EndpointData};

/// Something that the QoS of a match asks for and that the host does, as it does for samples from
/// the network: the transport hands every sample over with its metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HostDuty {
    /// DEADLINE: watch the time between two samples of an instance.
    Deadline,
    /// LIVELINESS: a sample through shared memory asserts the liveliness of its writer, and there is
    /// no other message that does.
    Liveliness,
    /// OWNERSHIP: drop samples of writers that are not the strongest of their instance.
    Ownership,
    /// DESTINATION_ORDER: order samples of several writers by source timestamp.
    DestinationOrder,
    /// PRESENTATION: coherent sets, or an order over several instances or topics.
    Presentation,
    /// TIME_BASED_FILTER: drop samples that come too soon after another.
    TimeBasedFilter,
    /// A content filter of the reader: evaluate it at the reader.
    ContentFilter,
}

impl fmt::Display for HostDuty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "DEADLINE",
            Self::Liveliness => "LIVELINESS",
            Self::Ownership => "OWNERSHIP",
            Self::DestinationOrder => "DESTINATION_ORDER",
            Self::Presentation => "PRESENTATION",
            Self::TimeBasedFilter => "TIME_BASED_FILTER",
            Self::ContentFilter => "content filter",
        })
    }
}

/// What the host has to do for a writer and a reader that match. `announced`: what the reader says of
/// itself beside its QoS, if it is not ours.
pub(crate) fn host_duties(
    writer: &EndpointQos,
    reader: &EndpointQos,
    announced: Option<&EndpointData>,
) -> Vec<HostDuty> {
    let presentation = &reader.presentation;
    let asked = [
        (HostDuty::Deadline, !reader.deadline.period.is_infinite()),
        (
            HostDuty::Liveliness,
            writer.liveliness.kind != LivelinessKind::Automatic
                || !reader.liveliness.lease_duration.is_infinite(),
        ),
        (HostDuty::Ownership, writer.ownership == Ownership::Exclusive),
        (
            HostDuty::DestinationOrder,
            reader.destination_order == DestinationOrder::BySourceTimestamp,
        ),
        (
            HostDuty::Presentation,
            presentation.coherent_access
                || (presentation.ordered_access
                    && presentation.access_scope != PresentationScope::Instance),
        ),
        (HostDuty::TimeBasedFilter, reader.time_based_filter.minimum_separation > Duration::ZERO),
        (HostDuty::ContentFilter, announced.is_some_and(|reader| reader.content_filter.is_some())),
    ];
    asked.into_iter().filter(|(_, asked)| *asked).map(|(duty, _)| duty).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_ask_for_nothing() {
        let (writer, reader) = (EndpointQos::writer_default(), EndpointQos::reader_default());
        assert_eq!(host_duties(&writer, &reader, None), []);
    }

    #[test]
    fn each_policy_that_the_transport_does_not_do_is_named() {
        type Change = fn(&mut EndpointQos, &mut EndpointQos);
        let cases: [(HostDuty, Change); 7] = [
            (HostDuty::Deadline, |_, r| r.deadline.period = Duration::from_secs(1)),
            (HostDuty::Liveliness, |w, _| w.liveliness.kind = LivelinessKind::ManualByTopic),
            (HostDuty::Liveliness, |_, r| r.liveliness.lease_duration = Duration::from_secs(1)),
            (HostDuty::Ownership, |w, _| w.ownership = Ownership::Exclusive),
            (HostDuty::DestinationOrder, |_, r| {
                r.destination_order = DestinationOrder::BySourceTimestamp;
            }),
            (HostDuty::Presentation, |_, r| r.presentation.coherent_access = true),
            (HostDuty::TimeBasedFilter, |_, r| {
                r.time_based_filter.minimum_separation = Duration::from_millis(10);
            }),
        ];
        for (duty, change) in cases {
            let mut writer = EndpointQos::writer_default();
            let mut reader = EndpointQos::reader_default();
            change(&mut writer, &mut reader);
            assert_eq!(host_duties(&writer, &reader, None), [duty]);
        }
    }
}
