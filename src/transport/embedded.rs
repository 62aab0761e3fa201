//! A participant of our own: discovery and transport together, with no DDS installed.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::announcement::Announcement;
use super::builder::ShmTransportBuilder;
use super::config::{ReaderConfig, WriterConfig};
use super::error::TransportError;
use super::event::TransportEvents;
use super::reader::ShmReader;
use super::transport::ShmTransport;
use super::writer::ShmWriter;
use crate::discovery::{DiscoveryEvent, EndpointDirectory, Participant, ParticipantConfig};
use crate::liveness::spawn_quiet;
use crate::shm::ProcessStamp;
use crate::wire::Guid;

/// A transport that is told of others by a directory (SPDP and SEDP, or the registry), and whose
/// endpoints are announced there.
///
/// One thread follows the directory; it sleeps while nothing happens. Endpoints can outlive this: then
/// they hear of nobody new.
///
/// ```no_run
/// use dds_shm::FlatStruct;
/// use dds_shm::discovery::ParticipantConfig;
/// use dds_shm::transport::{EmbeddedParticipant, WriterConfig};
///
/// #[derive(Clone, Copy, FlatStruct)]
/// #[repr(C)]
/// struct Pose { x: f64, y: f64, z: f64 }
///
/// let participant = EmbeddedParticipant::start(ParticipantConfig::new(0), |options| options)?;
/// let writer = participant.create_writer(WriterConfig::of::<Pose>("Pose"))?;
/// writer.wait_for_readers(1, std::time::Duration::from_secs(60));
/// writer.write(&[0; 24], &Default::default())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct EmbeddedParticipant {
    transport: ShmTransport,
    directory: Arc<dyn EndpointDirectory>,
    follower: Follower,
}

impl EmbeddedParticipant {
    /// A participant that speaks SPDP and SEDP over UDP. Its own writers and readers match each other,
    /// too. `options`: what the transport is to have beside the defaults.
    ///
    /// # Errors
    /// [`TransportError::Discovery`] if there are no sockets, [`TransportError::Liveness`] if shared
    /// memory cannot be used, [`TransportError::Thread`].
    pub fn start(
        config: ParticipantConfig,
        options: impl FnOnce(ShmTransportBuilder) -> ShmTransportBuilder,
    ) -> Result<Self, TransportError> {
        let domain_id = config.domain_id;
        let participant = Participant::start(config)?;
        let builder = ShmTransport::builder(domain_id, participant.guid_prefix()).match_own(true);
        let transport = options(builder).build()?;
        Self::over(Arc::new(participant), transport)
    }

    /// A participant over a directory. `transport` has the GUID prefix under which its endpoints are
    /// announced there.
    ///
    /// # Errors
    /// [`TransportError::Thread`].
    pub fn over(
        directory: Arc<dyn EndpointDirectory>,
        transport: ShmTransport,
    ) -> Result<Self, TransportError> {
        let follower = Follower::start(Arc::clone(&directory), transport.clone())?;
        Ok(Self { transport, directory, follower })
    }

    /// The transport.
    #[must_use]
    pub fn transport(&self) -> &ShmTransport {
        &self.transport
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Arc<dyn EndpointDirectory> {
        &self.directory
    }

    /// What happens to its endpoints. All receivers share the events.
    #[must_use]
    pub fn events(&self) -> TransportEvents {
        self.transport.events()
    }

    /// Makes a writer, and announces it with its locator. Withdrawn when it is dropped.
    ///
    /// # Errors
    /// As [`ShmTransport::create_writer`]; [`TransportError::Discovery`] if it cannot be announced.
    pub fn create_writer(&self, config: WriterConfig) -> Result<ShmWriter, TransportError> {
        let mut writer = self.transport.create_writer(config)?;
        if let Some(announcement) = self.announce(writer.guid())? {
            writer.announce(announcement);
        }
        Ok(writer)
    }

    /// Makes a reader, and announces it. Withdrawn when it is dropped.
    ///
    /// # Errors
    /// As [`ShmTransport::create_reader`]; [`TransportError::Discovery`] if it cannot be announced.
    pub fn create_reader(&self, config: ReaderConfig) -> Result<ShmReader, TransportError> {
        let mut reader = self.transport.create_reader(config)?;
        if let Some(announcement) = self.announce(reader.guid())? {
            reader.announce(announcement);
        }
        Ok(reader)
    }

    fn announce(&self, guid: Guid) -> Result<Option<Announcement>, TransportError> {
        let Some(endpoint) = self.transport.describe(guid) else { return Ok(None) };
        let directory = Arc::clone(&self.directory);
        Ok(Some(Announcement::make(directory, endpoint.data, endpoint.locator)?))
    }
}

impl fmt::Debug for EmbeddedParticipant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedParticipant")
            .field("transport", &self.transport)
            .field("follower", &self.follower)
            .finish_non_exhaustive()
    }
}

/// The thread that hands the events of a directory to a transport.
#[derive(Debug)]
struct Follower {
    stamp: ProcessStamp,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    fn start(
        directory: Arc<dyn EndpointDirectory>,
        transport: ShmTransport,
    ) -> Result<Self, TransportError> {
        let (stop, stopped) = bounded(0);
        let run = move || follow(&*directory, &transport, &stopped);
        let thread =
            spawn_quiet("dds-shm-follow".to_owned(), run).map_err(TransportError::Thread)?;
        Ok(Self { stamp: ProcessStamp::current(), stop: Some(stop), thread: Some(thread) })
    }
}

fn follow(directory: &dyn EndpointDirectory, transport: &ShmTransport, stopped: &Receiver<()>) {
    let events = directory.events();
    let mut dropped = 0;
    loop {
        let event: DiscoveryEvent = select! {
            recv(stopped) -> _ => return,
            recv(events) -> event => match event {
                Ok(event) => event,
                Err(_) => return,
            },
        };
        transport.apply(event);
        let now = directory.dropped_events();
        if now != dropped {
            dropped = now;
            tracing::warn!(dropped, "events of discovery were dropped: asking for what there is");
            transport.resync(directory);
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if !self.stamp.is_current() {
            // There is no such thread in a forked child.
            std::mem::forget((self.stop.take(), self.thread.take()));
            return;
        }
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that follows discovery panicked");
        }
    }
}
