//! The contents of a flink, and names of shared-memory objects.

use dds_shm::liveness::flink::{FlinkTarget, parse_flink};
use dds_shm::liveness::names::ObjectKind;
use dds_shm::shm::ObjectName;

/// A name that is understood is the one text for what it says, and leads to objects of that name.
pub fn run(input: &[u8]) {
    match parse_flink(input) {
        Some(FlinkTarget::Segment(segment)) => {
            assert_eq!(input.strip_suffix(b"\n").unwrap_or(input), segment.to_string().as_bytes());
            assert_eq!(ObjectKind::of(&segment.control()), Some(ObjectKind::Control(segment)));
            assert_eq!(ObjectKind::of(&segment.data()), Some(ObjectKind::Data(segment)));
            assert_eq!(ObjectKind::of(&segment.zds2()), Some(ObjectKind::Zds2(segment)));
        }
        Some(FlinkTarget::Zds2(object)) => {
            assert_eq!(input, format!("/{object}").as_bytes());
        }
        None => {}
    }
    let name = std::str::from_utf8(input).ok().and_then(|text| ObjectName::new(text).ok());
    if let Some(name) = name {
        // The janitor removes what it takes for ours: a name has one meaning.
        let said = match ObjectKind::of(&name) {
            None => return,
            Some(ObjectKind::Bell(node)) => node.bell_name(),
            Some(ObjectKind::Control(segment)) => segment.control(),
            Some(ObjectKind::Data(segment)) => segment.data(),
            Some(ObjectKind::Zds2(segment)) => segment.zds2(),
            Some(ObjectKind::Outsize(name)) => name.outsize(),
        };
        assert_eq!(name, said);
    }
}
