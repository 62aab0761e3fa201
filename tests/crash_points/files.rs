//! Who makes, changes and removes names, and dies: nodes, the janitor, the registry.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use dds_shm::ReaderOptions;
use dds_shm::crash_points::Threads;
use dds_shm::discovery::{
    EndpointDirectory as _, HostIdentity, LocatorPath, Registry, RegistrySweeper, SegmentFormat,
    SegmentHints, ShmLocator,
};
use dds_shm::liveness::{Node, RuntimeDir, sweep};
use dds_shm::wire::{EndpointData, EndpointRole, EntityId, Guid, GuidPrefix};

use crate::samples::{Plan, create, durable, open, options, publish, receive, restart};
use crate::support::{no_janitor, removing, say, stay};
use crate::sweep::{Act, Trial, every_point};

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn act(act: &Act, what: &str) {
    match what {
        "node" => act.risk(Threads::This, || {
            drop(Node::new(&act.dir, no_janitor()).unwrap());
            Node::new(&act.dir, no_janitor()).unwrap()
        }),
        // What two janitors find: all that a node can leave.
        "remains" => {
            let node = Node::new(&act.dir, no_janitor()).unwrap();
            let durable = create(&node, &durable());
            let other = create(&node, &options());
            for _ in 0..3 {
                publish(&durable.0).unwrap();
            }
            let registry = Registry::open(&node, "domain").unwrap();
            registry.announce(endpoint(EndpointRole::Writer, 1), Some(locator(1))).unwrap();
            say("is there");
            // With what it has.
            let _all = (durable, other, registry);
            stay()
        }
        "sweep" => act.risk(Threads::This, || sweep_all(&act.dir, Duration::ZERO)),
        "sweep with grace" => act.risk(Threads::This, || sweep_all(&act.dir, HOUR)),
        "registry" => {
            let node = Node::new(&act.dir, no_janitor()).unwrap();
            act.risk(Threads::This, || {
                let registry = Registry::open(&node, "domain").unwrap();
                let writer = endpoint(EndpointRole::Writer, 1);
                let guid = writer.guid;
                for nonce in [1, 2] {
                    registry.announce(writer.clone(), Some(locator(nonce))).unwrap();
                    say(format!("announced {nonce}"));
                }
                registry.withdraw(guid).unwrap();
                say("withdrawn 1");
                registry.announce(writer, Some(locator(3))).unwrap();
                registry
            })
        }
        other => panic!("no such role: {other}"),
    }
}

fn sweep_all(dir: &RuntimeDir, adoption_grace: Duration) {
    let mut options = removing(adoption_grace);
    options.helpers.push(Arc::new(RegistrySweeper));
    sweep(dir, &options).unwrap();
}

fn endpoint(role: EndpointRole, n: u8) -> EndpointData {
    let id = match role {
        EndpointRole::Writer => EntityId::user_writer(1, false),
        EndpointRole::Reader => EntityId::user_reader(1, false),
    };
    EndpointData::new(role, Guid::new(GuidPrefix([n; 12]), id), "Topic", "Type")
}

fn locator(nonce: u8) -> ShmLocator {
    ShmLocator {
        hostname_hash: 1,
        uid: 1000,
        slot_count: 16,
        slot_stride: 128,
        path: LocatorPath::new("/dev/shm/dds-shm-1000/segments/a.flink").unwrap(),
        segment: Some(SegmentHints {
            format: SegmentFormat::V1,
            flags: 0,
            slot_capacity: 64,
            incarnation: [nonce; 16],
            type_hash: None,
            host: HostIdentity { boot_id_hash: 1, shm_device: 2 },
        }),
    }
}

#[test]
fn a_process_that_dies_while_it_becomes_a_node_or_stops_being_one() {
    every_point("node", |trial| {
        let mut child = trial.child("files node", Path::new(""));
        trial.death(&mut child);
        let plan = Plan { options: options(), is_durable: false, is_complete: true };
        restart(trial, &plan, 0, 0, Vec::new());
    });
}

/// A janitor dies over what a dead node left, beside a writer and a reader who live.
fn dies_sweeping(what: &'static str, check: impl Fn(&Trial) + Sync) {
    every_point(what, |trial| {
        let mut dead = trial.safe_child("files remains", Path::new(""));
        dead.expect("is there");
        trial.kill(&mut dead);
        let node = trial.home.node();
        let (writer, flink) = create(&node, &options().guid([9; 16]));
        let reader = open(&node, &flink, ReaderOptions::default());
        publish(&writer).unwrap();

        let mut child = trial.child(&format!("files {what}"), Path::new(""));
        trial.death(&mut child);

        let late = open(&trial.home.node(), &flink, ReaderOptions::default());
        publish(&writer).unwrap();
        receive(&reader, 2, false).expect(1, 2, true);
        receive(&late, 2, false).expect(2, 2, true);
        check(trial);
    });
}

#[test]
fn a_janitor_that_dies_while_it_sweeps() {
    dies_sweeping("sweep", |trial| {
        // What is left of the names is in nobody's way.
        for options in [options(), durable()] {
            let (writer, _) = create(&trial.home.node(), &options);
            assert!([0, 3].contains(&writer.head()));
            publish(&writer).unwrap();
        }
    });
}

#[test]
fn a_janitor_that_dies_while_it_leaves_a_segment_to_its_adopter() {
    dies_sweeping("sweep with grace", |trial| {
        let plan = Plan { options: durable(), is_durable: true, is_complete: true };
        restart(trial, &plan, 3, 0, Vec::new());
    });
}

#[test]
fn a_process_that_dies_while_it_changes_the_registry() {
    every_point("registry", |trial| {
        let node = trial.home.node();
        let survivor = Registry::open(&node, "domain").unwrap();
        let reader = endpoint(EndpointRole::Reader, 2);
        survivor.announce(reader.clone(), None).unwrap();
        let nonces = || -> Vec<u8> {
            survivor.poll().unwrap();
            let found = survivor.publications("Topic");
            let nonce = |locator: &ShmLocator| locator.segment.as_ref().unwrap().incarnation[0];
            found.iter().map(|remote| nonce(remote.locator.as_ref().unwrap())).collect()
        };
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            // Each of its announcements is there whole, or not at all.
            let looking = scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let nonces = nonces();
                    assert!(matches!(nonces[..], [] | [1..=3]), "{nonces:?}");
                }
            });
            let mut child = trial.child("files registry", Path::new(""));
            trial.death(&mut child);
            is_over.store(true, Ordering::Relaxed);
            looking.join().unwrap();
        });
        // The dead is gone at the first look, and nobody else is.
        assert_eq!(nonces(), []);
        let listed = Registry::list(&trial.home.dir).unwrap();
        let entries: Vec<_> = listed.iter().flat_map(|file| &file.entries).collect();
        assert_eq!(entries.iter().map(|entry| entry.guid).collect::<Vec<_>>(), [reader.guid]);
        let next = Registry::open(&trial.home.node(), "domain").unwrap();
        next.announce(endpoint(EndpointRole::Writer, 3), Some(locator(4))).unwrap();
        assert_eq!(nonces(), [4]);
        assert_eq!(next.subscriptions("Topic").len(), 1);
    });
}
