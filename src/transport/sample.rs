//! A sample that a reader took.

use std::cell::Ref;

use crate::slots::{HeldSample, SampleHeader, SlotReader};
use crate::wire::{Guid, KeyHash, RepresentationId, SequenceNumber, StatusInfo};

/// A sample that was taken, and what is known of it. In place, it keeps its slot until it is dropped.
#[derive(Debug)]
pub struct ShmSample<'r> {
    pub(super) writer: Guid,
    pub(super) payload: Payload<'r>,
}

#[derive(Debug)]
pub(super) enum Payload<'r> {
    InPlace(HeldSample<Ref<'r, SlotReader>>),
    /// Of a writer that runs as another user.
    Copied {
        seq: u64,
        header: SampleHeader,
        origin: Option<[u8; 16]>,
        bytes: Box<[u8]>,
    },
}

impl ShmSample<'_> {
    /// The writer.
    #[inline]
    #[must_use]
    pub fn writer(&self) -> Guid {
        self.writer
    }

    /// The writer by the GUID that its host's own discovery knows it by
    /// ([`ShmWriter::set_origin`](super::ShmWriter::set_origin)); else the same as [`Self::writer`].
    #[inline]
    #[must_use]
    pub fn origin(&self) -> Guid {
        let origin = match &self.payload {
            Payload::InPlace(sample) => sample.origin().ok().flatten(),
            Payload::Copied { origin, .. } => *origin,
        };
        origin.map_or(self.writer, Guid::from_bytes)
    }

    /// Whether another sample of this writer can be taken while this one, and all others that are, stay
    /// in use: see [`ReaderConfig::max_held`](super::ReaderConfig::max_held).
    #[inline]
    #[must_use]
    pub fn leaves_room(&self) -> bool {
        match &self.payload {
            Payload::InPlace(sample) => sample.leaves_room(),
            Payload::Copied { .. } => true,
        }
    }

    /// The payload; of an outsize sample ([`SampleHeader::is_outsize`]) the announcement, by which
    /// [`OutsizeCache`](crate::slots::OutsizeCache) finds it. In place, if [`Self::is_in_place`].
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.payload {
            Payload::InPlace(sample) => sample.bytes(),
            Payload::Copied { bytes, .. } => bytes,
        }
    }

    /// All metadata, as they are in the segment.
    #[inline]
    #[must_use]
    pub fn header(&self) -> &SampleHeader {
        match &self.payload {
            Payload::InPlace(sample) => sample.header(),
            Payload::Copied { header, .. } => header,
        }
    }

    /// Its number in the segment: dense, from 1.
    #[inline]
    #[must_use]
    pub fn seq(&self) -> u64 {
        match &self.payload {
            Payload::InPlace(sample) => sample.seq(),
            Payload::Copied { seq, .. } => *seq,
        }
    }

    /// Its RTPS sequence number.
    #[must_use]
    pub fn sequence_number(&self) -> SequenceNumber {
        SequenceNumber(self.header().sn)
    }

    /// Source timestamp in nanoseconds since 1970; `None` if the writer gave none.
    #[must_use]
    pub fn source_timestamp(&self) -> Option<i64> {
        Some(self.header().source_timestamp).filter(|timestamp| *timestamp != 0)
    }

    /// Whether the instance is disposed of or unregistered.
    #[must_use]
    pub fn status_info(&self) -> StatusInfo {
        StatusInfo(u32::from(self.header().status_info))
    }

    /// The instance; [`KeyHash::NIL`] for a topic without key.
    #[must_use]
    pub fn instance(&self) -> KeyHash {
        KeyHash(self.header().key_hash)
    }

    /// Whether the payload is a sample, and not a key alone (DDS `valid_data`).
    #[must_use]
    pub fn valid_data(&self) -> bool {
        self.header().valid_data()
    }

    /// How the payload is serialised; `None`: it is as it was in memory.
    #[must_use]
    pub fn representation(&self) -> Option<RepresentationId> {
        let representation = self.header().representation;
        (representation != SampleHeader::RAW).then_some(RepresentationId(representation))
    }

    /// Which owner of the segment wrote it; each adoption starts the next epoch.
    #[must_use]
    pub fn owner_epoch(&self) -> u32 {
        self.header().owner_epoch
    }

    /// Whether the payload is where the writer put it.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        matches!(self.payload, Payload::InPlace(_))
    }
}
