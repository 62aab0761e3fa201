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
pub(crate) fn exchange_domain(instance_id: u32, node_id: [u8; 16]) -> String {
    let node: String = node_id.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("cyclonedds {instance_id:08x} {node}")
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
        let domain = exchange_domain(0xabc, [0x12; 16]);
        assert_eq!(domain, format!("cyclonedds 00000abc {}", "12".repeat(16)));
    }
}
