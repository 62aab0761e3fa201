//! ZDS2: the segments of ZeroDDS (its crate `zerodds-flatdata`, 1.0.0-rc.7), made and attached to.
//!
//! One object that everybody maps read-write, no reader table, no cursor, no hazard, 32-bit numbers,
//! and one word on which all sides sleep. `spec-notes/zerodds.md` has the format, what of it can be
//! relied on, and what is refused here because of that. In short:
//!
//! * A reader is a bit that both sides agreed on. The owner waits for every reader that it was told of;
//!   nothing that such a reader has not marked is replaced, whatever the writer's QoS.
//! * A sample is copied out, and only while the reader's own bit protects it. There is no reading in
//!   place and no holding.
//! * A sample that goes away unread shows that the owner does not wait for this reader: an error from
//!   then on, because what it copies could be torn without a trace.
//!
//! | file | what |
//! |---|---|
//! | `layout` | offsets, header, the words |
//! | `notify` | sleeping and waking |
//! | `owner` | reserve, commit |
//! | `reader` | which samples a reader has not marked |
//! | `backend` | both halves behind `SlotBackend` |
//! | `files` | create, attach |

mod backend;
mod files;
mod layout;
mod notify;
mod owner;
mod reader;

pub(super) use backend::Zds2Backend;
pub(super) use files::{attach, create};
pub use layout::Zds2Word;
pub use notify::{bump, sleep};
