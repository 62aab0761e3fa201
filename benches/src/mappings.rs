//! Which shared memory this process has mapped.

use std::collections::BTreeMap;
use std::fs::read_to_string;

use serde::{Deserialize, Serialize};

use crate::error::{Result, io};

/// A shared object, as far as it is mapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mapping {
    /// Device and inode.
    pub(crate) object: String,
    /// Octets up to the end of what is mapped.
    pub(crate) octets: u64,
    /// Octets that are present in this process.
    pub(crate) present: u64,
}

/// The shared mappings of this process.
pub(crate) fn shared_mappings() -> Result<Vec<Mapping>> {
    let smaps = read_to_string("/proc/self/smaps").map_err(io("read /proc/self/smaps"))?;
    Ok(parse(&smaps))
}

fn parse(smaps: &str) -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = Vec::new();
    let mut shared = false;
    for line in smaps.lines() {
        if let Some(mapping) = head_of_mapping(line) {
            shared = mapping.is_some();
            mappings.extend(mapping);
        } else if let Some(size) = line.strip_prefix("Rss:").filter(|_| shared)
            && let Some(last) = mappings.last_mut()
        {
            let kib = size.trim().trim_end_matches(" kB").parse().unwrap_or(0u64);
            last.present = kib * 1024;
        }
    }
    mappings
}

/// `Some(None)`: a private one.
fn head_of_mapping(line: &str) -> Option<Option<Mapping>> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    let length = number(end)? - number(start)?;
    let is_shared = fields.next()?.ends_with('s');
    let offset = number(fields.next()?)?;
    let (device, inode) = (fields.next()?, fields.next()?);
    let object = format!("{device} {inode}");
    Some(is_shared.then_some(Mapping { object, octets: offset + length, present: 0 }))
}

/// What all processes together have mapped now and had not before: octets reserved, octets present.
pub(crate) fn added(before: &[Mapping], after: &[Mapping]) -> (u64, u64) {
    let mut objects: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for mapping in after {
        if before.iter().all(|known| known.object != mapping.object) {
            let (octets, present) = objects.entry(&mapping.object).or_default();
            *octets = mapping.octets.max(*octets);
            *present = mapping.present.max(*present);
        }
    }
    objects.values().fold((0, 0), |sum, object| (sum.0 + object.0, sum.1 + object.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d000000000-55d000002000 r--p 00000000 fe:00 1234 /usr/bin/true
Size:                  8 kB
Rss:                   8 kB
7f0000000000-7f0000004000 rw-s 00001000 00:1a 77 /dev/shm/thing
Size:                 16 kB
Rss:                   4 kB
Pss:                   4 kB
7f0000010000-7f0000014000 r--s 00000000 00:01 5 /SYSV00000000 (deleted)
Rss:                  16 kB
";

    #[test]
    fn shared_mappings_are_found_with_what_is_present() {
        let found = parse(SMAPS);
        let expected = [("00:1a 77", 0x5000, 4096), ("00:01 5", 0x4000, 16384)];
        let expected = expected.map(|(object, octets, present)| Mapping {
            object: object.to_owned(),
            octets,
            present,
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn an_object_that_two_processes_map_counts_once() {
        let found = parse(SMAPS);
        let both = [found.clone(), found.clone()].concat();
        assert_eq!(added(&[], &both), (0x9000, 20480));
        assert_eq!(added(&found[..1], &both), (0x4000, 16384));
    }
}
