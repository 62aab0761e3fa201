//! What threads share of one attachment of a reader to a writer's segment.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::event::{EventSink, TransportEvent};
use crate::slots::{Incarnation, Losses, ReaderWatch};
use crate::wire::Guid;

/// Where an attachment is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum LinkState {
    /// Read from.
    Live = 0,
    /// Read from until nothing is left: its writer is gone or unmatched.
    Retiring = 1,
    /// Given up by the reader's thread.
    Over = 2,
}

/// One attachment: the reader's thread takes from it, others look at it.
#[derive(Debug)]
pub(crate) struct Link {
    /// The flink it was opened by.
    pub(crate) path: String,
    view: Mutex<View>,
    state: AtomicU8,
    /// The reader's thread is to take a new view: its slots went on in another incarnation.
    pub(crate) is_stale: AtomicBool,
    /// Its owner was found dead by another thread: the reader's thread is to look, too.
    pub(crate) is_orphan: AtomicBool,
    /// Sequence number in the segment of the last sample that was taken.
    last_seq: AtomicU64,
    /// RTPS sequence number of the last sample of the current owner that was taken.
    last_sn: AtomicI64,
    lost: AtomicU64,
    replaced: AtomicU64,
    /// Losses may be told at once; else they wait for the next tick.
    may_tell_losses: AtomicBool,
}

#[derive(Debug)]
struct View {
    writer: Guid,
    incarnation: Incarnation,
    watch: ReaderWatch,
    /// The epoch of the admission, if a former owner gave it.
    inherited: Option<u64>,
}

impl Link {
    pub(crate) fn new(
        path: String,
        writer: Guid,
        incarnation: Incarnation,
        watch: ReaderWatch,
    ) -> Self {
        Self {
            path,
            view: Mutex::new(View { writer, incarnation, watch, inherited: None }),
            state: AtomicU8::new(LinkState::Live as u8),
            is_stale: AtomicBool::new(false),
            is_orphan: AtomicBool::new(false),
            last_seq: AtomicU64::new(0),
            last_sn: AtomicI64::new(0),
            lost: AtomicU64::new(0),
            replaced: AtomicU64::new(0),
            may_tell_losses: AtomicBool::new(true),
        }
    }

    fn view(&self) -> std::sync::MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn writer(&self) -> Guid {
        self.view().writer
    }

    /// The segment has a new owner, which serves the reader on: from the first of its samples.
    pub(crate) fn inherit(&self, writer: Guid) {
        let mut view = self.view();
        view.writer = writer;
        view.inherited = view.watch.served().map(|(epoch, _)| epoch);
        // Numbers begin anew.
        self.last_sn.store(0, Ordering::Release);
    }

    /// Whether the reader was admitted under this epoch by a former owner.
    pub(crate) fn is_inherited(&self, epoch: u64) -> bool {
        self.view().inherited == Some(epoch)
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.view().incarnation
    }

    pub(crate) fn watch(&self) -> ReaderWatch {
        self.view().watch.clone()
    }

    /// The reader went on in another incarnation.
    pub(crate) fn renew(&self, incarnation: Incarnation, watch: ReaderWatch) {
        let mut view = self.view();
        view.incarnation = incarnation;
        view.watch = watch;
    }

    pub(crate) fn state(&self) -> LinkState {
        match self.state.load(Ordering::Acquire) {
            0 => LinkState::Live,
            1 => LinkState::Retiring,
            _ => LinkState::Over,
        }
    }

    /// Goes from one state to another, if it is in it.
    pub(crate) fn change(&self, from: LinkState, to: LinkState) -> bool {
        self.state
            .compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Given up, from whatever state.
    pub(crate) fn end(&self) {
        self.state.store(LinkState::Over as u8, Ordering::Release);
    }

    /// A sample was taken. By the reader's thread only: stores, no RMW.
    #[inline]
    pub(crate) fn took(&self, seq: u64, sn: i64) {
        self.last_seq.store(seq, Ordering::Relaxed);
        self.last_sn.store(sn, Ordering::Release);
    }

    #[inline]
    pub(crate) fn last_seq(&self) -> u64 {
        self.last_seq.load(Ordering::Relaxed)
    }

    pub(crate) fn last_sn(&self) -> i64 {
        self.last_sn.load(Ordering::Acquire)
    }

    /// Samples went by. Told at once if none were told within a tick, and with the next tick otherwise.
    pub(crate) fn lose(&self, reader: Guid, losses: Losses, events: &EventSink) {
        self.lost.fetch_add(losses.lost, Ordering::Relaxed);
        self.replaced.fetch_add(losses.replaced, Ordering::Relaxed);
        if self.may_tell_losses.swap(false, Ordering::Relaxed) {
            self.tell_losses(reader, events);
        }
    }

    pub(crate) fn tell_losses(&self, reader: Guid, events: &EventSink) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let replaced = self.replaced.swap(0, Ordering::Relaxed);
        if lost > 0 || replaced > 0 {
            let writer = self.writer();
            events.tell(TransportEvent::SamplesLost { reader, writer, lost, replaced });
        }
    }

    /// A tick: tells what has gathered.
    pub(crate) fn tick(&self, reader: Guid, events: &EventSink) {
        self.tell_losses(reader, events);
        self.may_tell_losses.store(true, Ordering::Relaxed);
    }
}
