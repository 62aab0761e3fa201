//! A RustDDS participant that says what it sees.
//!
//! Takes the options of `interop_tests::PeerOptions`, writes one JSON object per event to stdout,
//! and obeys commands on stdin: `write N`, `acks SECONDS`, `stop`. Leaves cleanly at `stop`, at the
//! end of stdin, and after `--seconds`. See `interop-tests/src/peer.rs` for the events.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::BufRead;
use std::time::Duration;

use clap::Parser;
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::executor::block_on;
use futures::stream::{self, BoxStream};
use rustdds::{
    DataWriterStatus, DomainParticipantBuilder, DomainParticipantStatusEvent, EndpointDescription,
    GUID, LostReason, QosPolicies, QosPolicyBuilder, RTPSEntity, StatusEvented, TopicKind, no_key,
    policy,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value_t = 0)]
    domain: u16,
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
    /// Ignored: RustDDS cannot announce any.
    #[arg(long, default_value = "")]
    user_data: String,
    #[arg(long, default_value_t = 120.0)]
    seconds: f64,
}

impl Arguments {
    fn qos(&self) -> QosPolicies {
        let max_blocking_time =
            rustdds::Duration::from(Duration::from_millis(self.max_blocking_ms));
        let reliability = if self.best_effort {
            policy::Reliability::BestEffort
        } else {
            policy::Reliability::Reliable { max_blocking_time }
        };
        let durability = if self.transient_local {
            policy::Durability::TransientLocal
        } else {
            policy::Durability::Volatile
        };
        let history = if self.keep_all {
            policy::History::KeepAll
        } else {
            policy::History::KeepLast { depth: self.depth }
        };
        QosPolicyBuilder::new()
            .reliability(reliability)
            .durability(durability)
            .history(history)
            .build()
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sample {
    value: u32,
}

enum Input {
    Command(String),
    Participant(DomainParticipantStatusEvent),
    Writer(DataWriterStatus),
    Sample(u32),
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let qos = arguments.qos();
    let participant = DomainParticipantBuilder::new(arguments.domain).build()?;
    let statuses = participant.status_listener();
    let topic = participant.create_topic(
        arguments.topic.clone(),
        arguments.type_name.clone(),
        &qos,
        TopicKind::NoKey,
    )?;
    let publisher = participant.create_publisher(&qos)?;
    let subscriber = participant.create_subscriber(&qos)?;
    let writer = match arguments.writer {
        true => Some(publisher.create_datawriter_no_key_cdr::<Sample>(&topic, None)?),
        false => None,
    };
    let reader = match arguments.reader {
        true => Some(subscriber.create_datareader_no_key_cdr::<Sample>(&topic, None)?),
        false => None,
    };
    tell(json!({
        "event": "ready",
        "participant": hex(participant.guid()),
        "writer": writer.as_ref().map(|writer| hex(writer.guid())),
        "reader": reader.as_ref().map(|reader| hex(reader.guid())),
    }));

    let (commands, obeyed) = unbounded();
    listen(commands, Duration::from_secs_f64(arguments.seconds));
    {
        let mut inputs: Vec<BoxStream<'_, Input>> = vec![
            obeyed.map(Input::Command).boxed(),
            statuses.as_async_status_stream().map(Input::Participant).boxed(),
        ];
        if let Some(writer) = &writer {
            inputs.push(writer.as_async_status_stream().map(Input::Writer).boxed());
        }
        if let Some(reader) = reader {
            let samples = reader.async_sample_stream().filter_map(|sample| async {
                Some(Input::Sample(sample.ok()?.into_value().value))
            });
            inputs.push(samples.boxed());
        }
        block_on(run(stream::select_all(inputs), writer.as_ref(), participant.guid()))?;
    }
    // The participant goes last, and tells the others.
    drop((writer, publisher, subscriber, topic, statuses));
    drop(participant);
    tell(json!({ "event": "stopped" }));
    Ok(())
}

/// Sends each line of stdin; `stop` at its end, and after `bound`.
fn listen(commands: UnboundedSender<String>, bound: Duration) {
    let timer = commands.clone();
    std::thread::spawn(move || {
        std::thread::sleep(bound);
        // Fails if all is over already.
        let _ = timer.unbounded_send("stop".to_owned());
    });
    std::thread::spawn(move || {
        let lines = std::io::stdin().lock().lines().map_while(Result::ok);
        for line in lines.chain(["stop".to_owned()]) {
            if commands.unbounded_send(line).is_err() {
                return;
            }
        }
    });
}

async fn run(
    mut inputs: impl StreamExt<Item = Input> + Unpin,
    writer: Option<&no_key::DataWriter<Sample>>,
    own: GUID,
) -> Result<(), Box<dyn Error>> {
    let mut written = 0;
    while let Some(input) = inputs.next().await {
        match input {
            Input::Sample(value) => tell(json!({ "event": "sample", "value": value })),
            Input::Participant(status) => report(&status, own),
            Input::Writer(DataWriterStatus::PublicationMatched { reader, current, .. }) => {
                if current.count_change() > 0 {
                    tell(json!({ "event": "reader_matched", "guid": hex(reader) }));
                }
            }
            Input::Writer(_) => {}
            Input::Command(line) => {
                let mut words = line.split_whitespace();
                match (words.next(), words.next(), writer) {
                    (Some("write"), Some(count), Some(writer)) => {
                        tell(write(writer, count.parse()?, &mut written));
                    }
                    (Some("acks"), Some(seconds), Some(writer)) => {
                        let bound = Duration::from_secs_f64(seconds.parse()?);
                        let ok = writer.wait_for_acknowledgments(bound).unwrap_or(false);
                        tell(json!({ "event": "acks", "ok": ok }));
                    }
                    (Some("stop"), ..) => return Ok(()),
                    _ => return Err(format!("cannot do {line:?}").into()),
                }
            }
        }
    }
    Ok(())
}

fn write(writer: &no_key::DataWriter<Sample>, count: u32, written: &mut u32) -> Value {
    for _ in 0..count {
        if let Err(error) = writer.write(Sample { value: *written }, None) {
            return json!({
                "event": "write_failed", "count": written, "reason": format!("{error:?}"),
            });
        }
        *written += 1;
    }
    json!({ "event": "written", "count": written })
}

/// `own` is the GUID of a participant, of whatever participant.
fn report(status: &DomainParticipantStatusEvent, own: GUID) {
    use DomainParticipantStatusEvent as Event;
    let endpoint = |kind: &str, endpoint: &EndpointDescription| {
        json!({
            "event": kind,
            "guid": hex(endpoint.guid),
            "topic": endpoint.topic_name,
            "type": endpoint.type_name,
            "user_data": octets(&endpoint.user_data),
        })
    };
    let lost = |kind: &str, guid: GUID, reason: &LostReason| json!({ "event": kind, "guid": hex(guid), "reason": why(reason) });
    match status {
        Event::ParticipantDiscovered { dpd } => tell(json!({
            "event": "participant",
            "guid": hex(dpd.guid),
            "vendor": octets(&dpd.vendor_id.vendor_id),
        })),
        Event::ParticipantLost { id, reason } => {
            tell(lost("participant_lost", GUID::new(*id, own.entity_id), reason));
        }
        Event::WriterDetected { writer } => tell(endpoint("publication", writer)),
        Event::ReaderDetected { reader } => tell(endpoint("subscription", reader)),
        Event::WriterLost { guid, reason } => tell(lost("publication_lost", *guid, reason)),
        Event::ReaderLost { guid, reason } => tell(lost("subscription_lost", *guid, reason)),
        Event::RemoteWriterMatched { remote_writer, .. } => {
            tell(json!({ "event": "writer_matched", "guid": hex(*remote_writer) }));
        }
        Event::RemoteReaderMatched { remote_reader, .. } => {
            tell(json!({ "event": "reader_matched", "guid": hex(*remote_reader) }));
        }
        _ => {}
    }
}

fn why(reason: &LostReason) -> &'static str {
    match reason {
        LostReason::Disposed => "disposed",
        LostReason::Timeout { .. } => "timeout",
    }
}

fn hex(guid: GUID) -> String {
    octets(&guid.to_bytes())
}

fn octets(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn tell(event: Value) {
    println!("{event}");
}
