//! Which host, and which `/dev/shm`: hints that say whether an attach is worth trying.
//!
//! Host names and network addresses say nothing about shared memory: two containers with one kernel
//! may or may not share a `/dev/shm`, and one machine may carry several names. The kernel's boot id
//! is the same in every container of one boot, and the device number of `/dev/shm` tells tmpfs
//! instances of one kernel apart. Both equal means that the segment is probably there; whether it is
//! gets proved by opening it and comparing the nonce. Neither is secret, and neither is trusted.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::fnv::{fnv1a_32, fnv1a_64};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const SHM_DIR: &str = "/dev/shm";

/// The host hints of one side of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostIdentity {
    /// FNV-1a-64 of the kernel's boot id (36 ASCII characters, lower case, no newline); 0 if it
    /// could not be read, which equals nothing.
    pub boot_id_hash: u64,
    /// `st_dev` of `/dev/shm`; 0 if it could not be read, which equals nothing.
    pub shm_device: u64,
}

impl HostIdentity {
    /// An identity that equals no other.
    pub const UNKNOWN: Self = Self { boot_id_hash: 0, shm_device: 0 };

    /// Reads the identity of this process's surroundings.
    ///
    /// What cannot be read stays 0: then no attach is tried by hint, which costs speed and never
    /// correctness.
    pub fn of_this_process() -> Self {
        let boot_id_hash = match fs::read_to_string(BOOT_ID) {
            Ok(text) => Self::hash_boot_id(&text),
            Err(error) => {
                tracing::warn!(path = BOOT_ID, %error, "cannot read the boot id");
                0
            }
        };
        let shm_device = match fs::metadata(SHM_DIR) {
            Ok(metadata) => metadata.dev(),
            Err(error) => {
                tracing::warn!(path = SHM_DIR, %error, "cannot stat the shared-memory directory");
                0
            }
        };
        Self { boot_id_hash, shm_device }
    }

    /// The hash of a boot id as the kernel prints it.
    pub fn hash_boot_id(text: &str) -> u64 {
        fnv1a_64(text.trim().to_ascii_lowercase().as_bytes())
    }

    /// Whether an attach from here to a segment of `other` is worth trying.
    pub fn may_share_memory_with(&self, other: &Self) -> bool {
        self.boot_id_hash != 0 && self.shm_device != 0 && self == other
    }
}

/// What this process calls its host, hashed the way ZeroDDS does.
///
/// ZeroDDS's C interface hashes `$HOSTNAME`, or the word `localhost`, where its Rust interface hashes
/// `gethostname()`; a locator of either is worth trying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostNames {
    hashes: Vec<u32>,
}

impl HostNames {
    /// The names of this process's host.
    pub fn of_this_process() -> Self {
        let own = nix::unistd::gethostname().unwrap_or_default();
        let mut names = vec![own.to_string_lossy().into_owned()];
        names.extend(std::env::var("HOSTNAME").ok());
        names.push("localhost".to_owned());
        Self::from_names(names.iter().map(String::as_str))
    }

    /// The hashes of the given names; the first is the one that goes into locators.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let hashes =
            names.into_iter().filter(|n| !n.is_empty()).map(|n| fnv1a_32(n.as_bytes())).collect();
        Self { hashes }
    }

    /// The hash to advertise; 0 if the host has no name.
    pub fn advertised(&self) -> u32 {
        self.hashes.first().copied().unwrap_or(0)
    }

    /// Whether a locator with this host-name hash may be of this host.
    pub fn contain(&self, hostname_hash: u32) -> bool {
        self.hashes.contains(&hostname_hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_may_share_memory_with_itself() {
        let here = HostIdentity::of_this_process();
        assert!(here.may_share_memory_with(&here));
    }

    #[test]
    fn an_unknown_identity_shares_memory_with_nobody() {
        assert!(!HostIdentity::UNKNOWN.may_share_memory_with(&HostIdentity::UNKNOWN));
        let half = HostIdentity { boot_id_hash: 1, shm_device: 0 };
        assert!(!half.may_share_memory_with(&half));
    }

    #[test]
    fn a_fresh_tmpfs_on_the_same_kernel_is_another_place() {
        let host = HostIdentity { boot_id_hash: 7, shm_device: 27 };
        let container = HostIdentity { boot_id_hash: 7, shm_device: 39 };
        assert!(!host.may_share_memory_with(&container));
    }

    #[test]
    fn the_boot_id_is_hashed_without_its_newline() {
        let id = "5f1c9e0a-7d1b-4e0f-9c55-0b0e3a1f2d44";
        assert_eq!(HostIdentity::hash_boot_id(id), 0x326a_8420_9e8b_33a0);
        assert_eq!(HostIdentity::hash_boot_id(&format!("{id}\n")), 0x326a_8420_9e8b_33a0);
    }

    #[test]
    fn the_names_that_zerodds_may_have_hashed_are_all_ours() {
        let names = HostNames::from_names(["vm", "", "localhost"]);
        assert_eq!(names.advertised(), 0x4049_c22c);
        assert!(names.contain(fnv1a_32(b"localhost")));
        assert!(!names.contain(fnv1a_32(b"elsewhere")));
        assert!(!names.contain(fnv1a_32(b"")));
    }
}
