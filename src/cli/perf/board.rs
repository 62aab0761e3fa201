//! A piece of shared memory beside the segments: the bare cache lines and the bare futex that
//! measurements are compared with, and a few words by which the two processes keep step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use dds_shm::liveness::{NodeId, SegmentName};
use dds_shm::shm::{Access, MapOptions, MappedWords, Memory, ObjectName, SharedObject, futex};

use super::CliError;

/// Lines of a ring. More than one, because how fast a line travels depends on where its address puts
/// it in the cache that the processors share.
const RING: usize = 64;
/// One word on each line: nothing else on it.
type Lines = [[AtomicU64; 8]; LINES];
const LINES: usize = 2 * RING + 4;
const DONE: usize = 2 * RING;
const STAMP: usize = 2 * RING + 1;
const PHASE: usize = 2 * RING + 2;
const FUTEX_AT: usize = (LINES - 1) * 64;

/// Which way a line of a ring travels.
#[derive(Clone, Copy, Debug)]
pub(super) enum Direction {
    Ping = 0,
    Pong = RING as isize,
}

/// The words as one process sees them.
#[derive(Debug)]
pub(super) struct Board {
    lines: MappedWords<Lines>,
    futex: MappedWords<AtomicU32>,
    name: ObjectName,
    made: Option<SharedObject>,
}

impl Board {
    /// Makes one. Its name is that of a segment of this node, so that the janitor can attribute it
    /// if we are killed before it is unlinked.
    pub(super) fn create(node: NodeId) -> Result<Self, CliError> {
        let name = SegmentName::random(node).data();
        let object = SharedObject::create(&name, size_of::<Lines>() as u64, 0o600)?;
        let mut board = Self::map(&object, name)?;
        board.made = Some(object);
        Ok(board)
    }

    pub(super) fn open(name: &str) -> Result<Self, CliError> {
        let name = ObjectName::new(name)?;
        let object = SharedObject::open(&name, Access::ReadWrite)?;
        Self::map(&object, name)
    }

    fn map(object: &SharedObject, name: ObjectName) -> Result<Self, CliError> {
        let memory = Arc::new(Memory::map(object, MapOptions::default())?);
        let words = || {
            let lines = MappedWords::new(Arc::clone(&memory), 0)?;
            Some((lines, MappedWords::new(Arc::clone(&memory), FUTEX_AT)?))
        };
        let (lines, futex) =
            words().ok_or_else(|| CliError::Protocol { text: name.to_string() })?;
        Ok(Self { lines, futex, name, made: None })
    }

    pub(super) fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Line `k` modulo the length of the ring.
    #[inline(always)]
    pub(super) fn line(&self, direction: Direction, k: u64) -> &AtomicU64 {
        &self.lines[direction as usize + k as usize % RING][0]
    }

    /// How far the child has come.
    #[inline(always)]
    pub(super) fn done(&self) -> &AtomicU64 {
        &self.lines[DONE][0]
    }

    /// When the child woke up.
    pub(super) fn stamp(&self) -> &AtomicU64 {
        &self.lines[STAMP][0]
    }

    /// What the child is about to do.
    pub(super) fn phase(&self) -> &AtomicU64 {
        &self.lines[PHASE][0]
    }

    /// Sleeps until the bare futex word is `wanted`.
    pub(super) fn sleep_until(&self, wanted: u32) {
        loop {
            let now = self.futex.load(Ordering::Acquire);
            if now == wanted {
                return;
            }
            let _ = futex::wait(&self.futex, now, Some(Duration::from_secs(1)));
        }
    }

    /// Sets the bare futex word and wakes who sleeps on it.
    pub(super) fn wake(&self, value: u32) {
        self.futex.store(value, Ordering::Release);
        futex::wake_all(&self.futex);
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if let Some(object) = &self.made
            && let Err(error) = object.unlink_if_same()
        {
            tracing::warn!(%error, "left for the janitor");
        }
    }
}
