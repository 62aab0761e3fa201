//! Killing one process at each of its points, and what is asked of everybody after each death.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use dds_shm::crash_points::{self, Threads};
use dds_shm::discovery::RegistrySweeper;
use dds_shm::liveness::janitor::{Keep, Verdict};
use dds_shm::liveness::{NodeId, RuntimeDir, sweep};
use nix::sys::signal::Signal;

use crate::stall;
use crate::support::{self, Child, Home, eventually, removing, say, stay};

/// No writer is held up by the dead for longer.
pub(crate) const BLOCKED: Duration = Duration::from_millis(100);
/// No reader sleeps beside data for longer.
pub(crate) const ASLEEP: Duration = Duration::from_millis(1100);

/// How many points are tried at once: most of a trial is waiting.
const AT_ONCE: usize = 12;
/// How often one point is tried when somebody was held up for too long: promises of time hold on a
/// machine that has time for everybody, and this one may have other things to do.
pub(crate) const TRIES: usize = 4;

/// In a child: what it was told.
pub(crate) struct Act {
    pub(crate) dir: RuntimeDir,
    /// The segment that it is about, where it is not its own.
    pub(crate) flink: PathBuf,
    fatal: u64,
}

impl Act {
    pub(crate) fn new(argument: &str, dir: PathBuf) -> Self {
        let (fatal, flink) = argument.split_once(' ').unwrap();
        let dir = RuntimeDir::create(&dir).unwrap();
        Self { dir, flink: flink.into(), fatal: fatal.parse().unwrap() }
    }

    /// From here on it may die at any point, whatever it does.
    pub(crate) fn live_dangerously(&self) {
        crash_points::arm(self.fatal, Threads::All, last_words);
    }

    /// Does what the process may not survive. If it does, stays as it is, with what it has then.
    pub(crate) fn risk<T>(&self, threads: Threads, operation: impl FnOnce() -> T) -> ! {
        crash_points::arm(self.fatal, threads, last_words);
        let result = operation();
        say(format!("survived {}", crash_points::disarm()));
        let _result = result;
        stay()
    }
}

fn last_words(at: &dyn Debug) {
    say(format!("dies in front of {at:?}"));
}

/// One death.
pub(crate) struct Trial {
    pub(crate) home: Home,
    name: &'static str,
    fatal: u64,
    survived: Mutex<bool>,
    late: Mutex<Vec<String>>,
    nodes: Mutex<BTreeSet<NodeId>>,
    /// Its last words.
    place: Mutex<String>,
}

/// What is known of a child that is dead.
pub(crate) struct Death {
    /// It was dead by then.
    pub(crate) at: Instant,
    /// What it had said before.
    pub(crate) said: Vec<String>,
}

impl Death {
    /// The last number that it said it had done `what` with; 0 if none.
    pub(crate) fn last(&self, what: &str) -> u64 {
        let number = |line: &String| line.strip_prefix(what)?.trim().parse().ok();
        self.said.iter().rev().find_map(number).unwrap_or(0)
    }
}

impl Trial {
    pub(crate) fn new(name: &'static str, fatal: u64) -> Self {
        Self {
            home: Home::new(),
            name,
            fatal,
            survived: Mutex::default(),
            late: Mutex::default(),
            nodes: Mutex::default(),
            place: Mutex::default(),
        }
    }

    /// A child that will be killed when it comes to its point.
    pub(crate) fn child(&self, role: &str, flink: &Path) -> Child {
        self.home.child(role, &format!("{} {}", self.fatal, flink.display()))
    }

    /// One that is only killed if somebody does it.
    pub(crate) fn safe_child(&self, role: &str, flink: &Path) -> Child {
        self.home.child(role, &format!("0 {}", flink.display()))
    }

    /// Waits until the child is dead; kills it if it survived its operation.
    pub(crate) fn death(&self, child: &mut Child) -> Death {
        self.death_after(child, |_| {})
    }

    /// The same, with something to be done when it says something.
    pub(crate) fn death_after(&self, child: &mut Child, mut hear: impl FnMut(&str)) -> Death {
        let mut said = Vec::new();
        while let Some(line) = child.says() {
            if line.starts_with("survived ") {
                *self.survived.lock().unwrap() = true;
                child.kill();
            } else {
                hear(&line);
                said.push(line);
            }
        }
        let status = child.end();
        let at = child.ended_at().unwrap();
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{status}, after {said:?}");
        self.place.lock().unwrap().clone_from(said.last().unwrap_or(&String::new()));
        self.note_nodes();
        Death { at, said }
    }

    /// Kills a child that was told nothing of points.
    pub(crate) fn kill(&self, child: &mut Child) {
        child.kill();
        self.note_nodes();
    }

    /// Remembers whose things there can be. Nobody has made anything before its lock file, and only a
    /// janitor removes that of the dead.
    pub(crate) fn note_nodes(&self) {
        let names = fs::read_dir(self.home.dir.nodes()).unwrap();
        let id = |name: &str| name.parse::<NodeId>().ok();
        let ids = names.filter_map(|name| id(name.unwrap().file_name().to_str()?));
        self.nodes.lock().unwrap().extend(ids);
    }

    /// Whether something came in time, as far as the machine had time for this process at all.
    pub(crate) fn expect_within(&self, bound: Duration, from: Instant, to: Instant, what: &str) {
        let took = to.saturating_duration_since(from);
        let peak = PEAKS.of(bound);
        if took <= bound && took.as_micros() as u64 <= peak.load(Ordering::Relaxed) {
            return;
        }
        let stall = stall::between(from, to);
        if stall.is_zero() {
            peak.fetch_max(took.as_micros() as u64, Ordering::Relaxed);
        }
        if took > bound + stall {
            let late =
                format!("{what}: {took:?}, promised {bound:?}; the machine stalled {stall:?}");
            self.late.lock().unwrap().push(late);
        }
    }

    /// What did not come in time.
    pub(crate) fn take_late(&self) -> Vec<String> {
        std::mem::take(&mut self.late.lock().unwrap())
    }

    /// Nothing is left of anybody, once the janitor came by. Everybody else is gone by now, too.
    pub(crate) fn expect_nothing_left(&self) {
        self.note_nodes();
        let dir = &self.home.dir;
        // What was being made when its maker died stays for a minute: let it be over.
        for place in [dir.path().to_owned(), dir.nodes(), dir.segments(), dir.registry()] {
            for entry in fs::read_dir(place).unwrap().map(Result::unwrap) {
                if entry.file_name().to_str().unwrap().starts_with(".dds-shm-tmp-") {
                    let file = fs::File::options().write(true).open(entry.path()).unwrap();
                    file.set_modified(SystemTime::now() - Duration::from_secs(61)).unwrap();
                }
            }
        }
        let mut options = removing(Duration::ZERO);
        options.helpers.push(Arc::new(RegistrySweeper));
        // The service thread may be who drops the last handle of a node, and just about to.
        let mut why = Vec::new();
        eventually("the end of every node", || {
            why = sweep(dir, &options).unwrap().findings;
            why.retain(|found| {
                found.node.is_none_or(|id| self.nodes.lock().unwrap().contains(&id))
            });
            !why.iter().any(|found| found.verdict == Verdict::Keep(Keep::Alive))
        });
        let mut left: Vec<_> = (self.nodes.lock().unwrap().iter())
            .flat_map(|id| support::remains(dir, *id))
            .chain([dir.segments(), dir.nodes(), dir.registry()].iter().flat_map(|dir| files(dir)))
            .collect();
        // The one file of a registry that no node made for itself.
        left.retain(|path| *path != dir.registry().join("lock"));
        assert_eq!(left, [] as [PathBuf; 0], "{why:#?}");
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

impl Drop for Trial {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let place = self.place.lock().unwrap();
            eprintln!("{}: killed at point {}: {place:?}", self.name, self.fatal);
        }
    }
}

/// Tries every point of an operation. `trial` starts the child, and asks the survivors.
pub(crate) fn every_point(name: &'static str, trial: impl Fn(&Trial) + Sync) {
    stall::watch();
    let next = AtomicU64::new(first_point());
    let end = AtomicU64::new(u64::MAX);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let fatal = next.fetch_add(1, Ordering::Relaxed);
                    if fatal > end.load(Ordering::Relaxed) {
                        return;
                    }
                    if one_point(name, fatal, &trial) {
                        end.fetch_min(fatal, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let points = end.load(Ordering::Relaxed) - 1;
    assert!(points > 0, "{name} passes no point");
    eprintln!("{name}: killed at each of {points} points and at the end; {}", PEAKS.say());
}

/// For who looks into one failure: `DDS_SHM_CRASH_POINT=17` starts there.
fn first_point() -> u64 {
    std::env::var("DDS_SHM_CRASH_POINT").ok().map_or(1, |point| point.parse().unwrap())
}

/// True if the operation ended before it came to that point.
fn one_point(name: &'static str, fatal: u64, trial: &impl Fn(&Trial)) -> bool {
    let mut late = Vec::new();
    for _ in 0..TRIES {
        let this = Trial::new(name, fatal);
        trial(&this);
        this.expect_nothing_left();
        late = this.take_late();
        if late.is_empty() {
            return *this.survived.lock().unwrap();
        }
        eprintln!("{name}, point {fatal}, to be tried again: {late:?}");
    }
    panic!("{name}, killed at point {fatal}, each of {TRIES} times: {late:?}");
}

/// The longest times that were measured, in microseconds.
struct Peaks {
    blocked: AtomicU64,
    asleep: AtomicU64,
}

static PEAKS: Peaks = Peaks { blocked: AtomicU64::new(0), asleep: AtomicU64::new(0) };

impl Peaks {
    fn of(&self, bound: Duration) -> &AtomicU64 {
        if bound == BLOCKED { &self.blocked } else { &self.asleep }
    }

    fn say(&self) -> String {
        let ms = |peak: &AtomicU64| peak.load(Ordering::Relaxed) as f64 / 1000.0;
        format!(
            "so far, writers blocked for up to {:.1} ms, readers asleep for up to {:.1} ms",
            ms(&self.blocked),
            ms(&self.asleep)
        )
    }
}
