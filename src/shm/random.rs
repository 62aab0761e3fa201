//! Random numbers for names.

use rand::TryRngCore as _;
use rand::rngs::OsRng;

/// A random number from the operating system.
///
/// For names that must not collide. Not from a generator in this process's memory: a forked child
/// has a copy of that, and would make the same names as its parent.
#[must_use]
pub fn random_u64() -> u64 {
    // The system refuses only where it has no random numbers at all; names are checked for
    // collisions where they are made, so numbers that may repeat in a child will do there.
    OsRng.try_next_u64().unwrap_or_else(|_| rand::random())
}
