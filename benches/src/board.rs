//! The words by which the two processes keep step, one per cache line, beside what is measured.

use std::sync::atomic::AtomicU64;

use crate::error::Result;
use crate::shared_pages::{LINE, SharedPages};

/// See the methods.
#[derive(Debug)]
pub(crate) struct Board {
    pages: SharedPages,
}

impl Board {
    pub(crate) fn create() -> Result<Self> {
        Ok(Self { pages: SharedPages::create(4 * LINE)? })
    }

    pub(crate) fn open(address: &str) -> Result<Self> {
        Ok(Self { pages: SharedPages::open(address)? })
    }

    pub(crate) fn address(&self) -> String {
        self.pages.address()
    }

    /// How far the second process has come.
    #[inline(always)]
    pub(crate) fn progress(&self) -> &AtomicU64 {
        self.pages.word(0)
    }

    /// When the second process got what it was waiting for; nanoseconds of the monotonic clock.
    #[inline(always)]
    pub(crate) fn stamp(&self) -> &AtomicU64 {
        self.pages.word(LINE)
    }

    /// What the second process is about to do next.
    #[inline(always)]
    pub(crate) fn phase(&self) -> &AtomicU64 {
        self.pages.word(2 * LINE)
    }

    /// How many samples the first process has sent when it has sent the last.
    #[inline(always)]
    pub(crate) fn sent(&self) -> &AtomicU64 {
        self.pages.word(3 * LINE)
    }
}
