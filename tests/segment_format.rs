//! The octets of format 1, as `spec-notes/segment-format.md` gives them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use dds_shm::liveness::{Node, NodeOptions, RuntimeDir};
use dds_shm::types::TypeHash;
use dds_shm::{PosixSlotAllocator, SampleInfo, SegmentOptions};

const VECTOR: &str = include_str!("../spec-notes/segment-format.md");

/// The octets of the hex dump behind `heading`: lines of `offset: octets`.
fn vector(heading: &str) -> Vec<(usize, Vec<u8>)> {
    let dump = VECTOR.split(heading).nth(1).unwrap().split("```").nth(1).unwrap();
    dump.lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(offset, octets)| {
            let octets = octets.split_whitespace().map(|octet| u8::from_str_radix(octet, 16));
            (usize::from_str_radix(offset, 16).unwrap(), octets.collect::<Result<_, _>>().unwrap())
        })
        .collect()
}

#[test]
fn a_segment_is_the_test_vector() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = RuntimeDir::create(&dir.path().join("shm")).unwrap();
    let node = Node::new(&runtime, NodeOptions::default()).unwrap();
    let guid = *b"\x01\x7e\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x00\x00\x01\x02";
    let hash = TypeHash::of_layout("shmlay1;le;s8,8{0:value:u64}");
    let options = SegmentOptions::new("Pose", "Value", hash, 8)
        .layout("shmlay1;le;s8,8{0:value:u64}")
        .guid(guid)
        .slots(2)
        .reader_capacity(4);
    let segment = PosixSlotAllocator::create(&node, &options).unwrap();
    let dat = segment.segment_path().to_owned();
    let writer = segment.into_writer().unwrap();
    let info = SampleInfo {
        sn: Some(7),
        source_timestamp: 0x0102_0304_0506_0708,
        key_hash: *b"0123456789abcdef",
        ..SampleInfo::default()
    };
    writer.write(&0x1122_3344_5566_7788u64.to_le_bytes(), &info).unwrap();

    for (path, heading) in [(dat.clone(), "### `.dat`"), (dat.with_extension("ctl"), "### `.ctl`")]
    {
        let mut octets = std::fs::read(&path).unwrap();
        // What differs from one making to the next: checksum, incarnation, node id.
        for random in [8..12, 16..32] {
            octets[random].fill(0);
        }
        if path == dat {
            octets[0x188..0x190].fill(0);
        }
        let mut expected = vec![0; octets.len()];
        for (offset, part) in vector(heading) {
            expected[offset..offset + part.len()].copy_from_slice(&part);
        }
        if octets != expected {
            let lines =
                octets.chunks(16).enumerate().filter(|(_, line)| line.iter().any(|o| *o != 0));
            for (n, line) in lines {
                let line: Vec<_> = line.iter().map(|octet| format!("{octet:02x}")).collect();
                eprintln!("{:04x}: {}", n * 16, line.join(" "));
            }
            panic!("{heading} is not the vector; the dump is what it is ({} octets)", octets.len());
        }
    }
}
