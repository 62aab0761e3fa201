use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::*;
use crate::shm::OfdLock;
use crate::wire::qos::Partition;
use crate::wire::{EntityId, GuidPrefix};

/// Nodes that die when told to, and remember who was rung.
#[derive(Clone)]
struct Population(Arc<Mutex<Fate>>, NodeId);

#[derive(Default)]
struct Fate {
    dead: BTreeSet<NodeId>,
    rung: Vec<NodeId>,
}

impl Nodes for Population {
    fn id(&self) -> NodeId {
        self.1
    }

    fn is_dead(&self, node: NodeId) -> bool {
        self.0.lock().unwrap().dead.contains(&node)
    }

    fn ring(&self, node: NodeId) {
        self.0.lock().unwrap().rung.push(node);
    }
}

struct World {
    directory: tempfile::TempDir,
    fate: Arc<Mutex<Fate>>,
}

impl World {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), fate: Arc::default() }
    }

    fn open(&self, node: u64) -> Registry {
        self.open_in("domain", node)
    }

    fn open_in(&self, domain: &str, node: u64) -> Registry {
        let nodes = Population(Arc::clone(&self.fate), NodeId::new(node).unwrap());
        Registry::new(self.directory.path(), domain, Box::new(nodes)).unwrap()
    }

    fn kill(&self, node: u64) {
        self.fate.lock().unwrap().dead.insert(NodeId::new(node).unwrap());
    }

    fn files(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| path.extension().is_some_and(|e| e == "registry")).collect()
    }
}

fn endpoint(role: EndpointRole, n: u8, topic: &str) -> EndpointData {
    let entity_id = match role {
        EndpointRole::Writer => EntityId::user_writer(1, false),
        EndpointRole::Reader => EntityId::user_reader(1, false),
    };
    EndpointData::new(role, Guid::new(GuidPrefix([n; 12]), entity_id), topic, "Type")
}

fn writer(n: u8, topic: &str) -> EndpointData {
    endpoint(EndpointRole::Writer, n, topic)
}

fn reader(n: u8, topic: &str) -> EndpointData {
    endpoint(EndpointRole::Reader, n, topic)
}

fn locator() -> ShmLocator {
    use super::super::{LocatorPath, ShmLocator};
    ShmLocator {
        hostname_hash: 1,
        uid: 2,
        slot_count: 3,
        slot_stride: 4,
        path: LocatorPath::new("/a").unwrap(),
        segment: None,
    }
}

fn events(registry: &Registry) -> Vec<String> {
    let name = |event: DiscoveryEvent| match event {
        DiscoveryEvent::PublicationDiscovered(e) => format!("+w{}", e.data.guid.prefix.0[0]),
        DiscoveryEvent::PublicationChanged(e) => format!("~w{}", e.data.guid.prefix.0[0]),
        DiscoveryEvent::PublicationGone(guid) => format!("-w{}", guid.prefix.0[0]),
        DiscoveryEvent::SubscriptionDiscovered(e) => format!("+r{}", e.data.guid.prefix.0[0]),
        DiscoveryEvent::SubscriptionChanged(e) => format!("~r{}", e.data.guid.prefix.0[0]),
        DiscoveryEvent::SubscriptionGone(guid) => format!("-r{}", guid.prefix.0[0]),
        other => panic!("{other:?}"),
    };
    registry.poll().unwrap();
    registry.events().try_iter().map(name).collect()
}

#[test]
fn endpoints_find_each_other_with_everything_that_sedp_would_say() {
    let world = World::new();
    let (one, two) = (world.open(1), world.open(2));
    let mut publication = writer(1, "T");
    publication.user_data = vec![1, 2, 3];
    one.announce(publication.clone(), Some(locator())).unwrap();
    two.announce(reader(2, "T"), None).unwrap();
    assert_eq!(events(&two), ["+w1"]);
    assert_eq!(events(&one), ["+r2"]);
    let found = two.publications("T");
    assert_eq!((&found[0].data, &found[0].locator), (&publication, &Some(locator())));
    assert_eq!(one.subscriptions("T")[0].shm_version, Some(SHM_VERSION));
    assert_eq!(one.publications("T").len(), 0, "our own");

    publication.user_data.clear();
    one.announce(publication.clone(), Some(locator())).unwrap();
    one.announce(publication.clone(), Some(locator())).unwrap();
    assert_eq!(events(&two), ["~w1"]);
    one.withdraw(publication.guid).unwrap();
    one.withdraw(publication.guid).unwrap();
    assert_eq!(events(&two), ["-w1"]);
    assert_eq!(events(&two), [""; 0]);
    assert_eq!(two.dropped_events(), 0);
}

#[test]
fn other_domains_topics_types_and_partitions_are_other_files() {
    let world = World::new();
    let one = world.open(1);
    one.announce(writer(1, "T"), None).unwrap();
    let elsewhere = world.open_in("other", 2);
    elsewhere.announce(reader(2, "T"), None).unwrap();
    let two = world.open(2);
    two.announce(reader(3, "U"), None).unwrap();
    let mut other_type = reader(4, "T");
    other_type.type_name = "Other".to_owned();
    two.announce(other_type, None).unwrap();
    let mut partitioned = reader(5, "T");
    partitioned.qos.partition = Partition(vec!["p".to_owned()]);
    two.announce(partitioned, None).unwrap();
    assert_eq!(events(&one), [""; 0]);
    assert_eq!(world.files().len(), 5);
}

#[test]
fn an_endpoint_in_several_partitions_is_told_once() {
    let world = World::new();
    let (one, two) = (world.open(1), world.open(2));
    let partitions = |names: &[&str]| Partition(names.iter().map(|n| (*n).to_owned()).collect());
    let mut publication = writer(1, "T");
    publication.qos.partition = partitions(&["a", "b", "b"]);
    one.announce(publication.clone(), None).unwrap();
    let mut subscription = reader(2, "T");
    subscription.qos.partition = partitions(&["b", "a"]);
    two.announce(subscription, None).unwrap();
    assert_eq!(events(&two), ["+w1"]);
    publication.qos.partition = partitions(&["b"]);
    one.announce(publication.clone(), None).unwrap();
    assert_eq!(events(&two), ["~w1"]);
    publication.qos.partition = partitions(&["c"]);
    one.announce(publication.clone(), None).unwrap();
    assert_eq!(events(&two), ["-w1"]);

    publication.qos.partition = partitions(&["a*"]);
    let error = one.announce(publication, None).unwrap_err().to_string();
    assert!(error.contains("a*"), "{error}");
}

#[test]
fn whoever_is_in_a_file_is_rung_when_it_changes() {
    let world = World::new();
    let (one, two) = (world.open(1), world.open(2));
    one.announce(writer(1, "T"), None).unwrap();
    world.fate.lock().unwrap().rung.clear();
    two.announce(reader(2, "T"), None).unwrap();
    let rung = std::mem::take(&mut world.fate.lock().unwrap().rung);
    assert_eq!(rung, [NodeId::new(1).unwrap(), NodeId::new(2).unwrap()]);
    two.withdraw(reader(2, "T").guid).unwrap();
    assert_eq!(world.fate.lock().unwrap().rung, [NodeId::new(1).unwrap()]);
}

#[test]
fn entries_of_a_dead_node_are_gone_and_removed_by_whoever_notices() {
    let world = World::new();
    let (one, two) = (world.open(1), world.open(2));
    one.announce(writer(1, "T"), None).unwrap();
    two.announce(reader(2, "T"), None).unwrap();
    assert_eq!(events(&two), ["+w1"]);
    std::mem::forget(one);
    world.kill(1);
    assert_eq!(events(&two), ["-w1"]);
    let file = RegistryFile::decode(&fs::read(&world.files()[0]).unwrap()).unwrap();
    assert_eq!(file.entries.len(), 1);
    // A newcomer never hears of it.
    let three = world.open(3);
    three.announce(reader(3, "T"), None).unwrap();
    assert_eq!(events(&three), ["+r2"]);
}

#[test]
fn a_newcomer_never_hears_of_the_dead() {
    let world = World::new();
    let one = world.open(1);
    one.announce(writer(1, "T"), None).unwrap();
    std::mem::forget(one);
    world.kill(1);
    let two = world.open(2);
    two.announce(reader(2, "T"), None).unwrap();
    assert_eq!(events(&two), [""; 0]);
    let file = RegistryFile::decode(&fs::read(&world.files()[0]).unwrap()).unwrap();
    assert_eq!(file.entries.len(), 1);
}

#[test]
fn a_thousand_topics_take_little_time() {
    let world = World::new();
    let (one, two) = (world.open(1), world.open(2));
    let start = Instant::now();
    for n in 0..1000u32 {
        let topic = format!("T{n}");
        let guid = |owner: u8| Guid::new(GuidPrefix([owner; 12]), EntityId::user_writer(n, false));
        one.announce(EndpointData { guid: guid(1), ..writer(1, &topic) }, None).unwrap();
        two.announce(EndpointData { guid: guid(2), ..writer(2, &topic) }, None).unwrap();
    }
    assert_eq!((events(&one).len(), events(&two).len()), (1000, 1000));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn leaving_leaves_nothing_behind() {
    let world = World::new();
    let (one, two) = (world.open(1), world.open(2));
    one.announce(writer(1, "T"), None).unwrap();
    one.announce(writer(2, "U"), None).unwrap();
    two.announce(reader(3, "T"), None).unwrap();
    drop(one);
    assert_eq!(events(&two), ["+w1", "-w1"]);
    assert_eq!(world.files().len(), 1);
    drop(two);
    assert_eq!(world.files().len(), 0);
    // The lock file stays: whoever locks it must lock the same one.
    assert_eq!(fs::read_dir(world.directory.path()).unwrap().count(), 1);
}

#[test]
fn damaged_files_are_replaced_and_their_endpoints_enter_again() {
    let garbage: [&[u8]; 5] = [b"", b"DSHR", &[0xff; 200], b"not a registry file at all", &[0; 64]];
    for (n, garbage) in garbage.iter().enumerate() {
        let world = World::new();
        let (one, two) = (world.open(1), world.open(2));
        one.announce(writer(1, "T"), None).unwrap();
        two.announce(reader(2, "T"), None).unwrap();
        assert_eq!((events(&one), events(&two)), (vec!["+r2".to_owned()], vec!["+w1".to_owned()]));
        fs::write(&world.files()[0], garbage).unwrap();
        // Damage does not count as a change: it is found with the next one.
        let three = world.open(3);
        three.announce(reader(3, "T"), None).unwrap();
        assert_eq!(events(&one), ["-r2", "+r3"], "{n}");
        assert_eq!(events(&two), ["+r3"], "{n}");
        assert_eq!(events(&one), ["+r2"], "{n}");
        assert_eq!(events(&three), ["+w1", "+r2"], "{n}");
    }
}

#[test]
fn a_truncated_file_of_real_content_is_damaged_too() {
    let world = World::new();
    let one = world.open(1);
    one.announce(writer(1, "T"), Some(locator())).unwrap();
    let whole = fs::read(&world.files()[0]).unwrap();
    for length in (0..whole.len()).step_by(7) {
        fs::write(&world.files()[0], &whole[..length]).unwrap();
        let two = world.open(2);
        two.announce(reader(2, "T"), None).unwrap();
        assert_eq!(events(&one), ["+r2"], "{length}");
        assert_eq!(events(&two), ["+w1"], "{length}");
        drop(two);
        assert_eq!(events(&one), ["-r2"]);
    }
}

#[test]
fn a_directory_that_was_emptied_fills_again() {
    let world = World::new();
    let (one, two) = (world.open(1), world.open(2));
    one.announce(writer(1, "T"), None).unwrap();
    two.announce(reader(2, "T"), None).unwrap();
    assert_eq!(events(&two), ["+w1"]);
    for entry in fs::read_dir(world.directory.path()).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    assert_eq!(events(&two), ["-w1"]);
    assert_eq!(events(&one), ["+r2"]);
    assert_eq!(events(&two), ["+w1"]);
}

#[test]
fn another_key_in_the_first_place_is_passed_over() {
    let world = World::new();
    let one = world.open(1);
    one.announce(writer(1, "T"), None).unwrap();
    // As if the MD5 of both keys were the same: a file of another key under our name.
    let path = world.files().remove(0);
    let mut file = RegistryFile::decode(&fs::read(&path).unwrap()).unwrap();
    file.key.topic = "Other".to_owned();
    file.generation += 1;
    fs::write(&path, file.encode()).unwrap();
    let two = world.open(2);
    two.announce(reader(2, "T"), None).unwrap();
    assert_eq!(events(&one), ["+r2"]);
    assert_eq!(events(&two), ["+w1"]);
    assert_eq!(world.files().len(), 2);
    let file = RegistryFile::decode(&fs::read(&path).unwrap()).unwrap();
    assert_eq!((file.key.topic.as_str(), file.entries.len()), ("Other", 1));
}

#[test]
fn what_is_no_file_is_left_alone() {
    let world = World::new();
    let one = world.open(1);
    let stem = one.keys(&writer(1, "T")).unwrap()[0].file_stem();
    fs::create_dir(world.directory.path().join(format!("{stem}-0.registry"))).unwrap();
    std::os::unix::fs::symlink(
        "/etc/passwd",
        world.directory.path().join(format!("{stem}-1.registry")),
    )
    .unwrap();
    one.announce(writer(1, "T"), None).unwrap();
    let two = world.open(2);
    two.announce(reader(2, "T"), None).unwrap();
    assert_eq!(events(&two), ["+w1"]);
}

#[test]
fn a_stopped_process_in_the_middle_of_an_update_is_told_and_hides_nothing() {
    let world = World::new();
    let (mut one, two) = (world.open(1), world.open(2));
    one.patience = Duration::from_millis(20);
    one.announce(writer(1, "T"), None).unwrap();
    two.announce(reader(2, "T"), None).unwrap();
    assert_eq!(events(&two), ["+w1"]);
    let path = world.directory.path().join("lock");
    let lock = OfdLock::acquire(&path, 0o644, Duration::ZERO).unwrap().unwrap();
    let error = one.withdraw(writer(1, "T").guid).unwrap_err().to_string();
    assert!(error.contains("locked by another process"), "{error}");
    assert_eq!(events(&two), [""; 0]);
    let error = one.announce(writer(5, "T"), None).unwrap_err().to_string();
    assert!(error.contains("locked by another process"), "{error}");
    drop(lock);
    // What could not be done then is made up for.
    assert!(one.wants_tick());
    assert_eq!(events(&one), [""; 0]);
    assert_eq!(events(&two), ["-w1"]);
    assert!(!one.wants_tick());
}

#[test]
fn an_endpoint_that_could_not_leave_and_is_announced_again_stays() {
    let world = World::new();
    let (mut one, two) = (world.open(1), world.open(2));
    one.patience = Duration::from_millis(20);
    one.announce(writer(1, "T"), None).unwrap();
    two.announce(reader(2, "T"), None).unwrap();
    let path = world.directory.path().join("lock");
    let lock = OfdLock::acquire(&path, 0o644, Duration::ZERO).unwrap().unwrap();
    one.withdraw(writer(1, "T").guid).unwrap_err();
    drop(lock);
    one.announce(writer(1, "T"), None).unwrap();
    one.poll().unwrap();
    assert_eq!(events(&two), ["+w1"]);
}

#[test]
fn an_updater_that_died_in_the_middle_hides_nothing() {
    let world = World::new();
    let (one, two) = (world.open(1), world.open(2));
    one.announce(writer(1, "T"), None).unwrap();
    two.announce(reader(2, "T"), None).unwrap();
    assert_eq!(events(&two), ["+w1"]);
    // It had replaced the file, and not yet made the count even.
    let path = world.files().remove(0);
    let mut file = RegistryFile::decode(&fs::read(&path).unwrap()).unwrap();
    file.entries.retain(|entry| entry.role == EndpointRole::Reader);
    file.generation += 1;
    crate::shm::replace(&path, 0o644, &file.encode()).unwrap();
    fs::write(world.directory.path().join("lock"), 7u64.to_le_bytes()).unwrap();
    assert_eq!(events(&two), ["-w1"]);
    let three = world.open(3);
    three.announce(reader(3, "T"), None).unwrap();
    let count = fs::read(world.directory.path().join("lock")).unwrap();
    assert_eq!(u64::from_le_bytes(count.try_into().unwrap()) % 2, 0);
}

#[test]
fn the_janitor_finds_what_the_dead_left() {
    let world = World::new();
    let (one, two) = (world.open(1), world.open(2));
    one.announce(writer(1, "T"), None).unwrap();
    one.announce(writer(3, "U"), None).unwrap();
    two.announce(reader(2, "T"), None).unwrap();
    fs::write(world.directory.path().join("00-0.registry"), b"garbage").unwrap();
    std::mem::forget(one);
    let store = RegistryStore::open(world.directory.path()).unwrap();
    let is_gone = |node: NodeId| node.get() == 1;
    assert_eq!(store.sweep(&is_gone, false).unwrap().len(), 3);
    assert_eq!(store.sweep(&is_gone, true).unwrap().len(), 3);
    assert_eq!(store.sweep(&is_gone, true).unwrap(), []);
    assert_eq!(world.files().len(), 1);
    assert_eq!(store.files().unwrap()[0].entries[0].node.get(), 2);
}

#[test]
fn many_processes_at_once_lose_no_entry() {
    let world = World::new();
    std::thread::scope(|scope| {
        for n in 1..=8u8 {
            let world = &world;
            scope.spawn(move || {
                let registry = world.open(n.into());
                for _ in 0..20 {
                    registry.announce(writer(n, "T"), None).unwrap();
                    registry.withdraw(writer(n, "T").guid).unwrap();
                }
                registry.announce(writer(n, "T"), None).unwrap();
                std::mem::forget(registry);
            });
        }
    });
    let late = world.open(9);
    late.announce(reader(9, "T"), None).unwrap();
    assert_eq!(late.publications("T").len(), 8);
}
