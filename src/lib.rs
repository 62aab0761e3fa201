#![doc = include_str!("../README.md")]

// What `#[derive(FlatStruct)]` calls the library, for use inside of it.
#[allow(unused_extern_crates, reason = "seen only through the derive")]
extern crate self as dds_shm;

#[cfg(feature = "crash-points")]
#[macro_use]
pub mod crash_points;
/// Without the feature `crash-points` there are none.
#[cfg(not(feature = "crash-points"))]
macro_rules! crash_point {
    ($at:expr) => {};
}

pub mod discovery;
pub mod liveness;
pub mod shm;
pub mod slots;
pub mod sync;
pub mod transport;
pub mod types;
pub mod wire;

pub use types::{FlatError, FlatStruct, ParsedLayout, TypeHash};

pub use slots::{
    ExpectedType, FlatLoan, FlatReader, FlatSample, FlatWriter, FlowPolicy, InMemorySlotAllocator,
    PosixSlotAllocator, ReaderOptions, SampleInfo, SegmentOptions, SlotBackend, SlotError, WaitSet,
};
