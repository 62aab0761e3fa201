//! Loan, publish, take, give back, in one process, so that `scripts/instructions.sh` can count what a
//! sample costs. The segment is in shared memory, as between processes.
//!
//! Prints nothing: whoever counts runs it twice, with different numbers of samples, and what differs is
//! the samples'.

use std::env;
use std::error::Error;
use std::hint::black_box;

use dds_shm::liveness::{Node, NodeOptions, RuntimeDir};
use dds_shm::{
    ExpectedType, FlatStruct, FlowPolicy, PosixSlotAllocator, ReaderOptions, SampleInfo,
    SegmentOptions,
};

/// A sample of one line.
#[derive(Clone, Copy, FlatStruct)]
#[repr(C)]
struct Line {
    octets: [u8; 64],
}

fn main() -> Result<(), Box<dyn Error>> {
    let samples: u64 = env::args().nth(1).ok_or("how many samples?")?.parse()?;
    let node = Node::new(&RuntimeDir::of_process()?, NodeOptions::default())?;
    let options = SegmentOptions::of::<Line>("instructions")
        .slots(64)
        .flow(FlowPolicy::keep_all(std::time::Duration::from_secs(10)));
    let segment = PosixSlotAllocator::create(&node, &options)?;
    let flink = segment.flink_path().to_owned();
    let writer = segment.into_writer()?;
    let expected = ExpectedType::of::<Line>();
    let options = ReaderOptions::default();
    let reader = PosixSlotAllocator::open_reader(&node, &flink, Some(&expected), options)?;
    while !reader.is_admitted() {
        writer.serve(false);
    }
    let line = Line { octets: [1; 64] };
    for _ in 0..samples {
        let mut loan = writer.loan()?;
        loan.bytes_mut()[..64].copy_from_slice(black_box(&line.octets));
        loan.commit(64, &SampleInfo::default())?;
        let sample = reader.take()?.ok_or("the sample that was just published")?;
        black_box(sample.bytes());
    }
    Ok(())
}
