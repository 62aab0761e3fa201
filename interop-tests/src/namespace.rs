//! Each test in namespaces of its own.
//!
//! The test function is entered twice: first by the test harness, where it starts its own program
//! once more under `unshare`, for this one test; then in there, where the body runs.
//!
//! * network: only a loopback interface, with multicast;
//! * mount: an empty `/dev/shm`, so that no object is left behind whatever happens;
//! * process: when the test ends, or is ended, everything that it started is killed;
//! * user: makes the others possible without being root.

use std::process::{Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Need;
use crate::need::all_met;

/// Set in the inner run to the name of the test.
const INSIDE_VARIABLE: &str = "DDS_SHM_INTEROP_INSIDE";
/// No test takes longer than this; RustDDS alone needs 60 s to notice that a peer is dead.
const TIME_LIMIT: Duration = Duration::from_secs(240);

const UNSHARE: [&str; 6] =
    ["--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"];

/// Sets up what is inside, then becomes the program.
const SETUP: &str = "set -e
mount -t tmpfs -o size=1g,mode=1777 dds-shm-interop /dev/shm
ip link set lo multicast on
ip link set lo up
ip route add 224.0.0.0/4 dev lo
exec \"$@\"";

/// Runs the body of a test in namespaces of its own; skips it if a need is not met.
///
/// The first argument is an array of [`Need`]s, the second a closure. To be the whole body of a
/// `#[test]` function: the test's name is taken from where the macro stands.
#[macro_export]
macro_rules! in_namespace {
    ($needs:expr, $body:expr) => {{
        fn here() {}
        $crate::run(::std::any::type_name_of_val(&here), &$needs, $body)
    }};
}

/// What [`in_namespace!`] calls; `here` is the path of a function within the test.
///
/// # Panics
///
/// If the test fails in there, or takes longer than four minutes.
pub fn run(here: &str, needs: &[Need], body: impl FnOnce()) {
    // `crate::module::test::here`; the harness calls it `module::test`.
    let name = here.strip_suffix("::here").unwrap_or(here);
    let name = name.split_once("::").map_or(name, |(_crate_name, rest)| rest);
    if std::env::var_os(INSIDE_VARIABLE).is_some_and(|inside| inside == name) {
        return body();
    }
    if !all_met(needs) {
        return;
    }
    let program = std::env::current_exe().expect("the path of this test");
    let mut command = inside(&[program.as_os_str()]);
    command
        .args([name, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(INSIDE_VARIABLE, name)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().expect("unshare");
    let id = Pid::from_raw(child.id().try_into().expect("a process id"));
    let (send, ended) = mpsc::channel();
    std::thread::spawn(move || send.send(child.wait_with_output()));
    let (output, in_time) = match ended.recv_timeout(TIME_LIMIT) {
        Ok(output) => (output, true),
        Err(_) => {
            // Not waited for yet, so the id is still that of unshare, which takes all with it.
            let _ = kill(id, Signal::SIGKILL);
            (ended.recv().expect("the thread that waits"), false)
        }
    };
    let output = output.expect("output of the inner run");
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(in_time, "{name} took longer than {TIME_LIMIT:?} and was killed");
    assert!(output.status.success(), "{name} failed in its namespace: {}", output.status);
    assert!(text.contains("1 passed"), "{name} was not run in its namespace: is it a test?");
}

/// A command that runs another one in new namespaces, as tests are.
pub fn inside(command: &[&std::ffi::OsStr]) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(UNSHARE).args(["sh", "-c", SETUP, "sh"]).args(command);
    unshare
}

/// Whether namespaces can be made here. The error says what to do.
pub(crate) fn available() -> Result<(), String> {
    static AVAILABLE: OnceLock<Result<(), String>> = OnceLock::new();
    AVAILABLE
        .get_or_init(|| {
            let output = inside(&["true".as_ref()]).output().map_err(|error| {
                format!("unshare cannot be started ({error}): install util-linux and iproute2")
            })?;
            if output.status.success() {
                return Ok(());
            }
            Err(format!(
                "no private namespaces ({}): run as root, or allow unprivileged user namespaces \
                 (sysctl kernel.unprivileged_userns_clone=1), and install util-linux and iproute2",
                String::from_utf8_lossy(&output.stderr).trim()
            ))
        })
        .clone()
}
