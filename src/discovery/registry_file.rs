//! One file of the registry: its format, without any I/O.
//!
//! All numbers are little-endian; strings and octets are padded with zeroes to a multiple of 4.
//!
//! ```text
//! 0x00  "DSHR"   magic
//! 0x04  u16      version, 1
//! 0x06  u16      length of this header, 32
//! 0x08  u64      generation: another one after every update
//! 0x10  u32      length of the file
//! 0x14  u32      number of entries
//! 0x18  u32      CRC-32 of everything behind the header
//! 0x1c  u32      CRC-32 of 0x00..0x1c
//! 0x20  domain of exchange, topic, type name, partition: each u32 length, octets
//!
//! entry +00  u32        length of the entry with this field, a multiple of 4
//!       +04  u8         role: 1 writer, 2 reader    ;  +05 three zeroes
//!       +08  u64        node id
//!       +10  [u8; 16]   GUID
//!       +20  u64        digest of the QoS
//!       +28  locator: u32 length, octets
//!       ...  parameter list as in SEDP, with its encapsulation header: u32 length, octets
//! ```
//!
//! A file is replaced as a whole and never changed in place: what does not check out was not written
//! by us, and counts as empty.

use byteorder::{LE, ReadBytesExt as _};
use md5::{Digest as _, Md5};

use crate::liveness::NodeId;
use crate::wire::{EndpointRole, Guid};

const MAGIC: [u8; 4] = *b"DSHR";
const VERSION: u16 = 1;
const HEADER_LEN: usize = 32;
/// Where the CRC of the header stands, which covers what is before it.
const HEADER_CRC: usize = 0x1c;
/// The longest string of a key.
const MAX_STRING: usize = 4096;
const ROLE_WRITER: u8 = 1;
const ROLE_READER: u8 = 2;

/// The largest registry file that is read or written.
pub(crate) const MAX_FILE: usize = 8 * 1024 * 1024;

/// What one registry file is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryKey {
    /// Whom to exchange with: only endpoints that name the same domain of exchange meet. What it is
    /// made of is up to the host; for Cyclone DDS the PSMX instance id and node id.
    pub domain: String,
    /// Topic name.
    pub topic: String,
    /// Type name.
    pub type_name: String,
    /// One partition, never a pattern; empty for the default partition.
    pub partition: String,
}

impl RegistryKey {
    fn strings(&self) -> [&str; 4] {
        [&self.domain, &self.topic, &self.type_name, &self.partition]
    }

    /// The file's name without its number: the MD5 of the four strings, each behind its length.
    pub(crate) fn file_stem(&self) -> String {
        let mut md5 = Md5::new();
        for string in self.strings() {
            md5.update((string.len() as u64).to_le_bytes());
            md5.update(string.as_bytes());
        }
        md5.finalize().iter().map(|octet| format!("{octet:02x}")).collect()
    }
}

/// One endpoint in a registry file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryEntry {
    /// The node that the endpoint belongs to; the entry dies with it.
    pub node: NodeId,
    /// Writer or reader.
    pub role: EndpointRole,
    /// The endpoint.
    pub guid: Guid,
    /// Digest of its QoS, for a quick look; `parameters` say it in full.
    pub qos_digest: u64,
    /// The value of `PID_SHM_LOCATOR`; empty for readers.
    pub locator: Vec<u8>,
    /// What SEDP would carry: a parameter list with its encapsulation header.
    pub parameters: Vec<u8>,
}

/// The content of a registry file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryFile {
    /// What it is about.
    pub key: RegistryKey,
    /// Differs from what it was before whenever the file was replaced.
    pub generation: u64,
    /// Who is there.
    pub entries: Vec<RegistryEntry>,
}

/// Why a registry file is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRegistryFile {
    /// Written by a later version: to be left alone.
    #[error("version {0} of the registry format is not known here")]
    NewerVersion(u16),
    /// Truncated, overwritten, or never a registry file.
    #[error("the content is damaged: {0}")]
    Damaged(&'static str),
}

/// The octets that [`peek_generation`] needs.
pub(crate) const PEEK_LEN: usize = HEADER_LEN;

/// The generation of a file by its header alone: enough to see whether it changed. `None` if it is no
/// registry file.
pub(crate) fn peek_generation(header: &[u8; PEEK_LEN]) -> Option<u64> {
    check_header(header).ok()?;
    (&header[8..]).read_u64::<LE>().ok()
}

fn check_header(header: &[u8; HEADER_LEN]) -> Result<(), BadRegistryFile> {
    let damaged = |_| BadRegistryFile::Damaged("header");
    let mut rest =
        header.strip_prefix(&MAGIC).ok_or(BadRegistryFile::Damaged("no DSHR at its beginning"))?;
    let version = rest.read_u16::<LE>().map_err(damaged)?;
    if version > VERSION {
        return Err(BadRegistryFile::NewerVersion(version));
    }
    let header_len = rest.read_u16::<LE>().map_err(damaged)?;
    let (covered, mut crc) = header.split_at(HEADER_CRC);
    let crc = crc.read_u32::<LE>().map_err(damaged)?;
    if version == VERSION
        && usize::from(header_len) == HEADER_LEN
        && crc == crc32fast::hash(covered)
    {
        Ok(())
    } else {
        Err(BadRegistryFile::Damaged("header"))
    }
}

impl RegistryFile {
    /// Encodes the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for string in self.key.strings() {
            push_octets(&mut body, string.as_bytes());
        }
        for entry in &self.entries {
            let start = body.len();
            body.extend_from_slice(&[0; 4]);
            let role = match entry.role {
                EndpointRole::Writer => ROLE_WRITER,
                EndpointRole::Reader => ROLE_READER,
            };
            body.extend_from_slice(&[role, 0, 0, 0]);
            body.extend_from_slice(&entry.node.get().to_le_bytes());
            body.extend_from_slice(&entry.guid.to_bytes());
            body.extend_from_slice(&entry.qos_digest.to_le_bytes());
            push_octets(&mut body, &entry.locator);
            push_octets(&mut body, &entry.parameters);
            let length = (body.len() - start) as u32; // `MAX_FILE` is checked before writing
            body[start..start + 4].copy_from_slice(&length.to_le_bytes());
        }
        let mut out = Vec::with_capacity(HEADER_LEN + body.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(HEADER_LEN as u16).to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&((HEADER_LEN + body.len()) as u32).to_le_bytes());
        out.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&body);
        out
    }

    /// Decodes a file.
    ///
    /// # Errors
    /// [`BadRegistryFile`]: a later version's, or damaged.
    pub fn decode(octets: &[u8]) -> Result<Self, BadRegistryFile> {
        let damaged = BadRegistryFile::Damaged;
        let (header, body) =
            octets.split_first_chunk::<HEADER_LEN>().ok_or(damaged("shorter than its header"))?;
        check_header(header)?;
        let mut fields = &header[8..];
        let mut word = || fields.read_u32::<LE>().map_err(|_| damaged("header"));
        let generation = u64::from(word()?) | u64::from(word()?) << 32;
        let (length, count, crc) = (word()?, word()?, word()?);
        if length as usize != octets.len() {
            return Err(damaged("not as long as its header says"));
        }
        if crc != crc32fast::hash(body) {
            return Err(damaged("checksum"));
        }
        let mut rest = body;
        let mut string = || {
            let octets = take_octets(&mut rest).filter(|octets| octets.len() <= MAX_STRING);
            let octets = octets.ok_or(damaged("key"))?;
            String::from_utf8(octets.to_vec()).map_err(|_| damaged("key is not UTF-8"))
        };
        let key = RegistryKey {
            domain: string()?,
            topic: string()?,
            type_name: string()?,
            partition: string()?,
        };
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.extend(take_entry(&mut rest).ok_or(damaged("entry"))?);
        }
        Ok(Self { key, generation, entries })
    }
}

/// `Some(None)` for an entry of a role that is not known here.
fn take_entry(rest: &mut &[u8]) -> Option<Option<RegistryEntry>> {
    let length = rest.first_chunk::<4>().map(|field| u32::from_le_bytes(*field) as usize)?;
    let (entry, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    let mut fields = entry.get(4..)?;
    let role = fields.read_u32::<LE>().ok()? as u8;
    let node = fields.read_u64::<LE>().ok()?;
    let (guid, mut fields) = fields.split_first_chunk::<16>()?;
    let qos_digest = fields.read_u64::<LE>().ok()?;
    let locator = take_octets(&mut fields)?.to_vec();
    let parameters = take_octets(&mut fields)?.to_vec();
    let role = match role {
        ROLE_WRITER => EndpointRole::Writer,
        ROLE_READER => EndpointRole::Reader,
        _ => return Some(None),
    };
    let node = NodeId::new(node)?;
    let guid = Guid::from_bytes(*guid);
    Some(Some(RegistryEntry { node, role, guid, qos_digest, locator, parameters }))
}

fn push_octets(out: &mut Vec<u8>, octets: &[u8]) {
    out.extend_from_slice(&(octets.len() as u32).to_le_bytes()); // `MAX_FILE` bounds it
    out.extend_from_slice(octets);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn take_octets<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = rest.read_u32::<LE>().ok()? as usize;
    let (padded, behind) = rest.split_at_checked(length.checked_next_multiple_of(4)?)?;
    *rest = behind;
    padded.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file() -> RegistryFile {
        let entry = |role, guid: u8, locator: &[u8]| RegistryEntry {
            node: NodeId::new(0x1122_3344_5566_7788).unwrap(),
            role,
            guid: Guid::from_bytes([guid; 16]),
            qos_digest: 0x99,
            locator: locator.to_vec(),
            parameters: vec![0, 3, 0, 0, 1, 0, 0, 0],
        };
        RegistryFile {
            key: RegistryKey {
                domain: "0".to_owned(),
                topic: "Pose".to_owned(),
                type_name: "geometry::Pose".to_owned(),
                partition: String::new(),
            },
            generation: 5,
            entries: vec![
                entry(EndpointRole::Writer, 1, b"12345"),
                entry(EndpointRole::Reader, 2, b""),
            ],
        }
    }

    /// The vector of `spec-notes/discovery.md`.
    const VECTOR: &str = "
        44534852 0100 2000 0500000000000000 c0000000 02000000 57633bf5 546aab9b
        01000000 30000000  04000000 506f7365  0e000000 67656f6d657472793a3a506f73650000  00000000
        40000000 01 000000 8877665544332211 01010101010101010101010101010101 9900000000000000
        05000000 3132333435000000  08000000 0003000001000000
        38000000 02 000000 8877665544332211 02020202020202020202020202020202 9900000000000000
        00000000 08000000 0003000001000000";

    #[test]
    fn the_published_vector_is_met() {
        let octets: String = file().encode().iter().map(|octet| format!("{octet:02x}")).collect();
        let vector: String = VECTOR.split_whitespace().collect();
        assert_eq!(octets, vector);
        assert_eq!(file().key.file_stem(), "5a32177017ff5e650d441e231cd22f4d");
    }

    #[test]
    fn a_file_reads_back_what_it_writes() {
        let octets = file().encode();
        assert_eq!(RegistryFile::decode(&octets), Ok(file()));
        assert_eq!(peek_generation(octets.first_chunk().unwrap()), Some(5));
        assert_eq!(octets.len() % 4, 0);
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_found() {
        let octets = file().encode();
        for length in 0..octets.len() {
            assert!(RegistryFile::decode(&octets[..length]).is_err(), "{length}");
        }
        for bit in 0..octets.len() * 8 {
            let mut damaged = octets.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(RegistryFile::decode(&damaged).is_err(), "{bit}");
        }
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut octets = file().encode();
        octets[4] = 2;
        assert_eq!(RegistryFile::decode(&octets), Err(BadRegistryFile::NewerVersion(2)));
    }

    #[test]
    fn keys_whose_strings_only_join_differently_have_different_files() {
        let key = |topic: &str, type_name: &str| RegistryKey {
            topic: topic.to_owned(),
            type_name: type_name.to_owned(),
            ..file().key
        };
        assert_ne!(key("ab", "c").file_stem(), key("a", "bc").file_stem());
        assert_eq!(key("ab", "c").file_stem().len(), 32);
    }

    proptest! {
        #[test]
        fn any_octets_decode_or_fail_without_a_panic(octets: Vec<u8>) {
            let _ = RegistryFile::decode(&octets);
        }

        #[test]
        fn any_body_behind_good_checksums_decodes_or_fails_without_a_panic(
            body: Vec<u8>,
            count: u32,
        ) {
            let mut octets = file().encode();
            octets.truncate(HEADER_LEN);
            octets[0x10..0x14].copy_from_slice(&((HEADER_LEN + body.len()) as u32).to_le_bytes());
            octets[0x14..0x18].copy_from_slice(&count.to_le_bytes());
            octets[0x18..0x1c].copy_from_slice(&crc32fast::hash(&body).to_le_bytes());
            let crc = crc32fast::hash(&octets[..0x1c]);
            octets[0x1c..].copy_from_slice(&crc.to_le_bytes());
            octets.extend_from_slice(&body);
            let _ = RegistryFile::decode(&octets);
        }
    }
}
