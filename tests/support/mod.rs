//! What tests with several processes share: a runtime dir that cleans up after itself, and children.
//!
//! A test that needs another process runs its own program again for one function, the ignored test
//! `another_process`, which does what its role says: see [`Child`].
#![allow(dead_code, unreachable_pub, reason = "no test program uses all of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use dds_shm::liveness::{Node, NodeId, NodeOptions, RuntimeDir, SweepOptions, sweep};
use dds_shm::shm::object;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

const ROLE: &str = "DDS_SHM_TEST_ROLE";
const HOME: &str = "DDS_SHM_TEST_HOME";
const ARGUMENT: &str = "DDS_SHM_TEST_ARGUMENT";
/// After so long something that was to happen has failed to.
pub const SOON: Duration = Duration::from_secs(20);

/// A runtime dir for one test; what its nodes leave in `/dev/shm` goes with it.
pub struct Home {
    temp: tempfile::TempDir,
    pub dir: RuntimeDir,
}

impl Home {
    pub fn new() -> Home {
        let temp = tempfile::tempdir().unwrap();
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let dir = RuntimeDir::create(&temp.path().join("dir")).unwrap();
        Home { temp, dir }
    }

    /// A node that leaves sweeping to the end of the test.
    pub fn node(&self) -> Arc<Node> {
        Node::new(&self.dir, no_janitor()).unwrap()
    }

    /// A place for files that no node made.
    pub fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub fn child(&self, role: &str, argument: &str) -> Child {
        Child::new(role, self.dir.path(), argument)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Also when the test has failed, and when it has removed the directory.
        if let Ok(dir) = RuntimeDir::create(&self.temp.path().join("dir")) {
            let _ = sweep(&dir, &removing(Duration::ZERO));
        }
    }
}

pub fn removing(adoption_grace: Duration) -> SweepOptions {
    SweepOptions { remove: true, adoption_grace, ..SweepOptions::default() }
}

pub fn no_janitor() -> NodeOptions {
    NodeOptions { janitor: None, ..NodeOptions::default() }
}

/// Another process, killed at the end of the test at the latest.
pub struct Child {
    process: std::process::Child,
    lines: mpsc::Receiver<String>,
    ended: Arc<OnceLock<Instant>>,
}

impl Child {
    pub fn new(role: &str, home: &Path, argument: &str) -> Child {
        Child::start(Command::new(std::env::current_exe().unwrap()), role, home, argument)
    }

    /// As [`Child::new`], by a command that ends in running this program.
    pub fn start(mut command: Command, role: &str, home: &Path, argument: &str) -> Child {
        let mut process = command
            .args(["--exact", "another_process", "--nocapture", "--ignored"])
            .env(ROLE, role)
            .env(HOME, home)
            .env(ARGUMENT, argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        let ended = Arc::new(OnceLock::new());
        let at_end = Arc::clone(&ended);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // Between what the test harness says.
                if let Some(at) = line.find("> ")
                    && sender.send(line[at + 2..].to_owned()).is_err()
                {
                    return;
                }
            }
            // The kernel closes a process's files when it ends, and drops its locks with them.
            let _ = at_end.set(Instant::now());
            drop(sender);
        });
        Child { process, lines, ended }
    }

    /// What it says next.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(SOON).unwrap()
    }

    /// What it says next, if it says anything more.
    pub fn last_line(&self) -> Option<String> {
        self.lines.recv_timeout(SOON).ok()
    }

    /// What it says next; `None` when it has ended.
    pub fn says(&self) -> Option<String> {
        match self.lines.recv_timeout(SOON) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        }
    }

    pub fn expect(&self, line: &str) {
        assert_eq!(self.line(), line);
    }

    pub fn go_on(&mut self) {
        writeln!(self.process.stdin.as_mut().unwrap(), "go").unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id() as i32)
    }

    /// Stops it where it is; returns when it has stopped.
    pub fn pause(&self) {
        kill(self.pid(), Signal::SIGSTOP).unwrap();
        waitpid(self.pid(), Some(WaitPidFlag::WUNTRACED)).unwrap();
    }

    pub fn resume(&self) {
        kill(self.pid(), Signal::SIGCONT).unwrap();
    }

    /// SIGKILL; returns when it is dead.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// What it has said since, without waiting for more.
    pub fn said(&self) -> impl Iterator<Item = String> {
        self.lines.try_iter()
    }

    /// When it ended; known once it [`says`](Self::says) that.
    pub fn ended_at(&self) -> Option<Instant> {
        self.ended.get().copied()
    }

    /// How it ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().unwrap()
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }

    /// Waits for its end; true if it ended well.
    pub fn ends_well(&mut self) -> bool {
        self.end().success()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// In a child: what to do, with what, and the runtime dir's path. `None` if this is no child.
pub fn role() -> Option<(String, String, PathBuf)> {
    let role = std::env::var(ROLE).ok()?;
    Some((role, std::env::var(ARGUMENT).unwrap(), std::env::var_os(HOME).unwrap().into()))
}

/// In a child: says a line to the test.
pub fn say(text: impl std::fmt::Display) {
    println!("> {text}");
}

/// In a child: waits for [`Child::go_on`]; ends the process if the test is over.
pub fn await_go() {
    if std::io::stdin().read_line(&mut String::new()).unwrap() == 0 {
        std::process::exit(0);
    }
}

/// In a child: stays as it is until it is killed, or the test is over.
pub fn stay() -> ! {
    loop {
        await_go();
    }
}

/// Waits until something is so that nobody tells.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < until, "never happened: {what}");
        // Not a spin: whoever is to make it so may need the processor.
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// The objects and files there are of a node, by name.
pub fn remains(dir: &RuntimeDir, id: NodeId) -> Vec<PathBuf> {
    let objects = object::list(&format!("dds-shm-{id}")).unwrap();
    let files = fs::read_dir(dir.nodes()).unwrap().map(|entry| entry.unwrap().path());
    let own =
        |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(&id.to_string());
    objects.iter().map(|name| name.path()).chain(files.filter(own)).collect()
}
