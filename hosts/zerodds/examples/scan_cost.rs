//! What a `read_flat` costs: ZeroDDS's own segment and one of dds-shm, side by side in one process.
//!
//! `cargo run --release -p dds-shm-zerodds --example scan_cost`. ZeroDDS's scan is done as its
//! `read_flat` does it, over the slot trait: every slot is read, every unread one is marked. Between two
//! reads all slots are filled, as by a writer that is faster than the reader. Rounds of both alternate;
//! the medians are shown.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dds_shm::liveness::{Node, NodeOptions, RuntimeDir};
use dds_shm::slots::EntryStatus;
use dds_shm::{PosixSlotAllocator, ReaderOptions, SegmentOptions, TypeHash};
use dds_shm_zerodds::{Delivery, ReaderSlots, WriterSlots};
use zerodds_flatdata::{PosixSlotAllocator as ZeroAllocator, SlotBackend, SlotHandle};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SLOTS: usize = 16;
const ROUNDS: usize = 501;

/// One `read_flat`: how many samples it was given.
fn scan(slots: &dyn SlotBackend) -> Result<usize> {
    let mut found = 0;
    for slot_index in 0..slots.slot_count()? as u32 {
        let handle = SlotHandle { segment_id: 0, slot_index };
        let (header, bytes) = slots.read_slot(handle)?;
        black_box(&bytes);
        if header.sample_size != 0 && header.reader_mask & 1 == 0 {
            slots.mark_read(handle, 0)?;
            found += 1;
        }
    }
    Ok(found)
}

fn publish(slots: &dyn SlotBackend, sample: &[u8]) -> Result<()> {
    let handle = slots.reserve_slot(1)?;
    slots.commit_slot(handle, sample)?;
    Ok(())
}

fn median(mut times: Vec<Duration>) -> u128 {
    times.sort_unstable();
    times[times.len() / 2].as_nanos()
}

fn compare(node: &Arc<Node>, size: usize) -> Result<()> {
    let flink = node.dir().segments().join("scan-cost.zerodds");
    let zero = ZeroAllocator::create(&flink, SLOTS, size)?;
    let zero_reader = ZeroAllocator::attach(&flink)?;

    let options = SegmentOptions::new("scan_cost", "octets", TypeHash::UNKNOWN, size as u32);
    let segment = PosixSlotAllocator::create(node, &options.slots(SLOTS as u32))?;
    let owner = segment.owner_handle()?;
    let attached = PosixSlotAllocator::attach(node, segment.flink_path(), None)?;
    let reader = attached.add_reader(&ReaderOptions::default())?;
    let (ours, reader) =
        (WriterSlots::new(segment), ReaderSlots::new(attached, reader, Delivery::Newest, size));
    while !owner.readers().iter().any(|(_, status, _)| *status == EntryStatus::Admitted) {
        std::thread::sleep(Duration::from_millis(1));
    }

    let sample = vec![7; size];
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        for (side, (writer, reader)) in
            pairs(&zero, &zero_reader, &ours, &reader).into_iter().enumerate()
        {
            for _ in 0..SLOTS {
                publish(writer, &sample)?;
            }
            let start = Instant::now();
            if scan(reader)? == 0 {
                return Err("no sample".into());
            }
            times[2 * side].push(start.elapsed());
            let start = Instant::now();
            if scan(reader)? != 0 {
                return Err("a sample that was read already".into());
            }
            times[2 * side + 1].push(start.elapsed());
        }
    }
    let [zero_full, zero_idle, our_full, our_idle] = times.map(median);
    println!("| {size} | {zero_full} | {our_full} | {zero_idle} | {our_idle} |");
    Ok(())
}

fn pairs<'a>(
    zero: &'a ZeroAllocator,
    zero_reader: &'a ZeroAllocator,
    ours: &'a WriterSlots,
    reader: &'a ReaderSlots,
) -> [(&'a dyn SlotBackend, &'a dyn SlotBackend); 2] {
    [(zero, zero_reader), (ours, reader)]
}

fn main() -> Result<()> {
    let node = Node::new(&RuntimeDir::of_process()?, NodeOptions::default())?;
    println!("{SLOTS} slots, ns for one read_flat, medians of {ROUNDS}");
    println!("| octets | all slots new: ZeroDDS | dds-shm | nothing new: ZeroDDS | dds-shm |");
    println!("|---|---|---|---|---|");
    for size in [64, 4096, 65536, 1 << 20] {
        compare(&node, size)?;
    }
    Ok(())
}
