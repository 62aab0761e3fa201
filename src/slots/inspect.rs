//! A look at a segment from outside, for people: who owns it, how far it is, who reads it.
//!
//! Nothing is mapped, joined or locked: both objects are read like files, so that no owner or reader
//! notices, and a truncated object is an error and no signal. The words are read one after the
//! other while others write them: each is right by itself, together they are a picture, not a proof.

use std::os::unix::fs::FileExt as _;

use super::geometry::{MAX_STRINGS, ctl, dat};
use super::identity::CTL_IDENTITY;
use super::{
    EntryStatus, FormatError, Identity, MAX_READERS, OwnerState, ReaderEntry, ReaderIndex,
    SlotError,
};
use crate::liveness::{NodeId, SegmentName};
use crate::shm::{Access, SharedObject, ShmError};

/// What a segment looks like.
#[derive(Clone, Debug)]
pub struct SegmentView {
    /// What it is.
    pub identity: Identity,
    /// User that it belongs to.
    pub uid: u32,
    /// Octets of both objects.
    pub octets: u64,
    /// The owner's node; `None` if there is no such number.
    pub owner: Option<NodeId>,
    /// RTPS GUID of the writer.
    pub writer_guid: [u8; 16],
    /// What the owner says it does; `None` if it says nothing sensible.
    pub state: Option<OwnerState>,
    /// Which owner it is: each adoption starts the next epoch.
    pub owner_epoch: u32,
    /// Highest published sequence number.
    pub head: u64,
    /// Entries of the reader table that are somebody's.
    pub readers: Vec<ReaderView>,
}

/// What an entry of the reader table looks like.
#[derive(Clone, Copy, Debug)]
pub struct ReaderView {
    /// Its place in the table.
    pub index: ReaderIndex,
    /// The reader's node, as it says.
    pub node: NodeId,
    /// How the owner serves it; `None` for a status that there is not.
    pub status: Option<EntryStatus>,
    /// Who it says it is.
    pub entry: ReaderEntry,
    /// Samples that are published and that it is not done with.
    pub lag: u64,
    /// Samples that it keeps while it takes others.
    pub held: u32,
    /// The owner can ring its node; otherwise it has to poll.
    pub rings: bool,
}

/// Looks at a segment, of whichever user, living or dead.
///
/// # Errors
/// [`SlotError::Format`] for what is not a whole segment of this format, [`SlotError::Shm`] if it cannot
/// be read.
pub fn inspect(name: &SegmentName) -> Result<SegmentView, SlotError> {
    let dat_object = SharedObject::open(&name.data(), Access::ReadOnly)?;
    let ctl_object = SharedObject::open(&name.control(), Access::ReadOnly)?;
    let (dat_info, ctl_info) = (dat_object.info()?, ctl_object.info()?);
    let start = read(&dat_object, dat_info.len, dat::STRINGS + MAX_STRINGS)?;
    let identity = Identity::decode_dat(&start.0, dat_info.len)?;
    let geometry = identity.geometry;
    let book = read(&ctl_object, ctl_info.len, geometry.ctl_len() as usize)?;
    let line: [u8; CTL_IDENTITY] = book
        .0
        .first_chunk()
        .copied()
        .ok_or(FormatError::Truncated { expected: geometry.ctl_len(), found: ctl_info.len })?;
    identity.check_ctl(&line, ctl_info.len)?;
    let owner_state = start.word(dat::OWNER_LINE);
    let head = start.word(dat::HEAD);
    let holds = |reader: ReaderIndex| {
        let slots = 0..geometry.slot_count as usize;
        slots.filter(|slot| book.word(ctl::HOLDS + 8 * slot) & reader.bit() != 0).count() as u32
    };
    let reader = |number: usize| {
        let index = ReaderIndex::new(number)?;
        let owners = dat::TABLE + number * dat::TABLE_ENTRY;
        let readers = ctl::TABLE + number * ctl::TABLE_ENTRY;
        let cursor = book.word(readers);
        Some(ReaderView {
            index,
            node: NodeId::new(book.word(readers + 64))?,
            status: EntryStatus::of(start.word(owners)),
            entry: ReaderEntry::from_words(std::array::from_fn(|n| {
                book.word(readers + 80 + 8 * n)
            })),
            lag: (head + 1).saturating_sub(cursor),
            held: holds(index),
            rings: start.word(owners + 32) != 0,
        })
    };
    let mut writer_guid = [0; 16];
    writer_guid[..8].copy_from_slice(&start.word(dat::OWNER_LINE + 16).to_le_bytes());
    writer_guid[8..].copy_from_slice(&start.word(dat::OWNER_LINE + 24).to_le_bytes());
    Ok(SegmentView {
        uid: dat_info.uid,
        octets: dat_info.len + ctl_info.len,
        owner: NodeId::new(start.word(dat::OWNER_LINE + 8)),
        writer_guid,
        state: OwnerState::of(owner_state),
        owner_epoch: (owner_state >> 8) as u32,
        head,
        readers: (0..MAX_READERS.min(geometry.reader_capacity as usize))
            .filter_map(reader)
            .collect(),
        identity,
    })
}

/// The first octets of an object.
struct Octets(Vec<u8>);

impl Octets {
    /// A shared word; 0 beyond the end.
    fn word(&self, at: usize) -> u64 {
        let octets = self.0.get(at..).and_then(|octets| octets.first_chunk::<8>());
        octets.map_or(0, |octets| u64::from_ne_bytes(*octets))
    }
}

fn read(object: &SharedObject, len: u64, most: usize) -> Result<Octets, SlotError> {
    let mut octets = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(most)];
    object
        .file()
        .read_exact_at(&mut octets, 0)
        .map_err(|error| ShmError::from_io("read", &object.name().path(), error))?;
    Ok(Octets(octets))
}
