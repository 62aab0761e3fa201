//! Flinks: small files whose name is known and that name a segment.
//!
//! A flink holds one line, the [`SegmentName`], or, for ZeroDDS's format, what its library passes to
//! `shm_open`: a slash and the name of an object ([`FlinkTarget`]). It is made last, when the segment is finished, and
//! whole; a path that exists means that somebody has it, and the life of the node in the segment's
//! name decides whether it can be taken over.
//!
//! Who takes a flink over or removes it holds a lock on the file and looks, under the lock, whether
//! the name still leads to it and still says what it said. So an owner that puts its own segment
//! under the name and a janitor that removes the old one cannot cross.
//!
//! A flink in the runtime dir whose name ends in [`DURABLE_SUFFIX`] makes its segment durable: it
//! stays for the adoption grace after its owner's death.

use std::path::Path;

use super::names::ObjectKind;
use super::{LivenessError, SegmentName};
use crate::shm::{self, ObjectName, OfdLock, ShmError};

/// How the name of any flink in a runtime dir ends.
pub const FLINK_SUFFIX: &str = ".flink";

/// How the name of the flink of a durable segment ends.
pub const DURABLE_SUFFIX: &str = ".durable.flink";

/// The longest contents that are looked at.
const MAX_LEN: usize = 256;

/// What a flink names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlinkTarget {
    /// A segment of our own format.
    Segment(SegmentName),
    /// The object of a segment of ZeroDDS's format, whoever made it.
    Zds2(ObjectName),
}

impl FlinkTarget {
    /// Reads a flink.
    ///
    /// # Errors
    ///
    /// [`ShmError::NotFound`], [`ShmError::NotRegular`] (symbolic links are not followed),
    /// [`LivenessError::BadFlink`], or what else the system says.
    pub fn read(path: &Path) -> Result<FlinkTarget, LivenessError> {
        let bad = || LivenessError::BadFlink { path: path.to_path_buf() };
        let contents = match shm::read_small(path, MAX_LEN) {
            Err(ShmError::BadLength { .. }) => return Err(bad()),
            other => other?,
        };
        parse_flink(&contents).ok_or_else(bad)
    }

    /// The segment, unless it is one that ZeroDDS made.
    #[must_use]
    pub fn segment(&self) -> Option<SegmentName> {
        match self {
            FlinkTarget::Segment(segment) => Some(*segment),
            FlinkTarget::Zds2(object) => match ObjectKind::of(object) {
                Some(ObjectKind::Zds2(segment)) => Some(segment),
                _ => None,
            },
        }
    }
}

/// Puts a segment's name under a path that must be free, with exactly the permissions `mode`.
///
/// # Errors
///
/// [`ShmError::Exists`] if the path is taken, or what else the system says.
pub fn create_flink(path: &Path, mode: u32, segment: &SegmentName) -> Result<(), LivenessError> {
    Ok(shm::publish_new(path, mode, line(segment).as_bytes())?)
}

/// The same for a segment of ZeroDDS's format: its library takes the contents as they are, so there
/// is no newline.
///
/// # Errors
///
/// As [`create_flink`].
pub fn create_zds2_flink(
    path: &Path,
    mode: u32,
    segment: &SegmentName,
) -> Result<(), LivenessError> {
    Ok(shm::publish_new(path, mode, format!("/{}", segment.zds2()).as_bytes())?)
}

/// Reads the name of a segment of our own format.
///
/// # Errors
///
/// As [`FlinkTarget::read`]; [`LivenessError::BadFlink`] for one of ZeroDDS's format.
pub fn read_flink(path: &Path) -> Result<SegmentName, LivenessError> {
    match FlinkTarget::read(path)? {
        FlinkTarget::Segment(segment) => Ok(segment),
        FlinkTarget::Zds2(_) => Err(LivenessError::BadFlink { path: path.to_path_buf() }),
    }
}

/// What a flink with these contents names, if it is one.
#[must_use]
pub fn parse_flink(contents: &[u8]) -> Option<FlinkTarget> {
    let text = std::str::from_utf8(contents).ok()?;
    match text.strip_prefix('/') {
        Some(object) => ObjectName::new(object).ok().map(FlinkTarget::Zds2),
        None => text.strip_suffix('\n').unwrap_or(text).parse().ok().map(FlinkTarget::Segment),
    }
}

/// Makes a flink that names `old` name `new` instead; at any moment it names one of them.
///
/// The caller has proved the owner of `old` dead, or is it.
///
/// # Errors
///
/// [`LivenessError::FlinkChanged`] if somebody was faster, or what the system says.
pub fn replace_flink(
    path: &Path,
    mode: u32,
    old: &SegmentName,
    new: &SegmentName,
) -> Result<(), LivenessError> {
    let _lock = lock_naming(path, old)?;
    Ok(shm::replace(path, mode, line(new).as_bytes())?)
}

/// Removes a flink if it names `segment`; that it is gone already is no error.
///
/// # Errors
///
/// [`LivenessError::FlinkChanged`] if it names another, or what the system says.
pub fn remove_flink(path: &Path, segment: &SegmentName) -> Result<(), LivenessError> {
    let _lock = match lock_naming(path, segment) {
        Err(LivenessError::Shm(ShmError::NotFound { .. })) => return Ok(()),
        other => other?,
    };
    crash_point!(("remove", path));
    std::fs::remove_file(path).map_err(|error| ShmError::from_io("remove", path, error).into())
}

/// The lock on a flink that names `segment` and that the path leads to.
fn lock_naming(path: &Path, segment: &SegmentName) -> Result<OfdLock, LivenessError> {
    let changed = || LivenessError::FlinkChanged { path: path.to_path_buf() };
    let file = shm::open_regular(path, true)?;
    // Held for two system calls by whoever has it; and whoever has it changes the flink.
    let lock = OfdLock::try_lock(file, path)?.ok_or_else(changed)?;
    // While we hold the lock and the name leads to the locked file, nobody else changes either.
    let names = FlinkTarget::read(path)?.segment();
    if lock.is_linked() && names == Some(*segment) { Ok(lock) } else { Err(changed()) }
}

fn line(segment: &SegmentName) -> String {
    format!("{segment}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::liveness::NodeId;

    #[test]
    fn a_flink_is_changed_only_by_who_knows_what_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.flink");
        let [a, b, c] = [0; 3].map(|_| SegmentName::random(NodeId::random()));
        create_flink(&path, 0o644, &a).unwrap();
        assert!(matches!(
            create_flink(&path, 0o644, &b),
            Err(LivenessError::Shm(ShmError::Exists { .. }))
        ));
        assert_eq!(read_flink(&path).unwrap(), a);
        replace_flink(&path, 0o644, &a, &b).unwrap();
        assert!(matches!(
            replace_flink(&path, 0o644, &a, &c),
            Err(LivenessError::FlinkChanged { .. })
        ));
        assert!(matches!(remove_flink(&path, &a), Err(LivenessError::FlinkChanged { .. })));
        assert_eq!(read_flink(&path).unwrap(), b);
        remove_flink(&path, &b).unwrap();
        remove_flink(&path, &b).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_flink_that_is_being_changed_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.flink");
        let [a, b] = [0; 2].map(|_| SegmentName::random(NodeId::random()));
        create_flink(&path, 0o644, &a).unwrap();
        let lock = lock_naming(&path, &a).unwrap();
        assert!(matches!(remove_flink(&path, &a), Err(LivenessError::FlinkChanged { .. })));
        // Its successor under the same name does not count as locked.
        shm::replace(&path, 0o644, line(&b).as_bytes()).unwrap();
        remove_flink(&path, &b).unwrap();
        drop(lock);
    }

    #[test]
    fn a_flink_of_the_other_format_says_what_shm_open_takes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.flink");
        let segment = SegmentName::random(NodeId::random());
        create_zds2_flink(&path, 0o600, &segment).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("/{segment}.zds2"));
        assert_eq!(FlinkTarget::read(&path).unwrap().segment(), Some(segment));
        assert!(matches!(read_flink(&path), Err(LivenessError::BadFlink { .. })));
        remove_flink(&path, &segment).unwrap();
        // As ZeroDDS makes it.
        std::fs::write(&path, "/shmem_E743AFA0C4D6DBD6").unwrap();
        let object = ObjectName::new("shmem_E743AFA0C4D6DBD6").unwrap();
        assert_eq!(FlinkTarget::read(&path).unwrap(), FlinkTarget::Zds2(object));
        assert_eq!(FlinkTarget::read(&path).unwrap().segment(), None);
        assert!(matches!(remove_flink(&path, &segment), Err(LivenessError::FlinkChanged { .. })));
        for elsewhere in ["/../etc/passwd", "/a/b", "//x", "/.x", "/", "/x\n"] {
            std::fs::write(&path, elsewhere).unwrap();
            let refused = FlinkTarget::read(&path);
            assert!(matches!(refused, Err(LivenessError::BadFlink { .. })), "{elsewhere}");
        }
    }

    #[test]
    fn what_is_no_flink_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.flink");
        for contents in ["", "nonsense", "dds-shm-00000000000000ab-00001234\n\n", &"x".repeat(1000)]
        {
            std::fs::write(&path, contents).unwrap();
            assert!(matches!(read_flink(&path), Err(LivenessError::BadFlink { .. })), "{contents}");
        }
        std::fs::write(&path, "dds-shm-00000000000000ab-00001234").unwrap();
        read_flink(&path).unwrap();
    }
}
