//! One attachment of a reader, in the hands of the application's thread.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::link::Link;
use crate::slots::{KeptHistory, Losses, SlotReader};
use crate::wire::Guid;

/// What has to be looked at before a sample of an attachment is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not admitted yet.
    Joining,
    /// Served; nothing may be taken before the network part is complete.
    Waiting,
    /// Served; each sample is compared with what came by network.
    Switching,
    /// Served; every sample is delivered.
    Settled,
    /// Given up; samples of it may still be in use.
    Over,
}

/// One attachment of a reader to a writer's segment.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) slots: SlotReader,
    pub(crate) link: Arc<Link>,
    pub(crate) writer: Cell<Guid>,
    pub(crate) phase: Cell<Phase>,
    /// LIFESPAN of the writer in nanoseconds, if it is finite.
    pub(crate) lifespan: Cell<Option<i64>>,
    /// What of the samples before it was admitted is for it.
    pub(crate) history: RefCell<Option<KeptHistory>>,
    /// Its writer is gone, or seems so: nothing beyond this is taken any more.
    pub(crate) drain_through: Cell<Option<u64>>,
    /// Taken through an attachment before this one.
    pub(crate) skip_through: u64,
    /// Owner epoch of the writer as it is now.
    pub(crate) epoch: Cell<u32>,
    /// Disconnections and losses that were seen.
    pub(crate) disconnections: Cell<u64>,
    pub(crate) losses: Cell<Losses>,
    /// What went by comes by network: not to be counted, until the next sample.
    pub(crate) pardons: Cell<bool>,
    /// Samples may be read where they are.
    pub(crate) in_place: bool,
    /// A sample of a former owner was told of.
    pub(crate) told_former: Cell<bool>,
}

impl Attachment {
    pub(crate) fn new(
        slots: SlotReader,
        link: Arc<Link>,
        lifespan: Option<i64>,
        skip_through: u64,
    ) -> Self {
        let writer = Cell::new(link.writer());
        let in_place = slots.may_read_in_place();
        Self {
            slots,
            link,
            writer,
            phase: Cell::new(Phase::Joining),
            lifespan: Cell::new(lifespan),
            history: RefCell::new(None),
            drain_through: Cell::new(None),
            skip_through,
            epoch: Cell::new(0),
            disconnections: Cell::new(0),
            losses: Cell::new(Losses::default()),
            pardons: Cell::new(false),
            in_place,
            told_former: Cell::new(false),
        }
    }
}
