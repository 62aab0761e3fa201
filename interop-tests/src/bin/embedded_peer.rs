//! Our embedded participant, that says what it sees.
//!
//! Takes the options of `interop_tests::PeerOptions`, writes one JSON object per event to stdout,
//! and leaves cleanly at `stop` on stdin, at the end of stdin, and after `--seconds`. See
//! `interop-tests/src/peer.rs` for the events. Its writer announces a segment that does not exist:
//! nobody here attaches to it.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::BufRead;
use std::thread;
use std::time::Duration;

use clap::Parser;
use dds_shm::discovery::{
    DiscoveryEvent, EndpointDirectory, HostIdentity, LocatorPath, LossReason, Participant,
    ParticipantConfig, RemoteEndpoint, SegmentFormat, SegmentHints, ShmLocator,
};
use dds_shm::wire::qos::{Durability, EndpointQos, History, Reliability};
use dds_shm::wire::{EndpointData, EndpointRole, Guid};
use serde_json::{Value, json};

#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value_t = 0)]
    domain: u32,
    #[arg(long, default_value = "")]
    tag: String,
    #[arg(long, default_value = "Interop")]
    topic: String,
    #[arg(long = "type", default_value = "interop::Sample")]
    type_name: String,
    #[arg(long)]
    writer: bool,
    #[arg(long)]
    reader: bool,
    #[arg(long)]
    best_effort: bool,
    #[arg(long)]
    transient_local: bool,
    #[arg(long, default_value_t = 1)]
    depth: i32,
    #[arg(long)]
    keep_all: bool,
    #[arg(long, default_value_t = 1000)]
    max_blocking_ms: u64,
    #[arg(long, default_value = "")]
    user_data: String,
    #[arg(long)]
    lease: Option<u64>,
    #[arg(long, default_value_t = 120.0)]
    seconds: f64,
}

impl Arguments {
    fn config(&self) -> ParticipantConfig {
        let mut config = ParticipantConfig::new(self.domain);
        config.domain_tag.clone_from(&self.tag);
        if let Some(lease) = self.lease {
            config.lease_duration = Duration::from_secs(lease);
            config.announce_period = config.lease_duration / 4;
        }
        config
    }

    fn endpoint(&self, role: EndpointRole, guid: Guid) -> EndpointData {
        let reliability = if self.best_effort {
            Reliability::best_effort()
        } else {
            Reliability {
                max_blocking_time: dds_shm::wire::Duration::from_millis(self.max_blocking_ms),
                ..Reliability::reliable()
            }
        };
        let durability =
            if self.transient_local { Durability::TransientLocal } else { Durability::Volatile };
        let history =
            if self.keep_all { History::keep_all() } else { History::keep_last(self.depth) };
        let qos = EndpointQos { reliability, durability, history, ..role.default_qos() };
        EndpointData {
            qos,
            user_data: self.user_data.clone().into_bytes(),
            ..EndpointData::new(role, guid, self.topic.clone(), self.type_name.clone())
        }
    }
}

/// A segment that is nowhere.
fn locator() -> Result<ShmLocator, Box<dyn Error>> {
    Ok(ShmLocator {
        hostname_hash: 0,
        uid: 0,
        slot_count: 8,
        slot_stride: 128,
        path: LocatorPath::new("/dev/shm/dds-shm-0/segments/interop.flink")?,
        segment: Some(SegmentHints {
            format: SegmentFormat::V1,
            flags: 0,
            slot_capacity: 64,
            incarnation: [7; 16],
            type_hash: None,
            host: HostIdentity::of_this_process(),
        }),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let participant = Participant::start(arguments.config())?;
    let writer = arguments.writer.then(|| participant.new_writer_guid(false));
    let reader = arguments.reader.then(|| participant.new_reader_guid(false));
    tell(json!({
        "event": "ready",
        "participant": Guid::new(participant.guid_prefix(), dds_shm::wire::EntityId::PARTICIPANT)
            .to_hex(),
        "writer": writer.map(Guid::to_hex),
        "reader": reader.map(Guid::to_hex),
    }));
    if let Some(guid) = writer {
        let endpoint = arguments.endpoint(EndpointRole::Writer, guid);
        participant.announce(endpoint, Some(locator()?))?;
    }
    if let Some(guid) = reader {
        participant.announce(arguments.endpoint(EndpointRole::Reader, guid), None)?;
    }
    let events = participant.events();
    thread::spawn(move || events.iter().for_each(|event| report(&event)));
    wait_for_stop(Duration::from_secs_f64(arguments.seconds), |line| match line {
        "withdraw" => writer
            .into_iter()
            .chain(reader)
            .try_for_each(|guid| participant.withdraw(guid).map_err(Box::from)),
        _ => Err(format!("cannot do {line:?}").into()),
    })?;
    drop(participant);
    tell(json!({ "event": "stopped" }));
    Ok(())
}

/// Returns at `stop`, at the end of stdin, and after `bound`; hands on every other line.
fn wait_for_stop(
    bound: Duration,
    mut obey: impl FnMut(&str) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let (send, lines) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    let deadline = std::time::Instant::now() + bound;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(std::time::Instant::now())) {
            Ok(line) if line != "stop" => obey(&line)?,
            _ => return Ok(()),
        }
    }
}

fn report(event: &DiscoveryEvent) {
    use DiscoveryEvent as Event;
    match event {
        Event::ParticipantDiscovered(participant) => tell(json!({
            "event": "participant",
            "guid": participant.data.guid.to_hex(),
            "vendor": octets(&participant.vendor_id.0),
            "user_data": octets(&participant.data.user_data),
        })),
        Event::ParticipantLost { prefix, reason } => tell(json!({
            "event": "participant_lost",
            "guid": Guid::new(*prefix, dds_shm::wire::EntityId::PARTICIPANT).to_hex(),
            "reason": match reason {
                LossReason::Disposed => "disposed",
                LossReason::LeaseExpired => "timeout",
            },
        })),
        Event::PublicationDiscovered(endpoint) => tell(describe("publication", endpoint)),
        Event::SubscriptionDiscovered(endpoint) => tell(describe("subscription", endpoint)),
        Event::PublicationGone(guid) => {
            tell(json!({ "event": "publication_lost", "guid": guid.to_hex() }));
        }
        Event::SubscriptionGone(guid) => {
            tell(json!({ "event": "subscription_lost", "guid": guid.to_hex() }));
        }
        Event::Unreachable { local, remote, why } => tell(json!({
            "event": "unreachable",
            "local": local.to_hex(),
            "remote": remote.to_hex(),
            "why": format!("{why:?}"),
        })),
        other => tell(json!({ "event": "other", "text": format!("{other:?}") })),
    }
}

fn describe(kind: &str, endpoint: &RemoteEndpoint) -> Value {
    json!({
        "event": kind,
        "guid": endpoint.data.guid.to_hex(),
        "topic": endpoint.data.topic_name,
        "type": endpoint.data.type_name,
        "user_data": octets(&endpoint.data.user_data),
        "locator": endpoint.locator.as_ref().map(|locator| locator.path.as_str()),
    })
}

fn octets(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn tell(event: Value) {
    println!("{event}");
}
