//! From a segment to the locator that leads to it, and back.

use std::path::PathBuf;

use super::reachability::{Mismatch, NetworkReason, TypeHashMismatch};
use crate::discovery::{
    HostIdentity, HostNames, LocatorError, LocatorPath, LocatorPolicy, SegmentHints, ShmLocator,
};
use crate::liveness::Node;
use crate::slots::{ExpectedType, Geometry, Incarnation, PosixSlotAllocator, SlotError};
use crate::types::{SegmentFormat, TypeHash};

/// What a locator says beside the incarnation.
#[derive(Debug)]
pub(crate) struct LocatorParts {
    pub(crate) format: SegmentFormat,
    pub(crate) path: PathBuf,
    pub(crate) geometry: Geometry,
    pub(crate) type_hash: TypeHash,
    pub(crate) hostname_hash: u32,
    pub(crate) host: HostIdentity,
    pub(crate) incarnation: Incarnation,
}

impl LocatorParts {
    pub(crate) fn locator(&self, incarnation: Incarnation) -> Result<ShmLocator, LocatorError> {
        Ok(ShmLocator {
            hostname_hash: self.hostname_hash,
            uid: nix::unistd::geteuid().as_raw(),
            slot_count: self.geometry.slot_count,
            slot_stride: u32::try_from(self.geometry.slot_stride).unwrap_or(u32::MAX),
            path: LocatorPath::new(&self.path)?,
            segment: Some(SegmentHints {
                format: self.format,
                flags: 0,
                slot_capacity: self.geometry.slot_capacity,
                incarnation: incarnation.0,
                type_hash: Some(self.type_hash).filter(|hash| *hash != TypeHash::UNKNOWN),
                host: self.host,
            }),
        })
    }
}

/// The locator of a segment, for a host that makes its segments itself. ZeroDDS decodes it too.
///
/// It leads to the incarnation that is written to now: when the owner has replaced the segment
/// ([`OwnerHandle::incarnation`](crate::slots::OwnerHandle::incarnation) is another), announce it anew.
///
/// # Errors
/// [`LocatorError::BadPath`] if the flink's path cannot be announced.
pub fn locator_of(segment: &PosixSlotAllocator) -> Result<ShmLocator, LocatorError> {
    let identity = segment.identity();
    let parts = LocatorParts {
        format: segment.format(),
        path: segment.flink_path().to_owned(),
        geometry: identity.geometry,
        type_hash: identity.type_hash,
        hostname_hash: HostNames::of_this_process().advertised(),
        host: HostIdentity::of_this_process(),
        incarnation: identity.incarnation,
    };
    parts.locator(incarnation_of(segment))
}

/// The incarnation that is written to now, as far as this side knows: an owner replaces its segment.
fn incarnation_of(segment: &PosixSlotAllocator) -> Incarnation {
    let owner = segment.owner_handle().ok();
    owner.and_then(|owner| owner.incarnation()).unwrap_or(segment.identity().incarnation)
}

/// Attaches to the segment that a received locator leads to, of either format, to read it by handles.
/// The caller has seen to it that a locator without trailer is ZeroDDS's: discovery does.
///
/// A ZDS2 segment does not say what its samples are. If the locator says so either, `expected` is
/// compared with that; if not, the caller has to know.
///
/// # Errors
/// Why the samples go by network.
pub fn attach_by_locator(
    node: &std::sync::Arc<Node>,
    locator: &ShmLocator,
    policy: &LocatorPolicy,
    expected: Option<&ExpectedType>,
) -> Result<PosixSlotAllocator, NetworkReason> {
    let path = locator.path.as_str();
    let refused = |refused| NetworkReason::PathRefused { path: path.to_owned(), refused };
    policy.check(path).map_err(refused)?;
    let is_here = match &locator.segment {
        Some(hints) => HostIdentity::of_this_process().may_share_memory_with(&hints.host),
        None => HostNames::of_this_process().contain(locator.hostname_hash),
    };
    if !is_here {
        return Err(NetworkReason::OtherHost);
    }
    let format = locator.segment.as_ref().map_or(SegmentFormat::ZDS2, |hints| hints.format);
    let in_segment = match format {
        SegmentFormat::V1 => expected,
        SegmentFormat::ZDS2 => {
            let announced = locator.segment.as_ref().and_then(|hints| hints.type_hash);
            if let (Some(expected), Some(found)) = (expected, announced)
                && expected.hash != found
            {
                let expected_layout = expected.layout.clone();
                let (expected, found_layout) = (expected.hash, String::new());
                return Err(cannot_attach(
                    path,
                    SlotError::TypeMismatch { expected, found, expected_layout, found_layout },
                ));
            }
            None
        }
        other => return Err(NetworkReason::Format(other)),
    };
    let segment = PosixSlotAllocator::attach(node, locator.path.as_path(), in_segment)
        .map_err(|error| cannot_attach(path, error))?;
    let identity = segment.identity();
    let is_announced = match &locator.segment {
        Some(hints) => segment.format() == format && identity.incarnation.0 == hints.incarnation,
        None => {
            segment.format() == format
                && identity.geometry.slot_count == locator.slot_count
                && identity.geometry.slot_stride == u64::from(locator.slot_stride)
        }
    };
    if is_announced {
        Ok(segment)
    } else {
        Err(NetworkReason::CannotAttach {
            path: path.to_owned(),
            error: "it is another segment than the one announced".to_owned(),
        })
    }
}

/// Why a segment that could not be opened leaves the network.
pub(crate) fn cannot_attach(path: &str, error: SlotError) -> NetworkReason {
    match error {
        SlotError::TypeMismatch { expected, found, expected_layout, found_layout } => {
            Mismatch::TypeHash(Box::new(TypeHashMismatch {
                expected,
                found,
                expected_layout,
                found_layout,
            }))
            .into()
        }
        SlotError::WriterLost => NetworkReason::WriterLost,
        error => NetworkReason::CannotAttach { path: path.to_owned(), error: error.to_string() },
    }
}
