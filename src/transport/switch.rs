//! Between network and shared memory: nothing lost, nothing twice. No I/O.
//!
//! One [`Switch`] stands at a reader for each writer that it matches. The writer's samples come by
//! network until its segment serves the reader, from RTPS sequence number `start` on; then through the
//! segment. When the attachment ends (lease, damage), the writer's side names the number from which on
//! it resends by network; when it begins anew there is another `start`.
//!
//! ```text
//!            attached(start)                 network part complete
//! Network ───────────────────▶ Switching ───────────────────────────▶ Shared
//!    ▲  │                          │     (best effort does not wait)      │
//!    │  └──────────────────────────┼──────────── no network path ────────▶│
//!    └───────── detached ──────────┴───────────────────────────────────────┘
//! ```
//!
//! Numbers are only compared within one owner epoch: what a former owner of an adopted segment wrote
//! has numbers of its own, and came through the segment or not at all.

/// What to do with a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is new: give it to the application.
    Deliver,
    /// It came, or comes, the other way: drop it.
    Double,
    /// Not before the network part is complete.
    NotYet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not attached.
    Network,
    /// Attached; samples below `start` are still to come by network.
    Switching { start: i64 },
    /// Attached; samples from `start` on come through the segment.
    Shared { start: i64, begun: bool },
}

/// Where a reader is between the network and the segment of one writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The host has a network path for this reader.
    network: bool,
    /// RELIABLE: the network part comes first.
    reliable: bool,
    phase: Phase,
    /// Owner epoch to which the numbers belong.
    epoch: u32,
    /// The highest number delivered by network, 0 for none, of this epoch.
    by_network: i64,
}

impl Switch {
    /// A reader that is not attached. `network`: its host has a network path for it.
    #[must_use]
    pub fn new(network: bool, reliable: bool) -> Self {
        Self { network, reliable, phase: Phase::Network, epoch: 0, by_network: 0 }
    }

    /// The writer's segment serves the reader from `start` on, under this owner epoch. `last`: the
    /// highest number of this epoch that came through the segment before, 0 for none.
    pub fn attached(&mut self, epoch: u32, start: i64, last: i64) {
        self.epoch = epoch;
        let delivered = self.by_network.max(last);
        let is_complete = start <= delivered.saturating_add(1);
        self.phase = if self.network && self.reliable && !is_complete {
            Phase::Switching { start }
        } else {
            Phase::Shared { start, begun: false }
        };
        self.by_network = delivered;
    }

    /// The segment no longer serves the reader. `last` as in [`Self::attached`].
    pub fn detached(&mut self, last: i64) {
        self.by_network = self.by_network.max(last);
        self.phase = Phase::Network;
    }

    /// The host says that no more samples below `start` come by network.
    pub fn network_part_complete(&mut self) {
        if let Phase::Switching { start } = self.phase {
            self.phase = Phase::Shared { start, begun: false };
        }
    }

    /// A sample of the writer has come by network.
    pub fn network_sample(&mut self, sn: i64) -> Verdict {
        let is_new = sn > self.by_network;
        let comes_this_way = match self.phase {
            Phase::Network => true,
            Phase::Switching { start } => sn < start,
            // Behind one that came through the segment, it would be out of order.
            Phase::Shared { start, begun } => sn < start && !begun,
        };
        if is_new && comes_this_way {
            self.by_network = sn;
            Verdict::Deliver
        } else {
            Verdict::Double
        }
    }

    /// The next sample of the segment was written under `epoch` with number `sn`.
    pub fn shared_sample(&mut self, epoch: u32, sn: i64) -> Verdict {
        match &mut self.phase {
            Phase::Switching { .. } => Verdict::NotYet,
            Phase::Network => Verdict::Deliver,
            Phase::Shared { .. } if epoch != self.epoch => Verdict::Deliver,
            Phase::Shared { start, begun } => {
                // What went by while the reader was disconnected is sent again by network, and may
                // be here still.
                let comes_other_way = self.network && sn < *start;
                if sn <= self.by_network || comes_other_way {
                    return Verdict::Double;
                }
                *begun = true;
                Verdict::Deliver
            }
        }
    }

    /// Whether samples of the segment have to wait for the network.
    #[must_use]
    pub fn waits_for_network(&self) -> bool {
        matches!(self.phase, Phase::Switching { .. })
    }

    /// Whether from here on every sample of the segment is to be delivered, and none from the
    /// network.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Shared { begun: true, .. })
    }

    /// The first number that comes through the segment, while the reader is attached.
    #[must_use]
    pub fn start(&self) -> Option<i64> {
        match self.phase {
            Phase::Network => None,
            Phase::Switching { start } | Phase::Shared { start, .. } => Some(start),
        }
    }
}
