//! The shared words of a segment, by name.

use super::{ReaderIndex, SlotIndex};

/// A shared word of a segment. Who may store it is part of its meaning; `spec-notes/slot-protocol.md`
/// has the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SlotWord {
    /// Highest published sequence number. Owner.
    Head,
    /// `owner epoch << 8 | OwnerState`. Owner.
    OwnerState,
    /// How many requests (join, return, leave) readers have made. Any reader, by `fetch_add`.
    Requests,
    /// The futex word of the space bell (32 bits). Whoever rings.
    SpaceGeneration,
    /// Whether the owner sleeps until space is free (32 bits). Owner sets, the waker consumes.
    SpaceWaiters,
    /// The node whose reader has this entry, 0 if nobody's. Claimed by CAS, cleared by the owner.
    Node(ReaderIndex),
    /// What the reader asks of the owner: `epoch << 8 | Request`. That reader.
    Request(ReaderIndex),
    /// `epoch << 8 | EntryStatus`. Owner.
    State(ReaderIndex),
    /// First sequence number that the reader is to see. Owner, at admission.
    Start(ReaderIndex),
    /// RTPS sequence number from which on the reader is served through the segment. Owner.
    StartSn(ReaderIndex),
    /// `Head` when the reader was admitted: a gap at or below it is history that was not kept, and
    /// no loss. Owner.
    JoinHead(ReaderIndex),
    /// 1 if the owner can ring the reader's node, else the reader has to poll. Owner.
    Rings(ReaderIndex),
    /// Next sequence number the reader wants: everything below is done or held. That reader (the
    /// owner before admission). Never goes back.
    Cursor(ReaderIndex),
    /// The sequence number the reader looks at now, or 0: a hazard pointer. That reader.
    Reading(ReaderIndex),
    /// One bit per reader that keeps the sample of this slot. A reader sets and clears its own.
    Hold(SlotIndex),
    /// The sequence number of the sample in this slot, 0 if none, with [`CLAIM`] while the owner
    /// decides whether it may take the slot. Owner.
    Seq(SlotIndex),
    /// Entry k: the slot of the sample whose sequence number mod slot count is k (32 bits). Owner.
    Dir(SlotIndex),
}

/// Bit 63 of a slot's sequence number: the owner is about to take the slot, and asks who reads it.
pub const CLAIM: u64 = 1 << 63;
