//! What the tests of the transport share: hosts in one process, told of each other by hand.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use dds_shm::FlatStruct;
use dds_shm::discovery::RemoteEndpoint;
use dds_shm::liveness::{Node, NodeOptions, RuntimeDir};
use dds_shm::transport::{
    ReaderConfig, ShmReader, ShmTransport, ShmTransportBuilder, ShmWriter, TransportEvent,
    TransportEvents, WriterConfig,
};
use dds_shm::wire::qos::{Durability, EndpointQos, History, Reliability};
use dds_shm::wire::{Guid, GuidPrefix};

/// Longer than anything takes.
pub const LONG: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, FlatStruct)]
#[repr(C)]
#[flat(name = "test::Count")]
pub struct Count {
    pub number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, FlatStruct)]
#[repr(C)]
#[flat(name = "test::Count")]
pub struct WideCount {
    pub number: u64,
    pub more: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, FlatStruct)]
#[repr(C)]
#[flat(name = "test::Keyed")]
pub struct Keyed {
    #[flat(key)]
    pub id: u32,
    pub value: u32,
}

/// A runtime dir of its own, which goes with the test.
pub struct Rig {
    pub runtime: RuntimeDir,
    dir: tempfile::TempDir,
}

impl Rig {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = RuntimeDir::create(&dir.path().join("shm")).unwrap();
        Self { runtime, dir }
    }

    pub fn node(&self) -> Arc<Node> {
        let options = NodeOptions { janitor: None, ..NodeOptions::default() };
        Node::new(&self.runtime, options).unwrap()
    }

    /// A host with a node of its own, as if it were another process.
    pub fn host(&self, number: u8) -> Host {
        self.host_with(number, |options| options)
    }

    pub fn host_with(
        &self,
        number: u8,
        options: impl FnOnce(ShmTransportBuilder) -> ShmTransportBuilder,
    ) -> Host {
        let builder = ShmTransport::builder(0, GuidPrefix([number; 12])).node(self.node());
        Host::new(options(builder).build().unwrap())
    }
}

/// A transport and its events.
pub struct Host {
    pub transport: ShmTransport,
    pub events: TransportEvents,
}

impl Host {
    pub fn new(transport: ShmTransport) -> Self {
        let events = transport.events();
        Self { transport, events }
    }

    pub fn prefix(&self) -> GuidPrefix {
        self.transport.guid_prefix()
    }

    pub fn describe(&self, guid: Guid) -> RemoteEndpoint {
        self.transport.describe(guid).unwrap()
    }

    /// Tells `other` of an endpoint of this host.
    pub fn introduce(&self, guid: Guid, other: &Host) {
        let endpoint = self.describe(guid);
        if guid.entity_id.kind().is_writer() {
            other.transport.publication_discovered(endpoint);
        } else {
            other.transport.subscription_discovered(endpoint);
        }
    }

    /// The first event that `pick` takes; others before it are passed over.
    #[track_caller]
    pub fn expect<T>(&self, pick: impl Fn(&TransportEvent) -> Option<T>) -> T {
        let until = Instant::now() + LONG;
        let mut passed = Vec::new();
        while let Some(event) =
            self.events.next_within(until.saturating_duration_since(Instant::now()))
        {
            if let Some(found) = pick(&event) {
                return found;
            }
            passed.push(event);
        }
        panic!("the event did not come; there were {passed:#?}");
    }
}

/// A writer and a reader of two hosts that know each other and are attached.
pub fn connect(
    one: &Host,
    writer: WriterConfig,
    other: &Host,
    reader: ReaderConfig,
) -> (ShmWriter, ShmReader) {
    let writer = one.transport.create_writer(writer).unwrap();
    let reader = other.transport.create_reader(reader).unwrap();
    other.introduce(reader.guid(), one);
    one.introduce(writer.guid(), other);
    assert_eq!(writer.wait_for_readers(1, LONG), 1);
    (writer, reader)
}

pub fn writer_of<T: FlatStruct>(qos: EndpointQos) -> WriterConfig {
    WriterConfig { qos, ..WriterConfig::of::<T>("T") }
}

pub fn reader_of<T: FlatStruct>(qos: EndpointQos) -> ReaderConfig {
    ReaderConfig { qos, ..ReaderConfig::of::<T>("T") }
}

pub fn keep_all() -> EndpointQos {
    EndpointQos { history: History::keep_all(), ..EndpointQos::writer_default() }
}

pub fn keep_last(depth: i32) -> EndpointQos {
    EndpointQos { history: History::keep_last(depth), ..EndpointQos::writer_default() }
}

pub fn best_effort(depth: i32) -> EndpointQos {
    EndpointQos { reliability: Reliability::best_effort(), ..keep_last(depth) }
}

pub fn transient_local(depth: i32) -> EndpointQos {
    EndpointQos { durability: Durability::TransientLocal, ..keep_last(depth) }
}

pub fn count(number: u64) -> [u8; 8] {
    number.to_ne_bytes()
}

/// The numbers that are there to be taken, until nothing comes for a moment.
#[track_caller]
pub fn numbers(reader: &ShmReader) -> Vec<u64> {
    let mut found = Vec::new();
    while let Some(sample) = reader.take().unwrap() {
        found.push(u64::from_ne_bytes(sample.bytes().try_into().unwrap()));
    }
    found
}

/// The next so many numbers.
#[track_caller]
pub fn next_numbers(reader: &ShmReader, count: usize) -> Vec<u64> {
    let mut found = Vec::new();
    while found.len() < count {
        let sample = reader.take_within(LONG).unwrap().expect("another sample");
        found.push(u64::from_ne_bytes(sample.bytes().try_into().unwrap()));
    }
    found
}
