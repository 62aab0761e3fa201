//! Segment format, slot protocol, `SlotBackend` and its allocators.

mod history;
mod index;
mod owner;
mod reader;
mod word;

pub use history::InstanceKey;
pub use index::{MAX_READERS, ReaderIndex, ReaderSet, SlotIndex};
pub use owner::{EntryStatus, Full, OwnerCore, Request};
pub use reader::{Located, Looked, NotServed, ReaderCore, Taken, claim_entry};
pub use word::{CLAIM, SlotWord};
