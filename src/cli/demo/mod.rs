//! `demo`: the main job. One publisher and some subscribers, each a process of its own that knows
//! nothing of the others, find each other by RTPS discovery, and every sample goes through shared memory
//! and is checked.
//!
//! They meet in a domain and under a tag of their own, on the loopback interface, so that a demo neither
//! disturbs other DDS systems nor is disturbed by them.

mod publisher;
mod subscriber;

use std::process::ExitCode;

use clap::Args;
use dds_shm::discovery::{Interfaces, ParticipantConfig};
use dds_shm::transport::EmbeddedParticipant;
use dds_shm::wire::qos::{EndpointQos, History, Reliability};
use serde::{Deserialize, Serialize};

use super::child::{Child, Role};
use super::output::{nanoseconds, print_json, progress, table};
use super::quantity::{grouped, parse_bytes};
use super::{CliError, error, pattern, signals};
pub(crate) use publisher::run as publisher;
use subscriber::Latency;
pub(crate) use subscriber::run as subscriber;

/// Domains to choose from: seldom used by people, and with ports below the ephemeral ones.
const DOMAINS: std::ops::Range<u32> = 60..100;
const TOPIC: &str = "dds-shm demo";
/// Samples, and octets, published between two looks at signals and steps of the progress bar.
const STEP: u64 = 10_000;
const STEP_OCTETS: u64 = 16 << 20;

#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArgs {
    /// Samples to publish
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    samples: u64,
    /// Octets of a sample, at least 16 (K, M for KiB, MiB)
    #[arg(long, default_value = "64", value_parser = parse_stamped)]
    size: u32,
    /// Subscriber processes
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    readers: u32,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

fn parse_stamped(text: &str) -> Result<u32, String> {
    let size = parse_bytes(text)?;
    let is_enough = size >= pattern::STAMPED;
    is_enough.then_some(size).ok_or_else(|| {
        format!("a sample needs {} octets for its number and its time", pattern::STAMPED)
    })
}

/// What all processes of a demo know.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Plan {
    domain: u32,
    tag: String,
    samples: u64,
    size: u32,
    readers: u32,
}

impl Plan {
    fn join(&self, name: &str) -> Result<EmbeddedParticipant, CliError> {
        let config = ParticipantConfig {
            domain_tag: self.tag.clone(),
            name: name.to_owned(),
            interfaces: Interfaces::LoopbackOnly,
            unicast_participants: self.readers + 2,
            ..ParticipantConfig::new(self.domain)
        };
        Ok(EmbeddedParticipant::start(config, |options| options)?)
    }

    /// RELIABLE, KEEP_ALL.
    fn qos(&self) -> EndpointQos {
        EndpointQos {
            reliability: Reliability::reliable(),
            history: History::keep_all(),
            ..EndpointQos::writer_default()
        }
    }
}

/// What the publisher is to do.
#[derive(Debug, Serialize, Deserialize)]
enum PublisherOrder {
    /// Take part, and wait for the readers.
    Meet(Plan),
    /// Publish so many samples.
    Publish { count: u64 },
}

/// What the publisher did so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct PublisherReport {
    published: u64,
    /// Samples that went to every reader through shared memory, as their commits say.
    covered: u64,
    /// Readers that the publisher's discovery found.
    readers: usize,
    /// When the first sample was written, by the clock of the host.
    began_ns: u64,
}

/// What a subscriber is to do.
#[derive(Debug, Serialize, Deserialize)]
enum SubscriberOrder {
    /// Take part.
    Meet(Plan),
    /// Take all samples, or as many as come.
    Take,
}

/// What a subscriber got.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct SubscriberReport {
    received: u64,
    lost: u64,
    corrupt: u64,
    latency_ns: Latency,
    /// When the last sample had been checked, by the clock of the host.
    ended_ns: u64,
}

#[derive(Debug, Serialize)]
struct Demo {
    samples: u64,
    size: u32,
    via: &'static str,
    readers: Vec<Reader>,
    samples_per_s: u64,
}

#[derive(Debug, Serialize)]
struct Reader {
    received: u64,
    lost: u64,
    corrupt: u64,
    latency_ns: Latency,
}

/// The processes. The publisher ends first: with it gone, subscribers that still wait give up.
struct Team {
    publisher: Child<PublisherOrder, PublisherReport>,
    subscribers: Vec<Child<SubscriberOrder, SubscriberReport>>,
}

/// Runs the demo.
pub(crate) fn run(args: &DemoArgs) -> Result<ExitCode, CliError> {
    signals::catch(|| {})?;
    let plan = Plan {
        domain: rand::random_range(DOMAINS),
        tag: format!("dds-shm demo {:016x}", rand::random::<u64>()),
        samples: args.samples,
        size: args.size,
        readers: args.readers,
    };
    let mut team = Team::start(&plan)?;
    let published = team.publish(&plan)?;
    let subscribed = team.collect()?;
    drop(team);
    let ended = subscribed.iter().map(|report| report.ended_ns).max().unwrap_or(0);
    let taken = ended.saturating_sub(published.began_ns).max(1);
    let is_covered = published.covered == plan.samples;
    let via = if is_covered { "shared-memory" } else { "incomplete" };
    let readers = subscribed.into_iter().map(|report| Reader {
        received: report.received,
        // What never came is lost, too.
        lost: plan.samples.saturating_sub(report.received),
        corrupt: report.corrupt,
        latency_ns: report.latency_ns,
    });
    let demo = Demo {
        samples: plan.samples,
        size: plan.size,
        via,
        readers: readers.collect(),
        samples_per_s: (plan.samples as f64 * 1e9 / taken as f64).round() as u64,
    };
    if args.json {
        print_json(&demo)?;
    } else {
        demo.show(&published);
    }
    let is_good = |reader: &Reader| reader.lost == 0 && reader.corrupt == 0;
    let has_all = is_covered && demo.readers.iter().all(is_good);
    Ok(if has_all { ExitCode::SUCCESS } else { ExitCode::from(error::NOT_ALL) })
}

impl Team {
    /// Starts all, and returns when every reader is attached to the publisher's segment.
    fn start(plan: &Plan) -> Result<Self, CliError> {
        let publisher = Child::start(Role::DemoPublisher, None)?;
        let subscribers = (0..plan.readers)
            .map(|_| Child::start(Role::DemoSubscriber, None))
            .collect::<Result<_, _>>()?;
        let mut team = Self { publisher, subscribers };
        for subscriber in &mut team.subscribers {
            subscriber.order(&SubscriberOrder::Meet(plan.clone()))?;
        }
        team.publisher.order(&PublisherOrder::Meet(plan.clone()))?;
        for subscriber in &mut team.subscribers {
            subscriber.report()?;
            subscriber.order(&SubscriberOrder::Take)?;
        }
        team.publisher.report()?;
        Ok(team)
    }

    fn publish(&mut self, plan: &Plan) -> Result<PublisherReport, CliError> {
        let bar = progress("publishing", plan.samples);
        let step = STEP.min(STEP_OCTETS / u64::from(plan.size)).max(1);
        loop {
            let published = bar.position();
            let count = step.min(plan.samples - published);
            self.publisher.order(&PublisherOrder::Publish { count })?;
            let report = self.publisher.report()?;
            bar.set_position(report.published);
            if report.published >= plan.samples {
                bar.finish_and_clear();
                return Ok(report);
            }
            self.publisher.check()?;
        }
    }

    fn collect(&mut self) -> Result<Vec<SubscriberReport>, CliError> {
        self.subscribers.iter_mut().map(Child::report).collect()
    }
}

impl Demo {
    fn show(&self, published: &PublisherReport) {
        eprintln!(
            "{} samples of {} B, RELIABLE, to {} readers, which discovery found: {} samples/s",
            grouped(self.samples),
            grouped(self.size.into()),
            published.readers,
            grouped(self.samples_per_s),
        );
        eprintln!(
            "through shared memory to every reader: {} of {}",
            grouped(published.covered),
            grouped(self.samples)
        );
        let titles = ["", "received", "lost", "corrupt", "p50", "p99", "p99.9"];
        let mut rows = vec![titles.map(str::to_owned).to_vec()];
        for (number, reader) in self.readers.iter().enumerate() {
            let latency = reader.latency_ns;
            let counts = [reader.received, reader.lost, reader.corrupt].map(grouped);
            let times = [latency.p50, latency.p99, latency.p999].map(|ns| nanoseconds(ns as f64));
            let name = format!("reader {}", number + 1);
            rows.push([name].into_iter().chain(counts).chain(times).collect());
        }
        eprint!("{}", table(&rows));
        eprintln!("latency: under full load, so it is mostly the time in the publisher's queue");
    }
}
