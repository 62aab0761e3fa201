//! Two ZeroDDS participants in two processes, and samples that go from one to the other through a
//! segment of dds-shm.
//!
//! Run it with `cargo run -p dds-shm-zerodds --example two_participants`; it starts the second process
//! itself. It checks itself: the reader must get every sample, whole and in order.
//!
//! It is ZeroDDS code but for the lines between `// segment` and `// segment ends`.

use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

use dds_shm::FlowPolicy;
use dds_shm::discovery::{Interfaces, ParticipantConfig};
use dds_shm::liveness::{Node, NodeOptions, RuntimeDir};
use dds_shm_zerodds::{Delivery, Publication, SegmentFinder, segment_options};
use zerodds_dcps::dds_type::{DecodeError, EncodeError, PlainCdr2BeKeyHolder};
use zerodds_dcps::qos::ReliabilityKind;
use zerodds_dcps::{
    DataReaderQos, DataWriterQos, DdsType, DomainParticipant, DomainParticipantFactory,
    DomainParticipantQos, PublisherQos, SubscriberQos, Topic, TopicQos,
};
use zerodds_flatdata::FlatStruct;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const DOMAIN: u32 = 71;
const SAMPLES: u64 = 1000;
const LONG: Duration = Duration::from_secs(30);
/// Set in the second process.
const READER: &str = "TWO_PARTICIPANTS_READER";

/// What goes from one to the other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub(crate) struct Reading {
    pub(crate) number: u64,
    pub(crate) celsius: f64,
}

// SAFETY: `repr(C)`, no padding, and every bit pattern of its members is a value.
unsafe impl FlatStruct for Reading {
    const TYPE_HASH: [u8; 16] = *b"example::Reading";
}

impl DdsType for Reading {
    const TYPE_NAME: &'static str = "example::Reading";
    const HAS_KEY: bool = false;
    /// No member that the two encodings place differently.
    const XCDR1_MATCHES_XCDR2: bool = true;

    fn encode(&self, out: &mut Vec<u8>) -> std::result::Result<(), EncodeError> {
        out.extend(self.number.to_le_bytes());
        out.extend(self.celsius.to_le_bytes());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> std::result::Result<Self, DecodeError> {
        let (number, celsius) = bytes
            .first_chunk()
            .zip(bytes.get(8..).and_then(|rest| rest.first_chunk()))
            .ok_or(DecodeError::Invalid { what: "a Reading has 16 octets" })?;
        Ok(Self { number: u64::from_le_bytes(*number), celsius: f64::from_le_bytes(*celsius) })
    }

    fn encode_key_holder_be(&self, _: &mut PlainCdr2BeKeyHolder) {}
}

pub(crate) fn reading(number: u64) -> Reading {
    Reading { number, celsius: number as f64 / 10.0 }
}

fn join() -> Result<(DomainParticipant, Topic<Reading>)> {
    let factory = DomainParticipantFactory::instance();
    let participant = factory.create_participant(DOMAIN as i32, DomainParticipantQos::default())?;
    let topic = participant.create_topic::<Reading>("Readings", TopicQos::default())?;
    Ok((participant, topic))
}

/// Writes until everything is written.
fn write() -> Result<()> {
    let (participant, topic) = join()?;
    let publisher = participant.create_publisher(PublisherQos::default());
    let writer = publisher.create_datawriter::<Reading>(&topic, DataWriterQos::default())?;

    // segment
    let node = Node::new(&RuntimeDir::of_process()?, NodeOptions::default())?;
    let options = segment_options(&writer)?.flow(FlowPolicy::keep_all(LONG)).depth(16);
    let publication = Publication::open(&node, &participant, &writer, &options)?;
    let attached = publication.slots().segment().owner_handle()?;
    // segment ends

    // The second process has the same arguments, so that a test can run this, too.
    let mut reader = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(READER, "1")
        .spawn()?;
    let started = Instant::now();
    while attached.readers().is_empty() {
        if started.elapsed() > LONG || reader.try_wait()?.is_some() {
            return Err("the reader did not find the segment".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    for number in 0..SAMPLES {
        writer.write_flat(&reading(number))?;
    }
    match reader.wait()? {
        status if status.success() => Ok(()),
        status => Err(format!("the reader ended with {status}").into()),
    }
}

/// Reads until everything is read.
fn read() -> Result<()> {
    let (participant, topic) = join()?;
    let subscriber = participant.create_subscriber(SubscriberQos::default());
    let mut qos = DataReaderQos::default();
    qos.reliability.kind = ReliabilityKind::Reliable;
    let reader = subscriber.create_datareader::<Reading>(&topic, qos)?;

    // segment
    let node = Node::new(&RuntimeDir::of_process()?, NodeOptions::default())?;
    let config = ParticipantConfig {
        interfaces: Interfaces::LoopbackOnly,
        ..ParticipantConfig::new(DOMAIN)
    };
    let finder = SegmentFinder::start(&node, config)?;
    let started = Instant::now();
    let writer = loop {
        match finder.writers(&reader).pop() {
            Some(writer) => break writer,
            None if started.elapsed() > LONG => return Err("no segment is announced".into()),
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let _subscription = finder.attach(&reader, &writer, Delivery::Every, None)?;
    // segment ends

    let mut expected = 0;
    while expected < SAMPLES {
        let got = reader.read_flat_blocking(LONG)?.ok_or("no sample in time")?;
        if got != reading(expected) {
            return Err(format!("{got:?} instead of number {expected}").into());
        }
        expected += 1;
    }
    println!("{expected} samples, all of them in order");
    Ok(())
}

pub(crate) fn main() -> Result<()> {
    if std::env::var_os(READER).is_some() { read() } else { write() }
}
