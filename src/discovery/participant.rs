//! The embedded participant: [`ParticipantCore`] on UDP sockets, served by one thread.
//!
//! The thread sleeps until a datagram comes, a timer of the core is due, or a method was called; it
//! does nothing in between. Methods change the core under a lock and wake the thread, which sends.

use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::config::ParticipantConfig;
use super::directory::EndpointDirectory;
use super::error::DiscoveryError;
use super::event::{DiscoveryEvent, RemoteEndpoint, RemoteParticipant};
use super::event_queue::EventQueue;
use super::host_identity::HostIdentity;
use super::locator_carrier::LocatorCarrier;
use super::participant_core::{Destination, ParticipantCore, ParticipantLocators};
use super::shm_locator::ShmLocator;
use super::sockets::{MAX_DATAGRAM, SocketError, Sockets};
use crate::liveness::spawn_quiet;
use crate::shm::{ProcessStamp, random_u64};
use crate::wire::{EndpointData, EntityId, Guid, GuidPrefix, VendorId};

/// Datagrams taken in before what they led to is sent and told.
const BATCH: usize = 64;
/// A failing `poll` is tried again after this long.
const RETRY: Duration = Duration::from_millis(100);

/// A participant that speaks real SPDP and SEDP over UDP, and has no user data on the network.
///
/// Other implementations see it and its endpoints; it sees theirs. It is there so that the transport
/// runs with no DDS installed, and so that a host whose interface hides remote locators can be
/// observed. Dropping it tells everybody that it leaves.
///
/// ```no_run
/// use dds_shm::discovery::{Participant, ParticipantConfig};
/// use dds_shm::wire::{EndpointData, EndpointRole};
///
/// let participant = Participant::start(ParticipantConfig::new(0))?;
/// let guid = participant.new_writer_guid(true);
/// let writer = EndpointData::new(EndpointRole::Writer, guid, "Pose", "geometry::Pose");
/// participant.announce(writer, None)?;
/// for event in participant.events() {
///     println!("{event:?}");
/// }
/// # use dds_shm::discovery::EndpointDirectory as _;
/// # Ok::<(), dds_shm::discovery::DiscoveryError>(())
/// ```
#[derive(Debug)]
pub struct Participant {
    shared: Arc<Shared>,
    carrier: LocatorCarrier,
    guid_prefix: GuidPrefix,
    next_entity: AtomicU32,
    stamp: ProcessStamp,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    core: Mutex<ParticipantCore>,
    sockets: Sockets,
    wake: EventFd,
    is_stopping: AtomicBool,
    events: EventQueue<DiscoveryEvent>,
}

impl Participant {
    /// Opens the sockets, starts the thread, and announces the participant.
    ///
    /// # Errors
    /// If there are no ports, no interface or no thread to be had, or the name or domain tag cannot
    /// be announced: see [`DiscoveryError`].
    pub fn start(config: ParticipantConfig) -> Result<Self, DiscoveryError> {
        let guid_prefix = new_guid_prefix(config.vendor_id);
        let sockets = Sockets::open(&config)?;
        let locators = ParticipantLocators {
            metatraffic_unicast: sockets.metatraffic_locators(),
            metatraffic_multicast: sockets.multicast_locators(),
            default_unicast: sockets.user_locators(),
        };
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = EventFd::from_value_and_flags(0, flags).map_err(|errno| SocketError::Io {
            action: "make an event descriptor",
            source: errno.into(),
        })?;
        let carrier = LocatorCarrier::Parameter(config.shm_parameter);
        let name = format!("dds-shm-disc-{}", sockets.index());
        let events = EventQueue::new(config.event_capacity);
        let core = ParticipantCore::new(Instant::now(), config, guid_prefix, locators)?;
        let shared = Arc::new(Shared {
            core: Mutex::new(core),
            sockets,
            wake,
            is_stopping: AtomicBool::new(false),
            events,
        });
        let of_thread = Arc::clone(&shared);
        let thread = spawn_quiet(name, move || of_thread.run()).map_err(DiscoveryError::Thread)?;
        Ok(Self {
            shared,
            carrier,
            guid_prefix,
            next_entity: AtomicU32::new(1),
            stamp: ProcessStamp::current(),
            thread: Some(thread),
        })
    }

    /// What all GUIDs of this participant begin with.
    pub fn guid_prefix(&self) -> GuidPrefix {
        self.guid_prefix
    }

    /// Its index among the participants of its domain on this host.
    pub fn index(&self) -> u32 {
        self.shared.sockets.index()
    }

    /// A GUID for a new writer of this participant; never given twice.
    pub fn new_writer_guid(&self, with_key: bool) -> Guid {
        let key = self.next_entity.fetch_add(1, Ordering::Relaxed);
        Guid::new(self.guid_prefix, EntityId::user_writer(key, with_key))
    }

    /// A GUID for a new reader of this participant; never given twice.
    pub fn new_reader_guid(&self, with_key: bool) -> Guid {
        let key = self.next_entity.fetch_add(1, Ordering::Relaxed);
        Guid::new(self.guid_prefix, EntityId::user_reader(key, with_key))
    }

    /// Uses another carrier for the locators of writers that are announced from now on.
    #[must_use]
    pub fn with_carrier(mut self, carrier: LocatorCarrier) -> Self {
        self.carrier = carrier;
        self
    }

    /// The participants that are there.
    pub fn participants(&self) -> Vec<Arc<RemoteParticipant>> {
        self.shared.lock().participants().map(Arc::clone).collect()
    }

    /// All writers that are there.
    pub fn all_publications(&self) -> Vec<Arc<RemoteEndpoint>> {
        self.shared.lock().publications().map(Arc::clone).collect()
    }

    /// All readers that are there.
    pub fn all_subscriptions(&self) -> Vec<Arc<RemoteEndpoint>> {
        self.shared.lock().subscriptions().map(Arc::clone).collect()
    }

    /// Asserts the liveliness of the writers whose liveliness is MANUAL_BY_PARTICIPANT.
    ///
    /// # Errors
    /// [`DiscoveryError::ForkedChild`].
    pub fn assert_liveliness(&self) -> Result<(), DiscoveryError> {
        self.change(|core, _| core.assert_liveliness())
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut ParticipantCore, Instant) -> Result<T, DiscoveryError>,
    ) -> Result<T, DiscoveryError> {
        if !self.stamp.is_current() {
            return Err(DiscoveryError::ForkedChild);
        }
        self.shared.change(change)
    }
}

impl EndpointDirectory for Participant {
    fn announce(
        &self,
        mut endpoint: EndpointData,
        locator: Option<ShmLocator>,
    ) -> Result<(), DiscoveryError> {
        if let Some(locator) = locator {
            self.carrier.put(&locator, &mut endpoint)?;
        }
        self.change(|core, now| core.announce(now, endpoint))
    }

    fn withdraw(&self, endpoint: Guid) -> Result<(), DiscoveryError> {
        self.change(|core, now| core.withdraw(now, endpoint))
    }

    fn publications(&self, topic_name: &str) -> Vec<Arc<RemoteEndpoint>> {
        let core = self.shared.lock();
        core.publications().filter(|e| e.data.topic_name == topic_name).map(Arc::clone).collect()
    }

    fn subscriptions(&self, topic_name: &str) -> Vec<Arc<RemoteEndpoint>> {
        let core = self.shared.lock();
        core.subscriptions().filter(|e| e.data.topic_name == topic_name).map(Arc::clone).collect()
    }

    fn events(&self) -> Receiver<DiscoveryEvent> {
        self.shared.events.receiver()
    }

    fn dropped_events(&self) -> u64 {
        self.shared.events.dropped()
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        // A forked child has neither the thread nor the right to speak for its parent.
        if !self.stamp.is_current() {
            return;
        }
        self.shared.is_stopping.store(true, Ordering::Release);
        self.shared.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the discovery thread had panicked");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, ParticipantCore> {
        // The core has no invariant that a panic in the middle could break beyond its own events.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut ParticipantCore, Instant) -> T) -> T {
        let mut core = self.lock();
        let result = change(&mut core, Instant::now());
        self.tell(&mut core);
        drop(core);
        self.wake();
        result
    }

    fn wake(&self) {
        // EAGAIN: the count is at its end, so that the thread is awake already.
        if let Err(errno) = self.wake.write(1)
            && errno != Errno::EAGAIN
        {
            tracing::warn!(%errno, "cannot wake the discovery thread");
        }
    }

    fn tell(&self, core: &mut ParticipantCore) {
        while let Some(event) = core.poll_event() {
            self.events.push(event);
        }
    }

    fn run(&self) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let is_stopping = self.is_stopping.load(Ordering::Acquire);
            let deadline = self.work(&mut buffer, is_stopping);
            if is_stopping {
                return;
            }
            self.sleep(deadline);
        }
    }

    /// Does everything that can be done now; returns when there is more.
    fn work(&self, buffer: &mut [u8], is_stopping: bool) -> Option<Instant> {
        let mut core = self.lock();
        let mut received = 0;
        while let Some((from, datagram)) = self.sockets.receive(buffer) {
            core.handle_datagram(Instant::now(), from, datagram);
            received += 1;
            if received == BATCH {
                break;
            }
        }
        let now = Instant::now();
        core.handle_timeout(now);
        if is_stopping {
            core.close(now);
        }
        while let Some((to, datagram)) = core.poll_transmit(now) {
            match to {
                Destination::Everybody => self.sockets.announce(&datagram),
                Destination::Address(address) => self.sockets.send(&datagram, address),
            }
        }
        self.tell(&mut core);
        // There may be more to receive; `poll` returns at once if so.
        core.poll_timeout(now)
    }

    fn sleep(&self, deadline: Option<Instant>) {
        let timeout = match deadline {
            // Rounded up: to wake a little late beats to wake twice.
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now());
                let milliseconds = left.as_nanos().div_ceil(1_000_000);
                PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        };
        let mut descriptors: Vec<PollFd<'_>> = self
            .sockets
            .descriptors()
            .chain([self.wake.as_fd()])
            .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
            .collect();
        match poll(&mut descriptors, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => {
                tracing::warn!(%errno, "cannot wait for datagrams");
                thread::sleep(RETRY);
            }
        }
        // EAGAIN: nobody woke us.
        let _ = self.wake.read();
    }
}

/// A prefix that nobody else has: vendor id, four octets that say which host, two of the process id,
/// four random ones (RTPS 2.5, 9.3.1.5 asks for the first two only).
fn new_guid_prefix(vendor_id: VendorId) -> GuidPrefix {
    let mut octets = [0; 12];
    let host = HostIdentity::of_this_process().boot_id_hash.to_be_bytes();
    let process = std::process::id().to_be_bytes();
    let random = random_u64().to_be_bytes();
    let parts = vendor_id.0.iter().chain(&host[..4]).chain(&process[2..]).chain(&random);
    octets.iter_mut().zip(parts).for_each(|(octet, part)| *octet = *part);
    GuidPrefix(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_prefix_begins_with_the_vendor_and_is_never_the_same() {
        let (one, other) =
            (new_guid_prefix(VendorId::EMBEDDED), new_guid_prefix(VendorId::EMBEDDED));
        assert_eq!(one.vendor_id(), VendorId::EMBEDDED);
        assert_eq!(one.0[..8], other.0[..8]);
        assert_ne!(one, other);
    }
}
