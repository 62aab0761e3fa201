//! Objects for samples that are larger than a slot.

use std::collections::HashMap;

use dds_shm::SlotError;
use dds_shm::liveness::Node;
use dds_shm::slots::{Incarnation, OutsizeObject, Sharing};

/// Octets that are kept for the next such sample.
const SPARE_OCTETS: usize = 64 << 20;
/// Octets of samples beyond which old ones are looked for that everybody has read.
pub(crate) const PLENTY: usize = 64 << 20;
/// Objects are multiples of this.
const UNIT: usize = 64 << 10;

/// The objects of one writer.
#[derive(Debug, Default)]
pub(crate) struct Outsize {
    /// Announced, each in its slot.
    announced: HashMap<usize, OutsizeObject>,
    /// In no use.
    spare: Vec<OutsizeObject>,
    /// Announced in slots of memory that the segment has left behind: of no known end.
    left: Vec<OutsizeObject>,
    incarnation: Option<Incarnation>,
}

impl Outsize {
    /// An object for a sample of `len` octets.
    ///
    /// # Errors
    /// [`SlotError::Shm`] if there is no memory for another one.
    pub(crate) fn get(&mut self, node: &Node, len: usize) -> Result<OutsizeObject, SlotError> {
        let fits =
            |object: &OutsizeObject| (len..=len.saturating_mul(4)).contains(&object.capacity());
        if let Some(at) = self.spare.iter().position(fits) {
            return Ok(self.spare.swap_remove(at));
        }
        match OutsizeObject::create(node, len.next_multiple_of(UNIT), Sharing::Owner) {
            Err(SlotError::Shm(_)) if !self.spare.is_empty() => {
                // There may be room without those that nobody uses.
                self.spare.clear();
                OutsizeObject::create(node, len.next_multiple_of(UNIT), Sharing::Owner)
            }
            created => created,
        }
    }

    /// The writer has a slot of this incarnation of the segment: what it announced has been read by
    /// everybody.
    pub(crate) fn slot_is_free(&mut self, slot: usize, incarnation: Incarnation) {
        if self.announced.is_empty() {
            return;
        }
        self.follow(incarnation);
        if let Some(object) = self.announced.remove(&slot) {
            self.put_back(object);
        }
    }

    /// Slots of another incarnation are others, whatever their numbers: of those that readers may still
    /// hold in the memory that was left behind nothing is known.
    fn follow(&mut self, incarnation: Incarnation) {
        if self.incarnation.replace(incarnation) != Some(incarnation) {
            self.left.extend(self.announced.drain().map(|(_, object)| object));
        }
    }

    /// An object that was not announced, or is not any more.
    pub(crate) fn put_back(&mut self, object: OutsizeObject) {
        let octets = self.spare.iter().map(OutsizeObject::capacity).sum::<usize>();
        if octets + object.capacity() <= SPARE_OCTETS {
            self.spare.push(object);
        }
    }

    /// A slot of this incarnation of the segment announces an object.
    pub(crate) fn announced(
        &mut self,
        slot: usize,
        object: OutsizeObject,
        incarnation: Incarnation,
    ) {
        self.follow(incarnation);
        self.announced.insert(slot, object);
    }

    /// Octets of what is announced.
    pub(crate) fn octets(&self) -> usize {
        self.announced.values().map(OutsizeObject::capacity).sum()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use dds_shm::liveness::{NodeOptions, RuntimeDir};

    const INCARNATION: Incarnation = Incarnation([1; 16]);

    fn node() -> (tempfile::TempDir, std::sync::Arc<Node>) {
        let temporary = tempfile::tempdir().unwrap();
        let dir = RuntimeDir::create(&temporary.path().join("run")).unwrap();
        let options = NodeOptions { janitor: None, ..NodeOptions::default() };
        let node = Node::new(&dir, options).unwrap();
        (temporary, node)
    }

    #[test]
    fn an_object_stays_with_the_slot_of_memory_that_was_left_behind() {
        let (_temporary, node) = node();
        let mut outsize = Outsize::default();
        let held = outsize.get(&node, 100_000).unwrap();
        let name = held.announce(1).name;
        outsize.announced(3, held, INCARNATION);
        outsize.slot_is_free(3, Incarnation([2; 16]));
        assert_eq!(outsize.octets(), 0);
        assert_ne!(outsize.get(&node, 100_000).unwrap().announce(1).name, name);
    }

    #[test]
    fn an_object_is_used_again_when_its_slot_is_free() {
        let (_temporary, node) = node();
        let mut outsize = Outsize::default();
        let first = outsize.get(&node, 100_000).unwrap();
        let name = first.announce(1).name;
        outsize.announced(3, first, INCARNATION);
        let second = outsize.get(&node, 100_000).unwrap();
        assert_ne!(second.announce(1).name, name);
        outsize.slot_is_free(4, INCARNATION);
        assert_eq!(outsize.octets(), 128 << 10);
        outsize.slot_is_free(3, INCARNATION);
        assert_eq!(outsize.octets(), 0);
        // Not for what is much smaller.
        assert_ne!(outsize.get(&node, 10_000).unwrap().announce(1).name, name);
        assert_eq!(outsize.get(&node, 90_000).unwrap().announce(1).name, name);
    }
}
