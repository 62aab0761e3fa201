//! Who shares memory with whom.
//!
//! Cyclone takes two endpoints for connected through a plugin, and sends nothing between them by
//! network, if their instance ids and these 16 octets are equal. So they are made of everything that
//! has to be the same for two processes to find each other's segments, and may open them.

use std::os::unix::fs::MetadataExt as _;

use dds_shm::discovery::HostIdentity;
use dds_shm::liveness::RuntimeDir;
use md5::{Digest as _, Md5};

/// The octets for a process that uses this runtime dir. `None`: nobody can be told to share it.
///
/// # Errors
/// If the system does not say what the directory is.
pub(crate) fn node_id(dir: &RuntimeDir) -> std::io::Result<Option<[u8; 16]>> {
    let host = HostIdentity::of_this_process();
    // Unknown is equal to nothing.
    if !host.may_share_memory_with(&host) {
        return Ok(None);
    }
    // The registry that they meet in: bind mounts of one directory are one.
    let directory = std::fs::metadata(dir.path())?;
    let mut md5 = Md5::new();
    md5.update(b"dds-shm PSMX 1");
    for number in [
        host.boot_id_hash,
        host.shm_device,
        directory.dev(),
        directory.ino(),
        // Segments are their user's alone.
        u64::from(nix::unistd::geteuid().as_raw()),
    ] {
        md5.update(number.to_le_bytes());
    }
    Ok(Some(md5.finalize().into()))
}

/// The domain of exchange in the registry: those whom Cyclone takes for connected.
pub(crate) fn domain_of(instance_id: u32, node_id: [u8; 16]) -> String {
    let node: String = node_id.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("cyclonedds {instance_id:08x} {node}")
}

/// The domain of exchange of the plugin's instances in a DDS domain, for a program without Cyclone DDS
/// that meets them in the registry: what to open a [`Registry`](dds_shm::discovery::Registry) with.
///
/// `instance_name`: `dds_shm`, unless the configuration gives an `INSTANCE_NAME`. `dir`: the runtime dir of
/// both sides.
///
/// # Errors
/// If the system does not say what the directory is, or what machine this is.
pub fn exchange_domain(
    domain_id: u32,
    instance_name: &str,
    dir: &RuntimeDir,
) -> std::io::Result<String> {
    let nowhere = || std::io::Error::other("the boot id or the device of /dev/shm cannot be read");
    let node_id = node_id(dir)?.ok_or_else(nowhere)?;
    // As Cyclone computes it.
    let instance_id = murmur3(instance_name.as_bytes(), murmur3(&domain_id.to_le_bytes(), 0));
    Ok(domain_of(instance_id, node_id))
}

/// MurmurHash3 of 32 bits (A. Appleby).
fn murmur3(octets: &[u8], seed: u32) -> u32 {
    let mix = |word: u32| word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (words, rest) = octets.as_chunks::<4>();
    let mut hash = words.iter().fold(seed, |hash, word| {
        let hash = (hash ^ mix(u32::from_le_bytes(*word))).rotate_left(13);
        hash.wrapping_mul(5).wrapping_add(0xe654_6b64)
    });
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    hash ^= mix(u32::from_le_bytes(last));
    hash ^= octets.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn whoever_meets_in_another_directory_is_another() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = |name| RuntimeDir::create(&temporary.path().join(name)).unwrap();
        let (one, other) = (dir("one"), dir("other"));
        let id = node_id(&one).unwrap().unwrap();
        assert_eq!(node_id(&one).unwrap(), Some(id));
        assert_ne!(node_id(&other).unwrap(), Some(id));
    }

    #[test]
    fn a_domain_of_exchange_is_an_instance_and_a_node() {
        let domain = domain_of(0xabc, [0x12; 16]);
        assert_eq!(domain, format!("cyclonedds 00000abc {}", "12".repeat(16)));
    }

    #[test]
    fn the_published_vectors_of_murmur3_are_met() {
        for (text, seed, hash) in [
            ("", 0, 0),
            ("", 1, 0x514e_28b7),
            ("test", 0, 0xba6b_d213),
            ("Hello, world!", 0x9747_b28c, 0x2488_4cba),
            ("aaa", 0x9747_b28c, 0x283e_0130),
        ] {
            assert_eq!(murmur3(text.as_bytes(), seed), hash, "{text}");
        }
    }
}
