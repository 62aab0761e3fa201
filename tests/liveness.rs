//! Nodes between processes: life, death, forks, bells, and what the janitor makes of it.
//!
//! A test that needs another process runs this program again for one function: see [`Child`].
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Weak, mpsc};
use std::time::{Duration, Instant};

use dds_shm::liveness::flink::{self, create_flink, read_flink, replace_flink};
use dds_shm::liveness::janitor::{Finding, FoundKind, Keep, Report, Sweeper, Verdict};
use dds_shm::liveness::{
    BellBit, LivenessError, Node, NodeId, NodeOptions, PeerNode, RemoteBell, RuntimeDir,
    SegmentName, Serve, Serviced, SweepOptions, recovery_lock, sweep,
};
use dds_shm::shm::{Access, ObjectName, SharedObject, ShmError, object};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{ForkResult, Pid, fork, geteuid};

const ROLE: &str = "DDS_SHM_TEST_ROLE";
const DIR: &str = "DDS_SHM_TEST_DIR";
const NOBODY: u32 = 65534;
const SOON: Duration = Duration::from_secs(20);

/// A runtime dir for one test; what its nodes leave in `/dev/shm` goes with it.
struct Home {
    temp: tempfile::TempDir,
    dir: RuntimeDir,
}

impl Home {
    fn new() -> Home {
        let temp = tempfile::tempdir().unwrap();
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let dir = RuntimeDir::create(&temp.path().join("dir")).unwrap();
        Home { temp, dir }
    }

    fn delete(&self) {
        fs::remove_dir_all(self.dir.path()).unwrap();
    }

    fn sweep(&self) -> Report {
        sweep(&self.dir, &removing(Duration::ZERO)).unwrap()
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

fn removing(adoption_grace: Duration) -> SweepOptions {
    SweepOptions { remove: true, adoption_grace, ..SweepOptions::default() }
}

fn no_janitor() -> NodeOptions {
    NodeOptions { janitor: None, ..NodeOptions::default() }
}

/// Another process, killed at the end of the test at the latest.
struct Child {
    process: std::process::Child,
    lines: mpsc::Receiver<String>,
}

impl Child {
    fn new(role: &str, dir: &Path) -> Child {
        Child::start(Command::new(std::env::current_exe().unwrap()), role, dir)
    }

    fn start(mut command: Command, role: &str, dir: &Path) -> Child {
        let mut process = command
            .args(["--exact", "another_process", "--nocapture", "--ignored"])
            .env(ROLE, role)
            .env(DIR, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // Between what the test harness says.
                if let Some(at) = line.find("> ")
                    && sender.send(line[at + 2..].to_owned()).is_err()
                {
                    return;
                }
            }
        });
        Child { process, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(SOON).unwrap()
    }

    fn id(&self) -> NodeId {
        self.line().parse().unwrap()
    }

    fn go_on(&mut self) {
        writeln!(self.process.stdin.as_mut().unwrap(), "go").unwrap();
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn say(text: impl std::fmt::Display) {
    println!("> {text}");
}

fn await_go() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

fn stay() -> ! {
    loop {
        std::thread::park();
    }
}

/// What a [`Child`] does.
#[test]
#[ignore = "run by other tests, in a process of its own"]
fn another_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let dir = PathBuf::from(std::env::var_os(DIR).unwrap());
    let open = || RuntimeDir::create(&dir).unwrap();
    match role.as_str() {
        "live" => {
            let node = Node::new(&open(), no_janitor()).unwrap();
            say(node.id());
            stay();
        }
        "own" => {
            let node = Node::new(&open(), no_janitor()).unwrap();
            leave_things(&node);
            say(node.id());
            stay();
        }
        "durable" => {
            let node = Node::new(&open(), no_janitor()).unwrap();
            let segment = make_segment(node.id());
            let path = node.dir().segments().join(format!("name{}", flink::DURABLE_SUFFIX));
            create_flink(&path, 0o644, &segment).unwrap();
            say(node.id());
            await_go();
            drop(node);
            say("dropped");
        }
        "fork" => forking(&open()),
        "wait" => wait_for_bell(&open()),
        "not writable" => {
            let error = RuntimeDir::create(&dir).and_then(|dir| Node::new(&dir, no_janitor()));
            say(matches!(error, Err(LivenessError::NotWritable { .. })));
            say(error.unwrap_err());
        }
        "full" => {
            let dir = open();
            let hog = object_name("dds-shm-test-hog");
            let error = SharedObject::create(&hog, 1 << 20, 0o600).unwrap_err();
            say(matches!(error, ShmError::NoSpace { needed: 1_048_576, free: 1..=65536, .. }));
            assert_eq!(object::stat(&hog).unwrap(), None);
            while SharedObject::create(&object_name(&format!("x{}", NodeId::random())), 4096, 0o600)
                .is_ok()
            {}
            let error = Node::new(&dir, no_janitor()).unwrap_err();
            say(matches!(error, LivenessError::Shm(ShmError::NoSpace { needed: 4096, .. })));
            // The lock file that was made before is not left behind.
            say(fs::read_dir(dir.nodes()).unwrap().count());
        }
        "stranger" => {
            // A node of another user, whose runtime dir we are told, but may not read its bell.
            await_go();
            let id: NodeId = fs::read_to_string(dir.join("id")).unwrap().parse().unwrap();
            let error = PeerNode::open(&[], id).unwrap_err();
            say(matches!(error, LivenessError::Unprovable { .. }));
            let error = RemoteBell::open(id, 0).unwrap_err();
            say(matches!(error, LivenessError::Shm(ShmError::Permission { .. })));
        }
        other => panic!("no such role: {other}"),
    }
}

fn object_name(name: &str) -> ObjectName {
    ObjectName::new(name).unwrap()
}

fn make_segment(node: NodeId) -> SegmentName {
    let segment = SegmentName::random(node);
    for name in [segment.control(), segment.data()] {
        SharedObject::create(&name, 4096, 0o600).unwrap();
    }
    segment
}

/// One of everything that a node can leave behind.
fn leave_things(node: &Node) {
    let segment = make_segment(node.id());
    let dir = node.dir();
    create_flink(&dir.segments().join("guid.flink"), 0o644, &segment).unwrap();
    // Half-made: no control object.
    SharedObject::create(&SegmentName::random(node.id()).data(), 100, 0o600).unwrap();
}

/// All there is of a node, by name.
fn remains(dir: &RuntimeDir, id: NodeId) -> Vec<PathBuf> {
    let objects = object::list(&format!("dds-shm-{id}")).unwrap();
    let mut found: Vec<_> = objects.iter().map(|name| name.path()).collect();
    let mut dirs = vec![dir.path().to_path_buf()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().map_while(Result::ok) {
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            } else if entry.file_name().to_string_lossy().starts_with(&id.to_string()) {
                found.push(entry.path());
            }
        }
    }
    found
}

fn of_node(report: &Report, id: NodeId) -> Vec<&Finding> {
    report.findings.iter().filter(|found| found.node == Some(id)).collect()
}

#[test]
fn a_node_comes_and_goes() {
    let home = Home::new();
    let node = Node::new(&home.dir, NodeOptions::default()).unwrap();
    let id = node.id();
    assert_eq!(remains(&home.dir, id).len(), 2);
    assert_eq!(fs::metadata(home.dir.node_file(id)).unwrap().mode() & 0o7777, 0o644);
    assert_eq!(object::stat(&id.bell_name()).unwrap().unwrap().mode, 0o600);
    let peer = PeerNode::open(std::slice::from_ref(&home.dir), id).unwrap();
    assert!(peer.is_alive());
    drop(node);
    assert!(!peer.is_alive());
    assert!(remains(&home.dir, id).is_empty());
    let error = PeerNode::open(std::slice::from_ref(&home.dir), id).unwrap_err();
    assert!(matches!(error, LivenessError::NoTrace { .. }), "{error}");
}

#[test]
fn a_killed_node_is_proved_dead_and_swept() {
    let home = Home::new();
    let mut child = Child::new("own", home.dir.path());
    let id = child.id();
    let peer = PeerNode::open(std::slice::from_ref(&home.dir), id).unwrap();
    assert!(peer.is_alive());
    let everything = remains(&home.dir, id).len();
    assert_eq!(everything, 5);

    let report = home.sweep();
    assert!(of_node(&report, id).iter().all(|f| f.verdict == Verdict::Keep(Keep::Alive)));
    assert_eq!(remains(&home.dir, id).len(), everything);

    child.kill();
    assert!(!peer.is_alive());
    let report = sweep(&home.dir, &SweepOptions::default()).unwrap();
    assert!(of_node(&report, id).iter().all(|f| f.verdict == Verdict::Removable), "{report:?}");
    assert_eq!(remains(&home.dir, id).len(), everything);

    let report = home.sweep();
    let gone = of_node(&report, id);
    // And the flink, whose name does not say whose it is.
    assert_eq!(gone.len(), everything + 1);
    assert!(gone.iter().all(|found| found.verdict == Verdict::Removed), "{gone:?}");
    let last = gone.iter().map(|found| found.kind).rev().take(2).collect::<Vec<_>>();
    assert_eq!(last, [FoundKind::Node, FoundKind::Bell]);
    assert!(remains(&home.dir, id).is_empty());
    assert_eq!(fs::read_dir(home.dir.segments()).unwrap().count(), 0);
}

#[test]
fn a_sweeper_is_told_who_is_gone_and_its_findings_count() {
    struct Registry {
        alive: NodeId,
        dead: NodeId,
        unknown: NodeId,
    }
    impl Sweeper for Registry {
        fn sweep(
            &self,
            dir: &RuntimeDir,
            is_gone: &dyn Fn(NodeId) -> bool,
            remove: bool,
        ) -> Vec<Finding> {
            assert!(!is_gone(self.alive) && is_gone(self.dead) && is_gone(self.unknown));
            assert!(remove);
            vec![Finding {
                kind: FoundKind::Registry,
                path: dir.registry().join("entries"),
                node: Some(self.dead),
                bytes: 0,
                verdict: Verdict::Failed("on purpose".to_owned()),
            }]
        }
    }
    let home = Home::new();
    let node = Node::new(&home.dir, no_janitor()).unwrap();
    let mut child = Child::new("own", home.dir.path());
    let id = child.id();
    child.kill();
    let registry = Registry { alive: node.id(), dead: id, unknown: NodeId::random() };
    let options = SweepOptions { helpers: vec![Arc::new(registry)], ..removing(Duration::ZERO) };
    sweep(&home.dir, &options).unwrap();
    // Something of the node remains, so the means to attribute it do, too.
    assert_eq!(remains(&home.dir, id).len(), 2);
}

#[test]
fn peers_share_what_is_open_while_it_is_in_use() {
    let home = Home::new();
    let node = Node::new(&home.dir, no_janitor()).unwrap();
    let other = Node::new(&home.dir, no_janitor()).unwrap();
    let uid = geteuid().as_raw();
    let peers = [node.peer(other.id(), uid).unwrap(), node.peer(other.id(), uid).unwrap()];
    assert!(Arc::ptr_eq(&peers[0], &peers[1]) && peers[0].is_alive());
    let bells = [(); 2].map(|()| node.peer_bell(other.id(), uid).unwrap());
    assert!(Arc::ptr_eq(&bells[0], &bells[1]));
    let id = other.id();
    drop((peers, bells, other));
    assert!(matches!(node.peer(id, uid), Err(LivenessError::NoTrace { .. })));
}

#[test]
fn a_node_that_starts_sweeps() {
    let home = Home::new();
    let mut child = Child::new("own", home.dir.path());
    let id = child.id();
    child.kill();
    let node = Node::new(&home.dir, NodeOptions::default()).unwrap();
    assert!(remains(&home.dir, id).is_empty());
    assert_eq!(remains(&home.dir, node.id()).len(), 2);
}

#[test]
fn a_durable_segment_stays_for_its_adoption_grace() {
    let home = Home::new();
    let mut child = Child::new("durable", home.dir.path());
    let id = child.id();
    child.kill();
    let patient = removing(Duration::from_secs(3600));
    for _ in 0..2 {
        let report = sweep(&home.dir, &patient).unwrap();
        let kept = |kind| {
            of_node(&report, id).iter().any(|found| {
                found.kind == kind && matches!(found.verdict, Verdict::Keep(Keep::Adoption { .. }))
            })
        };
        assert!(kept(FoundKind::Control) && kept(FoundKind::Data) && kept(FoundKind::Flink));
        // Objects, bell, lock file, and the time of death.
        assert_eq!(remains(&home.dir, id).len(), 5, "{report:?}");
    }
    // The time counts from the death as it was noted, not from now.
    let mark = home.dir.nodes().join(format!("{id}.dead"));
    let noted = fs::File::open(&mark).unwrap();
    noted.set_modified(std::time::SystemTime::now() - Duration::from_secs(3601)).unwrap();
    sweep(&home.dir, &patient).unwrap();
    assert!(remains(&home.dir, id).is_empty());
    assert_eq!(fs::read_dir(home.dir.segments()).unwrap().count(), 0);
}

#[test]
fn a_clock_that_was_set_back_does_not_keep_things_forever() {
    let home = Home::new();
    let mut child = Child::new("durable", home.dir.path());
    let id = child.id();
    child.kill();
    let patient = removing(Duration::from_secs(3600));
    sweep(&home.dir, &patient).unwrap();
    let mark = home.dir.nodes().join(format!("{id}.dead"));
    let tomorrow = std::time::SystemTime::now() + Duration::from_secs(86400);
    fs::File::open(&mark).unwrap().set_modified(tomorrow).unwrap();
    sweep(&home.dir, &patient).unwrap();
    assert!(fs::metadata(&mark).unwrap().modified().unwrap() < tomorrow);
}

#[test]
fn a_durable_segment_outlives_a_node_that_was_dropped() {
    let home = Home::new();
    let mut child = Child::new("durable", home.dir.path());
    let id = child.id();
    child.go_on();
    assert_eq!(child.line(), "dropped");
    child.process.wait().unwrap();
    let report = sweep(&home.dir, &removing(Duration::from_secs(3600))).unwrap();
    let adoptable = |f: &&&Finding| matches!(f.verdict, Verdict::Keep(Keep::Adoption { .. }));
    assert_eq!(of_node(&report, id).iter().filter(adoptable).count(), 3, "{report:?}");
    home.sweep();
    assert!(remains(&home.dir, id).is_empty());
}

#[test]
fn an_adopted_segment_is_its_new_owners() {
    let home = Home::new();
    let mut child = Child::new("durable", home.dir.path());
    let id = child.id();
    let path = home.dir.segments().join("name.durable.flink");
    let old = read_flink(&path).unwrap();
    child.kill();
    let node = Node::new(&home.dir, no_janitor()).unwrap();
    let new = SegmentName::random(node.id());
    {
        let _lock = recovery_lock(&old).unwrap().unwrap();
        // Whoever comes at the same time finds it locked.
        assert!(recovery_lock(&old).unwrap().is_none());
        let report = home.sweep();
        let busy = |f: &&&Finding| f.verdict == Verdict::Keep(Keep::Busy);
        assert_eq!(of_node(&report, id).iter().filter(busy).count(), 3, "{report:?}");
        for (from, to) in [(old.data(), new.data()), (old.control(), new.control())] {
            SharedObject::open(&from, Access::ReadWrite).unwrap().link_as(&to).unwrap();
        }
        replace_flink(&path, 0o644, &old, &new).unwrap();
        for name in [old.data(), old.control()] {
            object::unlink(&name).unwrap();
        }
    }
    home.sweep();
    assert!(remains(&home.dir, id).is_empty());
    assert_eq!(remains(&home.dir, node.id()).len(), 4);
    assert_eq!(read_flink(&path).unwrap(), new);
    drop(node);
    home.sweep();
    assert!(!path.exists());
}

#[test]
fn what_belongs_to_another_runtime_dir_is_left_to_it() {
    let (here, there) = (Home::new(), Home::new());
    let mut dead = Child::new("own", there.dir.path());
    let mut alive = Child::new("own", there.temp.path().join("alive").as_path());
    let (dead_id, alive_id) = (dead.id(), alive.id());
    dead.kill();
    let report = here.sweep();
    let elsewhere = Verdict::Keep(Keep::OtherDir(there.dir.path().to_path_buf()));
    let kept = of_node(&report, dead_id);
    assert_eq!(kept.len(), 4);
    assert!(kept.iter().all(|found| found.verdict == elsewhere), "{kept:?}");
    let kept = of_node(&report, alive_id);
    assert_eq!(kept.len(), 4);
    assert!(kept.iter().all(|found| found.verdict == Verdict::Keep(Keep::Alive)), "{kept:?}");

    // Their directories gone, the dead one is anybody's, and the living one still is not.
    there.delete();
    fs::remove_dir_all(there.temp.path().join("alive")).unwrap();
    here.sweep();
    assert!(remains(&there.dir, dead_id).is_empty());
    assert_eq!(remains(&there.dir, alive_id).len(), 4);
    alive.kill();
    here.sweep();
    assert!(remains(&there.dir, alive_id).is_empty());
}

#[test]
fn objects_whose_node_left_no_trace_are_removed_only_on_demand() {
    let home = Home::new();
    let id = NodeId::random();
    let segment = make_segment(id);
    home.sweep();
    assert_eq!(remains(&home.dir, id).len(), 2);
    let on_demand = SweepOptions { unattributed: true, ..removing(Duration::ZERO) };
    // Only these: other tests' nodes would be found by their bells.
    let report = sweep(&home.dir, &SweepOptions { remove: false, ..on_demand }).unwrap();
    assert!(of_node(&report, id).iter().all(|found| found.verdict == Verdict::Removable));
    for name in [segment.control(), segment.data()] {
        object::unlink(&name).unwrap();
    }
}

#[test]
fn a_deleted_runtime_dir_does_not_make_the_living_look_dead() {
    let home = Home::new();
    let mut child = Child::new("own", home.dir.path());
    let id = child.id();
    let kept = PeerNode::open(std::slice::from_ref(&home.dir), id).unwrap();
    home.delete();
    assert!(kept.is_alive());
    let again = RuntimeDir::create(home.dir.path()).unwrap();
    let found = PeerNode::open(std::slice::from_ref(&again), id).unwrap();
    assert!(found.is_alive());
    // Nor to a janitor that starts in a new one under the same name.
    let node = Node::new(&again, NodeOptions::default()).unwrap();
    assert_eq!(remains(&again, id).len(), 4);
    child.kill();
    assert!(!kept.is_alive() && !found.is_alive());
    sweep(&again, &removing(Duration::ZERO)).unwrap();
    assert!(remains(&again, id).is_empty());
    drop(node);
}

/// Makes a node, forks, and says what the child found. The child stays.
fn forking(dir: &RuntimeDir) {
    let node = Node::new(dir, no_janitor()).unwrap();
    let id = node.id();
    let lease = node.lease_bit();
    // SAFETY: the only other threads are the harness's, which wait, and the service thread, which
    // sleeps; neither holds a lock that the child needs.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let refused = matches!(node.check_process(), Err(LivenessError::Forked))
                && matches!(node.bell().wait(Duration::ZERO, || true), Err(LivenessError::Forked))
                && node.bell().take_rung().next().is_none();
            node.bell().ring_data(BellBit::new(0));
            node.kick();
            drop(lease);
            drop(node);
            let own = Node::new(dir, no_janitor()).unwrap();
            say(format!("{refused} {} {}", own.id() != id, std::process::id()));
            stay();
        }
        ForkResult::Parent { .. } => {
            say(id);
            stay();
        }
    }
}

#[test]
fn a_forked_child_neither_keeps_its_parent_alive_nor_touches_it() {
    let home = Home::new();
    let mut parent = Child::new("fork", home.dir.path());
    let lines = [parent.line(), parent.line()];
    let id: NodeId = lines.iter().find_map(|line| line.parse().ok()).unwrap();
    let child = lines.iter().find(|line| line.contains(' ')).unwrap();
    let pid = child.strip_prefix("true true ").unwrap_or_else(|| panic!("{child}"));
    let pid = Pid::from_raw(pid.parse().unwrap());
    // What the child dropped is all there.
    assert_eq!(remains(&home.dir, id).len(), 2);
    let peer = PeerNode::open(std::slice::from_ref(&home.dir), id).unwrap();
    let bell = PeerNode::open(&[], id).unwrap();
    assert!(peer.is_alive() && bell.is_alive());
    parent.process.kill().unwrap();
    parent.process.wait().unwrap();
    // The child lives, and yet:
    kill(pid, None).unwrap();
    let dead = !peer.is_alive() && !bell.is_alive();
    kill(pid, Signal::SIGKILL).unwrap();
    assert!(dead);
}

struct Asked {
    times: AtomicUsize,
    ticks: AtomicBool,
    sender: mpsc::Sender<Serve>,
}

impl Serviced for Asked {
    fn serve(&self, _now: Instant, why: Serve) {
        self.times.fetch_add(1, Ordering::Relaxed);
        let _ = self.sender.send(why);
    }

    fn wants_tick(&self) -> bool {
        self.ticks.load(Ordering::Relaxed)
    }
}

fn asked() -> (Arc<Asked>, Weak<dyn Serviced>, mpsc::Receiver<Serve>) {
    let (sender, receiver) = mpsc::channel();
    let asked =
        Arc::new(Asked { times: AtomicUsize::new(0), ticks: AtomicBool::new(false), sender });
    let weak: Weak<Asked> = Arc::downgrade(&asked);
    (asked, weak, receiver)
}

/// Waits for samples, and says by which bits it was woken; and says when it is served.
fn wait_for_bell(dir: &RuntimeDir) {
    let node = Node::new(dir, no_janitor()).unwrap();
    let (_asked, weak, served) = asked();
    node.register(weak).unwrap();
    assert_eq!(served.recv_timeout(SOON), Ok(Serve::Rung));
    say(node.id());
    let mut rung = Vec::new();
    let woken = node
        .bell()
        .wait(SOON, || {
            rung.extend(node.bell().take_rung().map(BellBit::get));
            !rung.is_empty()
        })
        .unwrap();
    say(format!("{woken} {rung:?}"));
    // What came of the registration, if anything.
    while served.try_recv().is_ok() {}
    say("ready");
    let why = served.recv_timeout(SOON).unwrap();
    say(format!("{why:?}"));
    stay();
}

#[test]
fn a_bell_wakes_another_process() {
    let home = Home::new();
    let child = Child::new("wait", home.dir.path());
    let id = child.id();
    let bell = RemoteBell::open(id, geteuid().as_raw()).unwrap();
    assert_eq!(bell.identity().node, id);
    assert_eq!(bell.identity().dir, home.dir.id());
    assert_eq!(bell.identity().dir_path, home.dir.path());
    let start = Instant::now();
    while !bell.sleeps() {
        assert!(start.elapsed() < SOON);
        std::thread::yield_now();
    }
    fence(Ordering::SeqCst);
    assert!(bell.ring_data([BellBit::new(1023)]));
    assert_eq!(child.line(), "true [1023]");
    assert_eq!(child.line(), "ready");
    let start = Instant::now();
    while !bell.ring_service() {
        assert!(start.elapsed() < SOON);
        std::thread::yield_now();
    }
    assert_eq!(child.line(), "Rung");
}

#[test]
fn a_bell_that_is_not_what_it_should_be_is_refused() {
    let home = Home::new();
    let node = Node::new(&home.dir, no_janitor()).unwrap();
    let uid = geteuid().as_raw();
    assert!(matches!(
        RemoteBell::open(node.id(), uid + 1),
        Err(LivenessError::WrongOwner { expected, .. }) if expected == uid + 1
    ));
    let id = NodeId::random();
    assert!(matches!(
        RemoteBell::open(id, uid),
        Err(LivenessError::Shm(ShmError::NotFound { .. }))
    ));
    for (len, mode) in [(4096, 0o600), (8192, 0o600), (1, 0o600), (4096, 0o666)] {
        let object = SharedObject::create(&id.bell_name(), len, mode).unwrap();
        assert!(matches!(RemoteBell::open(id, uid), Err(LivenessError::BadBell { .. })));
        object.unlink().unwrap();
    }
}

#[test]
fn ticks_come_to_those_who_ask_and_no_faster_than_a_second() {
    let home = Home::new();
    let node = Node::new(&home.dir, no_janitor()).unwrap();
    let (asked, weak, served) = asked();
    node.register(weak).unwrap();
    assert_eq!(served.recv_timeout(SOON), Ok(Serve::Rung));
    let start = Instant::now();
    asked.ticks.store(true, Ordering::Relaxed);
    node.kick();
    let mut ticks = 0;
    while ticks < 2 {
        if served.recv_timeout(SOON).unwrap() == Serve::Tick {
            ticks += 1;
        }
    }
    // The first may be due already; the second is a second later.
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    asked.ticks.store(false, Ordering::Relaxed);
    node.kick();
    // The sleep that was planned before may still end with a tick.
    while served.recv_timeout(Duration::from_millis(1200)).is_ok() {}
    let before = asked.times.load(Ordering::Relaxed);
    assert!(served.recv_timeout(Duration::from_millis(1500)).is_err());
    assert_eq!(asked.times.load(Ordering::Relaxed), before);
}

#[test]
fn a_service_that_panics_does_not_end_the_others() {
    struct Panics;
    impl Serviced for Panics {
        fn serve(&self, _now: Instant, _why: Serve) {
            panic!("on purpose");
        }
    }
    let home = Home::new();
    let node = Node::new(&home.dir, no_janitor()).unwrap();
    let panics: Arc<dyn Serviced> = Arc::new(Panics);
    node.register(Arc::downgrade(&panics)).unwrap();
    let (_asked, weak, served) = asked();
    node.register(weak).unwrap();
    assert!(served.recv_timeout(SOON).is_ok());
    while served.recv_timeout(Duration::from_millis(100)).is_ok() {}
    node.kick();
    assert!(served.recv_timeout(SOON).is_ok());
}

#[test]
fn a_service_may_drop_its_node() {
    struct Last(std::sync::Mutex<Option<Arc<Node>>>, mpsc::Sender<()>);
    impl Serviced for Last {
        fn serve(&self, _now: Instant, _why: Serve) {
            drop(self.0.lock().unwrap().take());
            let _ = self.1.send(());
        }
    }
    let home = Home::new();
    let node = Node::new(&home.dir, no_janitor()).unwrap();
    let id = node.id();
    let (sender, done) = mpsc::channel();
    let last = Arc::new(Last(std::sync::Mutex::new(None), sender));
    let weak: Weak<Last> = Arc::downgrade(&last);
    *last.0.lock().unwrap() = Some(Arc::clone(&node));
    node.register(weak).unwrap();
    drop(node);
    done.recv_timeout(SOON).unwrap();
    assert!(remains(&home.dir, id).is_empty());
}

#[test]
fn bits_are_shared_only_when_there_are_more_readers() {
    let home = Home::new();
    let node = Node::new(&home.dir, no_janitor()).unwrap();
    let mut leases: Vec<_> = (0..1024).map(|_| node.lease_bit()).collect();
    let mut bits: Vec<_> = leases.iter().map(|lease| lease.bit()).collect();
    bits.sort();
    bits.dedup();
    assert_eq!(bits.len(), 1024);
    let given_back = leases.swap_remove(500).bit();
    assert_eq!(node.lease_bit().bit(), given_back);
}

#[test]
fn a_dir_that_cannot_be_written_is_an_error_that_says_so() {
    let home = Home::new();
    let mut command = Command::new(std::env::current_exe().unwrap());
    if geteuid().is_root() {
        // Permissions do not stop root.
        let places = [home.dir.path().to_path_buf(), home.dir.nodes()];
        for place in places.iter().chain(&[home.dir.segments(), home.dir.registry()]) {
            std::os::unix::fs::chown(place, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    fs::set_permissions(home.dir.nodes(), fs::Permissions::from_mode(0o555)).unwrap();
    let child = Child::start(command, "not writable", home.dir.path());
    assert_eq!(child.line(), "true");
    let said = child.line();
    assert!(said.contains("DDS_SHM_DIR"), "{said}");
    drop(child);
    if geteuid().is_root() {
        let _ = std::os::unix::fs::chown(home.dir.path(), Some(0), Some(0));
    }
}

#[test]
fn a_full_shm_is_an_error_that_says_how_much_is_missing() {
    let home = Home::new();
    // A `/dev/shm` of its own, and small.
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o size=64k tmpfs /dev/shm && exec \"$0\" \"$@\"";
    command.args(["--map-root-user", "--mount", "sh", "-c", script]);
    command.arg(std::env::current_exe().unwrap());
    let child = Child::start(command, "full", home.dir.path());
    assert_eq!(child.line(), "true");
    assert_eq!(child.line(), "true");
    assert_eq!(child.line(), "0");
}

#[test]
fn a_stranger_may_neither_ring_nor_take_for_dead() {
    if !geteuid().is_root() {
        eprintln!("needs root, to become another user");
        return;
    }
    let home = Home::new();
    let node = Node::new(&home.dir, no_janitor()).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.uid(NOBODY).gid(NOBODY);
    let mut child = Child::start(command, "stranger", home.temp.path());
    fs::write(home.temp.path().join("id"), node.id().to_string()).unwrap();
    child.go_on();
    assert_eq!(child.line(), "true");
    assert_eq!(child.line(), "true");
}
