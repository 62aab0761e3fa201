//! The registry: who is there, for hosts that do not tell.
//!
//! Some DDS implementations show a plugin nothing of remote endpoints (Cyclone DDS's PSMX). Then the
//! endpoints of the plugin enter themselves, before they are advertised, in files of the runtime dir:
//! one for each domain of exchange, topic, type name and partition (see
//! [`registry_file`](super::registry_file) for the format and [`registry_store`](super::registry_store)
//! for how it is kept whole). Each process reads the files in which it has an endpoint itself.
//!
//! Changes are noticed when the node's service thread is rung, which whoever changes a file does to the
//! nodes in it, and once a second. Entries of nodes that are proved dead count as gone, and are
//! removed by whoever notices.

mod nodes;
mod sweeper;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use self::nodes::{LiveNodes, Nodes};
pub use self::sweeper::RegistrySweeper;
use super::directory::EndpointDirectory;
use super::error::DiscoveryError;
use super::event::{DiscoveryEvent, RemoteEndpoint};
use super::event_queue::EventQueue;
use super::locator_carrier::SHM_VERSION;
use super::qos_digest::qos_digest;
use super::registry_file::{RegistryEntry, RegistryFile, RegistryKey};
use super::registry_store::{PATIENCE, RegistryError, RegistryStore};
use super::shm_locator::ShmLocator;
use crate::liveness::{Node, NodeId, RuntimeDir, Serve, Serviced};
use crate::shm::ProcessStamp;
use crate::wire::{Endianness, EndpointData, EndpointRole, Guid, VendorId, WireError};

/// Events kept for a consumer that is slow.
const EVENT_CAPACITY: usize = 4096;

/// An endpoint of ours, and where it is entered.
#[derive(Debug)]
struct Own {
    keys: Vec<RegistryKey>,
    entry: RegistryEntry,
}

/// An endpoint of somebody else.
#[derive(Debug)]
struct Known {
    entry: RegistryEntry,
    endpoint: Arc<RemoteEndpoint>,
    /// The files that it is in.
    keys: BTreeSet<RegistryKey>,
}

/// A file in which we have an endpoint.
#[derive(Debug, Default)]
struct Seen {
    /// Of the file when it was read; `None` if it is to be read in any case.
    generation: Option<u64>,
    /// The endpoints of others in it.
    others: BTreeSet<Guid>,
}

#[derive(Debug)]
struct State {
    store: RegistryStore,
    own: BTreeMap<Guid, Own>,
    /// Entries of ours that could not be taken out yet.
    leaving: Vec<(RegistryKey, Guid)>,
    files: BTreeMap<RegistryKey, Seen>,
    known: BTreeMap<Guid, Known>,
    /// The store's count when all files were last looked at; `None` if they are to be looked at again.
    count: Option<u64>,
}

/// Endpoints that find each other through files of the runtime dir.
///
/// Endpoints of one registry see those of every other registry with the same domain of exchange and
/// runtime dir, in this process or another, and not each other. There are no events of participants.
///
/// Dropping it withdraws its endpoints.
///
/// ```
/// use std::sync::Arc;
/// use dds_shm::discovery::{DiscoveryEvent, EndpointDirectory as _, Registry};
/// use dds_shm::liveness::{Node, NodeOptions, RuntimeDir};
/// use dds_shm::wire::{EndpointData, EndpointRole, EntityId, Guid, GuidPrefix};
///
/// # let temporary = tempfile::tempdir()?;
/// # let dir = RuntimeDir::create(&temporary.path().join("run"))?;
/// # let options = NodeOptions { janitor: None, ..NodeOptions::default() };
/// let node = Node::new(&dir, options)?;
/// let (one, other) = (Registry::open(&node, "instance 7")?, Registry::open(&node, "instance 7")?);
/// let guid = Guid::new(GuidPrefix([1; 12]), EntityId::user_writer(1, false));
/// one.announce(EndpointData::new(EndpointRole::Writer, guid, "Pose", "geometry::Pose"), None)?;
/// let guid = Guid::new(GuidPrefix([2; 12]), EntityId::user_reader(1, false));
/// other.announce(EndpointData::new(EndpointRole::Reader, guid, "Pose", "geometry::Pose"), None)?;
/// assert_eq!(other.publications("Pose").len(), 1);
/// assert!(matches!(other.events().recv()?, DiscoveryEvent::PublicationDiscovered(_)));
/// assert!(matches!(one.events().recv()?, DiscoveryEvent::SubscriptionDiscovered(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Registry {
    domain: String,
    nodes: Box<dyn Nodes>,
    /// How long methods wait for another process's update.
    patience: Duration,
    state: Mutex<State>,
    events: EventQueue<DiscoveryEvent>,
    stamp: ProcessStamp,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("domain", &self.domain)
            .field("node", &self.nodes.id())
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Opens the registry of a node's runtime dir. `domain` says whom to exchange with: only
    /// registries that are opened with the same text see each other.
    ///
    /// # Errors
    /// If the system refuses the files, or in a forked child.
    pub fn open(node: &Arc<Node>, domain: &str) -> Result<Arc<Self>, RegistryError> {
        let nodes = LiveNodes::new(node);
        let registry = Arc::new(Self::new(&node.dir().registry(), domain, Box::new(nodes))?);
        let serviced: Arc<dyn Serviced> = Arc::clone(&registry) as Arc<dyn Serviced>;
        let serviced: Weak<dyn Serviced> = Arc::downgrade(&serviced);
        node.register(serviced)?;
        Ok(registry)
    }

    fn new(directory: &Path, domain: &str, nodes: Box<dyn Nodes>) -> Result<Self, RegistryError> {
        let store = RegistryStore::open(directory)?;
        let state = State {
            store,
            own: BTreeMap::new(),
            leaving: Vec::new(),
            files: BTreeMap::new(),
            known: BTreeMap::new(),
            count: None,
        };
        Ok(Self {
            domain: domain.to_owned(),
            nodes,
            patience: PATIENCE,
            state: Mutex::new(state),
            events: EventQueue::new(EVENT_CAPACITY),
            stamp: ProcessStamp::current(),
        })
    }

    /// Everything that is in the registry of a runtime dir, also of other domains of exchange and of
    /// nodes that are dead by now.
    ///
    /// # Errors
    /// If the system refuses the files.
    pub fn list(dir: &RuntimeDir) -> Result<Vec<RegistryFile>, RegistryError> {
        RegistryStore::open(&dir.registry())?.files()
    }

    /// Looks whether anything has changed. The service thread does this when it is rung and once a
    /// second; call it for what must not wait that long.
    ///
    /// # Errors
    /// If the system refuses the files, or in a forked child.
    pub fn poll(&self) -> Result<(), RegistryError> {
        self.check_process()?;
        self.look(&mut self.lock(), true)
    }

    fn check_process(&self) -> Result<(), RegistryError> {
        if self.stamp.is_current() { Ok(()) } else { Err(RegistryError::ForkedChild) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // After a panic in the middle the state may be old, and the next look brings it up to date.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files in which an endpoint is to be found.
    fn keys(&self, endpoint: &EndpointData) -> Result<Vec<RegistryKey>, RegistryError> {
        let mut partitions: BTreeSet<&str> =
            endpoint.qos.partition.0.iter().map(String::as_str).collect();
        if partitions.is_empty() {
            partitions.insert("");
        }
        if let Some(pattern) = partitions.iter().find(|name| name.contains(['*', '?', '[', '\\'])) {
            return Err(RegistryError::PartitionPattern((*pattern).to_owned()));
        }
        let key = |partition: &str| RegistryKey {
            domain: self.domain.clone(),
            topic: endpoint.topic_name.clone(),
            type_name: endpoint.type_name.clone(),
            partition: partition.to_owned(),
        };
        Ok(partitions.into_iter().map(key).collect())
    }

    fn enter(
        &self,
        endpoint: &EndpointData,
        locator: Option<&ShmLocator>,
    ) -> Result<(), RegistryError> {
        self.check_process()?;
        let keys = self.keys(endpoint)?;
        let guid = endpoint.guid;
        let entry = RegistryEntry {
            node: self.nodes.id(),
            role: endpoint.role,
            guid,
            qos_digest: qos_digest(endpoint.role, &endpoint.qos)?,
            locator: locator.map(ShmLocator::encode).unwrap_or_default(),
            parameters: endpoint.to_pl_cdr(Endianness::Little)?,
        };
        let mut state = self.lock();
        state.leaving.retain(|(key, leaving)| *leaving != guid || !keys.contains(key));
        let mut files = Vec::new();
        let mut result = Ok(());
        for key in &keys {
            match state.store.update(key, self.patience, put(&entry)) {
                Ok(file) => files.push(file),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        // Those that have to be left: the old ones, or, if it failed, the new ones.
        let (kept, left) = match (state.own.remove(&guid), &result) {
            (before, Ok(())) => {
                let left = before.map(|own| own.keys).unwrap_or_default();
                (Some(Own { keys, entry }), left)
            }
            (before, Err(_)) => (before, keys),
        };
        let stays = |key: &RegistryKey| kept.as_ref().is_some_and(|own| own.keys.contains(key));
        let left: Vec<_> = left.into_iter().filter(|key| !stays(key)).collect();
        state.leaving.extend(left.iter().map(|key| (key.clone(), guid)));
        state.own.extend(kept.map(|own| (guid, own)));
        self.tell_of_changes(&mut state, files, left);
        result
    }

    fn leave(&self, guid: Guid) -> Result<(), RegistryError> {
        self.check_process()?;
        let mut state = self.lock();
        let Some(own) = state.own.remove(&guid) else { return Ok(()) };
        let mut files = Vec::new();
        let mut result = Ok(());
        for key in &own.keys {
            match state.store.update(key, self.patience, take_out(guid)) {
                Ok(file) => files.push(file),
                Err(error) => {
                    state.leaving.push((key.clone(), guid));
                    result = Err(error);
                }
            }
        }
        self.tell_of_changes(&mut state, files, own.keys);
        result
    }

    /// Takes in what these files are now, forgets those that were left and no other endpoint of ours is
    /// in, and rings whoever is concerned.
    fn tell_of_changes(&self, state: &mut State, files: Vec<RegistryFile>, left: Vec<RegistryKey>) {
        let mut concerned = take_leaving_out(state);
        for file in files {
            concerned.extend(file.entries.iter().map(|entry| entry.node));
            if state.own.values().any(|own| own.keys.contains(&file.key)) {
                let key = file.key.clone();
                let file = self.tidy(state, &key, Some(file));
                self.take_in(state, &key, file.as_ref());
            }
        }
        for key in left {
            if !state.own.values().any(|own| own.keys.contains(&key)) {
                self.take_in(state, &key, None);
                state.files.remove(&key);
            }
        }
        // Our own node too: other registries of this process have to look.
        for node in concerned {
            self.nodes.ring(node);
        }
    }

    /// Brings what is known up to date, and tells what changed. `probe`: also looks whether nodes have
    /// died.
    fn look(&self, state: &mut State, probe: bool) -> Result<(), RegistryError> {
        take_leaving_out(state);
        if state.files.is_empty() {
            return Ok(());
        }
        if probe {
            self.look_for_dead(state);
        }
        // Before the files: what changes while they are looked at is looked at again.
        let count = state.store.count()?;
        if count.is_some() && count == state.count {
            return Ok(());
        }
        state.count = None;
        let keys: Vec<RegistryKey> = state.files.keys().cloned().collect();
        for key in keys {
            let seen = state.files.get(&key).and_then(|seen| seen.generation);
            if seen.is_none() || state.store.peek(&key) != seen {
                let file = state.store.read(&key)?;
                let file = self.tidy(state, &key, file);
                self.take_in(state, &key, file.as_ref());
            }
        }
        state.count = count;
        Ok(())
    }

    /// Has the files read again in which a node has died.
    fn look_for_dead(&self, state: &mut State) {
        let nodes: BTreeSet<NodeId> = state.known.values().map(|known| known.entry.node).collect();
        let dead: BTreeSet<NodeId> = nodes.into_iter().filter(|node| self.is_dead(*node)).collect();
        for known in state.known.values().filter(|known| dead.contains(&known.entry.node)) {
            for key in &known.keys {
                state.files.entry(key.clone()).or_default().generation = None;
            }
            state.count = None;
        }
    }

    fn is_dead(&self, node: NodeId) -> bool {
        node != self.nodes.id() && self.nodes.is_dead(node)
    }

    /// Takes the dead out of a file, and puts our endpoints in again that somebody has removed: the file
    /// was damaged, or the directory emptied. Returns the file as it is then, or should be.
    fn tidy(
        &self,
        state: &State,
        key: &RegistryKey,
        file: Option<RegistryFile>,
    ) -> Option<RegistryFile> {
        let entries = file.as_ref().map_or(&[][..], |file| &file.entries);
        let missing: Vec<&RegistryEntry> = state
            .own
            .values()
            .filter(|own| own.keys.contains(key) && !entries.contains(&own.entry))
            .map(|own| &own.entry)
            .collect();
        let nodes: BTreeSet<NodeId> = entries.iter().map(|entry| entry.node).collect();
        let dead: BTreeSet<NodeId> = nodes.into_iter().filter(|node| self.is_dead(*node)).collect();
        if missing.is_empty() && dead.is_empty() {
            return file;
        }
        // This may be the service thread, which must not wait: if the lock is taken, next time.
        let tidied = state.store.update(key, Duration::ZERO, |entries| {
            let before = entries.len();
            entries.retain(|entry| !dead.contains(&entry.node));
            let mut changed = entries.len() < before;
            for entry in missing {
                changed |= put(entry)(entries);
            }
            changed
        });
        match tidied {
            Ok(file) => Some(file),
            Err(error) => {
                tracing::debug!(%error, topic = key.topic, "cannot tidy the registry yet");
                let mut file = file?;
                file.entries.retain(|entry| !dead.contains(&entry.node));
                Some(file)
            }
        }
    }

    /// Takes in what a file is now, and tells the difference.
    fn take_in(&self, state: &mut State, key: &RegistryKey, file: Option<&RegistryFile>) {
        let entries = file.map_or(&[][..], |file| &file.entries);
        let others = || entries.iter().filter(|entry| !state.own.contains_key(&entry.guid));
        let seen = Seen {
            generation: file.map(|file| file.generation),
            others: others().map(|entry| entry.guid).collect(),
        };
        let before = state.files.get(key).map(|seen| seen.others.clone()).unwrap_or_default();
        for guid in before.difference(&seen.others) {
            let Some(known) = state.known.get_mut(guid) else { continue };
            known.keys.remove(key);
            if known.keys.is_empty() {
                self.events.push(match known.entry.role {
                    EndpointRole::Writer => DiscoveryEvent::PublicationGone(*guid),
                    EndpointRole::Reader => DiscoveryEvent::SubscriptionGone(*guid),
                });
                state.known.remove(guid);
            }
        }
        for entry in others() {
            let known = state.known.get_mut(&entry.guid);
            if let Some(known) = known.filter(|known| known.entry == *entry) {
                known.keys.insert(key.clone());
                continue;
            }
            let endpoint = match remote_endpoint(entry) {
                Ok(endpoint) => Arc::new(endpoint),
                Err(error) => {
                    tracing::warn!(%error, guid = %entry.guid, "ignoring an entry of the registry");
                    continue;
                }
            };
            let told = Arc::clone(&endpoint);
            let before = state.known.remove(&entry.guid);
            self.events.push(match (entry.role, before.is_none()) {
                (EndpointRole::Writer, true) => DiscoveryEvent::PublicationDiscovered(told),
                (EndpointRole::Writer, false) => DiscoveryEvent::PublicationChanged(told),
                (EndpointRole::Reader, true) => DiscoveryEvent::SubscriptionDiscovered(told),
                (EndpointRole::Reader, false) => DiscoveryEvent::SubscriptionChanged(told),
            });
            let mut keys = before.map(|before| before.keys).unwrap_or_default();
            keys.insert(key.clone());
            state.known.insert(entry.guid, Known { entry: entry.clone(), endpoint, keys });
        }
        state.files.insert(key.clone(), seen);
    }

    fn known(&self, role: EndpointRole, topic_name: &str) -> Vec<Arc<RemoteEndpoint>> {
        let state = self.lock();
        let known = state.known.values().map(|known| &known.endpoint);
        known
            .filter(|endpoint| endpoint.data.role == role && endpoint.data.topic_name == topic_name)
            .map(Arc::clone)
            .collect()
    }
}

impl EndpointDirectory for Registry {
    fn announce(
        &self,
        endpoint: EndpointData,
        locator: Option<ShmLocator>,
    ) -> Result<(), DiscoveryError> {
        Ok(self.enter(&endpoint, locator.as_ref())?)
    }

    fn withdraw(&self, endpoint: Guid) -> Result<(), DiscoveryError> {
        Ok(self.leave(endpoint)?)
    }

    fn publications(&self, topic_name: &str) -> Vec<Arc<RemoteEndpoint>> {
        self.known(EndpointRole::Writer, topic_name)
    }

    fn subscriptions(&self, topic_name: &str) -> Vec<Arc<RemoteEndpoint>> {
        self.known(EndpointRole::Reader, topic_name)
    }

    fn events(&self) -> Receiver<DiscoveryEvent> {
        self.events.receiver()
    }

    fn dropped_events(&self) -> u64 {
        self.events.dropped()
    }
}

impl Serviced for Registry {
    fn serve(&self, _now: Instant, why: Serve) {
        // Not while a method is at work: it looks by itself, and the thread must not wait.
        let Ok(mut state) = self.state.try_lock() else { return };
        if let Err(error) = self.look(&mut state, why == Serve::Tick) {
            tracing::warn!(%error, "cannot look into the registry");
        }
    }

    fn wants_tick(&self) -> bool {
        // A method that is at work may be about to enter the first endpoint.
        self.state.try_lock().map_or(true, |s| !s.own.is_empty() || !s.leaving.is_empty())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // A forked child must not take its parent's endpoints out.
        if !self.stamp.is_current() {
            return;
        }
        let guids: Vec<Guid> = self.lock().own.keys().copied().collect();
        for guid in guids {
            if let Err(error) = self.leave(guid) {
                tracing::warn!(%error, %guid, "cannot leave the registry; the janitor will");
            }
        }
    }
}

/// Tries once more to take out what could not be taken out before; returns who is in those files.
fn take_leaving_out(state: &mut State) -> BTreeSet<NodeId> {
    let mut concerned = BTreeSet::new();
    let store = &state.store;
    // May be on the service thread, which must not wait.
    state.leaving.retain(|(key, guid)| match store.update(key, Duration::ZERO, take_out(*guid)) {
        Ok(now) => {
            concerned.extend(now.entries.iter().map(|entry| entry.node));
            false
        }
        Err(error) => {
            tracing::debug!(%error, %guid, "cannot leave the registry yet");
            true
        }
    });
    concerned
}

/// Replaces the entry of an endpoint; says whether that changes anything.
fn put(entry: &RegistryEntry) -> impl FnOnce(&mut Vec<RegistryEntry>) -> bool + '_ {
    |entries| {
        if entries.contains(entry) {
            return false;
        }
        entries.retain(|other| other.guid != entry.guid);
        entries.push(entry.clone());
        true
    }
}

fn take_out(guid: Guid) -> impl FnOnce(&mut Vec<RegistryEntry>) -> bool {
    move |entries| {
        let before = entries.len();
        entries.retain(|entry| entry.guid != guid);
        entries.len() < before
    }
}

fn remote_endpoint(entry: &RegistryEntry) -> Result<RemoteEndpoint, WireError> {
    let data = EndpointData::from_pl_cdr(entry.role, &entry.parameters)?;
    let locator = match entry.role {
        EndpointRole::Writer if !entry.locator.is_empty() => {
            let decoded = ShmLocator::decode(&entry.locator);
            decoded
                .inspect_err(|error| tracing::warn!(%error, "the writer's locator is unusable"))
                .ok()
        }
        _ => None,
    };
    Ok(RemoteEndpoint {
        vendor_id: data.vendor_id.unwrap_or(VendorId::UNKNOWN),
        locator,
        // Only those who can are here.
        shm_version: (entry.role == EndpointRole::Reader).then_some(SHM_VERSION),
        data,
    })
}
