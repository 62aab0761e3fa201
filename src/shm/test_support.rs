//! Names for tests that go away with the test, also when it fails.

use std::ops::Deref;

use super::ObjectName;

/// A name of its own for one test; whatever is there at the end is removed.
pub(crate) struct TestName(ObjectName);

impl TestName {
    pub(crate) fn new(what: &str) -> TestName {
        let name = format!("dds-shm-test-{what}-{:016x}", rand::random::<u64>());
        TestName(ObjectName::new(name).unwrap())
    }
}

impl Deref for TestName {
    type Target = ObjectName;

    fn deref(&self) -> &ObjectName {
        &self.0
    }
}

impl Drop for TestName {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0.path());
    }
}

/// Set in a child that runs one test alone; its value says what to do.
const CHILD: &str = "DDS_SHM_TEST_CHILD";

/// Whether this is a process made by [`in_child`].
pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs one test of this program alone in a process of its own.
pub(crate) fn in_child(test: &str, what: &str) -> std::process::Output {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, what)
        .output()
        .unwrap()
}
