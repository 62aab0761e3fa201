//! The publisher process.

use std::time::{Duration, Instant};

use dds_shm::shm::monotonic_ns;
use dds_shm::transport::{EmbeddedParticipant, ShmWriter, WriterConfig};
use dds_shm::{SampleInfo, SlotError};

use super::{Plan, PublisherOrder, PublisherReport, TOPIC};
use crate::cli::child::obey;
use crate::cli::octets::{self, type_of};
use crate::cli::{CliError, pattern};

/// How long readers may take to find us, and to take something once we are full.
const PATIENCE: Duration = Duration::from_secs(30);
/// Slots, while samples are small: room for readers that share a processor with others.
const SLOTS: u32 = 1024;
/// Octets of all slots together, while samples are not small.
const OCTETS: u32 = 16 << 20;

struct Publisher {
    plan: Plan,
    report: PublisherReport,
    // The writer goes before its participant.
    writer: ShmWriter,
    _participant: EmbeddedParticipant,
}

/// Obeys until the parent has no more orders.
pub(crate) fn run() -> Result<(), CliError> {
    let mut publisher = None;
    obey(|order: PublisherOrder| match (order, &mut publisher) {
        (PublisherOrder::Meet(plan), publisher) => {
            Ok(publisher.insert(Publisher::meet(plan)?).report.clone())
        }
        (PublisherOrder::Publish { count }, Some(publisher)) => publisher.publish(count),
        (PublisherOrder::Publish { .. }, None) => {
            Err(CliError::Protocol { text: "an order before the first".to_owned() })
        }
    })
}

impl Publisher {
    fn meet(plan: Plan) -> Result<Self, CliError> {
        let participant = plan.join("dds-shm demo publisher")?;
        let of_type = type_of(plan.size);
        let config = WriterConfig {
            layout: of_type.layout,
            qos: plan.qos(),
            expected_readers: plan.readers,
            slots: Some((OCTETS / plan.size).clamp(8, SLOTS) + 2 + 2 * plan.readers),
            // The time is in the samples.
            stamp: false,
            ..WriterConfig::new(TOPIC, octets::TYPE_NAME, of_type.hash, plan.size)
        };
        let writer = participant.create_writer(config)?;
        let readers = writer.wait_for_readers(plan.readers as usize, PATIENCE);
        if readers < plan.readers as usize {
            return Err(CliError::NotInTime(format!(
                "{readers} of {} readers were found within {PATIENCE:?}: \
                 is the loopback interface up (`ip link set lo up`)?",
                plan.readers
            )));
        }
        let report = PublisherReport { readers, ..PublisherReport::default() };
        Ok(Self { plan, report, writer, _participant: participant })
    }

    fn publish(&mut self, count: u64) -> Result<PublisherReport, CliError> {
        let readers = self.plan.readers as usize;
        let size = self.plan.size as usize;
        for _ in 0..count {
            let number = self.report.published + 1;
            let mut loan = self.loan()?;
            let now = monotonic_ns();
            pattern::fill(&mut loan.bytes_mut()[..size], number, now);
            let info = SampleInfo { sn: Some(number as i64), ..SampleInfo::default() };
            let committed = loan.publish(size, &info)?;
            if number == 1 {
                self.report.began_ns = now;
            }
            self.report.published = number;
            self.report.covered += u64::from(committed.covered.len() == readers);
        }
        Ok(self.report.clone())
    }

    /// A slot, waiting for readers that are behind.
    fn loan(&self) -> Result<dds_shm::transport::ShmLoan<'_>, CliError> {
        let mut started = None;
        loop {
            match self.writer.loan() {
                Ok(loan) => return Ok(loan),
                Err(error @ SlotError::Timeout { .. }) => {
                    let started = *started.get_or_insert_with(Instant::now);
                    if started.elapsed() > PATIENCE {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
