//! One shared-memory transport that plugs into DDS implementations.

pub mod discovery;
pub mod liveness;
pub mod shm;
pub mod slots;
pub mod sync;
pub mod transport;
pub mod types;
pub mod wire;
