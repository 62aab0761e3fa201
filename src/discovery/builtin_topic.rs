//! The builtin topics that are reliable: their endpoints, and the bits that announce those.

use crate::wire::{BuiltinEndpointSet, EndpointRole, EntityId};

/// A builtin topic whose writers and readers keep state about each other. SPDP is not among them: it
/// is best effort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BuiltinTopic {
    /// SEDP: writers.
    Publications,
    /// SEDP: readers.
    Subscriptions,
    /// Writer liveliness.
    ParticipantMessage,
}

impl BuiltinTopic {
    pub(crate) const ALL: [Self; 3] =
        [Self::Publications, Self::Subscriptions, Self::ParticipantMessage];

    /// Its place in arrays with one element for each topic.
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Publications => 0,
            Self::Subscriptions => 1,
            Self::ParticipantMessage => 2,
        }
    }

    /// The topic that endpoints of this role are announced in.
    pub(crate) fn announcing(role: EndpointRole) -> Self {
        match role {
            EndpointRole::Writer => Self::Publications,
            EndpointRole::Reader => Self::Subscriptions,
        }
    }

    /// What is announced in the topic.
    pub(crate) fn role(self) -> Option<EndpointRole> {
        match self {
            Self::Publications => Some(EndpointRole::Writer),
            Self::Subscriptions => Some(EndpointRole::Reader),
            Self::ParticipantMessage => None,
        }
    }

    pub(crate) fn of_writer(writer_id: EntityId) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.writer_id() == writer_id)
    }

    pub(crate) fn of_reader(reader_id: EntityId) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.reader_id() == reader_id)
    }

    pub(crate) fn writer_id(self) -> EntityId {
        match self {
            Self::Publications => EntityId::SEDP_PUBLICATIONS_WRITER,
            Self::Subscriptions => EntityId::SEDP_SUBSCRIPTIONS_WRITER,
            Self::ParticipantMessage => EntityId::PARTICIPANT_MESSAGE_WRITER,
        }
    }

    pub(crate) fn reader_id(self) -> EntityId {
        match self {
            Self::Publications => EntityId::SEDP_PUBLICATIONS_READER,
            Self::Subscriptions => EntityId::SEDP_SUBSCRIPTIONS_READER,
            Self::ParticipantMessage => EntityId::PARTICIPANT_MESSAGE_READER,
        }
    }

    /// Whether a participant with these endpoints writes the topic.
    pub(crate) fn is_written_by(self, endpoints: BuiltinEndpointSet) -> bool {
        endpoints.contains(match self {
            Self::Publications => BuiltinEndpointSet::PUBLICATIONS_ANNOUNCER,
            Self::Subscriptions => BuiltinEndpointSet::SUBSCRIPTIONS_ANNOUNCER,
            Self::ParticipantMessage => BuiltinEndpointSet::PARTICIPANT_MESSAGE_WRITER,
        })
    }

    /// Whether a participant with these endpoints reads the topic.
    pub(crate) fn is_read_by(self, endpoints: BuiltinEndpointSet) -> bool {
        endpoints.contains(match self {
            Self::Publications => BuiltinEndpointSet::PUBLICATIONS_DETECTOR,
            Self::Subscriptions => BuiltinEndpointSet::SUBSCRIPTIONS_DETECTOR,
            Self::ParticipantMessage => BuiltinEndpointSet::PARTICIPANT_MESSAGE_READER,
        })
    }
}
