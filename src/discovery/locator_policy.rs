//! Which paths from the network may be opened.
//!
//! A locator comes from whoever can send a datagram. Opening what it names must not reach outside
//! the places where segments live, so a path is accepted only under a runtime directory or under a
//! place that the user allowed. This is a pure function of the path: whoever opens it still checks
//! the directory's owner and mode and follows no symbolic link.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Where the default runtime directories are: `/dev/shm/dds-shm-<uid>`.
const DEFAULT_PARENT: &str = "/dev/shm";
const DEFAULT_PREFIX: &str = "dds-shm-";

/// Why a path was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathRefused {
    /// The path does not start at the root.
    #[error("the path is not absolute")]
    NotAbsolute,
    /// The path has a NUL in it.
    #[error("the path contains a NUL octet")]
    Nul,
    /// The path has an empty component, `.` or `..`.
    #[error("the path has an empty component, `.` or `..`")]
    NotNormal,
    /// The path is not under any accepted directory.
    #[error(
        "the path is neither under a dds-shm runtime directory nor under an allowed one; \
         add its directory to the allow list if it can be trusted"
    )]
    Outside,
}

/// The directories under which a received locator may point.
///
/// Always accepted: the own runtime directory, and `/dev/shm/dds-shm-<uid>` of any uid. Everything
/// else, such as the flink files of ZeroDDS, needs [`allow`](Self::allow).
///
/// ```
/// use dds_shm::discovery::LocatorPolicy;
///
/// let policy = LocatorPolicy::new("/run/robot/shm").allow("/run/zdds");
/// assert!(policy.check("/run/robot/shm/segments/a.flink").is_ok());
/// assert!(policy.check("/dev/shm/dds-shm-1000/segments/a.flink").is_ok());
/// assert!(policy.check("/run/zdds/pose.flink").is_ok());
/// assert!(policy.check("/run/zdds/../passwd").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocatorPolicy {
    directories: Vec<PathBuf>,
}

impl LocatorPolicy {
    /// Accepts the own runtime directory and the default ones.
    pub fn new(runtime_dir: impl Into<PathBuf>) -> Self {
        Self { directories: vec![runtime_dir.into()] }
    }

    /// Accepts everything under `directory` as well. A relative directory allows nothing.
    #[must_use]
    pub fn allow(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directories.push(directory.into());
        self
    }

    /// Whether a path may be opened.
    ///
    /// # Errors
    /// [`PathRefused`] says what is wrong with it.
    pub fn check(&self, path: impl AsRef<Path>) -> Result<(), PathRefused> {
        let path = path.as_ref();
        let octets = path.as_os_str().as_bytes();
        if octets.contains(&0) {
            return Err(PathRefused::Nul);
        }
        let Some(relative) = octets.strip_prefix(b"/") else {
            return Err(PathRefused::NotAbsolute);
        };
        // `Path::components` folds `//` and `/./` silently: look at the octets.
        if relative.split(|o| *o == b'/').any(|part| matches!(part, b"" | b"." | b"..")) {
            return Err(PathRefused::NotNormal);
        }
        let allowed = self.directories.iter().any(|directory| is_strictly_under(path, directory));
        if allowed || is_under_a_default_runtime_dir(path) {
            Ok(())
        } else {
            Err(PathRefused::Outside)
        }
    }
}

fn is_strictly_under(path: &Path, directory: &Path) -> bool {
    directory.is_absolute()
        && path.strip_prefix(directory).is_ok_and(|rest| !rest.as_os_str().is_empty())
}

fn is_under_a_default_runtime_dir(path: &Path) -> bool {
    let Ok(rest) = path.strip_prefix(DEFAULT_PARENT) else { return false };
    let mut components = rest.iter();
    let is_runtime_dir = components
        .next()
        .and_then(OsStr::to_str)
        .and_then(|name| name.strip_prefix(DEFAULT_PREFIX))
        // Only the decimal form that we write: `+5` and `005` parse too.
        .is_some_and(|uid| uid.parse::<u32>().is_ok_and(|number| number.to_string() == uid));
    is_runtime_dir && components.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> LocatorPolicy {
        LocatorPolicy::new("/tmp/run").allow("/opt/zdds/")
    }

    #[test]
    fn runtime_directories_and_allowed_ones_are_accepted() {
        for path in [
            "/tmp/run/segments/x.flink",
            "/tmp/run/x",
            "/dev/shm/dds-shm-0/segments/x.flink",
            "/dev/shm/dds-shm-4294967295/x",
            "/opt/zdds/pose.flink",
        ] {
            assert_eq!(policy().check(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn paths_elsewhere_are_refused() {
        for path in [
            "/etc/passwd",
            "/tmp/runaway/x",
            "/tmp/run",
            "/dev/shm/dds-shm-1000",
            "/dev/shm/dds-shm-/x",
            "/dev/shm/dds-shm-+5/x",
            "/dev/shm/dds-shm-005/x",
            "/dev/shm/dds-shm-4294967296/x",
            "/dev/shm/dds-shm-1000x/x",
            "/dev/shm/other/dds-shm-1000/x",
            "/",
        ] {
            assert!(policy().check(path).is_err(), "{path}");
        }
        assert_eq!(policy().check("/etc/passwd"), Err(PathRefused::Outside));
    }

    #[test]
    fn a_path_cannot_climb_out() {
        for path in [
            "/tmp/run/../../etc/passwd",
            "/tmp/run/./x",
            "/tmp/run//x",
            "/dev/shm/dds-shm-0/../x",
            "/tmp/run/x/",
            "/tmp/run/..",
        ] {
            assert_eq!(policy().check(path), Err(PathRefused::NotNormal), "{path}");
        }
        assert_eq!(policy().check("tmp/run/x"), Err(PathRefused::NotAbsolute));
        assert_eq!(policy().check(""), Err(PathRefused::NotAbsolute));
        assert_eq!(policy().check("/tmp/run/\0x"), Err(PathRefused::Nul));
    }

    #[test]
    fn a_relative_directory_allows_nothing() {
        let policy = LocatorPolicy::new("/tmp/run").allow("").allow("etc");
        assert_eq!(policy.check("/etc/passwd"), Err(PathRefused::Outside));
    }
}
