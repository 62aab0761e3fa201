//! What the transport tells its host.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::duty::HostDuty;
use super::reachability::{Mismatch, NetworkReason};
use crate::discovery::{EventQueue, ShmLocator};
pub use crate::slots::ReaderLoss;
use crate::wire::{Guid, RepresentationId};

/// Something that happened to an endpoint of this transport. In every event, the first GUID is that
/// of the local endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportEvent {
    /// A remote endpoint matches a local one. By which way samples go is told later, and by
    /// `reachability` at any time.
    Matched {
        /// Local endpoint.
        local: Guid,
        /// The other one.
        remote: Guid,
        /// What the host has to do for it.
        duties: Vec<HostDuty>,
    },
    /// A remote endpoint matches no longer: gone, changed, or lost with its participant.
    Unmatched {
        /// Local endpoint.
        local: Guid,
        /// The other one.
        remote: Guid,
    },
    /// Endpoints of one topic do not match, or their samples are laid out differently.
    Mismatch {
        /// Local endpoint.
        local: Guid,
        /// The other one.
        remote: Guid,
        /// Why.
        reason: Mismatch,
    },
    /// A reader gets the samples of our writer through its segment, from `start_sn` on.
    ReaderAttached {
        /// Our writer.
        writer: Guid,
        /// The reader.
        reader: Guid,
        /// RTPS sequence number of the first sample that it gets through the segment. What is below
        /// goes by network, or not at all.
        start_sn: i64,
    },
    /// A reader that had been disconnected is served again, from `start_sn` on.
    ReaderReturned {
        /// Our writer.
        writer: Guid,
        /// The reader.
        reader: Guid,
        /// RTPS sequence number from which on it is served through the segment again.
        start_sn: i64,
    },
    /// A reader is no longer served through the segment of our writer.
    ReaderLost {
        /// Our writer.
        writer: Guid,
        /// The reader.
        reader: Guid,
        /// Why.
        why: ReaderLoss,
        /// RTPS sequence number of the first sample that it did not get: from here on the host
        /// sends by network, if the reader is still there.
        resend_from: i64,
    },
    /// A reader wanted to attach to our writer and was refused, because its process cannot be watched.
    ReaderRefused {
        /// Our writer.
        writer: Guid,
        /// The reader.
        reader: Guid,
        /// User it says it runs as.
        uid: u32,
    },
    /// Our writer goes on in a new segment, because a reader pinned the old one. The new locator is to
    /// be advertised; readers that are attached follow by themselves.
    SegmentReplaced {
        /// Our writer.
        writer: Guid,
        /// What to advertise from now on.
        locator: Box<ShmLocator>,
    },
    /// Our reader is served through a writer's segment, from `start_sn` on.
    WriterAttached {
        /// Our reader.
        reader: Guid,
        /// The writer.
        writer: Guid,
        /// RTPS sequence number of the first sample that comes through the segment.
        start_sn: i64,
    },
    /// A writer's segment is not read any more. What was in it has been taken, or can still be.
    WriterLost {
        /// Our reader.
        reader: Guid,
        /// The writer.
        writer: Guid,
        /// Why.
        reason: NetworkReason,
    },
    /// Samples of a writer went by our reader since the last such event.
    SamplesLost {
        /// Our reader.
        reader: Guid,
        /// The writer.
        writer: Guid,
        /// Samples that it should have got.
        lost: u64,
        /// Samples that newer ones of a KEEP_LAST writer replaced: not lost, as DDS counts.
        replaced: u64,
    },
    /// Our reader gets samples that a former owner of the segment wrote, before it was adopted: their
    /// RTPS sequence numbers are not those of the writer as it is now.
    FormerIncarnation {
        /// Our reader.
        reader: Guid,
        /// The writer as it is now.
        writer: Guid,
        /// Owner epoch of the first such sample.
        owner_epoch: u32,
    },
    /// A matched endpoint cannot be reached through shared memory.
    Unreachable {
        /// Local endpoint.
        local: Guid,
        /// The other one.
        remote: Guid,
        /// Why.
        reason: NetworkReason,
    },
    /// A typed reader passed over a sample that it cannot read: it is serialised, or has the size of
    /// another type.
    Unreadable {
        /// Our reader.
        reader: Guid,
        /// The writer.
        writer: Guid,
        /// RTPS sequence number of the sample.
        sn: i64,
        /// How it is encoded; `None` if it is as in memory, and of a wrong size or value.
        representation: Option<RepresentationId>,
    },
    /// So many older events were dropped, because nobody fetched them.
    EventsDropped(u64),
}

/// Where endpoints put their events. Never blocks: the oldest makes room.
#[derive(Clone, Debug)]
pub(crate) struct EventSink(EventQueue<TransportEvent>);

impl EventSink {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(EventQueue::new(capacity))
    }

    pub(crate) fn tell(&self, event: TransportEvent) {
        tracing::debug!(?event, "transport event");
        self.0.push(event);
    }

    pub(crate) fn events(&self, told: &Arc<AtomicU64>) -> TransportEvents {
        TransportEvents {
            receiver: self.0.receiver(),
            queue: self.0.clone(),
            told: Arc::clone(told),
        }
    }
}

/// The events of a transport. Clones share them: each event goes to one of the receivers.
///
/// The queue is bounded. When nobody fetches, the oldest events are dropped, and the next one that
/// is fetched is [`TransportEvent::EventsDropped`] with their number.
#[derive(Clone, Debug)]
pub struct TransportEvents {
    receiver: Receiver<TransportEvent>,
    queue: EventQueue<TransportEvent>,
    /// How many of the dropped events have been told.
    told: Arc<AtomicU64>,
}

impl TransportEvents {
    /// The next event, if there is one. Never blocks.
    #[must_use]
    pub fn try_next(&self) -> Option<TransportEvent> {
        if let Some(dropped) = self.dropped() {
            return Some(dropped);
        }
        self.receiver.try_recv().ok()
    }

    /// The next event, waiting up to `timeout` for one.
    #[must_use]
    pub fn next_within(&self, timeout: Duration) -> Option<TransportEvent> {
        if let Some(dropped) = self.dropped() {
            return Some(dropped);
        }
        self.receiver.recv_timeout(timeout).ok()
    }

    /// All events that are there.
    pub fn drain(&self) -> impl Iterator<Item = TransportEvent> + '_ {
        std::iter::from_fn(|| self.try_next())
    }

    /// The channel under it, for a `select!`. It does not tell of events that were dropped:
    /// [`Self::try_next`] does.
    #[must_use]
    pub fn channel(&self) -> &Receiver<TransportEvent> {
        &self.receiver
    }

    fn dropped(&self) -> Option<TransportEvent> {
        let dropped = self.queue.dropped();
        let told = self.told.fetch_max(dropped, Ordering::Relaxed);
        (dropped > told).then(|| TransportEvent::EventsDropped(dropped - told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(sn: i64) -> TransportEvent {
        let (writer, reader) = (Guid::UNKNOWN, Guid::UNKNOWN);
        TransportEvent::ReaderReturned { writer, reader, start_sn: sn }
    }

    #[test]
    fn dropped_events_are_counted_where_they_are_missing() {
        let sink = EventSink::new(2);
        let events = sink.events(&Arc::default());
        for sn in 1..=5 {
            sink.tell(event(sn));
        }
        let seen: Vec<_> = events.drain().collect();
        assert_eq!(seen, [TransportEvent::EventsDropped(3), event(4), event(5)]);
        sink.tell(event(6));
        assert_eq!(events.try_next(), Some(event(6)));
        assert_eq!(events.next_within(Duration::ZERO), None);
    }

    #[test]
    fn a_drop_is_told_once_to_all_receivers_together() {
        let sink = EventSink::new(1);
        let told = Arc::default();
        let (one, two) = (sink.events(&told), sink.events(&told));
        sink.tell(event(1));
        sink.tell(event(2));
        assert_eq!(one.try_next(), Some(TransportEvent::EventsDropped(1)));
        assert_eq!(two.try_next(), Some(event(2)));
        assert_eq!(two.try_next(), None);
    }
}
