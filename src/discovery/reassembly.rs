//! Puts DATA_FRAG together again (RTPS 2.5, 8.3.8.3), for discovery data that is larger than what a
//! peer puts into one datagram.
//!
//! Lost fragments are not asked for one by one: the change stays missing, the next ACKNACK asks for
//! all of it, and what is here already is not thrown away. Memory is bounded whatever arrives; the
//! change that waits longest makes room.

use crate::wire::message::DataFrag;
use crate::wire::{Guid, GuidPrefix, SequenceNumber};

/// The largest change that is put together.
const MAX_CHANGE: usize = 256 * 1024;
/// Changes that are put together at a time: of all senders, and of one.
const MAX_CHANGES: usize = 32;
const MAX_CHANGES_PER_WRITER: usize = 4;

#[derive(Debug)]
struct Partial {
    writer: Guid,
    number: SequenceNumber,
    fragment_size: usize,
    octets: Vec<u8>,
    /// Which fragments are here.
    here: Vec<bool>,
    missing: usize,
}

/// Changes of which some fragments have come, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Reassembler {
    partial: Vec<Partial>,
}

impl Reassembler {
    /// Takes a fragment of a sender's change; returns the whole change when it was the last one
    /// missing. A fragment that contradicts those before it is ignored.
    pub(crate) fn add(&mut self, sender: GuidPrefix, fragment: &DataFrag<'_>) -> Option<Vec<u8>> {
        let index = self.find_or_begin(sender, fragment)?;
        let partial = self.partial.get_mut(index)?;
        let first = fragment.fragment_starting_num.checked_sub(1)? as usize;
        // The parser made sure that the octets are as many as the range, and the fragments exist.
        let pieces = fragment.fragment.chunks(partial.fragment_size);
        let places = partial.octets.get_mut(fragment.range())?.chunks_mut(partial.fragment_size);
        for ((piece, place), here) in pieces.zip(places).zip(partial.here.iter_mut().skip(first)) {
            if piece.len() == place.len() && !std::mem::replace(here, true) {
                place.copy_from_slice(piece);
                partial.missing -= 1;
            }
        }
        (partial.missing == 0).then(|| self.partial.remove(index).octets)
    }

    /// Forgets what was begun for a sender.
    pub(crate) fn forget(&mut self, sender: GuidPrefix) {
        self.partial.retain(|partial| partial.writer.prefix != sender);
    }

    fn find_or_begin(&mut self, sender: GuidPrefix, fragment: &DataFrag<'_>) -> Option<usize> {
        let writer = Guid::new(sender, fragment.writer_id);
        let size = fragment.sample_size as usize;
        let fragment_size = usize::from(fragment.fragment_size);
        let same = |p: &Partial| p.writer == writer && p.number == fragment.writer_sn;
        if let Some(index) = self.partial.iter().position(same) {
            let known = self.partial.get(index)?;
            return (known.octets.len() == size && known.fragment_size == fragment_size)
                .then_some(index);
        }
        if size == 0 || size > MAX_CHANGE || fragment_size == 0 {
            return None;
        }
        let of_writer = |p: &Partial| p.writer == writer;
        if self.partial.iter().filter(|p| of_writer(p)).count() >= MAX_CHANGES_PER_WRITER {
            let oldest = self.partial.iter().position(of_writer)?;
            self.partial.remove(oldest);
        } else if self.partial.len() >= MAX_CHANGES {
            self.partial.remove(0);
        }
        let fragments = fragment.fragment_count() as usize;
        self.partial.push(Partial {
            writer,
            number: fragment.writer_sn,
            fragment_size,
            octets: vec![0; size],
            here: vec![false; fragments],
            missing: fragments,
        });
        Some(self.partial.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::EntityId;

    const SENDER: GuidPrefix = GuidPrefix([1; 12]);

    fn fragment(change: &[u8], size: u16, first: u32, count: u16) -> DataFrag<'_> {
        let mut fragment = DataFrag {
            reader_id: EntityId::SEDP_PUBLICATIONS_READER,
            writer_id: EntityId::SEDP_PUBLICATIONS_WRITER,
            writer_sn: SequenceNumber(1),
            fragment_starting_num: first,
            fragments_in_submessage: count,
            fragment_size: size,
            sample_size: change.len() as u32,
            is_key: false,
            inline_qos: None,
            fragment: &[],
        };
        fragment.fragment = &change[fragment.range()];
        fragment
    }

    #[test]
    fn fragments_in_any_order_and_twice_make_the_change() {
        let change: Vec<u8> = (0..=254).collect();
        let mut reassembler = Reassembler::default();
        assert_eq!(reassembler.add(SENDER, &fragment(&change, 100, 3, 1)), None);
        assert_eq!(reassembler.add(SENDER, &fragment(&change, 100, 1, 1)), None);
        assert_eq!(reassembler.add(SENDER, &fragment(&change, 100, 1, 1)), None);
        assert_eq!(reassembler.add(SENDER, &fragment(&change, 100, 2, 1)), Some(change.clone()));
        assert_eq!(reassembler.add(SENDER, &fragment(&change, 100, 1, 3)), Some(change.clone()));
        assert!(reassembler.partial.is_empty());
    }

    #[test]
    fn a_fragment_of_another_cut_is_ignored() {
        let change = [7; 10];
        let mut reassembler = Reassembler::default();
        assert_eq!(reassembler.add(SENDER, &fragment(&change, 4, 1, 1)), None);
        assert_eq!(reassembler.add(SENDER, &fragment(&change, 5, 2, 1)), None);
        assert_eq!(reassembler.add(SENDER, &fragment(&[7; 12], 4, 2, 2)), None);
        assert_eq!(reassembler.add(SENDER, &fragment(&change, 4, 2, 2)), Some(change.to_vec()));
    }

    #[test]
    fn a_change_that_is_too_large_is_not_begun() {
        let mut reassembler = Reassembler::default();
        let huge = DataFrag { sample_size: u32::MAX, ..fragment(&[1, 2, 3, 4], 2, 1, 1) };
        assert_eq!(reassembler.add(SENDER, &huge), None);
        assert!(reassembler.partial.is_empty());
    }

    #[test]
    fn one_sender_cannot_push_out_the_others() {
        let mut reassembler = Reassembler::default();
        let change = [1, 2, 3, 4];
        reassembler.add(GuidPrefix([9; 12]), &fragment(&change, 2, 1, 1));
        for number in 1..1000 {
            let writer_sn = SequenceNumber(number);
            reassembler.add(SENDER, &DataFrag { writer_sn, ..fragment(&change, 2, 1, 1) });
        }
        assert_eq!(reassembler.partial.len(), 1 + MAX_CHANGES_PER_WRITER);
        for sender in 10..250 {
            reassembler.add(GuidPrefix([sender; 12]), &fragment(&change, 2, 1, 1));
        }
        assert_eq!(reassembler.partial.len(), MAX_CHANGES);
        reassembler.forget(GuidPrefix([249; 12]));
        assert_eq!(reassembler.partial.len(), MAX_CHANGES - 1);
    }
}
