//! Segment format, slot protocol, `SlotBackend` and its allocators.

mod adoption;
mod backend;
mod distance;
mod error;
mod flat;
mod geometry;
mod held_sample;
mod history;
mod identity;
mod identity_words;
mod in_memory;
mod index;
mod inspect;
mod kept_history;
mod memory;
mod options;
mod outsize;
mod owner;
mod owner_cell;
mod owner_event;
mod owner_handle;
mod owner_link;
mod pace;
mod posix;
mod reader;
mod reader_entry;
mod reader_watch;
mod replacement;
mod sample_header;
#[cfg(feature = "seeded-bugs")]
mod seeded_bugs;
mod segment_owner;
mod slot_reader;
mod slot_writer;
mod space_bell;
mod tickets;
mod wait_set;
mod word;
mod zds2;

pub(crate) use kept_history::KeptHistory;
use reader::{leave_entry, take_leave};

pub use adoption::Inconsistent;
pub use backend::{Generation, LoanBytes, SlotBackend, SlotHandle};
pub use error::{FormatError, SlotError};
pub use flat::{FlatLoan, FlatReader, FlatSample, FlatWriter};
pub use geometry::{Geometry, MAX_SLOTS};
pub use held_sample::{HeldSample, RawSample, ReaderRef};
pub use history::InstanceKey;
pub use identity::{FORMAT, Identity, Incarnation, SegmentFlags};
pub use identity_words::{IdentityWord, IdentityWords, publish_identity, read_identity};
pub use in_memory::InMemorySlotAllocator;
pub use index::{MAX_READERS, ReaderIndex, ReaderSet, SlotIndex};
pub use inspect::{ReaderView, SegmentView, inspect};
pub use options::{FlowPolicy, SegmentOptions, Sharing};
pub use outsize::{Announcement, OutsizeCache, OutsizeObject, OutsizeSample};
pub use owner::{EntryStatus, Full, OwnerCore, OwnerState, Request};
pub use owner_event::{OwnerEvent, ReaderLoss};
pub use owner_handle::OwnerHandle;
pub use posix::{ExpectedType, PosixSlotAllocator};
pub use reader::{Claim, Located, Looked, NotServed, ReaderCore, Taken, claim_entry};
pub use reader_entry::ReaderEntry;
pub use reader_watch::ReaderWatch;
pub use sample_header::SampleHeader;
#[cfg(feature = "seeded-bugs")]
pub use seeded_bugs::OwnerCheck;
pub use slot_reader::{Losses, ReaderOptions, SlotReader};
pub use slot_writer::{Committed, Loan, SampleInfo, SlotWriter};
pub use wait_set::{WaitSet, Waitable};
pub use word::{CLAIM, SlotWord};
#[doc(hidden)]
pub use zds2::{Zds2Word, bump, sleep};
