//! iceoryx2: publish-subscribe over the `ipc` service, slices of cache lines.
//!
//! Lines, so that payload begins on one, as that of the others does. It sleeps on an event service beside
//! it, which is how its documentation does it.

use std::mem::{MaybeUninit, forget};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::port::update_connections::UpdateConnections as _;
use iceoryx2::port::{BackpressureAction, SendError};
use iceoryx2::prelude::{
    BackpressureStrategy, Config, FileName, LogLevel, Node, NodeBuilder, Path, PortFactory as _,
    SemanticString as _, ServiceName, SignalHandlingMode, ZeroCopySend, ipc, set_log_level,
};
use iceoryx2::sample_mut_uninit::SampleMutUninit;
use iceoryx2::service::port_factory::publish_subscribe::PortFactory;

use crate::cpu;
use crate::error::{Result, failed};
use crate::figures::Figure;
use crate::shared_pages::LINE;
use crate::transport::{Absence, Place, Plan, Receiver, Sender, Transport};

type Service = ipc::Service;
type Loan = SampleMutUninit<Service, [MaybeUninit<Line>], ()>;

/// What samples consist of. (`payload_alignment` of a slice pads each of its elements.)
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

// SAFETY: octets, `repr(C)`, without padding or pointers. (The derive knows `align` not.)
unsafe impl ZeroCopySend for Line {}

/// How often the helper looks for dead processes.
const CLEAN_UP_EVERY: Duration = Duration::from_millis(10);

/// See the head of the file. `HELPED`: see [`Contender::Iceoryx2Helped`](super::Contender).
#[derive(Debug)]
pub(crate) struct Iceoryx2<const HELPED: bool> {
    node: Node<Service>,
    config: Config,
}

/// How many lines so many octets take.
fn lines(octets: usize) -> usize {
    octets.div_ceil(LINE)
}

fn name(plan: &Plan, of: &str) -> Result<ServiceName> {
    ServiceName::new(&format!("{}/{of}", plan.name)).map_err(failed("naming an iceoryx2 service"))
}

impl<const HELPED: bool> Transport for Iceoryx2<HELPED> {
    type Sender = IceoryxSender<HELPED>;
    type Receiver = IceoryxReceiver;

    fn start(place: &Place) -> Result<Self> {
        set_log_level(LogLevel::Fatal);
        let mut config = Config::default();
        let root = place.dir.join("iceoryx2");
        let root = Path::new(root.to_string_lossy().as_bytes()).map_err(failed("root path"))?;
        config.global.set_root_path(&root);
        config.global.prefix =
            FileName::new(place.prefix.as_bytes()).map_err(failed("name prefix"))?;
        Ok(Self { node: make_node(&config)?, config })
    }

    fn absence(figure: Figure) -> Option<Absence> {
        let loans_ahead = matches!(figure, Figure::LatencyUntouched | Figure::LatencyTouched);
        match figure {
            Figure::Recovery => None,
            _ if HELPED && !loans_ahead => Some(Absence::NoRow),
            _ => None,
        }
    }

    fn sender(&self, plan: &Plan) -> Result<IceoryxSender<HELPED>> {
        // One sample at a time: as its own benchmark has it. Otherwise nothing may be lost.
        let one_at_a_time =
            matches!(plan.figure, Figure::LatencyUntouched | Figure::LatencyTouched);
        let service = self
            .node
            .service_builder(&name(plan, "samples")?)
            .publish_subscribe::<[Line]>()
            .max_publishers(1)
            .max_subscribers(plan.readers as usize)
            .subscriber_max_buffer_size(if one_at_a_time { 1 } else { plan.depth as usize })
            .enable_safe_overflow(one_at_a_time)
            .history_size(0)
            .create()
            .map_err(failed("iceoryx2 service"))?;
        let patience = plan.patience();
        let publisher = service
            .publisher_builder()
            .initial_max_slice_len(lines(plan.size as usize))
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .set_backpressure_handler(move |full| {
                if full.elapsed_time < patience {
                    BackpressureAction::Retry
                } else {
                    BackpressureAction::DiscardDataAndFail
                }
            })
            .create()
            .map_err(failed("iceoryx2 publisher"))?;
        let notifier = plan.sleeps().then(|| self.notifier(plan)).transpose()?;
        let helped = HELPED && plan.figure == Figure::Recovery;
        let helper = helped.then(|| Helper::start(self.config.clone()));
        let ahead = HELPED && !helped;
        let (size, next) = (plan.size as usize, None);
        Ok(IceoryxSender { service, publisher, notifier, next, ahead, size, _helper: helper })
    }

    fn receiver(&self, plan: &Plan, _: &str, _: u32) -> Result<IceoryxReceiver> {
        let service = self
            .node
            .service_builder(&name(plan, "samples")?)
            .publish_subscribe::<[Line]>()
            .open()
            .map_err(failed("opening an iceoryx2 service"))?;
        let subscriber =
            service.subscriber_builder().create().map_err(failed("iceoryx2 subscriber"))?;
        let listener = plan.sleeps().then(|| self.listener(plan)).transpose()?;
        Ok(IceoryxReceiver { subscriber, listener })
    }
}

fn make_node(config: &Config) -> Result<Node<Service>> {
    NodeBuilder::new()
        .config(config)
        .signal_handling_mode(SignalHandlingMode::Disabled)
        .create::<Service>()
        .map_err(failed("iceoryx2 node"))
}

impl<const HELPED: bool> Iceoryx2<HELPED> {
    fn notifier(&self, plan: &Plan) -> Result<Notifier<Service>> {
        let events = self
            .node
            .service_builder(&name(plan, "events")?)
            .event()
            .max_notifiers(1)
            .max_listeners(plan.readers as usize)
            .create()
            .map_err(failed("iceoryx2 event service"))?;
        events.notifier_builder().create().map_err(failed("iceoryx2 notifier"))
    }

    fn listener(&self, plan: &Plan) -> Result<Listener<Service>> {
        let events = self.node.service_builder(&name(plan, "events")?).event().open();
        let events = events.map_err(failed("opening an iceoryx2 event service"))?;
        events.listener_builder().create().map_err(failed("iceoryx2 listener"))
    }
}

/// A thread that cleans up after dead processes: what the library leaves to its users.
#[derive(Debug)]
struct Helper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Helper {
    fn start(config: Config) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let clean_up = move || {
            if let Err(error) = cpu::unpin() {
                eprintln!("{error}");
            }
            let Ok(node) = make_node(&config) else {
                eprintln!("no second iceoryx2 node: nobody cleans up");
                return;
            };
            while !stopped.load(Ordering::Relaxed) {
                node.try_cleanup_dead_nodes();
                thread::sleep(CLEAN_UP_EVERY);
            }
        };
        Self { stop, thread: Some(thread::spawn(clean_up)) }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            eprintln!("the thread that cleans up panicked");
        }
    }
}

pub(crate) struct IceoryxSender<const HELPED: bool> {
    // In front of the publisher that it belongs to.
    next: Option<Loan>,
    publisher: Publisher<Service, [Line], ()>,
    notifier: Option<Notifier<Service>>,
    service: PortFactory<Service, [Line], ()>,
    /// The next sample is loaned right behind each send.
    ahead: bool,
    size: usize,
    _helper: Option<Helper>,
}

impl<const HELPED: bool> IceoryxSender<HELPED> {
    #[inline(always)]
    fn publish(&mut self, len: usize, fill: impl FnOnce(*mut u8)) -> Result<bool> {
        let mut loan = match self.next.take() {
            Some(loan) => loan,
            None => {
                self.publisher.loan_slice_uninit(lines(len)).map_err(failed("iceoryx2 loan"))?
            }
        };
        fill(loan.payload_mut().as_mut_ptr().cast());
        // SAFETY: octets may have any value, and the memory is mapped and zeroed by the kernel, or holds
        // an older sample.
        match unsafe { loan.assume_init() }.send() {
            Ok(_) => {}
            Err(SendError::UnableToDeliver) => return Ok(false),
            Err(error) => return Err(failed("iceoryx2 send")(error)),
        }
        if let Some(notifier) = &self.notifier {
            notifier.notify().map_err(failed("iceoryx2 notify"))?;
        }
        if HELPED && self.ahead {
            let next = self.publisher.loan_slice_uninit(lines(self.size));
            self.next = Some(next.map_err(failed("iceoryx2 loan"))?);
        }
        Ok(true)
    }
}

impl<const HELPED: bool> Sender for IceoryxSender<HELPED> {
    fn address(&self) -> Result<String> {
        Ok(String::new())
    }

    fn is_ready(&mut self, readers: u32) -> Result<bool> {
        self.publisher.update_connections().map_err(failed("iceoryx2 connections"))?;
        Ok(self.service.dynamic_config().number_of_subscribers() == readers as usize)
    }

    #[inline]
    fn send_untouched(&mut self, len: usize) -> Result<bool> {
        self.publish(len, |_| {})
    }

    #[inline]
    fn send_copy(&mut self, bytes: &[u8]) -> Result<bool> {
        self.publish(bytes.len(), |payload| {
            // SAFETY: lines for so many octets were loaned, and nobody else has them.
            unsafe { bytes.as_ptr().copy_to_nonoverlapping(payload, bytes.len()) };
        })
    }
}

pub(crate) struct IceoryxReceiver {
    subscriber: Subscriber<Service, [Line], ()>,
    listener: Option<Listener<Service>>,
}

impl Receiver for IceoryxReceiver {
    #[inline]
    fn take<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        let sample = self.subscriber.receive().map_err(failed("iceoryx2 receive"))?;
        Ok(sample.map(|sample| {
            let lines = sample.payload();
            // SAFETY: lines are octets without padding.
            read(unsafe { slice::from_raw_parts(lines.as_ptr().cast(), size_of_val(lines)) })
        }))
    }

    fn is_ready(&mut self) -> Result<bool> {
        self.subscriber.update_connections().map_err(failed("iceoryx2 connections"))?;
        Ok(true)
    }

    fn sleep(&mut self, at_most: Duration) -> Result<()> {
        if let Some(listener) = &self.listener {
            listener.timed_wait(|_| {}, at_most).map_err(failed("iceoryx2 wait"))?;
        }
        Ok(())
    }

    fn hoard(&mut self) -> Result<usize> {
        let mut held = 0;
        // Beyond what may be borrowed there is an error.
        while let Ok(Some(sample)) = self.subscriber.receive() {
            forget(sample);
            held += 1;
        }
        Ok(held)
    }
}
