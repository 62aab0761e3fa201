//! Segment format, slot protocol, `SlotBackend` and its allocators.

mod adoption;
mod backend;
mod error;
mod flat;
mod geometry;
mod history;
mod identity;
mod in_memory;
mod index;
mod memory;
mod options;
mod owner;
mod owner_cell;
mod owner_event;
mod owner_link;
mod posix;
mod reader;
mod reader_entry;
mod replacement;
mod sample_header;
mod segment_owner;
mod slot_reader;
mod slot_writer;
mod space_bell;
mod word;

use reader::take_leave;

pub use adoption::Inconsistent;
pub use backend::{Generation, LoanBytes, SlotBackend, SlotHandle};
pub use error::{FormatError, SlotError};
pub use flat::{FlatLoan, FlatReader, FlatSample, FlatWriter};
pub use geometry::{Geometry, MAX_SLOTS};
pub use history::InstanceKey;
pub use identity::{FORMAT, Identity, Incarnation, SegmentFlags};
pub use in_memory::InMemorySlotAllocator;
pub use index::{MAX_READERS, ReaderIndex, ReaderSet, SlotIndex};
pub use options::{FlowPolicy, SegmentOptions, Sharing};
pub use owner::{EntryStatus, Full, OwnerCore, OwnerState, Request};
pub use owner_event::{OwnerEvent, ReaderLoss};
pub use posix::{ExpectedType, PosixSlotAllocator};
pub use reader::{Located, Looked, NotServed, ReaderCore, Taken, claim_entry, withdraw_entry};
pub use reader_entry::ReaderEntry;
pub use sample_header::SampleHeader;
pub use slot_reader::{Losses, RawSample, ReaderOptions, SlotReader};
pub use slot_writer::{Committed, Loan, SampleInfo, SlotWriter};
pub use word::{CLAIM, SlotWord};
