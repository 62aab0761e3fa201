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
            Phase::Shared { begun, .. } => {
                // What a disconnected reader had not read comes by network, and may be here still.
                if sn <= self.by_network {
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use proptest::prelude::*;

    const EPOCH: u32 = 3;

    #[test]
    fn the_network_part_comes_first() {
        let mut switch = Switch::new(true, true);
        assert_eq!(switch.network_sample(1), Verdict::Deliver);
        switch.attached(EPOCH, 4, 0);
        assert!(switch.waits_for_network());
        assert_eq!(switch.shared_sample(EPOCH, 4), Verdict::NotYet);
        assert_eq!(switch.network_sample(2), Verdict::Deliver);
        assert_eq!(switch.network_sample(2), Verdict::Double);
        assert_eq!(switch.network_sample(4), Verdict::Double);
        assert_eq!(switch.network_sample(3), Verdict::Deliver);
        switch.network_part_complete();
        assert_eq!(switch.shared_sample(EPOCH, 4), Verdict::Deliver);
        assert!(switch.is_settled());
        assert_eq!(switch.network_sample(5), Verdict::Double);
    }

    #[test]
    fn there_is_nothing_to_wait_for_when_all_below_the_start_has_come() {
        let mut switch = Switch::new(true, true);
        switch.attached(EPOCH, 1, 0);
        assert!(!switch.waits_for_network());
        let mut switch = Switch::new(true, true);
        assert_eq!(switch.network_sample(9), Verdict::Deliver);
        switch.attached(EPOCH, 10, 0);
        assert_eq!(switch.shared_sample(EPOCH, 10), Verdict::Deliver);
    }

    #[test]
    fn best_effort_does_not_wait_and_does_not_go_back() {
        let mut switch = Switch::new(true, false);
        switch.attached(EPOCH, 4, 0);
        assert_eq!(switch.network_sample(2), Verdict::Deliver);
        assert_eq!(switch.shared_sample(EPOCH, 4), Verdict::Deliver);
        assert_eq!(switch.network_sample(3), Verdict::Double);
    }

    #[test]
    fn history_that_came_by_network_is_not_delivered_again() {
        let mut switch = Switch::new(true, true);
        for sn in 1..=5 {
            assert_eq!(switch.network_sample(sn), Verdict::Deliver);
        }
        switch.attached(EPOCH, 3, 0);
        assert_eq!(switch.shared_sample(EPOCH, 3), Verdict::Double);
        assert_eq!(switch.shared_sample(EPOCH, 5), Verdict::Double);
        assert_eq!(switch.shared_sample(EPOCH, 6), Verdict::Deliver);
    }

    #[test]
    fn numbers_of_a_former_owner_are_no_doubles_of_new_ones() {
        let mut switch = Switch::new(true, true);
        for sn in 1..=5 {
            assert_eq!(switch.network_sample(sn), Verdict::Deliver);
        }
        switch.attached(EPOCH, 6, 0);
        assert_eq!(switch.shared_sample(EPOCH - 1, 4), Verdict::Deliver);
        assert_eq!(switch.shared_sample(EPOCH, 6), Verdict::Deliver);
    }

    #[test]
    fn without_a_network_what_was_left_in_the_segment_is_taken_after_a_return() {
        let mut switch = Switch::new(false, true);
        switch.attached(EPOCH, 1, 0);
        assert_eq!(switch.shared_sample(EPOCH, 1), Verdict::Deliver);
        switch.detached(1);
        switch.attached(EPOCH, 5, 1);
        assert_eq!(switch.shared_sample(EPOCH, 2), Verdict::Deliver);
        assert_eq!(switch.shared_sample(EPOCH, 5), Verdict::Deliver);
    }

    /// One writer and one reader, with a network that keeps the order and takes its time, and a
    /// segment from which unread samples can vanish while the reader is disconnected.
    struct World {
        published: i64,
        /// The writer's side serves the reader through the segment.
        is_served: bool,
        start: i64,
        network: VecDeque<Option<i64>>,
        segment: VecDeque<i64>,
        switch: Switch,
        /// What the reader knows of the writer's side.
        seen_start: Option<i64>,
        last: i64,
        delivered: Vec<i64>,
    }

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Publish,
        /// The owner admits the reader, or lets it return.
        Serve,
        /// The lease expires; so many unread samples are overwritten.
        Disconnect(usize),
        FromNetwork,
        FromSegment,
    }

    impl World {
        fn new() -> Self {
            Self {
                published: 0,
                is_served: false,
                start: 0,
                network: VecDeque::new(),
                segment: VecDeque::new(),
                switch: Switch::new(true, true),
                seen_start: None,
                last: 0,
                delivered: Vec::new(),
            }
        }

        /// As `ReaderShared::sync_entry`.
        fn sync(&mut self) {
            let served = self.is_served.then_some(self.start);
            if served != self.seen_start {
                if self.seen_start.is_some() {
                    self.switch.detached(self.last);
                }
                if let Some(start) = served {
                    self.switch.attached(EPOCH, start, self.last);
                }
                self.seen_start = served;
            }
        }

        fn step(&mut self, op: Op) {
            match op {
                Op::Publish => {
                    self.published += 1;
                    if self.is_served {
                        self.segment.push_back(self.published);
                    } else {
                        self.network.push_back(Some(self.published));
                    }
                }
                Op::Serve if !self.is_served => {
                    self.is_served = true;
                    self.start = self.published + 1;
                    // The host of the writer has sent all that is below.
                    self.network.push_back(None);
                }
                Op::Disconnect(vanish) if self.is_served => {
                    self.is_served = false;
                    // From the first unread sample on it is sent again.
                    let unread = self.segment.iter().copied().filter(|sn| *sn > self.last);
                    self.network.extend(unread.map(Some));
                    let vanish = vanish.min(self.segment.len());
                    self.segment.drain(..vanish);
                }
                Op::Serve | Op::Disconnect(_) => {}
                Op::FromNetwork => {
                    self.sync();
                    match self.network.pop_front() {
                        Some(Some(sn)) => match self.switch.network_sample(sn) {
                            Verdict::Deliver => self.delivered.push(sn),
                            Verdict::Double | Verdict::NotYet => {}
                        },
                        // The last such mark only: the host counts.
                        Some(None) if !self.network.contains(&None) => {
                            self.switch.network_part_complete();
                        }
                        _ => {}
                    }
                }
                Op::FromSegment => {
                    self.sync();
                    // A disconnected reader takes nothing.
                    if self.seen_start.is_none() || self.switch.waits_for_network() {
                        return;
                    }
                    let Some(sn) = self.segment.pop_front() else { return };
                    if self.switch.shared_sample(EPOCH, sn) == Verdict::Deliver {
                        self.last = sn;
                        self.delivered.push(sn);
                    }
                }
            }
        }

        fn drain(&mut self) {
            while !self.network.is_empty() || (self.is_served && !self.segment.is_empty()) {
                self.step(Op::FromNetwork);
                self.step(Op::FromSegment);
            }
        }
    }

    fn ops() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => Just(Op::Publish),
            1 => Just(Op::Serve),
            1 => (0usize..4).prop_map(Op::Disconnect),
            4 => Just(Op::FromNetwork),
            4 => Just(Op::FromSegment),
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_doubled_or_out_of_order(ops in prop::collection::vec(ops(), 0..200)) {
            let mut world = World::new();
            for op in ops {
                world.step(op);
            }
            world.drain();
            let expected: Vec<i64> = (1..=world.published).collect();
            prop_assert_eq!(world.delivered, expected);
        }
    }
}
