//! Whether samples come one at a time or in a burst.

use crate::shm;

/// How many commits lie between two looks at the clock, which costs some 20 ns.
const WINDOW: u64 = 16;
/// From how much time between two samples on, in [`shm::ticks`], their readers are waiting for them:
/// 0.2 to 0.4 us. In a burst it is less than half of that.
const PAUSE: u64 = 600;

/// Tells a writer whose readers wait for each sample from one that is ahead of them.
#[derive(Debug, Default)]
pub(super) struct Pace {
    since: u64,
    pauses: bool,
}

impl Pace {
    /// Whether there were pauses between the last samples.
    #[inline(always)]
    pub(super) fn has_pauses(&self) -> bool {
        self.pauses
    }

    /// A sample was committed, as number `commits`.
    #[inline(always)]
    pub(super) fn step(&mut self, commits: u64) {
        if commits.is_multiple_of(WINDOW) {
            let now = shm::ticks();
            self.pauses = now.wrapping_sub(self.since) > WINDOW * PAUSE;
            self.since = now;
        }
    }
}
