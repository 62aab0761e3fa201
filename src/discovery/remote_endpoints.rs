//! The endpoints of one kind that one remote participant has announced.
//!
//! Keyed, newest announcement only. When a writer starts over (see
//! [`WriterProxy::start_over`](super::reliable_reader::WriterProxy::start_over)), what it announced
//! before is kept until it has announced everything anew, so that nothing seems to go and come back.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::event::RemoteEndpoint;
use crate::wire::{Guid, SequenceNumber};

#[derive(Debug)]
struct Known {
    endpoint: Arc<RemoteEndpoint>,
    /// Of the announcement.
    number: SequenceNumber,
    /// Not announced again since its writer started over.
    is_stale: bool,
}

/// What an announcement changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    New(Arc<RemoteEndpoint>),
    Changed(Arc<RemoteEndpoint>),
    Nothing,
    /// There is no room for more.
    Refused,
}

/// The endpoints of one kind of one participant.
#[derive(Debug, Default)]
pub(crate) struct RemoteEndpoints {
    known: BTreeMap<Guid, Known>,
}

impl RemoteEndpoints {
    /// An announcement, in the order of its numbers.
    pub(crate) fn announce(
        &mut self,
        number: SequenceNumber,
        endpoint: RemoteEndpoint,
        limit: usize,
    ) -> Announced {
        let guid = endpoint.data.guid;
        let room = self.known.len() < limit;
        match self.known.get_mut(&guid) {
            Some(known) => {
                known.number = number;
                known.is_stale = false;
                if *known.endpoint == endpoint {
                    return Announced::Nothing;
                }
                known.endpoint = Arc::new(endpoint);
                Announced::Changed(Arc::clone(&known.endpoint))
            }
            None if room => {
                let endpoint = Arc::new(endpoint);
                let known = Known { endpoint: Arc::clone(&endpoint), number, is_stale: false };
                self.known.insert(guid, known);
                Announced::New(endpoint)
            }
            None => Announced::Refused,
        }
    }

    /// The endpoint is gone; returns whether it was there.
    pub(crate) fn remove(&mut self, guid: Guid) -> bool {
        self.known.remove(&guid).is_some()
    }

    /// Whether an announcement with a number that was used before contradicts what came with it:
    /// then its writer was restarted.
    pub(crate) fn contradicts(&self, number: SequenceNumber, endpoint: &RemoteEndpoint) -> bool {
        match self.known.get(&endpoint.data.guid) {
            None => true,
            Some(known) if known.number == number => *known.endpoint != *endpoint,
            Some(known) => known.number < number,
        }
    }

    /// From here on everything is announced anew.
    pub(crate) fn start_over(&mut self) {
        self.known.values_mut().for_each(|known| known.is_stale = true);
    }

    /// Everything was announced anew: what was not is gone, and returned.
    pub(crate) fn sweep(&mut self) -> Vec<Guid> {
        let stale = self.known.iter().filter(|(_, known)| known.is_stale);
        let gone: Vec<Guid> = stale.map(|(guid, _)| *guid).collect();
        self.known.retain(|_, known| !known.is_stale);
        gone
    }

    /// Changes what is known beside the announcements; returns those that changed.
    pub(crate) fn revise(
        &mut self,
        revise: impl Fn(&mut RemoteEndpoint),
    ) -> Vec<Arc<RemoteEndpoint>> {
        let mut changed = Vec::new();
        for known in self.known.values_mut() {
            let mut revised = (*known.endpoint).clone();
            revise(&mut revised);
            if revised != *known.endpoint {
                known.endpoint = Arc::new(revised);
                changed.push(Arc::clone(&known.endpoint));
            }
        }
        changed
    }

    pub(crate) fn get(&self, guid: Guid) -> Option<&Arc<RemoteEndpoint>> {
        self.known.get(&guid).map(|known| &known.endpoint)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<RemoteEndpoint>> {
        self.known.values().map(|known| &known.endpoint)
    }
}
