//! The registry between nodes that live and die.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dds_shm::discovery::{DiscoveryEvent, EndpointDirectory as _, Registry, RegistrySweeper};
use dds_shm::liveness::janitor::{self, SweepOptions};
use dds_shm::liveness::{Node, NodeOptions, RuntimeDir};
use dds_shm::wire::{EndpointData, EndpointRole, EntityId, Guid, GuidPrefix};

/// Nothing takes this long unless it never happens.
const LIMIT: Duration = Duration::from_secs(20);
const CHILD: &str = "a_child_that_waits_for_its_death";
/// Tells the child that it is one, and where to enter itself.
const CHILD_DIR: &str = "DDS_SHM_TEST_CHILD_DIR";

fn node(dir: &Path) -> Arc<Node> {
    let dir = RuntimeDir::create(dir).unwrap();
    Node::new(&dir, NodeOptions { janitor: None, ..NodeOptions::default() }).unwrap()
}

fn writer(n: u8) -> EndpointData {
    let guid = Guid::new(GuidPrefix([n; 12]), EntityId::user_writer(1, false));
    EndpointData::new(EndpointRole::Writer, guid, "T", "Type")
}

fn reader(n: u8) -> EndpointData {
    let guid = Guid::new(GuidPrefix([n; 12]), EntityId::user_reader(1, false));
    EndpointData::new(EndpointRole::Reader, guid, "T", "Type")
}

/// A runtime dir of the test's own. At the end, also of a test that fails, what killed nodes left in
/// `/dev/shm` goes with it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("run")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let options = SweepOptions { remove: true, ..SweepOptions::default() };
        if let Ok(dir) = RuntimeDir::create(&self.dir()) {
            let _ = janitor::sweep(&dir, &options);
        }
    }
}

/// Ends with the test, also if that fails.
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// No test by itself: the other process of those below.
#[test]
fn a_child_that_waits_for_its_death() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let registry = Registry::open(&node(Path::new(&dir)), "domain").unwrap();
    registry.announce(writer(1), None).unwrap();
    println!("announced");
    let _ = std::io::stdin().read(&mut [0]);
}

fn spawn_child(dir: &Path) -> KillOnDrop {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", CHILD, "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let child = KillOnDrop(child);
    assert!(output.lines().any(|line| line.unwrap().contains("announced")));
    child
}

#[test]
fn changes_ring_at_once_across_nodes() {
    let place = Place::new();
    let dir = place.dir();
    let one = Registry::open(&node(&dir), "domain").unwrap();
    let two = Registry::open(&node(&dir), "domain").unwrap();
    two.announce(reader(2), None).unwrap();
    let events = two.events();
    // The bell, not the tick of a second: many rounds in far less time.
    let start = Instant::now();
    for _ in 0..20 {
        one.announce(writer(1), None).unwrap();
        let event = events.recv_timeout(LIMIT).unwrap();
        assert!(matches!(event, DiscoveryEvent::PublicationDiscovered(_)), "{event:?}");
        one.withdraw(writer(1).guid).unwrap();
        let event = events.recv_timeout(LIMIT).unwrap();
        assert!(matches!(event, DiscoveryEvent::PublicationGone(_)), "{event:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn a_process_that_is_killed_is_noticed() {
    let place = Place::new();
    let dir = place.dir();
    let registry = Registry::open(&node(&dir), "domain").unwrap();
    registry.announce(reader(2), None).unwrap();
    let child = spawn_child(&dir);
    let events = registry.events();
    let event = events.recv_timeout(LIMIT).unwrap();
    assert!(matches!(event, DiscoveryEvent::PublicationDiscovered(_)), "{event:?}");
    drop(child);
    let event = events.recv_timeout(LIMIT).unwrap();
    assert_eq!(event, DiscoveryEvent::PublicationGone(writer(1).guid));
    let entries = Registry::list(&RuntimeDir::create(&dir).unwrap()).unwrap().remove(0).entries;
    assert_eq!(entries.len(), 1);
}

#[test]
fn the_janitor_sweeps_the_registry() {
    let place = Place::new();
    let dir = place.dir();
    drop(spawn_child(&dir));
    let dir = RuntimeDir::create(&dir).unwrap();
    assert_eq!(Registry::list(&dir).unwrap().len(), 1);
    let options = SweepOptions {
        remove: true,
        helpers: vec![Arc::new(RegistrySweeper)],
        ..SweepOptions::default()
    };
    let report = janitor::sweep(&dir, &options).unwrap();
    let swept = report.removed().filter(|f| f.kind == janitor::FoundKind::Registry).count();
    assert_eq!(swept, 1, "{report:?}");
    assert_eq!(Registry::list(&dir).unwrap(), []);
}
