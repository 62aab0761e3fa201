//! Places that are not as one would wish: other users, a full `/dev/shm`, a read-only runtime dir.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dds_shm::liveness::{DIR_VARIABLE, LivenessError, Node, NodeOptions, RuntimeDir};
use dds_shm::shm::{Access, ObjectName, SharedObject, ShmError, object};
use dds_shm::slots::Sharing;
use dds_shm::types::TypeHash;
use dds_shm::{
    ExpectedType, FlatReader, FlatWriter, FlowPolicy, PosixSlotAllocator, ReaderOptions,
    SegmentOptions, SlotError,
};
use nix::unistd::geteuid;
use support::{Child, Home, SOON, eventually, no_janitor, role, say, stay};

const NOBODY: u32 = 65534;

/// Says why a test does nothing; where everything has to run, that is a failure.
fn skip(why: &str) {
    let required = std::env::var_os("DDS_SHM_REQUIRE_INTEROP").is_some_and(|value| value == "1");
    assert!(!required, "skipped, although everything has to run: {why}");
    eprintln!("skipped: {why}");
}

/// Whether a program may have mounts of its own.
fn can_unshare(flags: &[&str]) -> bool {
    let tried = Command::new("unshare").args(flags).arg("true").stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// This program, in a mount namespace of its own after `script`, which finds the runtime dir's path
/// in `$HOME_DIR`.
fn mounted(flags: &[&str], script: &str, home: &Home) -> Command {
    let mut command = Command::new("unshare");
    command.args(flags).args(["sh", "-ec", &format!("{script}\nexec \"$0\" \"$@\"")]);
    command.arg(std::env::current_exe().unwrap()).env("HOME_DIR", home.dir.path());
    command
}

/// Mounts alone: root in a user namespace is enough.
const MOUNTS: [&str; 2] = ["--map-root-user", "--mount"];
/// Mounts and other users.
const USERS: [&str; 1] = ["--mount"];

fn options() -> SegmentOptions {
    SegmentOptions::of::<u64>("Topic").flow(FlowPolicy::keep_all(SOON))
}

fn of_size(bytes: u32) -> SegmentOptions {
    SegmentOptions::new("Large", "Blob", TypeHash::of_layout("blob"), bytes).slots(1)
}

fn object_at(path: &Path) -> ObjectName {
    ObjectName::new(path.file_name().unwrap().to_str().unwrap()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn count(dir: PathBuf) -> usize {
    fs::read_dir(dir).unwrap().count()
}

/// What a [`Child`] does.
#[test]
#[ignore = "run by other tests, in a process of its own"]
fn another_process() {
    let Some((role, argument, dir)) = role() else { return };
    let flink = PathBuf::from(&argument);
    match role.as_str() {
        "attach" => {
            let node = Node::new(&RuntimeDir::create(&dir).unwrap(), no_janitor()).unwrap();
            let error = PosixSlotAllocator::attach(&node, &flink, None).unwrap_err();
            // Before the test ends: what is of another user's dir, nobody else sweeps.
            drop(node);
            match &error {
                SlotError::Shm(ShmError::Permission { path, uid, .. }) => {
                    say(format!("{} {uid}", path.display()));
                }
                other => say(format!("{other:?}")),
            }
            say(error);
        }
        "share with the world" => share(Sharing::World),
        "share with the group" => share(Sharing::Group),
        "read as another user" => read_as_another_user(&flink),
        "full" => in_a_full_shm(&RuntimeDir::create(&dir).unwrap()),
        "read-only" => {
            let dir = RuntimeDir::create(&dir).unwrap();
            let node = Node::new(&dir, no_janitor()).unwrap();
            let mount = |options: &str, place: &Path| {
                let mut command = Command::new("mount");
                command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(place);
                assert!(command.status().unwrap().success());
            };
            mount("ro", &dir.segments());
            let error = PosixSlotAllocator::create(&node, &options()).unwrap_err();
            say(error);
            // Nothing of the segment is left; only the node's bell.
            say(object::list(&format!("dds-shm-{}", node.id())).unwrap().len());
            drop(node);
            let done = Command::new("mount").args(["-o", "remount,ro"]).arg(dir.path()).status();
            assert!(done.unwrap().success());
            let error = Node::new(&dir, no_janitor()).unwrap_err();
            say(matches!(error, LivenessError::NotWritable { .. }));
            say(error);
        }
        other => panic!("no such role: {other}"),
    }
    stay();
}

#[test]
fn no_permission_is_an_error_that_names_the_file() {
    if !geteuid().is_root() {
        return skip("needs root, to become another user");
    }
    let home = Home::new();
    let owner = PosixSlotAllocator::create(&home.node(), &options()).unwrap();
    let data = owner.segment_path();
    assert_eq!((mode(data), mode(&data.with_extension("ctl"))), (0o600, 0o600));
    let theirs = home.path("theirs");
    fs::create_dir(&theirs).unwrap();
    chown(&theirs, Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.uid(NOBODY).gid(NOBODY);
    let child = Child::start(command, "attach", &theirs, owner.flink_path().to_str().unwrap());
    assert_eq!(child.line(), format!("{} {NOBODY}", data.display()));
    let said = child.line();
    assert!(said.contains("no permission") && said.contains("group access"), "{said}");
}

/// Owns a segment that others read, and starts one who does.
fn share(sharing: Sharing) {
    // The default one, which other users find.
    let dir = RuntimeDir::of_process().unwrap();
    let node_options = NodeOptions { group_access: sharing == Sharing::Group, ..no_janitor() };
    let node = Node::new(&dir, node_options).unwrap();
    let owner = PosixSlotAllocator::create(&node, &options().sharing(sharing)).unwrap();
    let (data, flink) = (owner.segment_path().to_owned(), owner.flink_path().to_owned());
    let modes = (mode(&data), mode(&data.with_extension("ctl")));
    let group = match sharing {
        Sharing::Group => {
            assert_eq!(modes, (0o640, 0o660));
            nix::unistd::getegid().as_raw()
        }
        _ => {
            assert_eq!(modes, (0o644, 0o666));
            NOBODY
        }
    };
    let writer = FlatWriter::<u64>::new(owner.into_writer().unwrap()).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.uid(NOBODY).gid(group);
    let role = "read as another user";
    let reader = Child::start(command, role, dir.path(), flink.to_str().unwrap());
    reader.expect("served");
    assert_eq!(writer.slots().readers()[0].2.uid, NOBODY);
    for n in 1..=100 {
        writer.write(&n).unwrap().unwrap();
    }
    reader.expect("ends well");
    if sharing == Sharing::Group {
        // Not everybody is in the group.
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.uid(NOBODY).gid(NOBODY);
        let theirs = Path::new("/dev/shm").join(format!("dds-shm-{NOBODY}"));
        let stranger = Child::start(command, "attach", &theirs, flink.to_str().unwrap());
        stranger.expect(&format!("{} {NOBODY}", data.display()));
    }
    drop(reader);
    // Its death is found, as anybody's.
    eventually("its end", || {
        writer.slots().serve(true);
        writer.slots().readers().is_empty()
    });
    say("ends well");
}

fn read_as_another_user(flink: &Path) {
    assert_eq!(geteuid().as_raw(), NOBODY);
    let node = Node::new(&RuntimeDir::of_process().unwrap(), no_janitor()).unwrap();
    let expected = ExpectedType::of::<u64>();
    let open =
        |options| PosixSlotAllocator::open_reader(&node, flink, Some(&expected), options).unwrap();
    let trusting = ReaderOptions { trust_other_users: true, ..ReaderOptions::default() };
    assert!(open(trusting).may_read_in_place());
    let reader = open(ReaderOptions::default());
    assert!(!reader.may_read_in_place());
    eventually("admission", || reader.is_admitted());
    say("served");
    let reader = FlatReader::<u64>::new(reader).unwrap();
    for n in 1..=100 {
        let sample = reader.take_within(SOON).unwrap().unwrap();
        assert_eq!(sample.data(), Some(&n));
        assert!(!sample.is_in_place());
    }
    // The kernel keeps it to reading.
    let attached = PosixSlotAllocator::attach(&node, flink, Some(&expected)).unwrap();
    let data = attached.segment_path();
    File::open(data).unwrap();
    let error = File::options().write(true).open(data).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let error = SharedObject::open(&object_at(data), Access::ReadWrite).unwrap_err();
    assert!(matches!(&error, ShmError::Permission { path, .. } if path == data), "{error}");
    let name = data.file_name().unwrap().to_str().unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut mapped = maps.lines().filter(|line| line.contains(name)).peekable();
    assert!(mapped.peek().is_some());
    assert!(mapped.all(|line| line.contains(" r--s ")), "{maps}");
    say("ends well");
}

#[test]
fn a_reader_of_another_user_reads_and_cannot_write() {
    if !geteuid().is_root() || !can_unshare(&USERS) {
        return skip("needs root with mount namespaces, to have another user and a /dev/shm apart");
    }
    for role in ["share with the world", "share with the group"] {
        let home = Home::new();
        let script = "mount -t tmpfs -o mode=1777,size=64m tmpfs /dev/shm";
        let mut command = mounted(&USERS, script, &home);
        command.env_remove(DIR_VARIABLE);
        let child = Child::start(command, role, home.dir.path(), "");
        child.expect("ends well");
    }
}

/// Makes segments, from too large ones to one that fits: nothing is left of those that did not.
fn in_a_full_shm(dir: &RuntimeDir) {
    let node = Node::new(dir, no_janitor()).unwrap();
    let objects = || object::list("dds-shm-").unwrap().len();
    assert_eq!(objects(), 1, "the node's bell");
    let error = PosixSlotAllocator::create(&node, &of_size(4 << 20)).unwrap_err();
    let SlotError::Shm(ShmError::NoSpace { path, needed, free }) = &error else {
        panic!("{error:?}");
    };
    assert!(path.starts_with("/dev/shm") && *needed > 4 << 20 && *free < 1 << 20, "{error}");
    say(error);
    let mut refused = [0, 0];
    let mut size = (1 << 20) + 8192;
    let fits = loop {
        assert_eq!((objects(), count(dir.segments())), (1, 0), "with {size} octets");
        match PosixSlotAllocator::create(&node, &of_size(size)) {
            Ok(segment) => break segment,
            Err(SlotError::Shm(ShmError::NoSpace { path, .. })) => {
                let second = path.extension().is_some_and(|kind| kind == "ctl");
                refused[usize::from(second)] += 1;
            }
            Err(error) => panic!("{error:?}"),
        }
        size -= 4096;
    };
    // Also when the second object was the one too many.
    assert!(refused.iter().all(|times| *times > 0), "{refused:?}");
    assert_eq!((objects(), count(dir.segments())), (3, 1));
    let writer = fits.into_writer().unwrap();
    // What was promised is there: no SIGBUS at the last octet.
    let mut loan = writer.loan().unwrap();
    loan.bytes_mut().fill(1);
    loan.commit(size as usize, &dds_shm::SampleInfo::default()).unwrap();
    drop(writer);
    assert_eq!((objects(), count(dir.segments())), (1, 0));
    say("ends well");
}

#[test]
fn a_full_shm_is_an_error_before_anything_is_left_behind() {
    if !can_unshare(&MOUNTS) {
        return skip("needs user and mount namespaces, for a small /dev/shm");
    }
    let home = Home::new();
    let script = "mount -t tmpfs -o size=1m tmpfs /dev/shm";
    let child = Child::start(mounted(&MOUNTS, script, &home), "full", home.dir.path(), "");
    let said = child.line();
    assert!(said.contains("/dev/shm") && said.contains("remount,size="), "{said}");
    child.expect("ends well");
}

#[test]
fn a_read_only_runtime_dir_is_an_error_that_names_it() {
    if !can_unshare(&MOUNTS) {
        return skip("needs user and mount namespaces, for a read-only file system");
    }
    let home = Home::new();
    let script = "mount -t tmpfs -o mode=755,size=1m tmpfs \"$HOME_DIR\"";
    let child = Child::start(mounted(&MOUNTS, script, &home), "read-only", home.dir.path(), "");
    let said = child.line();
    assert!(said.contains("/segments") && said.contains("read-only"), "{said}");
    child.expect("1");
    child.expect("true");
    let said = child.line();
    assert!(said.contains(DIR_VARIABLE) && said.contains(home.dir.path().to_str().unwrap()));
}
