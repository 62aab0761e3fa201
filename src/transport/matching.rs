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
    /// The remote endpoint was deleted.
    Deleted,
    /// The remote endpoint announces something else now.
    Changed,
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
    pub(crate) fn remove_local(&mut self, guid: Guid) {
        self.locals.remove(&guid);
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
        self.part_all(guid, Parting::Deleted)
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

    /// A local endpoint.
    pub(crate) fn local(&self, guid: Guid) -> Option<&LocalEndpoint> {
        self.locals.get(&guid).map(|local| &local.endpoint)
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
                    changes.push(Change::Unmatched { why: Parting::Changed });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::qos::{Durability, Partition, QosPolicyId, Reliability};
    use crate::wire::{EntityId, VendorId};

    const HERE: GuidPrefix = GuidPrefix([1; 12]);
    const THERE: GuidPrefix = GuidPrefix([2; 12]);

    fn writer() -> LocalEndpoint {
        LocalEndpoint {
            guid: Guid::new(HERE, EntityId::user_writer(1, false)),
            role: EndpointRole::Writer,
            topic: "T".to_owned(),
            type_name: "U".to_owned(),
            qos: EndpointQos::writer_default(),
        }
    }

    fn reader(change: impl FnOnce(&mut EndpointData)) -> Arc<RemoteEndpoint> {
        let guid = Guid::new(THERE, EntityId::user_reader(1, false));
        let mut data = EndpointData::new(EndpointRole::Reader, guid, "T", "U");
        change(&mut data);
        let (locator, shm_version) = (None, Some(1));
        Arc::new(RemoteEndpoint { data, vendor_id: VendorId::EMBEDDED, locator, shm_version })
    }

    fn changes(steps: Vec<Step>) -> Vec<Change> {
        steps.into_iter().map(|step| step.change).collect()
    }

    fn matched(remote: &Arc<RemoteEndpoint>) -> Change {
        Change::Matched { remote: Arc::clone(remote), duties: Vec::new() }
    }

    #[test]
    fn endpoints_match_whichever_comes_first() {
        let remote = reader(|_| ());
        let mut matching = Matching::default();
        assert_eq!(matching.announce(Arc::clone(&remote)), []);
        assert_eq!(changes(matching.add_local(writer())), [matched(&remote)]);

        let mut matching = Matching::default();
        assert_eq!(matching.add_local(writer()), []);
        assert_eq!(changes(matching.announce(Arc::clone(&remote))), [matched(&remote)]);
        // Once.
        assert_eq!(matching.announce(remote), []);
    }

    #[test]
    fn the_table_of_matches() {
        type Edit = fn(&mut EndpointData);
        let qos = |policy| Some(Relation::Mismatched(Mismatch::Qos(vec![policy])));
        let cases: [(Edit, Option<Relation>); 9] = [
            (|_| (), Some(Relation::Matched)),
            (|reader| reader.topic_name = "other".to_owned(), None),
            (
                |reader| reader.type_name = "other".to_owned(),
                Some(Relation::Mismatched(Mismatch::TypeName {
                    local: "U".to_owned(),
                    remote: "other".to_owned(),
                })),
            ),
            (|reader| reader.qos.partition = Partition(vec!["p".to_owned()]), None),
            (
                |reader| reader.qos.partition = Partition(vec!["*".to_owned()]),
                Some(Relation::Matched),
            ),
            (|reader| reader.qos.reliability = Reliability::reliable(), Some(Relation::Matched)),
            (
                |reader| reader.qos.durability = Durability::TransientLocal,
                qos(QosPolicyId::Durability),
            ),
            (
                |reader| reader.qos.deadline.period = crate::wire::Duration::from_secs(1),
                qos(QosPolicyId::Deadline),
            ),
            (
                |reader| {
                    reader.role = EndpointRole::Writer;
                    reader.guid.entity_id = EntityId::user_writer(1, false);
                },
                None,
            ),
        ];
        for (number, (edit, expected)) in cases.into_iter().enumerate() {
            let mut matching = Matching::default();
            let remote = reader(edit);
            matching.add_local(writer());
            matching.announce(Arc::clone(&remote));
            let found = matching.relation(writer().guid, remote.data.guid);
            assert_eq!(found, expected.as_ref(), "case {number}");
        }
    }

    #[test]
    fn a_change_of_qos_parts_and_joins() {
        let mut matching = Matching::default();
        matching.add_local(writer());
        matching.announce(reader(|_| ()));
        let picky = reader(|data| data.qos.durability = Durability::TransientLocal);
        let reason = Mismatch::Qos(vec![QosPolicyId::Durability]);
        assert_eq!(
            changes(matching.announce(Arc::clone(&picky))),
            [Change::Unmatched { why: Parting::Changed }, Change::Mismatched(reason)]
        );
        // Told once, whatever else it announces.
        let mut picky = (*picky).clone();
        picky.data.user_data.push(1);
        assert_eq!(matching.announce(Arc::new(picky)), []);
        let remote = reader(|_| ());
        assert_eq!(changes(matching.announce(Arc::clone(&remote))), [matched(&remote)]);
        let elsewhere = reader(|data| data.topic_name = "other".to_owned());
        let parted = [Change::Unmatched { why: Parting::Changed }];
        assert_eq!(changes(matching.announce(elsewhere)), parted);
    }

    #[test]
    fn what_else_changes_is_told_as_an_update() {
        let mut matching = Matching::default();
        matching.add_local(writer());
        matching.announce(reader(|_| ()));
        let changed = reader(|data| data.user_data.push(1));
        let update = Change::Updated { remote: Arc::clone(&changed) };
        assert_eq!(changes(matching.announce(changed)), [update]);
    }

    #[test]
    fn a_lease_that_expires_parts_and_a_sign_of_life_joins_again() {
        let mut matching = Matching::default();
        let remote = reader(|_| ());
        matching.add_local(writer());
        matching.announce(Arc::clone(&remote));
        let lost = Change::Unmatched { why: Parting::Lost(LossReason::LeaseExpired) };
        assert_eq!(changes(matching.participant_lost(THERE, LossReason::LeaseExpired)), [lost]);
        // A new local endpoint does not match who is not there.
        let mut second = writer();
        second.guid.entity_id = EntityId::user_writer(2, false);
        assert_eq!(matching.add_local(second), []);
        let joined = [matched(&remote), matched(&remote)];
        assert_eq!(changes(matching.participant_alive(THERE)), joined);
        assert_eq!(matching.participant_alive(THERE), []);
        // Discovered anew, unchanged, does as well.
        matching.participant_lost(THERE, LossReason::LeaseExpired);
        assert_eq!(changes(matching.announce(remote)), joined);
    }

    #[test]
    fn who_left_does_not_come_back_alive() {
        let mut matching = Matching::default();
        matching.add_local(writer());
        matching.announce(reader(|_| ()));
        let lost = Change::Unmatched { why: Parting::Lost(LossReason::Disposed) };
        assert_eq!(changes(matching.participant_lost(THERE, LossReason::Disposed)), [lost]);
        assert_eq!(matching.participant_alive(THERE), []);
    }

    #[test]
    fn a_deleted_endpoint_parts_with_all() {
        let mut matching = Matching::default();
        let remote = reader(|_| ());
        matching.add_local(writer());
        matching.announce(Arc::clone(&remote));
        let parted = [Change::Unmatched { why: Parting::Deleted }];
        assert_eq!(changes(matching.gone(remote.data.guid)), parted);
        assert_eq!(matching.gone(remote.data.guid), []);
    }
}
