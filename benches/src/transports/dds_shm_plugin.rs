//! dds-shm as a DDS implementation uses it: endpoints of a participant, matched by what SEDP carries.

use std::mem::forget;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use dds_shm::discovery::{LocatorCarrier, RemoteEndpoint, find_locator};
use dds_shm::transport::{ReaderConfig, ShmReader, ShmTransport, ShmWriter, WriterConfig};
use dds_shm::wire::qos::{EndpointQos, History, Reliability};
use dds_shm::wire::{Duration as RtpsDuration, Endianness, EndpointData, EndpointRole};
use dds_shm::wire::{Guid, GuidPrefix, VendorId};
use dds_shm::{SampleInfo, SlotError};

use super::dds_shm_slots::{MAX_HELD, node, room, slots, type_of};
use crate::error::{Result, failed};
use crate::transport::{Place, Plan, Receiver, Sender, Transport};

/// Tells the participants of this process apart.
static PARTICIPANTS: AtomicU8 = AtomicU8::new(0);

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Plugin {
    transport: ShmTransport,
}

fn qos(plan: &Plan) -> EndpointQos {
    EndpointQos {
        history: History::keep_all(),
        reliability: Reliability {
            max_blocking_time: RtpsDuration::from(plan.patience()),
            ..EndpointQos::writer_default().reliability
        },
        ..EndpointQos::writer_default()
    }
}

impl Transport for Plugin {
    type Sender = PluginSender;
    type Receiver = PluginReceiver;

    fn start(place: &Place) -> Result<Self> {
        let mut prefix = [0; 12];
        prefix[..4].copy_from_slice(&std::process::id().to_be_bytes());
        prefix[4] = PARTICIPANTS.fetch_add(1, Ordering::Relaxed);
        let transport = ShmTransport::builder(0, GuidPrefix(prefix))
            .node(node(place)?)
            .build()
            .map_err(failed("transport of dds-shm"))?;
        Ok(Self { transport })
    }

    fn sender(&self, plan: &Plan) -> Result<PluginSender> {
        let of_type = type_of(plan.size);
        let config = WriterConfig {
            layout: of_type.layout,
            qos: qos(plan),
            expected_readers: plan.readers,
            max_held: MAX_HELD,
            slots: Some(slots(plan)),
            ..WriterConfig::new(&plan.name, "Octets", of_type.hash, plan.size)
        };
        let writer =
            self.transport.create_writer(config).map_err(failed("writer of the plugin"))?;
        Ok(PluginSender { writer, transport: self.transport.clone() })
    }

    fn receiver(&self, plan: &Plan, address: &str, _: u32) -> Result<PluginReceiver> {
        let config = ReaderConfig {
            qos: qos(plan),
            max_held: MAX_HELD as usize,
            ..ReaderConfig::new(&plan.name, "Octets", type_of(plan.size))
        };
        let reader =
            self.transport.create_reader(config).map_err(failed("reader of the plugin"))?;
        let publication = heard(EndpointRole::Writer, address)?;
        let writer = publication.data.guid;
        self.transport.publication_discovered(publication);
        Ok(PluginReceiver { reader, writer, transport: self.transport.clone() })
    }
}

/// What SEDP would carry of an endpoint of ours, in hexadecimal.
fn said(transport: &ShmTransport, guid: Guid) -> Result<String> {
    let endpoint = transport.describe(guid).ok_or("no such endpoint");
    let RemoteEndpoint { mut data, locator, .. } = endpoint.map_err(failed("describing"))?;
    if let Some(locator) = locator {
        LocatorCarrier::default().put(&locator, &mut data).map_err(failed("announcing"))?;
    }
    let payload = data.to_pl_cdr(Endianness::Little).map_err(failed("announcing"))?;
    Ok(payload.iter().map(|octet| format!("{octet:02x}")).collect())
}

fn heard(role: EndpointRole, text: &str) -> Result<RemoteEndpoint> {
    let octet = |at: usize| u8::from_str_radix(text.get(at..at + 2).unwrap_or(""), 16);
    let payload = (0..text.len()).step_by(2).map(octet).collect::<std::result::Result<Vec<_>, _>>();
    let payload = payload.map_err(failed("hearing"))?;
    let data = EndpointData::from_pl_cdr(role, &payload).map_err(failed("hearing"))?;
    let vendor_id = VendorId::EMBEDDED;
    let locator = find_locator(&data, vendor_id).map_err(failed("hearing"))?;
    Ok(RemoteEndpoint { data, vendor_id, locator, shm_version: Some(1) })
}

#[derive(Debug)]
pub(crate) struct PluginSender {
    writer: ShmWriter,
    transport: ShmTransport,
}

impl Sender for PluginSender {
    fn address(&self) -> Result<String> {
        said(&self.transport, self.writer.guid())
    }

    fn meet(&mut self, answers: &[String]) -> Result<()> {
        for answer in answers {
            self.transport.subscription_discovered(Arc::new(heard(EndpointRole::Reader, answer)?));
        }
        Ok(())
    }

    fn is_ready(&mut self, readers: u32) -> Result<bool> {
        let served = self.writer.wait_for_readers(readers as usize, Duration::from_millis(1));
        Ok(served == readers as usize)
    }

    fn warm_up(&self, plan: &Plan) -> u64 {
        u64::from(2 * slots(plan))
    }

    #[inline]
    fn send_untouched(&mut self, len: usize) -> Result<bool> {
        let publish = || {
            self.writer.loan()?.publish(len, &SampleInfo::default())?;
            Ok(())
        };
        room(publish())
    }

    #[inline]
    fn send_copy(&mut self, bytes: &[u8]) -> Result<bool> {
        let publish = || {
            let mut loan = self.writer.loan()?;
            loan.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
            loan.publish(bytes.len(), &SampleInfo::default())?;
            Ok(())
        };
        room(publish())
    }
}

#[derive(Debug)]
pub(crate) struct PluginReceiver {
    reader: ShmReader,
    writer: Guid,
    transport: ShmTransport,
}

impl Receiver for PluginReceiver {
    fn answer(&self) -> Result<String> {
        said(&self.transport, self.reader.guid())
    }

    fn is_ready(&mut self) -> Result<bool> {
        // A take applies what discovery brought.
        let nothing = self.reader.take().map_err(failed("taking with the plugin"))?.is_none();
        Ok(nothing && self.reader.reachability(self.writer).is_shared_memory())
    }

    #[inline]
    fn take<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        let sample = self.reader.take().map_err(failed("taking with the plugin"))?;
        Ok(sample.map(|sample| read(sample.bytes())))
    }

    fn sleep(&mut self, at_most: Duration) -> Result<()> {
        self.reader.wait(at_most);
        Ok(())
    }

    fn hoard(&mut self) -> Result<usize> {
        let mut held = 0;
        loop {
            match self.reader.take() {
                Ok(Some(sample)) => forget(sample),
                Ok(None) | Err(SlotError::TooManyHeld { .. }) => return Ok(held),
                Err(error) => return Err(failed("taking with the plugin")(error)),
            }
            held += 1;
        }
    }
}
