//! A Rust program and an application of Cyclone DDS that exchange samples through one segment, in place,
//! with no Cyclone DDS in the one and no Rust in the other.
//!
//! ```text
//! cross_vendor read COUNT [DOMAIN]    reads so many poses that `pose write` (pose.c) publishes
//! cross_vendor write COUNT [DOMAIN]   publishes so many poses for `pose read`
//! ```
//!
//! A reader enters itself in the registry alone: Cyclone then sends nothing by UDP for it. A writer is
//! also announced by SPDP and SEDP, so that Cyclone knows and matches it, and notices when it leaves.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dds_shm::discovery::{EndpointDirectory as _, ParticipantConfig, Registry};
use dds_shm::liveness::{Node, NodeOptions, RuntimeDir};
use dds_shm::slots::ExpectedType;
use dds_shm::transport::{EmbeddedParticipant, ShmDataWriter, WriterConfig};
use dds_shm::wire::qos::{EndpointQos, History};
use dds_shm::wire::{
    Duration as WireDuration, EndpointData, EndpointRole, EntityId, Guid, GuidPrefix,
};
use dds_shm::{FlatReader, FlatStruct, PosixSlotAllocator, ReaderOptions, SampleInfo};
use psmx_dds_shm::{ANY_TYPE, exchange_domain};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const LONG: Duration = Duration::from_secs(20);
const TOPIC: &str = "Pose";

/// `example::Pose` of `Pose.idl`.
#[derive(Clone, Copy, Debug, FlatStruct)]
#[repr(C)]
#[flat(name = "example::Pose")]
struct Pose {
    number: u64,
    x: f64,
    y: f64,
    z: f64,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (what, count, domain) = match &arguments[..] {
        [what, count] => (what, count.parse()?, 0),
        [what, count, domain] => (what, count.parse()?, domain.parse()?),
        _ => return Err("usage: cross_vendor read|write COUNT [DOMAIN]".into()),
    };
    let dir = RuntimeDir::of_process()?;
    let node = Node::new(&dir, NodeOptions::default())?;
    let registry = Registry::open(&node, &exchange_domain(domain, "dds_shm", &dir)?)?;
    match what.as_str() {
        "read" => read(&node, &registry, count),
        "write" => write(&node, &registry, domain, count),
        _ => Err("read or write?".into()),
    }
}

fn read(node: &Arc<Node>, registry: &Registry, count: u64) -> Result<()> {
    let guid = Guid::new(GuidPrefix(rand::random()), EntityId::user_reader(1, false));
    registry.announce(EndpointData::new(EndpointRole::Reader, guid, TOPIC, ANY_TYPE), None)?;
    let started = Instant::now();
    let path = loop {
        let locator = registry.publications(TOPIC).iter().find_map(|found| found.locator.clone());
        match locator {
            Some(locator) => break locator.path,
            None if started.elapsed() > LONG => return Err("no writer has come".into()),
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    let options = ReaderOptions { guid: guid.to_bytes(), ..ReaderOptions::default() };
    // Refused if the C compiler laid the structure out otherwise.
    let expected = ExpectedType::of::<Pose>();
    let reader = PosixSlotAllocator::open_reader(node, path.as_path(), Some(&expected), options)?;
    let reader = FlatReader::<Pose>::new(reader)?;
    for expected in 1..=count {
        let sample = reader.take_within(LONG)?.ok_or("no sample has come")?;
        let pose = sample.data().ok_or("a sample without data")?;
        if pose.number != expected || pose.y != 2.0 * expected as f64 {
            return Err(format!("{pose:?} is not pose {expected}").into());
        }
    }
    println!("read {count} poses");
    Ok(())
}

fn write(node: &Arc<Node>, registry: &Registry, domain: u32, count: u64) -> Result<()> {
    let options = |options: dds_shm::transport::ShmTransportBuilder| options.node(Arc::clone(node));
    let participant = EmbeddedParticipant::start(ParticipantConfig::new(domain), options)?;
    let mut qos = EndpointQos { history: History::keep_all(), ..EndpointQos::writer_default() };
    qos.reliability.max_blocking_time = WireDuration::from_secs(10);
    let writer =
        participant.create_writer(WriterConfig { qos, ..WriterConfig::of::<Pose>(TOPIC) })?;
    let described = participant.transport().describe(writer.guid()).ok_or("no writer")?;
    let entry = EndpointData { type_name: ANY_TYPE.to_owned(), ..described.data };
    registry.announce(entry, described.locator)?;
    if writer.wait_for_readers(1, LONG) == 0 {
        return Err("no reader has come".into());
    }
    let writer = ShmDataWriter::<Pose>::new(writer)?;
    for number in 1..=count {
        let pose = Pose { number, x: number as f64, y: 2.0 * number as f64, z: -1.0 };
        writer.write(&pose, &SampleInfo::default())?;
    }
    println!("wrote {count} poses");
    // For Cyclone to discover this writer, if it has not yet.
    std::thread::sleep(Duration::from_secs(2));
    Ok(())
}
