//! How a DDS implementation plugs the transport in.
//!
//! Two hosts in one process, each with a node of its own, as if they were two processes. A host here is
//! the least that a DDS implementation has: endpoints, discovery, and a network path that is slow but
//! always works. Discovery and network are channels; what goes over them is what RTPS sends.
//!
//! What a host does for shared memory:
//!
//! 1. makes a [`ShmTransport`] for its participant, and a [`ShmWriter`] or [`ShmReader`] beside each
//!    endpoint of its own (if that is refused, the endpoint is the network's alone);
//! 2. puts the writer's locator into what it announces, and hands over what others announce;
//! 3. publishes through the segment first, and sends by network to those matched readers that the
//!    commit did not cover;
//! 4. asks of each sample from the network whether it is new to the reader;
//! 5. acts on events: a reader that attached needs the rest below its start by network, one that was lost
//!    needs what it did not get.
//!
//! Run it with `cargo run --example host_integration`. It checks itself: the reader must have got every
//! sample once, in order.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use dds_shm::discovery::{LocatorCarrier, LossReason, RemoteEndpoint, find_locator};
use dds_shm::liveness::{Node, NodeOptions, RuntimeDir};
use dds_shm::transport::{
    ReaderConfig, ShmReader, ShmTransport, ShmWriter, TransportEvent, TransportEvents, Verdict,
    WriterConfig,
};
use dds_shm::wire::qos::{EndpointQos, History};
use dds_shm::wire::{Endianness, EndpointData, EndpointRole, Guid, GuidPrefix, VendorId};
use dds_shm::{FlatStruct, SampleInfo};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What the two sides exchange.
#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
#[flat(name = "example::Reading")]
struct Reading {
    number: u64,
    celsius: f64,
}

/// What goes from one host to the other.
enum Message {
    /// SEDP: an endpoint, as a parameter list.
    Announcement(EndpointRole, Vec<u8>),
    /// RTPS DATA.
    Data { sn: i64, payload: Vec<u8> },
    /// RTPS HEARTBEAT, as it is used here: everything below `start_sn` has been sent.
    Complete { start_sn: i64 },
}

/// A participant of the host, and its line to the other one.
struct Participant {
    transport: ShmTransport,
    events: TransportEvents,
    to_other: Sender<Message>,
    from_other: Receiver<Message>,
}

impl Participant {
    fn new(
        runtime: &RuntimeDir,
        number: u8,
        (to_other, from_other): (Sender<Message>, Receiver<Message>),
    ) -> Result<Self> {
        // A process has one node, however many participants.
        let node = Node::new(runtime, NodeOptions::default())?;
        let transport = ShmTransport::builder(0, GuidPrefix([number; 12])).node(node).build()?;
        let events = transport.events();
        Ok(Self { transport, events, to_other, from_other })
    }

    /// Announces an endpoint: what SEDP sends, with `PID_SHM_LOCATOR` if the segment is offered.
    fn announce(&self, guid: Guid, with_segment: bool) -> Result<()> {
        let endpoint = self.transport.describe(guid).ok_or("an endpoint of ours")?;
        let mut data = endpoint.data;
        if let Some(locator) = endpoint.locator.filter(|_| with_segment) {
            LocatorCarrier::default().put(&locator, &mut data)?;
        }
        let payload = data.to_pl_cdr(Endianness::Little)?;
        self.to_other.send(Message::Announcement(data.role, payload))?;
        Ok(())
    }

    /// An endpoint of the other host was announced: the transport matches it.
    fn discovered(&self, role: EndpointRole, payload: &[u8]) -> Result<()> {
        let vendor_id = VendorId::EMBEDDED; // from the header of the message
        let data = EndpointData::from_pl_cdr(role, payload)?;
        let locator = find_locator(&data, vendor_id)?;
        let remote = RemoteEndpoint { data, vendor_id, locator, shm_version: Some(1) };
        match role {
            EndpointRole::Writer => self.transport.publication_discovered(remote),
            EndpointRole::Reader => self.transport.subscription_discovered(remote),
        }
        Ok(())
    }
}

/// The side that writes: a DDS writer with its history, for those who need the network.
struct Publisher {
    participant: Participant,
    writer: ShmWriter,
    /// What may have to be sent, or sent again, by network.
    history: BTreeMap<i64, Vec<u8>>,
    sent_by_network: u64,
    /// What the reader that was lost did not get, from here on.
    resend_from: i64,
}

impl Publisher {
    fn publish(&mut self, reading: &Reading) -> Result<()> {
        let payload = reading.as_bytes();
        let committed = self
            .writer
            .write(payload, &SampleInfo::default())?
            .ok_or("a reliable writer drops nothing")?;
        self.history.insert(committed.sn, payload.to_vec());
        // Exactly the readers that the commit did not cover need the network.
        if !self.writer.uncovered_readers(&committed).is_empty() {
            self.send(committed.sn..=committed.sn)?;
        }
        Ok(())
    }

    fn send(&mut self, numbers: std::ops::RangeInclusive<i64>) -> Result<()> {
        for (sn, payload) in self.history.range(numbers) {
            let payload = payload.clone();
            self.participant.to_other.send(Message::Data { sn: *sn, payload })?;
            self.sent_by_network += 1;
        }
        Ok(())
    }

    /// One turn of the host's event loop.
    fn turn(&mut self) -> Result<()> {
        for message in self.participant.from_other.try_iter().collect::<Vec<_>>() {
            if let Message::Announcement(role, payload) = message {
                self.participant.discovered(role, &payload)?;
            }
        }
        for event in self.participant.events.drain().collect::<Vec<_>>() {
            println!("writer: {event:?}");
            match event {
                // From start_sn on the segment serves it; all below was sent when it was published.
                TransportEvent::ReaderAttached { start_sn, .. } => {
                    self.participant.to_other.send(Message::Complete { start_sn })?;
                }
                // Gone, or not heard of. If it comes back, it needs what it did not get.
                TransportEvent::ReaderLost { resend_from, .. } => self.resend_from = resend_from,
                TransportEvent::ReaderReturned { start_sn, .. } => {
                    self.send(self.resend_from..=start_sn - 1)?;
                    self.participant.to_other.send(Message::Complete { start_sn })?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The side that reads: a DDS reader, and what its application got.
struct Subscriber {
    participant: Participant,
    reader: ShmReader,
    writer: Option<Guid>,
    received: Vec<u64>,
    by_network: u64,
}

impl Subscriber {
    fn deliver(&mut self, payload: &[u8]) -> Result<()> {
        self.received.push(Reading::read_from(payload)?.number);
        Ok(())
    }

    /// One turn of the host's event loop.
    fn turn(&mut self) -> Result<()> {
        for message in self.participant.from_other.try_iter().collect::<Vec<_>>() {
            match message {
                Message::Announcement(role, payload) => {
                    self.writer = Some(EndpointData::from_pl_cdr(role, &payload)?.guid);
                    self.participant.discovered(role, &payload)?;
                }
                Message::Data { sn, payload } => {
                    let Some(writer) = self.writer else { continue };
                    if self.reader.handle().network_sample(writer, sn) == Verdict::Deliver {
                        self.deliver(&payload)?;
                        self.by_network += 1;
                    }
                }
                Message::Complete { start_sn } => {
                    let Some(writer) = self.writer else { continue };
                    // Of the attachment as it is now: one before it is of no interest any more.
                    if self.reader.handle().start_sn(writer) == Some(start_sn) {
                        self.reader.handle().network_part_complete(writer);
                    }
                }
            }
        }
        while let Some(sample) = self.reader.take()? {
            // In place; a real host would hand the loan to the application.
            let number = Reading::read_from(sample.bytes())?.number;
            self.received.push(number);
        }
        for event in self.participant.events.drain().collect::<Vec<_>>() {
            println!("reader: {event:?}");
        }
        Ok(())
    }
}

/// Lets both hosts run until `done` says so.
fn run(
    publisher: &mut Publisher,
    subscriber: &mut Subscriber,
    what: &str,
    done: impl Fn(&Publisher, &Subscriber) -> bool,
) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(20);
    while !done(publisher, subscriber) {
        if Instant::now() > until {
            return Err(format!("in vain: {what}").into());
        }
        publisher.turn()?;
        subscriber.turn()?;
        std::thread::yield_now();
    }
    println!("-- {what}");
    Ok(())
}

pub(crate) fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let runtime = RuntimeDir::create(&temporary.path().join("shm"))?;
    let (to_reader, from_writer) = unbounded();
    let (to_writer, from_reader) = unbounded();
    let qos = EndpointQos { history: History::keep_all(), ..EndpointQos::writer_default() };

    let participant = Participant::new(&runtime, 1, (to_reader, from_reader))?;
    let config = WriterConfig { qos: qos.clone(), ..WriterConfig::of::<Reading>("Readings") };
    let writer = participant.transport.create_writer(config)?;
    let history = BTreeMap::new();
    let (sent_by_network, resend_from) = (0, 1);
    let mut publisher = Publisher { participant, writer, history, sent_by_network, resend_from };

    let participant = Participant::new(&runtime, 2, (to_writer, from_writer))?;
    let config =
        ReaderConfig { qos, network_path: true, ..ReaderConfig::of::<Reading>("Readings") };
    let reader = participant.transport.create_reader(config)?;
    let (writer, received) = (None, Vec::new());
    let mut subscriber = Subscriber { participant, reader, writer, received, by_network: 0 };

    let mut number = 0;
    let mut publish = |publisher: &mut Publisher, count: u64| -> Result<()> {
        for _ in 0..count {
            number += 1;
            publisher.publish(&Reading { number, celsius: 20.0 })?;
        }
        Ok(())
    };
    let reader_guid = subscriber.reader.guid();
    let writer_guid = publisher.writer.guid();

    // They find each other, but the segment is not offered yet: samples go by network.
    subscriber.participant.announce(reader_guid, true)?;
    publisher.participant.announce(writer_guid, false)?;
    publisher.turn()?;
    subscriber.turn()?;
    publish(&mut publisher, 10)?;
    println!("from the writer: {}", publisher.writer.reachability(reader_guid));
    println!("from the reader: {}", subscriber.reader.reachability(writer_guid));
    if publisher.sent_by_network != 10 {
        return Err("ten samples had to go by network".into());
    }

    // Now it is: the reader attaches, and switches over when it has the ten.
    publisher.participant.announce(writer_guid, true)?;
    run(&mut publisher, &mut subscriber, "attached", |publisher, _| {
        publisher.writer.reachability(reader_guid).is_shared_memory()
    })?;
    publish(&mut publisher, 100)?;
    run(&mut publisher, &mut subscriber, "through the segment", |_, subscriber| {
        subscriber.received.len() == 110
    })?;

    // The reader's lease expires: five samples are unread, five are published meanwhile, for nobody.
    publish(&mut publisher, 5)?;
    let prefix = subscriber.participant.transport.guid_prefix();
    publisher.participant.transport.participant_lost(prefix, LossReason::LeaseExpired);
    publisher.turn()?;
    publish(&mut publisher, 5)?;

    // It is heard of again, and served through the segment as soon as it takes. What is between comes by
    // network; of the five that are still in the segment, none comes twice.
    publisher.participant.transport.participant_alive(prefix);
    run(&mut publisher, &mut subscriber, "back again", |publisher, _| {
        publisher.writer.reachability(reader_guid).is_shared_memory()
    })?;
    publish(&mut publisher, 100)?;
    run(&mut publisher, &mut subscriber, "through the segment again", |_, subscriber| {
        subscriber.received.len() == 220
    })?;

    let Subscriber { received, by_network, .. } = &subscriber;
    if !received.iter().copied().eq(1..=220) {
        return Err(format!("lost, doubled or out of order: {received:?}").into());
    }
    println!(
        "220 samples, each once and in order: {by_network} by network, {} through shared memory",
        220 - by_network
    );
    Ok(())
}
