//! Which endpoints belong together: topic, type name, partitions, QoS. No I/O.
//!
//! Endpoints come and go, here and elsewhere; out come the pairs that begin or cease to match, each
//! told once. Layouts of samples are not known here: the segment decides about them, when it is opened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::duty::{HostDuty, host_duties};
use super::reachability::Mismatch;
use crate::discovery::{LossReason, RemoteEndpoint};
use crate::wire::qos::{EndpointQos, incompatible_policies};
use crate::wire::{EndpointData, EndpointRole, Guid, GuidPrefix};

/// An endpoint of this transport, as far as matching goes.
#[derive(Clone, Debug)]
pub(crate) struct LocalEndpoint {
    pub(crate) guid: Guid,
    pub(crate) role: EndpointRole,
    pub(crate) topic: String,
    pub(crate) type_name: String,
    pub(crate) qos: EndpointQos,
}

/// How a local and a remote endpoint stand to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Matched,
    Mismatched(Mismatch),
}

/// What became of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// They match.
    Matched { remote: Arc<RemoteEndpoint>, duties: Vec<HostDuty> },
    /// They still match, and the remote endpoint says something else than before.
    Updated { remote: Arc<RemoteEndpoint> },
    /// They match no longer.
    Unmatched { why: Parting },
    /// They are of one topic and do not match.
    Mismatched(Mismatch),
    /// They did not match, and have nothing to do with each other any more.
    Forgotten,
}

/// Why a pair matches no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parting {
    /// One of them was deleted, or says something else now.
    Gone,
    /// The remote participant was lost.
    Lost(LossReason),
}

/// What became of one pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) local: Guid,
    pub(crate) remote: Guid,
    pub(crate) change: Change,
}

#[derive(Debug)]
struct Local {
    endpoint: LocalEndpoint,
    relations: BTreeMap<Guid, Relation>,
}

#[derive(Debug)]
struct Remote {
    endpoint: Arc<RemoteEndpoint>,
    /// The lease of its participant has not expired.
    is_present: bool,
}

/// Everybody who is known, and who matches whom.
#[derive(Debug, Default)]
pub(crate) struct Matching {
    locals: BTreeMap<Guid, Local>,
    remotes: BTreeMap<Guid, Remote>,
}

impl Matching {
    /// A local endpoint was made.
    pub(crate) fn add_local(&mut self, endpoint: LocalEndpoint) -> Vec<Step> {
        let guid = endpoint.guid;
        let mut local = Local { endpoint, relations: BTreeMap::new() };
        let present = self.remotes.values().filter(|remote| remote.is_present);
        let steps = present.flat_map(|remote| local.meet(&remote.endpoint, false)).collect();
        self.locals.insert(guid, local);
        steps
    }

    /// A local endpoint was deleted.
    pub(crate) fn remove_local(&mut self, guid: Guid) -> Vec<Step> {
        let Some(mut local) = self.locals.remove(&guid) else { return Vec::new() };
        let known: Vec<Guid> = local.relations.keys().copied().collect();
        known.into_iter().filter_map(|remote| local.part(remote, Parting::Gone)).collect()
    }

    /// A remote endpoint announces itself, or something else than before.
    pub(crate) fn announce(&mut self, endpoint: Arc<RemoteEndpoint>) -> Vec<Step> {
        let guid = endpoint.data.guid;
        let known = self.remotes.get(&guid).filter(|known| known.is_present);
        if known.is_some_and(|known| known.endpoint == endpoint) {
            return Vec::new();
        }
        let steps = self.meet_all(&endpoint);
        self.remotes.insert(guid, Remote { endpoint, is_present: true });
        steps
    }

    /// A remote endpoint was deleted.
    pub(crate) fn gone(&mut self, guid: Guid) -> Vec<Step> {
        self.remotes.remove(&guid);
        self.part_all(guid, Parting::Gone)
    }

    /// A remote participant and its endpoints are gone; after the expiry of a lease they may be back
    /// as they were.
    pub(crate) fn participant_lost(&mut self, prefix: GuidPrefix, reason: LossReason) -> Vec<Step> {
        let lost: Vec<Guid> = self.endpoints_of(prefix);
        for guid in &lost {
            match reason {
                LossReason::Disposed => {
                    self.remotes.remove(guid);
                }
                LossReason::LeaseExpired => {
                    if let Some(remote) = self.remotes.get_mut(guid) {
                        remote.is_present = false;
                    }
                }
            }
        }
        lost.into_iter().flat_map(|guid| self.part_all(guid, Parting::Lost(reason))).collect()
    }

    /// A participant whose lease had expired is heard of again.
    pub(crate) fn participant_alive(&mut self, prefix: GuidPrefix) -> Vec<Step> {
        let mut back = Vec::new();
        for guid in self.endpoints_of(prefix) {
            if let Some(remote) = self.remotes.get_mut(&guid)
                && !std::mem::replace(&mut remote.is_present, true)
            {
                back.push(Arc::clone(&remote.endpoint));
            }
        }
        back.iter().flat_map(|endpoint| self.meet_all(endpoint)).collect()
    }

    /// How two endpoints stand to each other; `None` if they have nothing in common.
    pub(crate) fn relation(&self, local: Guid, remote: Guid) -> Option<&Relation> {
        self.locals.get(&local)?.relations.get(&remote)
    }

    /// The topics of local endpoints.
    pub(crate) fn topics(&self) -> BTreeSet<String> {
        self.locals.values().map(|local| local.endpoint.topic.clone()).collect()
    }

    /// The remote endpoints of a topic.
    pub(crate) fn remotes_of(&self, topic: &str) -> Vec<Guid> {
        let all = self.remotes.iter();
        let of_topic = all.filter(|(_, remote)| remote.endpoint.data.topic_name == topic);
        of_topic.map(|(guid, _)| *guid).collect()
    }

    fn endpoints_of(&self, prefix: GuidPrefix) -> Vec<Guid> {
        self.remotes.keys().copied().filter(|guid| guid.prefix == prefix).collect()
    }

    fn meet_all(&mut self, endpoint: &Arc<RemoteEndpoint>) -> Vec<Step> {
        self.locals.values_mut().flat_map(|local| local.meet(endpoint, true)).collect()
    }

    fn part_all(&mut self, remote: Guid, why: Parting) -> Vec<Step> {
        self.locals.values_mut().filter_map(|local| local.part(remote, why)).collect()
    }
}

impl Local {
    /// Compares with an endpoint that is there. `changed`: it may say something else than before.
    fn meet(&mut self, remote: &Arc<RemoteEndpoint>, changed: bool) -> Vec<Step> {
        let guid = remote.data.guid;
        let before = self.relations.remove(&guid);
        let now = relate(&self.endpoint, &remote.data);
        let mut changes = Vec::new();
        match (&before, &now) {
            (Some(Relation::Matched), Some(Relation::Matched)) => {
                if changed {
                    changes.push(Change::Updated { remote: Arc::clone(remote) });
                }
            }
            (_, Some(Relation::Matched)) => {
                let (local, data) = (&self.endpoint.qos, &remote.data);
                let duties = match self.endpoint.role {
                    EndpointRole::Writer => host_duties(local, &data.qos, Some(data)),
                    EndpointRole::Reader => host_duties(&data.qos, local, None),
                };
                changes.push(Change::Matched { remote: Arc::clone(remote), duties });
            }
            _ => {
                let was_matched = before == Some(Relation::Matched);
                if was_matched {
                    changes.push(Change::Unmatched { why: Parting::Gone });
                }
                match &now {
                    Some(Relation::Mismatched(reason)) if before != now => {
                        changes.push(Change::Mismatched(reason.clone()));
                    }
                    None if before.is_some() && !was_matched => changes.push(Change::Forgotten),
                    _ => {}
                }
            }
        }
        if let Some(relation) = now {
            self.relations.insert(guid, relation);
        }
        let local = self.endpoint.guid;
        changes.into_iter().map(|change| Step { local, remote: guid, change }).collect()
    }

    fn part(&mut self, remote: Guid, why: Parting) -> Option<Step> {
        let change = match self.relations.remove(&remote)? {
            Relation::Matched => Change::Unmatched { why },
            Relation::Mismatched(_) => Change::Forgotten,
        };
        Some(Step { local: self.endpoint.guid, remote, change })
    }
}

/// How two endpoints stand to each other; `None` if they have nothing to do with each other.
fn relate(local: &LocalEndpoint, remote: &EndpointData) -> Option<Relation> {
    let (writer, reader) = match (local.role, remote.role) {
        (EndpointRole::Writer, EndpointRole::Reader) => (&local.qos, &remote.qos),
        (EndpointRole::Reader, EndpointRole::Writer) => (&remote.qos, &local.qos),
        _ => return None,
    };
    if local.topic != remote.topic_name || !writer.partition.matches(&reader.partition) {
        return None;
    }
    if local.type_name != remote.type_name {
        return Some(Relation::Mismatched(Mismatch::TypeName {
            local: local.type_name.clone(),
            remote: remote.type_name.clone(),
        }));
    }
    let incompatible = incompatible_policies(writer, reader);
    Some(if incompatible.is_empty() {
        Relation::Matched
    } else {
        Relation::Mismatched(Mismatch::Qos(incompatible))
    })
}
