//! What the tests of the transport share: hosts in one process, told of each other by hand.
#![allow(dead_code, unreachable_pub, reason = "no test program uses all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{Home, no_janitor};
use dds_shm::FlatStruct;
use dds_shm::discovery::{LocatorCarrier, RemoteEndpoint, find_locator};
use dds_shm::liveness::{Node, RuntimeDir};
use dds_shm::transport::{
    ReaderConfig, ShmReader, ShmTransport, ShmTransportBuilder, ShmWriter, TransportEvent,
    TransportEvents, WriterConfig,
};
use dds_shm::wire::qos::{Durability, EndpointQos, History, Reliability};
use dds_shm::wire::{Endianness, EndpointData, EndpointRole, Guid, GuidPrefix, VendorId};

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

/// A runtime dir of its own, which goes with the test, and hosts in it.
pub struct Rig {
    pub home: Home,
}

impl Rig {
    pub fn new() -> Self {
        Self { home: Home::new() }
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
        let builder = ShmTransport::builder(0, GuidPrefix([number; 12])).node(self.home.node());
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

/// In a child: a host in the test's runtime dir.
pub fn host_in(dir: &Path, number: u8) -> Host {
    let node = Node::new(&RuntimeDir::create(dir).unwrap(), no_janitor()).unwrap();
    let builder = ShmTransport::builder(0, GuidPrefix([number; 12])).node(node);
    Host::new(builder.build().unwrap())
}

/// An endpoint as discovery would carry it, in hexadecimal.
pub fn to_text(endpoint: &RemoteEndpoint) -> String {
    let mut data = endpoint.data.clone();
    if let Some(locator) = &endpoint.locator {
        LocatorCarrier::default().put(locator, &mut data).unwrap();
    }
    let octets = data.to_pl_cdr(Endianness::Little).unwrap();
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// What [`to_text`] made.
pub fn from_text(role: EndpointRole, text: &str) -> RemoteEndpoint {
    let octet = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    let octets: Vec<u8> = (0..text.len()).step_by(2).map(octet).collect();
    let data = EndpointData::from_pl_cdr(role, &octets).unwrap();
    let vendor_id = VendorId::EMBEDDED;
    let locator = find_locator(&data, vendor_id).unwrap();
    RemoteEndpoint { data, vendor_id, locator, shm_version: Some(1) }
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
