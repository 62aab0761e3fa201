//! The thread that waits for samples of all readers of an instance, and delivers them.
//!
//! Listeners of the application run on it, inside of Cyclone, and so may anything that they call: the
//! creation and deletion of endpoints, and the return of loans.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use dds_shm::WaitSet;
use dds_shm::liveness::{BellBit, BitLease, Node, spawn_quiet};
use dds_shm::slots::Waitable;
use dds_shm::transport::TransportEvent;

use crate::instance::Instance;
use crate::reader::{Delivery, Reader};

/// How long the thread may sleep as far as the desk is concerned.
const LONG: Duration = Duration::from_secs(3600);
/// How often the thread looks what the transport has to tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often readers are looked after that are deleted and not over.
const LINGER: Duration = Duration::from_millis(20);

/// The thread, once there is something to wait for.
#[derive(Debug)]
pub(crate) struct Receiver {
    desk: Arc<Desk>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Where the thread and others leave each other word.
#[derive(Debug)]
struct Desk {
    node: Arc<Node>,
    bit: BitLease,
    /// The readers have changed, or it is the end.
    has_news: AtomicBool,
    state: Mutex<State>,
    /// The thread is done with a reader.
    is_done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    readers: Vec<Arc<Reader>>,
    /// Whose samples are being delivered, and by which thread.
    busy: Option<(*const Reader, ThreadId)>,
    stop: bool,
}

// SAFETY: the pointer is compared, and not followed.
unsafe impl Send for State {}

impl Receiver {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        let bit = node.lease_bit();
        let desk = Desk {
            node,
            bit,
            has_news: AtomicBool::new(false),
            state: Mutex::default(),
            is_done: Condvar::new(),
        };
        Self { desk: Arc::new(desk), thread: Mutex::default() }
    }

    /// Has the samples of a reader delivered from now on.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(crate) fn add(&self, reader: Arc<Reader>, instance: &Arc<Instance>) -> std::io::Result<()> {
        self.desk.state().readers.push(reader);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let (desk, instance) = (Arc::clone(&self.desk), Arc::downgrade(instance));
            *thread = Some(spawn_quiet("dds-shm-receive".to_owned(), move || {
                desk.run(&instance);
            })?);
        }
        self.desk.tell();
        Ok(())
    }

    /// Has nothing of a reader delivered any more: not from when this returns, unless it is called by
    /// what is delivered.
    pub(crate) fn remove(&self, reader: &Arc<Reader>) {
        reader.close();
        let mut state = self.desk.state();
        while let Some((busy, by)) = state.busy
            && busy == Arc::as_ptr(reader)
            && by != thread::current().id()
        {
            state = self.desk.is_done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        // The thread forgets it when nothing of it is in use.
        self.desk.tell();
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.desk.state().stop = true;
        self.desk.tell();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the receive thread panicked");
        }
        let mut left = std::mem::take(&mut self.desk.state().readers);
        left.retain(|reader| !reader.is_over());
        if !left.is_empty() {
            linger(left);
        }
    }
}

/// Looks after readers whose samples the application still has, although it has deleted everything else:
/// their writers are not to wait for them.
fn linger(mut readers: Vec<Arc<Reader>>) {
    let lingering = spawn_quiet("dds-shm-linger".to_owned(), move || {
        while !readers.is_empty() {
            thread::sleep(LINGER);
            readers.iter().for_each(|reader| reader.discard());
            readers.retain(|reader| !reader.is_over());
        }
    });
    if let Err(error) = lingering {
        tracing::error!("writers may wait for a reader that was deleted: {error}");
    }
}

/// A writer that a reader cannot attach to is lost to it without a word: if Cyclone has matched the two,
/// nothing comes by network either.
fn tell_of(event: &TransportEvent, readers: &[Arc<Reader>]) {
    if let TransportEvent::Unreachable { local, remote, reason } = event
        && let Some(reader) = readers.iter().find(|reader| reader.guid() == *local)
    {
        reader.cannot_reach(*remote, reason);
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.has_news.store(true, Ordering::Release);
        self.node.bell().ring_data(self.bit.bit());
    }

    fn run(&self, instance: &std::sync::Weak<Instance>) {
        let mut deliveries: HashMap<*const Reader, Delivery> = HashMap::new();
        loop {
            self.has_news.store(false, Ordering::Release);
            let readers = {
                let mut state = self.state();
                if state.stop {
                    return;
                }
                // First what waits for readers that are deleted: it is in use as long as it waits.
                deliveries.retain(|known, _| {
                    let mut open = state.readers.iter().filter(|reader| !reader.is_closed());
                    open.any(|reader| Arc::as_ptr(reader) == *known)
                });
                state.readers.retain(|reader| !reader.is_over());
                state.readers.clone()
            };
            let Some(instance) = instance.upgrade() else { return };
            if let Err(error) = self.receive(&instance, &readers, &mut deliveries) {
                tracing::error!("samples are not received any more: {error}");
                return;
            }
        }
    }

    /// Delivers until the readers change.
    fn receive(
        &self,
        instance: &Instance,
        readers: &[Arc<Reader>],
        deliveries: &mut HashMap<*const Reader, Delivery>,
    ) -> Result<(), dds_shm::SlotError> {
        let Some(engine) = instance.engine() else { return Ok(()) };
        let mut set = WaitSet::new(&self.node);
        set.attach(self)?;
        for reader in readers {
            set.attach(&**reader)?;
        }
        // Nobody tells when the application gives the last sample of a deleted reader back.
        let has_deleted = readers.iter().any(|reader| reader.is_closed());
        let idle = if has_deleted { LINGER } else { LOOK_EVERY };
        let events = engine.participant.events();
        let mut again: Vec<usize> = Vec::new();
        let mut timeout = idle;
        loop {
            let mut ready = set.wait(timeout)?;
            let is_over = has_deleted && readers.iter().any(|reader| reader.is_over());
            if is_over || self.has_news.load(Ordering::Acquire) {
                return Ok(());
            }
            while let Some(event) = events.try_next() {
                tell_of(&event, readers);
            }
            ready.append(&mut again);
            ready.sort_unstable();
            ready.dedup();
            timeout = idle;
            for place in ready {
                // The first is this.
                let Some(reader) = place.checked_sub(1).and_then(|at| readers.get(at)) else {
                    continue;
                };
                let delivery = deliveries.entry(Arc::as_ptr(reader)).or_default();
                self.state().busy = Some((Arc::as_ptr(reader), thread::current().id()));
                let wants = crate::guard::guarded("delivering samples", None, || {
                    delivery.deliver(reader, &engine.cyclone)
                });
                self.state().busy = None;
                self.is_done.notify_all();
                if let Some(wants) = wants {
                    again.push(place);
                    timeout = timeout.min(wants);
                }
            }
        }
    }
}

impl Waitable for Desk {
    fn is_ready(&self) -> bool {
        self.has_news.load(Ordering::Acquire)
    }

    fn is_rung_by(&self, bit: BellBit) -> bool {
        bit == self.bit.bit()
    }

    fn bell_bit(&self) -> Option<BellBit> {
        Some(self.bit.bit())
    }

    fn prepare_to_sleep(&self) -> Duration {
        LONG
    }

    fn look_after(&self) {}

    fn node(&self) -> Option<&Arc<Node>> {
        Some(&self.node)
    }
}
