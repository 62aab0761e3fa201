//! A reader's distance to a writer that is in a hurry.

use std::cell::Cell;

use super::SlotWord;
use super::memory::SegmentMemory;
use crate::sync::{Ordering, Words};

/// How many samples are taken between two decisions.
const WINDOW: u32 = 32;
/// How far behind its writer a reader is left alone: what the processor fetches ahead for it is then
/// published.
const FAR: u64 = 64;
/// How long a reader stands back until it looks again, in pauses of the processor: 0.1 to 0.4 us. (Not
/// by the clock: then what a sample costs could not be counted, see `scripts/instructions.sh`.)
const MOMENT: u32 = 8;
/// How many moments it stands back at most.
const MOMENTS: u32 = 8;

/// Keeps a reader that is as quick as its writer from treading on its heels.
///
/// In a burst such a reader takes each sample the moment it is published. Every line then comes out of
/// the writer's cache one by one, and the lines that the processor fetches ahead for the reader are
/// those that the writer is about to write and has to have back: both go at half their speed. With
/// some distance between them each has its lines in time. So a reader that never had to wait for the
/// last samples, and is close behind, stands back until it is not, or the writer pauses.
///
/// Only for a reader for which its writer waits: for others a sample might be gone meanwhile.
#[derive(Debug, Default)]
pub(super) struct Distance {
    taken: Cell<u32>,
    waits: Cell<u32>,
}

impl Distance {
    /// A look found nothing.
    #[inline(always)]
    pub(super) fn waited(&self) {
        self.waits.set(self.waits.get().saturating_add(1));
    }

    /// Before a sample is taken. True, once in a while: it comes in a burst.
    #[inline(always)]
    pub(super) fn step(&self) -> bool {
        let taken = self.taken.get() + 1;
        self.taken.set(taken);
        taken >= WINDOW && self.ends_burst()
    }

    #[cold]
    fn ends_burst(&self) -> bool {
        self.taken.set(0);
        self.waits.replace(0) < WINDOW
    }

    /// Stands back: some microseconds at most.
    #[cold]
    pub(super) fn keep(memory: &SegmentMemory, wanted: u64) {
        let far = FAR.min(u64::from(memory.geometry().slot_count / 2));
        let mut head = 0;
        for _ in 0..MOMENTS {
            let now = memory.load(SlotWord::Head, Ordering::Relaxed);
            if now == head || now.saturating_sub(wanted) >= far {
                return;
            }
            head = now;
            (0..MOMENT).for_each(|_| std::hint::spin_loop());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_samples_needs_no_distance() {
        let distance = Distance::default();
        for _ in 0..10 * WINDOW {
            distance.waited();
            assert!(!distance.step());
        }
    }

    #[test]
    fn who_never_waits_is_asked_to_keep_it_once_in_a_window() {
        let distance = Distance::default();
        let asked = (0..10 * WINDOW).filter(|_| distance.step()).count();
        assert_eq!(asked, 10);
    }
}
