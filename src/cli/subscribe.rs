//! `sub`: takes samples of a topic, and checks every octet of those that `pub` wrote.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use dds_shm::SlotError;
use dds_shm::transport::{ReaderConfig, ShmReader, ShmSample};
use dds_shm::wire::qos::EndpointQos;
use serde::Serialize;

use super::domain::DomainArgs;
use super::events::{Diary, Told};
use super::octets::{self, type_of};
use super::output::print_json;
use super::publish::{LOOK_EVERY, parse_positive};
use super::qos::QosArgs;
use super::quantity::{grouped, parse_bytes};
use super::{CliError, error, pattern, signals};

/// Samples taken before a look at events and signals.
const BATCH: u32 = 256;

#[derive(Clone, Debug, Args)]
pub(crate) struct SubArgs {
    /// The topic
    topic: String,
    /// Octets of a sample (K, M for KiB, MiB), as the publisher has it
    #[arg(long, default_value = "64", value_parser = parse_bytes)]
    size: u32,
    /// End after so many samples; default: at SIGINT or SIGTERM
    #[arg(long)]
    count: Option<u64>,
    /// End after so many seconds without a sample
    #[arg(long, value_name = "SECONDS", value_parser = parse_positive)]
    timeout: Option<f64>,
    /// Take so many samples, or as many as the publisher allows, keep them and take no more
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    hold: Option<u32>,
    /// Do not check the contents: they are of another program than `pub`
    #[arg(long)]
    unchecked: bool,
    #[command(flatten)]
    qos: QosArgs,
    #[command(flatten)]
    domain: DomainArgs,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, Serialize)]
struct Subscribed {
    received: u64,
    lost: u64,
    replaced: u64,
    corrupt: u64,
    events: Vec<Told>,
}

/// Runs `sub`.
pub(crate) fn run(args: &SubArgs) -> Result<ExitCode, CliError> {
    signals::catch(|| {})?;
    let participant = args.domain.join("dds-shm sub")?;
    let diary = Diary::new(participant.events());
    let reader = participant.create_reader(args.reader())?;
    eprintln!("subscribed to {:?} as {}", args.topic, reader.guid());
    let mut subscriber =
        Subscriber { args, diary, result: Subscribed::default(), last: Instant::now() };
    match args.hold {
        Some(most) => subscriber.hold(&reader, most as usize)?,
        None => subscriber.take(&reader)?,
    }
    let Subscriber { diary, mut result, .. } = subscriber;
    let losses = reader.losses();
    (result.lost, result.replaced) = (losses.lost, losses.replaced);
    drop(reader);
    drop(participant);
    let has_other_layout = diary.met_other_layout();
    result.events = diary.into_kept();
    if args.json {
        print_json(&result)?;
    } else {
        eprintln!(
            "received {}, lost {}, replaced {}, corrupt {}",
            grouped(result.received),
            grouped(result.lost),
            grouped(result.replaced),
            grouped(result.corrupt)
        );
    }
    signals::check()?;
    let wanted = args.count.filter(|_| args.hold.is_none()).unwrap_or(0);
    Ok(match () {
        () if result.received == 0 && has_other_layout => ExitCode::from(error::INCOMPATIBLE),
        () if result.lost + result.corrupt > 0 => ExitCode::from(error::NOT_ALL),
        () if result.received < wanted => ExitCode::from(error::NOT_ALL),
        () => ExitCode::SUCCESS,
    })
}

impl SubArgs {
    fn reader(&self) -> ReaderConfig {
        let config = ReaderConfig::new(&self.topic, octets::TYPE_NAME, type_of(self.size));
        ReaderConfig {
            qos: self.qos.over(EndpointQos::reader_default()),
            max_held: self.hold.map_or(config.max_held, |hold| hold as usize),
            ..config
        }
    }
}

struct Subscriber<'a> {
    args: &'a SubArgs,
    diary: Diary,
    result: Subscribed,
    /// When the last sample came.
    last: Instant,
}

impl Subscriber<'_> {
    fn take(&mut self, reader: &ShmReader) -> Result<(), CliError> {
        while !self.is_over() {
            let mut taken = 0;
            while taken < BATCH && !self.has_all() {
                let Some(sample) = reader.take()? else { break };
                self.receive(&sample);
                taken += 1;
            }
            if taken > 0 {
                self.last = Instant::now();
            } else {
                reader.wait(LOOK_EVERY);
            }
        }
        Ok(())
    }

    /// Keeps what it takes until the end.
    fn hold(&mut self, reader: &ShmReader, most: usize) -> Result<(), CliError> {
        let mut held = Vec::new();
        while held.len() < most && !self.is_over() {
            match reader.take() {
                Ok(Some(sample)) => {
                    self.receive(&sample);
                    self.last = Instant::now();
                    held.push(sample);
                }
                Ok(None) => {
                    reader.wait(LOOK_EVERY);
                }
                Err(SlotError::TooManyHeld { .. }) => break,
                Err(error) => return Err(error.into()),
            }
        }
        eprintln!("holding {} samples, and taking no more", held.len());
        while !self.is_over() {
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn receive(&mut self, sample: &ShmSample<'_>) {
        self.result.received += 1;
        let number = sample.sequence_number().0 as u64;
        let is_whole = !sample.valid_data()
            || self.args.unchecked
            || (sample.bytes().len() == self.args.size as usize
                && pattern::check(sample.bytes(), number).is_some());
        if !is_whole {
            self.result.corrupt += 1;
            eprintln!("sample {number} of {} is not what `pub` writes", sample.writer());
        }
    }

    fn has_all(&self) -> bool {
        self.args.hold.is_none()
            && self.args.count.is_some_and(|count| self.result.received >= count)
    }

    /// Tells what happened, and whether it is time to end.
    fn is_over(&mut self) -> bool {
        self.diary.tell();
        let patience = self.args.timeout.map(Duration::from_secs_f64);
        self.has_all()
            || signals::caught()
            || patience.is_some_and(|patience| self.last.elapsed() > patience)
    }
}
