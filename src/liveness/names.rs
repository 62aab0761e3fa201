//! Names: of nodes, and of the objects that belong to them.
//!
//! Every object carries the id of the node that owns it in its name, so that even one that was never
//! finished can be attributed:
//!
//! ```text
//! <runtime dir>/nodes/<node id>                  lock file
//! /dev/shm/dds-shm-<node id>.bell                bell
//! /dev/shm/dds-shm-<node id>-<nonce>.ctl, .dat   segment
//! /dev/shm/dds-shm-<node id>-<nonce>.zds2        segment of ZeroDDS's format
//! /dev/shm/dds-shm-<node id>-<nonce>.big         a sample that is larger than a slot
//! ```
//!
//! Node ids are 16 hex digits, nonces 8, lower case.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use crate::shm::{ObjectName, ShmError, random_u64};

/// How the names of all objects start.
pub const OBJECT_PREFIX: &str = "dds-shm-";

const CONTROL: &str = ".ctl";
const DATA: &str = ".dat";
const ZDS2: &str = ".zds2";
const OUTSIZE: &str = ".big";
const BELL: &str = ".bell";

/// A node: one process that uses the transport. Random, and never used again.
///
/// Shown, and parsed, as 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(NonZeroU64);

impl NodeId {
    /// A new id.
    #[must_use]
    pub fn random() -> NodeId {
        loop {
            if let Some(id) = NodeId::new(random_u64()) {
                return id;
            }
        }
    }

    /// The id of this number; `None` for 0, which stands for nobody.
    #[must_use]
    pub fn new(id: u64) -> Option<NodeId> {
        NonZeroU64::new(id).map(NodeId)
    }

    /// The id as a number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// The name of the node's bell.
    #[must_use]
    pub fn bell_name(self) -> ObjectName {
        ours(format!("{OBJECT_PREFIX}{self}{BELL}"))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.get())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

impl FromStr for NodeId {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<NodeId, NotAName> {
        hex(text, 16).and_then(NodeId::new).ok_or(NotAName)
    }
}

/// The text is not a name of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name of this transport")]
pub struct NotAName;

/// Names a segment: its owner, and a number that tells the owner's segments apart.
///
/// Shown, and parsed, as what its two objects' names have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentName {
    /// The node that owns the segment. Adoption gives a segment a new name.
    pub node: NodeId,
    /// Random.
    pub nonce: u32,
}

impl SegmentName {
    /// A new name for a segment of this node.
    #[must_use]
    pub fn random(node: NodeId) -> SegmentName {
        SegmentName { node, nonce: random_u64() as u32 }
    }

    /// The name of the control object.
    #[must_use]
    pub fn control(&self) -> ObjectName {
        ours(format!("{self}{CONTROL}"))
    }

    /// The name of the data object.
    #[must_use]
    pub fn data(&self) -> ObjectName {
        ours(format!("{self}{DATA}"))
    }

    /// The name of the one object of a segment of ZeroDDS's format.
    #[must_use]
    pub fn zds2(&self) -> ObjectName {
        ours(format!("{self}{ZDS2}"))
    }

    /// The object of a sample that is larger than a slot.
    #[must_use]
    pub fn outsize(&self) -> ObjectName {
        ours(format!("{self}{OUTSIZE}"))
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{OBJECT_PREFIX}{}-{:08x}", self.node, self.nonce)
    }
}

impl FromStr for SegmentName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<SegmentName, NotAName> {
        let rest = text.strip_prefix(OBJECT_PREFIX).ok_or(NotAName)?;
        let (node, nonce) = rest.split_once('-').ok_or(NotAName)?;
        let nonce = hex(nonce, 8).and_then(|nonce| u32::try_from(nonce).ok()).ok_or(NotAName)?;
        Ok(SegmentName { node: node.parse()?, nonce })
    }
}

/// What the name of an object says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// The bell of a node.
    Bell(NodeId),
    /// The control object of a segment.
    Control(SegmentName),
    /// The data object of a segment.
    Data(SegmentName),
    /// A segment of ZeroDDS's format.
    Zds2(SegmentName),
    /// Of a sample that is larger than a slot.
    Outsize(SegmentName),
}

impl ObjectKind {
    /// Reads a name; `None` if it is none of ours.
    #[must_use]
    pub fn of(name: &ObjectName) -> Option<ObjectKind> {
        let name = name.as_str();
        if let Some(segment) = name.strip_suffix(CONTROL) {
            segment.parse().ok().map(ObjectKind::Control)
        } else if let Some(segment) = name.strip_suffix(DATA) {
            segment.parse().ok().map(ObjectKind::Data)
        } else if let Some(segment) = name.strip_suffix(ZDS2) {
            segment.parse().ok().map(ObjectKind::Zds2)
        } else if let Some(name) = name.strip_suffix(OUTSIZE) {
            name.parse().ok().map(ObjectKind::Outsize)
        } else {
            let node = name.strip_suffix(BELL)?.strip_prefix(OBJECT_PREFIX)?;
            node.parse().ok().map(ObjectKind::Bell)
        }
    }
}

/// Exactly `digits` lower-case hex digits: one text per number.
pub(crate) fn hex(text: &str, digits: usize) -> Option<u64> {
    let canonical = text.len() == digits
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    canonical.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// A name made of the prefix, hex digits, hyphens and a suffix: always a good one.
#[expect(
    clippy::expect_used,
    reason = "proven: every character is allowed and the length is fixed"
)]
fn ours(name: String) -> ObjectName {
    let name: Result<ObjectName, ShmError> = ObjectName::new(name);
    name.expect("hex digits and hyphens name an object")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_whose_they_are() {
        let node: NodeId = "00000000000000ab".parse().unwrap();
        let segment = SegmentName { node, nonce: 0x1234 };
        assert_eq!(node.bell_name().as_str(), "dds-shm-00000000000000ab.bell");
        assert_eq!(segment.control().as_str(), "dds-shm-00000000000000ab-00001234.ctl");
        assert_eq!(segment.data().as_str(), "dds-shm-00000000000000ab-00001234.dat");
        assert_eq!(ObjectKind::of(&node.bell_name()), Some(ObjectKind::Bell(node)));
        assert_eq!(ObjectKind::of(&segment.control()), Some(ObjectKind::Control(segment)));
        assert_eq!(ObjectKind::of(&segment.data()), Some(ObjectKind::Data(segment)));
        assert_eq!(segment.zds2().as_str(), "dds-shm-00000000000000ab-00001234.zds2");
        assert_eq!(ObjectKind::of(&segment.zds2()), Some(ObjectKind::Zds2(segment)));
        assert_eq!(segment.outsize().as_str(), "dds-shm-00000000000000ab-00001234.big");
        assert_eq!(ObjectKind::of(&segment.outsize()), Some(ObjectKind::Outsize(segment)));
        assert_eq!(segment.to_string().parse(), Ok(segment));
    }

    #[test]
    fn what_is_no_name_of_ours_is_not_taken_for_one() {
        for text in [
            "dds-shm-00000000000000AB.bell",
            "dds-shm-ab.bell",
            "dds-shm-0000000000000000.bell",
            "dds-shm-00000000000000ab-1234.ctl",
            "dds-shm-00000000000000ab-00001234",
            "dds-shm-000000000000000x-00001234.ctl",
            "dds-shm-test-x.ctl",
            "iceoryx.bell",
        ] {
            assert_eq!(ObjectKind::of(&ObjectName::new(text).unwrap()), None, "{text}");
        }
    }
}
