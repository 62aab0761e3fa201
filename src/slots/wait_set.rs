//! Waiting for several readers at once (DDS 2.2.2.1.6 WaitSet).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::SlotError;
use crate::liveness::{BellBit, Node};

/// A reader that a [`WaitSet`] can wait for.
pub trait Waitable {
    /// Whether a take has something to say.
    fn is_ready(&self) -> bool;

    /// Whether `bit` of the node's bell is rung for it.
    fn is_rung_by(&self, bit: BellBit) -> bool;

    /// The bit of the node's bell that is rung for it, if there is one and it stays the same.
    fn bell_bit(&self) -> Option<BellBit> {
        None
    }

    /// Called before the thread sleeps: pays what releases owe to writers, and says how long this
    /// reader can do without being looked at.
    fn prepare_to_sleep(&self) -> Duration;

    /// Called after a sleep without news, at least once a second: looks whether its writers live.
    fn look_after(&self);

    /// The node at whose bell it is rung; `None` if nobody rings for it.
    fn node(&self) -> Option<&Arc<Node>>;
}

/// Waits for the first of many readers of one node.
///
/// One futex, whatever the number of readers: nothing is armed for each of them, and who wakes says
/// which reader it was. Before it sleeps, a wait looks at every reader once.
///
/// ```
/// # use std::time::Duration;
/// # use dds_shm::liveness::{Node, NodeOptions, RuntimeDir};
/// # use dds_shm::{FlatReader, FlatWriter, PosixSlotAllocator, ReaderOptions, SegmentOptions, WaitSet};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let node = Node::new(&RuntimeDir::create(&dir.path().join("shm"))?, NodeOptions::default())?;
/// # let open = |topic: &str| -> Result<_, dds_shm::SlotError> {
/// #     let segment = PosixSlotAllocator::create(&node, &SegmentOptions::of::<u64>(topic))?;
/// #     let flink = segment.flink_path().to_owned();
/// #     let options = ReaderOptions::default();
/// #     let reader = PosixSlotAllocator::open_reader(&node, &flink, None, options)?;
/// #     Ok((FlatWriter::<u64>::new(segment.into_writer()?)?, FlatReader::<u64>::new(reader)?))
/// # };
/// # let ((left_writer, left), (right_writer, right)) = (open("left")?, open("right")?);
/// # while left_writer.write(&7)?.is_some_and(|committed| committed.covered.is_empty()) {}
/// # drop(right_writer);
/// let mut readers = WaitSet::new(&node);
/// readers.attach(&left)?;
/// readers.attach(&right)?;
/// for ready in readers.wait(Duration::from_secs(10))? {
///     println!("reader {ready} has something");
/// }
/// # Ok(())
/// # }
/// ```
pub struct WaitSet<'r> {
    node: Arc<Node>,
    readers: Vec<&'r dyn Waitable>,
    /// By number of the bit, the places of those that are always rung by the same: behind a wake, to
    /// look at all the others would take longer than the wake.
    by_bit: Vec<Vec<usize>>,
    /// The places of the rest.
    by_any_bit: Vec<usize>,
}

impl fmt::Debug for WaitSet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitSet").field("readers", &self.readers.len()).finish_non_exhaustive()
    }
}

impl<'r> WaitSet<'r> {
    /// An empty set, for readers of `node`.
    #[must_use]
    pub fn new(node: &Arc<Node>) -> Self {
        let (node, readers) = (Arc::clone(node), Vec::new());
        Self { node, readers, by_bit: Vec::new(), by_any_bit: Vec::new() }
    }

    /// Adds a reader. Returns its place, which [`Self::wait`] names it by.
    ///
    /// # Errors
    /// [`SlotError::AnotherNode`] for a reader whose writers ring elsewhere.
    pub fn attach(&mut self, reader: &'r dyn Waitable) -> Result<usize, SlotError> {
        if !reader.node().is_some_and(|node| Arc::ptr_eq(node, &self.node)) {
            return Err(SlotError::AnotherNode);
        }
        let place = self.readers.len();
        self.readers.push(reader);
        match reader.bell_bit() {
            Some(bit) => {
                let bit = usize::from(bit.get());
                if self.by_bit.len() <= bit {
                    self.by_bit.resize(bit + 1, Vec::new());
                }
                self.by_bit[bit].push(place);
            }
            None => self.by_any_bit.push(place),
        }
        Ok(place)
    }

    /// Waits until a reader has something to say, at most `timeout`. Returns the places of readers
    /// that have, in ascending order, none if the time is up.
    ///
    /// After a wake only those that were rung are named; the next call names the rest at once.
    ///
    /// # Errors
    /// [`SlotError::Liveness`] in a forked child.
    pub fn wait(&self, timeout: Duration) -> Result<Vec<usize>, SlotError> {
        let started = Instant::now();
        let mut ready = self.ready();
        while ready.is_empty() {
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                break;
            }
            let longest = self.readers.iter().map(|reader| reader.prepare_to_sleep()).min();
            let slice = left.min(longest.unwrap_or(left));
            let bell = self.node.bell();
            let mut has_looked = true;
            bell.wait(slice, || {
                // The bell asks before it announces the sleep, too: that was just now.
                if std::mem::take(&mut has_looked) {
                    return false;
                }
                // What rang first: of a thousand readers one is looked at. Bits are a hint, and
                // another waiting thread may have taken them: then everybody is looked at.
                ready = bell.take_rung().flat_map(|bit| self.rung(bit)).collect();
                ready.sort_unstable();
                ready.dedup();
                if ready.is_empty() {
                    ready = self.ready();
                }
                !ready.is_empty()
            })?;
            if ready.is_empty() {
                self.readers.iter().for_each(|reader| reader.look_after());
                ready = self.ready();
            }
        }
        Ok(ready)
    }

    fn ready(&self) -> Vec<usize> {
        let readers = self.readers.iter().enumerate();
        readers.filter(|(_, reader)| reader.is_ready()).map(|(place, _)| place).collect()
    }

    /// The places of those that `bit` rang for, as far as they are ready.
    fn rung(&self, bit: BellBit) -> impl Iterator<Item = usize> {
        let known = self.by_bit.get(usize::from(bit.get())).into_iter().flatten();
        let others =
            self.by_any_bit.iter().filter(move |place| self.readers[**place].is_rung_by(bit));
        known.chain(others).copied().filter(|place| self.readers[*place].is_ready())
    }
}
