//! The identity of a segment: what an attaching reader believes of it.

use dds_shm::slots::{FormatError, Identity};

/// Where the strings begin in `.dat`.
const STRINGS: usize = 0x1200;
/// Octets of the identity line in `.ctl`.
const LINE: usize = 64;

/// An identity that is believed hangs together, and can be written again and is then the same. The
/// last octets of the input are the line of a `.ctl` beside it. Checksums are made good: what is behind
/// them is what matters.
pub fn run(input: &[u8]) {
    let _ = Identity::decode_dat(input, input.len() as u64);
    let mut dat = input.to_vec();
    let mut decoded = Identity::decode_dat(&dat, u64::MAX);
    if let Err(FormatError::Checksum { found, .. }) = decoded {
        dat[8..12].copy_from_slice(&found.to_le_bytes());
        decoded = Identity::decode_dat(&dat, u64::MAX);
    }
    let Ok(identity) = decoded else { return };
    let geometry = identity.geometry;
    let slots = u64::from(geometry.slot_count).checked_mul(geometry.slot_stride);
    let end = slots.and_then(|slots| slots.checked_add(geometry.slots_offset));
    assert!(end.is_some_and(|end| end <= geometry.dat_len() && end <= isize::MAX as u64));
    assert!(u64::from(geometry.slot_capacity) + 64 <= geometry.slot_stride);
    assert!(geometry.ctl_len() >= 8 * u64::from(geometry.slot_count));
    let too_short = Identity::decode_dat(&dat, geometry.dat_len() - 1);
    assert!(matches!(too_short, Err(FormatError::Truncated { .. })));

    let (fixed, strings) = identity.encode_dat();
    let mut again = fixed.to_vec();
    again.resize(STRINGS, 0);
    again.extend(strings);
    assert_eq!(Identity::decode_dat(&again, geometry.dat_len()).as_ref(), Ok(&identity));

    assert_eq!(identity.check_ctl(&identity.encode_ctl(), geometry.ctl_len()), Ok(()));
    assert!(identity.check_ctl(&identity.encode_ctl(), geometry.ctl_len() - 1).is_err());
    if let Some(line) = input.last_chunk::<LINE>() {
        let mut line = *line;
        let checksum = crc32fast::hash(&line[16..]);
        line[8..12].copy_from_slice(&checksum.to_le_bytes());
        if identity.check_ctl(&line, u64::MAX).is_ok() {
            assert_eq!(line[16..], identity.encode_ctl()[16..]);
        }
    }
}
