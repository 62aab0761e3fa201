//! A runtime dir and a DDS domain of one test, and the processes in it.

use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// Nothing takes this long unless it never happens.
const LIMIT: Duration = Duration::from_secs(120);

/// The tests of one process take domains in turn; the tag keeps the tests of others away.
static DOMAIN: AtomicU32 = AtomicU32::new(40);

/// Where the processes of one test meet. What they leave is removed with it.
pub(crate) struct Home {
    dir: TempDir,
    domain: String,
    tag: String,
    garbage: std::cell::Cell<Option<String>>,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let domain = DOMAIN.fetch_add(1, Ordering::Relaxed).to_string();
        let tag = dir.path().display().to_string();
        Self { dir, domain, tag, garbage: std::cell::Cell::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dds-shm"));
        command.args(args).env("DDS_SHM_DIR", self.path().join("run")).env_remove("RUST_LOG");
        if matches!(args.first(), Some(&("pub" | "sub"))) {
            command.args(["--domain", &self.domain, "--tag", &self.tag]);
        }
        command
    }

    pub(crate) fn start(&self, args: &[&[&str]]) -> Running {
        Running::start(&mut self.command(&args.concat()))
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        self.start(&[args]).end()
    }

    pub(crate) fn finish(&self, command: &mut Command) -> Ended {
        Running::start(command).end()
    }

    /// The nodes of a listing that are this test's.
    pub(crate) fn nodes_in<'a>(&self, listing: &'a Value) -> Vec<&'a Value> {
        let run = self.path().join("run").display().to_string();
        let nodes = listing["nodes"].as_array().unwrap().iter();
        nodes.filter(|node| node["runtime_dir"] == run.as_str()).collect()
    }

    /// The segment of a process.
    pub(crate) fn segment_in(&self, listing: &Value, owner: &Running) -> Option<Value> {
        let mut segments = listing["segments"].as_array().unwrap().iter();
        segments.find(|segment| segment["pid"].as_u64() == Some(owner.pid().into())).cloned()
    }

    /// An object with the name of a segment, which is none. Returns its name.
    pub(crate) fn plant_garbage(&self) -> String {
        let name = format!("dds-shm-{:016x}-00000001.dat", u64::from(std::process::id()));
        fs::write(Path::new("/dev/shm").join(&name), "garbage").unwrap();
        self.garbage.set(Some(name.clone()));
        name
    }

    /// Everybody has gone and taken everything along.
    #[track_caller]
    pub(crate) fn assert_empty(&self) {
        for sub in ["nodes", "segments"] {
            let Ok(entries) = fs::read_dir(self.path().join("run").join(sub)) else { continue };
            let left: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            assert!(left.is_empty(), "{sub}: {left:?}");
        }
        // Bells say whose they are; a segment's objects are looked for by the processes' own test.
        let listing = self.run(&["ls", "--json"]).json();
        assert_eq!(self.nodes_in(&listing), Vec::<&Value>::new());
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(name) = self.garbage.take() {
            let _ = fs::remove_file(Path::new("/dev/shm").join(name));
        }
        // What was killed, by the test or because it failed.
        let _ = self.command(&["gc", "--yes"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// A process; killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: String,
    stdout: Option<JoinHandle<String>>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let read_all = |mut stdout: ChildStdout| {
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            text
        };
        let stdout = child.stdout.take().unwrap();
        let stdout = Some(thread::spawn(move || read_all(stdout)));
        Self { child, lines, seen: String::new(), stdout }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says this on stderr; the line.
    #[track_caller]
    pub(crate) fn await_line(&mut self, part: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("{part:?} was not said, but:\n{}", self.seen);
            };
            self.seen += &line;
            self.seen.push('\n');
            if line.contains(part) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).unwrap();
    }

    pub(crate) fn await_death(&mut self) {
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        let deadline = Instant::now() + LIMIT;
        // The lines end with the process, and those it started.
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen += &line;
                    self.seen.push('\n');
                }
                Err(_) if left.is_zero() => panic!("it does not end:\n{}", self.seen),
                Err(_) => break,
            }
        }
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        let stdout = self.stdout.take().unwrap().join().unwrap();
        Ended { code, stdout, stderr: std::mem::take(&mut self.seen) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that has ended.
pub(crate) struct Ended {
    /// -1 if a signal ended it.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The one line on stdout.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self}");
        serde_json::from_str(&self.stdout).unwrap()
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}\nstdout: {}\nstderr: {}", self.code, self.stdout, self.stderr)
    }
}

/// The names in an object, sorted.
pub(crate) fn keys(object: &Value) -> Vec<String> {
    let mut keys: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    keys
}
