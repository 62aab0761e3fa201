//! Seeded bugs in what is no shared word: the protocol with a check of private state left out.
//!
//! A model bends the shared words that the protocol's code sees; what the owner or a reader looks up in
//! its own memory is bent here, for the time of one operation. The code that runs is that of everybody.
//! Without the feature `seeded-bugs`, which the tests of this package turn on for themselves, there is
//! nothing of this in the program.

use super::{OwnerCore, ReaderCore};

/// Something that the owner looks up in its own books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OwnerCheck {
    /// Whether a slot is on loan.
    Loaned,
    /// Whether a sample is kept as history.
    Kept,
    /// Whether every reader is beyond a sample: the minimum of their cursors.
    Passed,
    /// Whether that minimum still holds after the operation.
    StillPassed,
    /// Whether a reader is connected: without it, who is disconnected is waited for.
    Connected,
    /// Whether a reader may hold the owner up: without it, each may.
    Blocking,
    /// Whether a reader that is disconnected lives: without it, it is taken for dead.
    Alive,
}

impl OwnerCore {
    /// Performs an operation that does without one of its checks.
    pub fn without<R>(&mut self, check: OwnerCheck, operation: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.clone();
        match check {
            OwnerCheck::Loaned => self.loaned.fill(false),
            OwnerCheck::Kept => self.history.kept.fill(false),
            OwnerCheck::Passed => self.min_seen = u64::MAX,
            OwnerCheck::StillPassed => {}
            OwnerCheck::Connected => self.connected = self.live,
            OwnerCheck::Blocking => self.blocking = self.live,
            OwnerCheck::Alive => self.live = self.connected,
        }
        let result = operation(self);
        match check {
            OwnerCheck::Loaned => add(&mut self.loaned, &before.loaned),
            OwnerCheck::Kept => add(&mut self.history.kept, &before.history.kept),
            OwnerCheck::Passed | OwnerCheck::StillPassed => self.min_seen = before.min_seen,
            OwnerCheck::Connected => self.connected = before.connected,
            OwnerCheck::Blocking => self.blocking = before.blocking,
            OwnerCheck::Alive => self.live = before.live,
        }
        result
    }
}

fn add(flags: &mut [bool], more: &[bool]) {
    for (flag, more) in flags.iter_mut().zip(more) {
        *flag |= more;
    }
}

impl ReaderCore {
    /// Forgets that it owes the owner's space bell a look.
    pub const fn forget_look(&mut self) {
        self.owes_look = false;
    }
}
