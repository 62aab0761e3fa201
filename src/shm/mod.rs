//! POSIX objects, mappings, locks, futexes: the only room with FFI and raw mappings.
//!
//! | file | what |
//! |---|---|
//! | `object` | [`SharedObject`]: created whole, opened with suspicion, removed by name and inode |
//! | `memory` | [`Memory`]: a mapped object or a piece of the heap behind one interface |
//! | `lock` | [`OfdLock`]: a lock that the kernel drops at any death, and the probe for it |
//! | `file` | files that appear whole, or not at all |
//! | `futex` | sleeping on a shared word |
//! | `membarrier` | [`Membarrier`]: a fence in every running thread of the process |
//! | `fork` | [`ProcessStamp`]: telling a process from the children it forks |
//! | `sigbus` | optional: what to do when a mapped object is truncated |
//! | `clock`, `cpu` | the two clocks; hints to the processor |

mod clock;
mod cpu;
mod error;
mod file;
mod fork;
pub mod futex;
mod lock;
mod membarrier;
mod memory;
pub mod object;
mod random;
pub mod sigbus;
#[cfg(test)]
pub(crate) mod test_support;

pub use clock::{monotonic_ns, realtime_ns};
pub use cpu::{demote, prefetch_read, prefetch_write, ticks};
pub use error::ShmError;
pub(crate) use file::{TEMP_PREFIX, open_regular};
pub use file::{publish_new, read_small, replace};
pub use fork::{CloseOnFork, ProcessStamp};
pub use lock::{LockState, OfdLock};
pub use membarrier::Membarrier;
pub use memory::{MapOptions, MappedWords, Memory, SharedWords};
pub use object::{Access, FileId, ObjectInfo, ObjectName, SHM_DIR, SharedObject};
pub use random::random_u64;
