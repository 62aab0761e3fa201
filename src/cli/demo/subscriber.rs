//! A subscriber process.

use std::time::{Duration, Instant};

use dds_shm::shm::monotonic_ns;
use dds_shm::transport::{EmbeddedParticipant, ReaderConfig, ShmReader};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{Plan, SubscriberOrder, SubscriberReport, TOPIC};
use crate::cli::child::obey;
use crate::cli::octets::{self, type_of};
use crate::cli::{CliError, pattern};

/// How long it waits for a sample before it looks whether the publisher is still there.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long no sample may come, and nobody be there who could send one, before it gives up.
const PATIENCE: Duration = Duration::from_secs(40);

/// Longer than any sample takes.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Percentiles of the time from writing a sample to its having been checked.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Latency {
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
}

impl Latency {
    fn of(times: &Histogram<u64>) -> Self {
        let at = |quantile| times.value_at_quantile(quantile);
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999) }
    }
}

struct Subscriber {
    plan: Plan,
    // The reader goes before its participant.
    reader: ShmReader,
    _participant: EmbeddedParticipant,
}

/// Obeys until the parent has no more orders.
pub(crate) fn run() -> Result<(), CliError> {
    let mut subscriber = None;
    obey(|order: SubscriberOrder| match (order, &mut subscriber) {
        (SubscriberOrder::Meet(plan), subscriber) => {
            *subscriber = Some(Subscriber::meet(plan)?);
            Ok(SubscriberReport::default())
        }
        (SubscriberOrder::Take, Some(subscriber)) => subscriber.take(),
        (SubscriberOrder::Take, None) => {
            Err(CliError::Protocol { text: "an order before the first".to_owned() })
        }
    })
}

impl Subscriber {
    fn meet(plan: Plan) -> Result<Self, CliError> {
        let participant = plan.join("dds-shm demo subscriber")?;
        let config = ReaderConfig {
            qos: plan.qos(),
            ..ReaderConfig::new(TOPIC, octets::TYPE_NAME, type_of(plan.size))
        };
        let reader = participant.create_reader(config)?;
        Ok(Self { plan, reader, _participant: participant })
    }

    fn take(&self) -> Result<SubscriberReport, CliError> {
        let mut times = Histogram::<u64>::new_with_bounds(1, LONGEST_NS, 3).map_err(|error| {
            CliError::io("make a histogram")(std::io::Error::other(error.to_string()))
        })?;
        let mut report = SubscriberReport::default();
        let mut next = 1;
        let mut met = false;
        let (mut seen, mut seen_at) = (0, Instant::now());
        while report.received + self.reader.losses().lost < self.plan.samples {
            let Some(sample) = self.reader.take()? else {
                if self.reader.wait(LOOK_EVERY) {
                    continue;
                }
                if report.received > seen {
                    (seen, seen_at) = (report.received, Instant::now());
                }
                let is_alone = self.reader.handle().writers().is_empty();
                met |= !is_alone || seen > 0;
                if (met && is_alone) || seen_at.elapsed() > PATIENCE {
                    break;
                }
                continue;
            };
            let number = sample.sequence_number().0 as u64;
            let written = pattern::check(sample.bytes(), number);
            drop(sample);
            let now = monotonic_ns();
            report.received += 1;
            match written {
                // One that comes twice or in another order is not what was sent, either.
                Some(written) if number >= next => {
                    times.saturating_record(now.saturating_sub(written));
                }
                _ => report.corrupt += 1,
            }
            next = number + 1;
            report.ended_ns = now;
        }
        report.lost = self.reader.losses().lost;
        report.latency_ns = Latency::of(&times);
        Ok(report)
    }
}
