//! Where segments are: what ZeroDDS announces and does not read itself.

use std::sync::Arc;

use dds_shm::discovery::{
    DiscoveryError, EndpointDirectory as _, LocatorPolicy, Participant, ParticipantConfig,
    RemoteEndpoint,
};
use dds_shm::liveness::Node;
use dds_shm::slots::ReaderIndex;
use dds_shm::transport::attach_by_locator;
use dds_shm::{PosixSlotAllocator, ReaderOptions};
use zerodds_dcps::qos::ReliabilityKind;
use zerodds_dcps::{DataReader, DdsType};
use zerodds_flatdata::FlatStruct;

use crate::publication::flat_type;
use crate::{Delivery, HostError, ReaderSlots, Subscription};

/// Finds the segments of the writers in a domain.
///
/// ZeroDDS sends `PID_SHM_LOCATOR` and drops what it receives of it. So this is a participant beside
/// the application's, without endpoints, that listens to SPDP and SEDP. One serves a whole process.
#[derive(Debug)]
pub struct SegmentFinder {
    node: Arc<Node>,
    participant: Participant,
    policy: LocatorPolicy,
}

impl SegmentFinder {
    /// Joins the domain.
    ///
    /// # Errors
    /// Why the participant cannot be started.
    pub fn start(node: &Arc<Node>, config: ParticipantConfig) -> Result<Self, DiscoveryError> {
        let policy = LocatorPolicy::new(node.dir().path());
        Ok(Self { node: Arc::clone(node), participant: Participant::start(config)?, policy })
    }

    /// Flinks under this directory are opened too: the ones that ZeroDDS's own segments have.
    #[must_use]
    pub fn allow(mut self, directory: impl Into<std::path::PathBuf>) -> Self {
        self.policy = self.policy.allow(directory);
        self
    }

    /// The participant: for what else it sees.
    #[must_use]
    pub fn participant(&self) -> &Participant {
        &self.participant
    }

    /// The writers of a reader's topic and type that have a segment, as far as they are discovered.
    #[must_use]
    pub fn writers<T: DdsType + Send + 'static>(
        &self,
        reader: &DataReader<T>,
    ) -> Vec<Arc<RemoteEndpoint>> {
        let mut found = self.participant.publications(reader.topic().name());
        found.retain(|writer| writer.locator.is_some() && writer.data.type_name == T::type_name());
        found
    }

    /// Attaches a reader to the segment of a writer, and gives it to the reader as its backend.
    ///
    /// `index`: needed for a ZDS2 segment, and the writer has to know it; `None` for format 1. A ZDS2
    /// segment that ZeroDDS made does not say what its samples are: then the type name, which
    /// discovery compares, is all there is.
    ///
    /// The writer waits for a RELIABLE reader; for any that it knows in ZDS2.
    ///
    /// # Errors
    /// [`HostError::Network`]: the samples of this writer go by network. [`HostError::IndexNeeded`].
    pub fn attach<T: DdsType + FlatStruct + Send + Sync + 'static>(
        &self,
        reader: &DataReader<T>,
        writer: &RemoteEndpoint,
        delivery: Delivery,
        index: Option<ReaderIndex>,
    ) -> Result<Subscription<T>, HostError> {
        let guid = reader.rtps_guid().ok_or(HostError::Offline)?;
        let segment = self.open::<T>(writer)?;
        let reliable = reader.qos().reliability.kind == ReliabilityKind::Reliable;
        let options = ReaderOptions { guid, reliable, ..ReaderOptions::default() };
        let index = match (segment.format(), index) {
            (dds_shm::types::SegmentFormat::ZDS2, None) => return Err(HostError::IndexNeeded),
            (dds_shm::types::SegmentFormat::ZDS2, Some(index)) => {
                segment.add_reader_as(index)?;
                index
            }
            _ => segment.add_reader(&options)?,
        };
        Ok(Subscription::new(reader, ReaderSlots::new(segment, index, delivery, T::WIRE_SIZE)))
    }

    fn open<T: FlatStruct>(
        &self,
        writer: &RemoteEndpoint,
    ) -> Result<PosixSlotAllocator, HostError> {
        let locator =
            writer.locator.as_ref().ok_or(dds_shm::transport::NetworkReason::NoLocator)?;
        let expected = flat_type::<T>();
        Ok(attach_by_locator(&self.node, locator, &self.policy, Some(&expected))?)
    }
}
