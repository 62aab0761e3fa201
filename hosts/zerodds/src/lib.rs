#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
mod finder;
mod loans;
mod publication;
mod reader_slots;
mod subscription;
mod writer_slots;

pub use error::HostError;
pub use finder::SegmentFinder;
pub use publication::{Publication, flat_type, segment_options};
pub use reader_slots::{Delivery, ReaderSlots};
pub use subscription::Subscription;
pub use writer_slots::WriterSlots;
