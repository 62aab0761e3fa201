//! `pub`: publishes numbered samples whose every octet is known to who takes them.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use dds_shm::shm::monotonic_ns;
use dds_shm::slots::{Committed, ReaderSet};
use dds_shm::transport::{ShmWriter, WriterConfig};
use dds_shm::wire::Duration as WireDuration;
use dds_shm::wire::qos::EndpointQos;
use dds_shm::{SampleInfo, SlotError};
use serde::Serialize;

use super::domain::DomainArgs;
use super::events::{Diary, Told};
use super::octets::{self, type_of};
use super::output::print_json;
use super::qos::QosArgs;
use super::quantity::{grouped, parse_bytes};
use super::{CliError, pattern, signals};

/// How often somebody who waits looks whether a signal came, and tells what happened.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Clone, Debug, Args)]
pub(crate) struct PubArgs {
    /// The topic
    topic: String,
    /// Octets of a sample (K, M for KiB, MiB)
    #[arg(long, default_value = "64", value_parser = parse_bytes)]
    size: u32,
    /// Samples per second; 0: as many as possible
    #[arg(long, default_value_t = 100.0, value_parser = parse_positive)]
    rate: f64,
    /// End after so many samples; default: at SIGINT or SIGTERM
    #[arg(long)]
    count: Option<u64>,
    /// Stay so many seconds after the last sample, for those who join late
    #[arg(long, default_value_t = 0.0, value_parser = parse_positive)]
    linger: f64,
    /// Begin once so many readers are attached
    #[arg(long, value_name = "N", default_value_t = 0)]
    wait_readers: usize,
    /// How long a write waits for space before it times out, which is told, and tried again
    #[arg(long, value_name = "MS", default_value_t = 100)]
    max_blocking_ms: u64,
    /// Samples that a reader may hold at once
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    max_held: u32,
    #[command(flatten)]
    qos: QosArgs,
    #[command(flatten)]
    domain: DomainArgs,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

/// Reads a number that is not negative.
pub(crate) fn parse_positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|error| format!("{text:?} is no number: {error}"))?;
    let is_good = (0.0..1e9).contains(&number);
    is_good.then_some(number).ok_or_else(|| "a number from 0 to 1e9 is needed".to_owned())
}

#[derive(Debug, Default, Serialize)]
struct Published {
    published: u64,
    /// Samples for which a best-effort writer found no room.
    dropped: u64,
    /// Writes that timed out, and were tried again.
    timeouts: u64,
    /// Samples that did not go to every matched reader through shared memory.
    uncovered: u64,
    /// The most readers that a sample went to.
    readers: usize,
    events: Vec<Told>,
}

/// Runs `pub`.
pub(crate) fn run(args: &PubArgs) -> Result<ExitCode, CliError> {
    signals::catch(|| {})?;
    let participant = args.domain.join("dds-shm pub")?;
    let diary = Diary::new(participant.events());
    let writer = participant.create_writer(args.writer())?;
    eprintln!(
        "publishing {:?} as {}, {} slots of {} B in {}",
        args.topic,
        writer.guid(),
        writer.slots().identity().geometry.slot_count,
        args.size,
        writer.locator().path.as_str()
    );
    let mut publisher = Publisher {
        args,
        writer,
        diary,
        result: Published::default(),
        covered: ReaderSet::EMPTY,
        misses: false,
    };
    publisher.publish()?;
    let Publisher { writer, diary, mut result, .. } = publisher;
    // Withdrawn before the result is out: who reads that finds nothing left.
    drop(writer);
    drop(participant);
    result.events = diary.into_kept();
    if args.json {
        print_json(&result)?;
    } else {
        eprintln!(
            "published {}, dropped {}, timeouts {}, not to every reader {}",
            grouped(result.published),
            grouped(result.dropped),
            grouped(result.timeouts),
            grouped(result.uncovered)
        );
    }
    signals::check()?;
    Ok(ExitCode::SUCCESS)
}

impl PubArgs {
    fn writer(&self) -> WriterConfig {
        let of_type = type_of(self.size);
        let mut qos = self.qos.over(EndpointQos::writer_default());
        qos.reliability.max_blocking_time = WireDuration::from_millis(self.max_blocking_ms);
        WriterConfig {
            layout: of_type.layout,
            qos,
            max_held: self.max_held,
            ..WriterConfig::new(&self.topic, octets::TYPE_NAME, of_type.hash, self.size)
        }
    }
}

struct Publisher<'a> {
    args: &'a PubArgs,
    writer: ShmWriter,
    diary: Diary,
    result: Published,
    /// Whom the last sample went to.
    covered: ReaderSet,
    /// A matched reader did not get the last sample.
    misses: bool,
}

impl Publisher<'_> {
    fn publish(&mut self) -> Result<(), CliError> {
        let wanted = self.args.wait_readers;
        while self.writer.wait_for_readers(wanted, LOOK_EVERY) < wanted {
            self.diary.tell();
            if signals::caught() {
                return Ok(());
            }
        }
        let started = Instant::now();
        let mut number = 0;
        while self.args.count.is_none_or(|count| number < count) {
            if !self.pause(self.due(started, number)) {
                return Ok(());
            }
            number += 1;
            self.publish_one(number)?;
        }
        if self.args.linger > 0.0 {
            eprintln!("published {number}, staying {} s", self.args.linger);
            self.pause(Instant::now() + Duration::from_secs_f64(self.args.linger));
        }
        Ok(())
    }

    /// When the sample after `sent` ones is due.
    fn due(&self, started: Instant, sent: u64) -> Instant {
        match self.args.rate {
            0.0 => started,
            rate => started + Duration::from_secs_f64(sent as f64 / rate),
        }
    }

    /// Waits until then; false if a signal came first.
    fn pause(&mut self, until: Instant) -> bool {
        loop {
            if self.diary.tell() {
                // Somebody came or went: the set of who is covered may be the same as before.
                self.covered = ReaderSet::EMPTY;
            }
            if signals::caught() {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(LOOK_EVERY));
        }
    }

    fn publish_one(&mut self, number: u64) -> Result<(), CliError> {
        let info = SampleInfo { sn: Some(number as i64), ..SampleInfo::default() };
        let mut tries = 0u64;
        let committed = loop {
            match self.writer.loan() {
                Ok(mut loan) => {
                    let size = self.args.size as usize;
                    pattern::fill(&mut loan.bytes_mut()[..size], number, monotonic_ns());
                    break loan.publish(size, &info)?;
                }
                Err(SlotError::NoFreeSlot { .. }) => {
                    self.result.dropped += 1;
                    self.writer.slots().drop_sample(info.sn)?;
                    return Ok(());
                }
                Err(error @ SlotError::Timeout { .. }) => {
                    tries += 1;
                    self.result.timeouts += 1;
                    // Told less and less often while it lasts.
                    if tries.is_power_of_two() {
                        eprintln!("sample {number}: {error}; tried {tries} times, trying again");
                    }
                    self.diary.tell();
                    if signals::caught() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        };
        self.result.published += 1;
        self.note_covered(&committed);
        Ok(())
    }

    fn note_covered(&mut self, committed: &Committed) {
        if committed.covered != self.covered || self.covered.is_empty() {
            self.covered = committed.covered;
            self.misses = !self.writer.handle().uncovered_readers(committed).is_empty();
            self.result.readers = self.result.readers.max(committed.covered.len());
        }
        self.result.uncovered += u64::from(self.misses);
    }
}
