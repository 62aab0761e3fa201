//! Memory that somebody else has written, at attach and while it is in use: errors, never a panic, a
//! hang, or the end of the process.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::thread;
use std::time::{Duration, Instant};

use dds_shm::liveness::flink::create_flink;
use dds_shm::liveness::{LivenessError, Node, RuntimeDir, SegmentName};
use dds_shm::shm::{Access, SharedObject, ShmError, sigbus};
use dds_shm::slots::{FormatError, SlotReader, SlotWriter};
use dds_shm::types::TypeHash;
use dds_shm::{
    ExpectedType, FlowPolicy, PosixSlotAllocator, ReaderOptions, SampleInfo, SegmentOptions,
    SlotBackend, SlotError,
};
use proptest::prelude::*;
use support::{Home, SOON, await_go, eventually, no_janitor, role, say};

/// Where the strings of an identity stand in `.dat`, and where the hold words end in `.ctl`.
const STRINGS: usize = 0x1200;
const SLOTS: usize = 8;

fn options() -> SegmentOptions {
    SegmentOptions::new("Topic", "Type", TypeHash::of_layout("u32"), 256)
        .layout("u32")
        .slots(SLOTS as u32)
        .flow(FlowPolicy::best_effort())
}

/// A living owner, and copies of its objects that can be changed.
struct Forge {
    owner: PosixSlotAllocator,
    node: Arc<Node>,
    dat: Vec<u8>,
    ctl: Vec<u8>,
    home: Home,
}

impl Forge {
    fn new() -> Forge {
        let home = Home::new();
        let node = home.node();
        let owner = PosixSlotAllocator::create(&node, &options()).unwrap();
        let dat = fs::read(owner.segment_path()).unwrap();
        let ctl = fs::read(control(owner.segment_path())).unwrap();
        Forge { owner, node, dat, ctl, home }
    }

    /// Attaches to objects with these contents.
    fn attach(&self, dat: &[u8], ctl: &[u8]) -> Result<PosixSlotAllocator, SlotError> {
        let name = SegmentName::random(self.node.id());
        let put = |name, octets: &[u8]| {
            let object = SharedObject::create(&name, octets.len().max(1) as u64, 0o600).unwrap();
            object.file().write_all_at(octets, 0).unwrap();
            object.file().set_len(octets.len() as u64).unwrap();
            object
        };
        let objects = [put(name.data(), dat), put(name.control(), ctl)];
        let flink = self.home.path("forged.flink");
        create_flink(&flink, 0o644, &name).unwrap();
        let attached = PosixSlotAllocator::attach(&self.node, &flink, None);
        fs::remove_file(&flink).unwrap();
        objects.iter().for_each(|object| object.unlink().unwrap());
        attached
    }

    /// What attaching says to a data object that was changed, with its checksum put right.
    fn with_dat(&self, change: impl FnOnce(&mut Vec<u8>)) -> Result<PosixSlotAllocator, SlotError> {
        let mut dat = self.dat.clone();
        change(&mut dat);
        put_checksums_right(&mut dat, &mut self.ctl.clone());
        self.attach(&dat, &self.ctl)
    }
}

fn control(data: &Path) -> PathBuf {
    data.with_extension("ctl")
}

fn u32_at(octets: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(octets[at..at + 4].try_into().unwrap())
}

fn put_checksums_right(dat: &mut [u8], ctl: &mut [u8]) {
    let strings = (u32_at(dat, 12) as usize).min(dat.len() - STRINGS);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&dat[16..256]);
    crc.update(&dat[STRINGS..STRINGS + strings]);
    dat[8..12].copy_from_slice(&crc.finalize().to_le_bytes());
    let crc = crc32fast::hash(&ctl[16..64]);
    ctl[8..12].copy_from_slice(&crc.to_le_bytes());
}

/// The format error that was to come.
#[track_caller]
fn format_error(result: Result<PosixSlotAllocator, SlotError>) -> FormatError {
    match result {
        Err(SlotError::Format(error)) => {
            assert!(!error.to_string().is_empty());
            error
        }
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("attached"),
    }
}

#[test]
fn an_unchanged_copy_is_attached_to() {
    let forge = Forge::new();
    let attached = forge.attach(&forge.dat, &forge.ctl).unwrap();
    assert_eq!(attached.identity(), forge.owner.identity());
    // A newer minor version of the format is no reason to refuse.
    let mut newer = (forge.dat.clone(), forge.ctl.clone());
    (newer.0[6], newer.1[6]) = (7, 7);
    forge.attach(&newer.0, &newer.1).unwrap();
}

#[test]
fn every_octet_of_the_identities_counts() {
    let forge = Forge::new();
    // But the minor version.
    for at in (0..6).chain(8..256) {
        let mut dat = forge.dat.clone();
        dat[at] ^= 0x80;
        let error = format_error(forge.attach(&dat, &forge.ctl));
        match at {
            0..4 => assert!(matches!(error, FormatError::Magic { .. }), "{at}: {error}"),
            4..6 => assert!(matches!(error, FormatError::Version { .. }), "{at}: {error}"),
            12..16 => assert!(
                matches!(error, FormatError::Truncated { .. } | FormatError::Checksum { .. }),
                "{at}: {error}"
            ),
            _ => assert!(matches!(error, FormatError::Checksum { .. }), "{at}: {error}"),
        }
    }
    for at in (0..6).chain(8..12).chain(16..64) {
        let mut ctl = forge.ctl.clone();
        ctl[at] ^= 0x80;
        let error = format_error(forge.attach(&forge.dat, &ctl));
        match at {
            0..4 => assert!(matches!(error, FormatError::Magic { .. }), "{at}: {error}"),
            4..6 => assert!(matches!(error, FormatError::Version { .. }), "{at}: {error}"),
            _ => assert!(matches!(error, FormatError::Checksum { .. }), "{at}: {error}"),
        }
    }
    for at in STRINGS..STRINGS + "TopicTypeu32".len() {
        let mut dat = forge.dat.clone();
        dat[at] ^= 0x01;
        let error = format_error(forge.attach(&dat, &forge.ctl));
        assert!(matches!(error, FormatError::Checksum { .. }), "{at}: {error}");
    }
}

#[test]
fn another_major_version_is_named() {
    let forge = Forge::new();
    let error = format_error(forge.with_dat(|dat| dat[4..8].copy_from_slice(&[2, 0, 3, 0])));
    assert_eq!(error, FormatError::Version { major: 2, minor: 3 });
    assert!(error.to_string().contains("2.3"), "{error}");
}

#[test]
fn numbers_that_make_no_sense_are_refused_whatever_the_checksum_says() {
    let forge = Forge::new();
    // slot count, capacity, stride, reader capacity, offset of the slots
    for (at, len) in [(56, 4), (60, 4), (64, 8), (72, 4), (80, 8)] {
        let numbers =
            [0, 1, 63, 65, 1 << 20, (1 << 20) + 1, 1 << 31, u64::MAX / 2 + 1, u64::MAX - 63];
        for number in numbers.into_iter().chain([u64::from(u32::MAX), u64::MAX]) {
            let octets = &number.to_le_bytes()[..len];
            if forge.dat[at..at + len] == *octets {
                continue;
            }
            let result = forge.with_dat(|dat| dat[at..at + len].copy_from_slice(octets));
            if at == 60 && u32_at(octets, 0) <= 256 {
                // A smaller capacity than there is room for harms nobody.
                result.unwrap();
                continue;
            }
            let error = format_error(result);
            assert!(
                matches!(
                    error,
                    FormatError::Geometry { .. }
                        | FormatError::Truncated { .. }
                        | FormatError::Mixed { .. }
                ),
                "{number} at {at}: {error}"
            );
        }
    }
}

#[test]
fn strings_that_are_none_are_refused() {
    let forge = Forge::new();
    for at in [92, 96, 100] {
        for len in [13u32, 1000, u32::MAX] {
            let result = forge.with_dat(|dat| dat[at..at + 4].copy_from_slice(&len.to_le_bytes()));
            assert_eq!(format_error(result), FormatError::Strings);
        }
    }
    let result = forge.with_dat(|dat| dat[STRINGS] = 0xff);
    assert_eq!(format_error(result), FormatError::Strings);
    for len in [1 << 20, u32::MAX] {
        let result = forge.with_dat(|dat| dat[12..16].copy_from_slice(&u32::to_le_bytes(len)));
        assert!(matches!(format_error(result), FormatError::Truncated { .. }));
    }
}

#[test]
fn the_objects_of_two_incarnations_are_not_mixed() {
    let (one, other) = (Forge::new(), Forge::new());
    for (dat, ctl) in [(&one.dat, &other.ctl), (&other.dat, &one.ctl)] {
        let error = format_error(one.attach(dat, ctl));
        assert!(matches!(error, FormatError::Mixed { .. }), "{error}");
    }
    // Nor taken for each other.
    for (dat, ctl) in [(&one.ctl, &one.dat), (&one.dat, &one.dat), (&one.ctl, &one.ctl)] {
        let error = format_error(one.attach(dat, ctl));
        assert!(
            matches!(error, FormatError::Magic { .. } | FormatError::Truncated { .. }),
            "{error}"
        );
    }
}

#[test]
fn truncated_objects_are_refused() {
    let forge = Forge::new();
    let cuts = |len: usize| {
        [1, 7, 63, 64, 255, 256, 4095, 4096, STRINGS - 1, STRINGS, STRINGS + 5, len - 64, len - 1]
    };
    for len in cuts(forge.dat.len()) {
        let error = format_error(forge.attach(&forge.dat[..len], &forge.ctl));
        assert!(matches!(error, FormatError::Truncated { .. }), "{len}: {error}");
    }
    for len in cuts(forge.ctl.len()) {
        let error = format_error(forge.attach(&forge.dat, &forge.ctl[..len]));
        assert!(matches!(error, FormatError::Truncated { .. }), "{len}: {error}");
    }
    for (dat, ctl) in [(&[][..], &*forge.ctl), (&forge.dat, &[])] {
        let error = forge.attach(dat, ctl).unwrap_err();
        assert!(matches!(error, SlotError::Shm(ShmError::BadLength { len: 0, .. })), "{error}");
    }
}

#[test]
fn foreign_objects_are_refused() {
    let forge = Forge::new();
    for octet in [0, 0x55, 0xff] {
        let foreign = vec![octet; 1 << 16];
        let error = format_error(forge.attach(&foreign, &forge.ctl));
        assert!(matches!(error, FormatError::Magic { .. }), "{error}");
        let error = format_error(forge.attach(&forge.dat, &foreign));
        assert!(matches!(error, FormatError::Magic { .. }), "{error}");
    }
    // Its owner has not finished it: the magic comes last.
    let mut unfinished = forge.dat.clone();
    unfinished[..4].fill(0);
    let error = format_error(forge.attach(&unfinished, &forge.ctl));
    assert_eq!(error, FormatError::Magic { found: 0 });
}

#[test]
fn a_type_mismatch_names_both_layouts() {
    let forge = Forge::new();
    let expected = ExpectedType { hash: TypeHash::of_layout("f64"), layout: "f64".to_owned() };
    let flink = forge.owner.flink_path();
    let error = PosixSlotAllocator::attach(&forge.node, flink, Some(&expected)).unwrap_err();
    let said = error.to_string();
    let SlotError::TypeMismatch { expected_layout, found_layout, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((&*expected_layout, &*found_layout), ("f64", "u32"));
    assert!(said.contains("f64") && said.contains("u32"), "{said}");
}

#[test]
fn a_path_that_is_no_flink_is_refused() {
    let forge = Forge::new();
    let attach = |path: &Path| PosixSlotAllocator::attach(&forge.node, path, None).unwrap_err();
    let path = forge.home.path("x.flink");
    for contents in ["", "nonsense", "dds-shm-00000000000000ab-00001234\n\n", "../../etc/passwd"]
        .map(str::to_owned)
        .into_iter()
        .chain(["x".repeat(1 << 20), "\0".repeat(33), "dds-shm-".repeat(4)])
    {
        fs::write(&path, &contents).unwrap();
        let error = attach(&path);
        assert!(
            matches!(&error, SlotError::Liveness(LivenessError::BadFlink { path: named }) if *named == path),
            "{error}"
        );
        assert!(error.to_string().contains("x.flink"), "{error}");
    }
    let link = forge.home.path("link.flink");
    symlink(forge.owner.flink_path(), &link).unwrap();
    let pipe = forge.home.path("pipe.flink");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in [&link, &pipe, &forge.home.path("")] {
        let error = attach(path);
        assert!(
            matches!(error, SlotError::Liveness(LivenessError::Shm(ShmError::NotRegular { .. }))),
            "{path:?}: {error}"
        );
    }
    let error = attach(&forge.home.path("missing.flink"));
    assert!(
        matches!(error, SlotError::Liveness(LivenessError::Shm(ShmError::NotFound { .. }))),
        "{error}"
    );
    // A good flink of objects that are gone.
    create_flink(&forge.home.path("gone.flink"), 0o644, &SegmentName::random(forge.node.id()))
        .unwrap();
    let error = attach(&forge.home.path("gone.flink"));
    assert!(matches!(error, SlotError::Shm(ShmError::NotFound { .. })), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever stands in both objects, attaching says yes or no; and after yes, everything works or
    /// says why not.
    #[test]
    fn no_change_of_the_objects_ends_a_process(
        changes in proptest::collection::vec((any::<bool>(), 0usize..0x1400, any::<u8>()), 1..6),
        fields in proptest::collection::vec((16usize..108, any::<u8>()), 0..4),
        right in any::<bool>(),
    ) {
        thread_local! {
            static FORGE: Forge = Forge::new();
        }
        FORGE.with(|forge| {
            let (mut dat, mut ctl) = (forge.dat.clone(), forge.ctl.clone());
            for (control, at, octet) in &changes {
                let object = if *control { &mut ctl } else { &mut dat };
                let at = at % object.len();
                object[at] = *octet;
            }
            for (at, octet) in &fields {
                dat[*at] = *octet;
            }
            if right {
                put_checksums_right(&mut dat, &mut ctl);
            }
            match forge.attach(&dat, &ctl) {
                Err(error) => assert!(!error.to_string().is_empty()),
                Ok(attached) => {
                    let geometry = attached.identity().geometry;
                    assert!(geometry.slot_count >= 1 && geometry.dat_len() <= dat.len() as u64);
                    if let Ok(reader) = attached.add_reader(&ReaderOptions::default())
                        && let Ok(Some(handle)) = attached.next_unread_slot(reader)
                    {
                        let _ = attached.read_slot(handle);
                        let _ = attached.mark_read(handle, reader);
                    }
                }
            }
        });
    }
}

/// Loops of a writer and its readers that go on until they are stopped, whatever they are told.
struct Running {
    stop: AtomicBool,
    written: AtomicU64,
    refused: AtomicU64,
    received: AtomicU64,
    attached: AtomicU64,
}

impl Running {
    fn write(&self, writer: &SlotWriter) {
        let mut number = 0u64;
        while !self.stop.load(Ordering::Relaxed) {
            number += 1;
            match writer.write(&[number as u8; 256], &SampleInfo::default()) {
                Ok(_) => self.written.fetch_add(1, Ordering::Relaxed),
                Err(SlotError::Timeout { .. }) => self.refused.fetch_add(1, Ordering::Relaxed),
                Err(error) => panic!("{error}"),
            };
            let _ = (writer.readers(), writer.take_events());
        }
    }

    /// `keeps`: how many samples it has in use at once.
    fn read(&self, node: &Arc<Node>, flink: &Path, keeps: usize) {
        while !self.stop.load(Ordering::Relaxed) {
            let options = ReaderOptions { max_held: keeps, ..ReaderOptions::default() };
            match PosixSlotAllocator::open_reader(node, flink, None, options) {
                Ok(reader) => {
                    self.attached.fetch_add(1, Ordering::Relaxed);
                    self.take(&reader, keeps);
                }
                // Every entry looks taken.
                Err(SlotError::ReaderTableFull { .. }) => thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn take(&self, reader: &SlotReader, keeps: usize) {
        let (mut held, mut copy) = (Vec::new(), Vec::new());
        let mut idle = 0;
        while !self.stop.load(Ordering::Relaxed) && idle < 20 {
            match reader.take_within(Duration::from_millis(5)) {
                Ok(Some(sample)) => {
                    idle = 0;
                    self.received.fetch_add(1, Ordering::Relaxed);
                    // Whatever is in it: a size within the slot, and octets that can be read.
                    assert!(sample.bytes().len() <= 256);
                    let _ = sample.copy_checked(&mut copy);
                    held.push(sample);
                    if held.len() == keeps {
                        held.swap_remove(0);
                    }
                }
                Ok(None) => idle += 1,
                Err(SlotError::TooManyHeld { .. }) => held.clear(),
                // The owner believes what the control object says of who is there.
                Err(SlotError::Evicted | SlotError::Refused | SlotError::WriterLost) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Writes values that mean something, or nothing, into random words.
fn scribble(ctl: &File, len: u64, until: Instant) {
    while Instant::now() < until {
        let word = match rand::random_range(0..4) {
            // The bells, the readers' lines, the hold words; or anything.
            0 => rand::random_range(0x80..0x200),
            1 => 0x200 + 128 * rand::random_range(0..6) + rand::random_range(0..128),
            2 => 0x2200 + rand::random_range(0..64),
            _ => rand::random_range(0x40..len - 8),
        };
        let value: u64 = match rand::random_range(0..6) {
            0 => 0,
            1 => u64::MAX,
            2 => rand::random_range(0..4),
            3 => 1 << rand::random_range(0..64),
            4 => rand::random_range(0..4) | rand::random_range(0..8) << 8,
            _ => rand::random(),
        };
        ctl.write_all_at(&value.to_le_bytes(), word / 8 * 8).unwrap();
        thread::yield_now();
    }
}

/// How many panics there were in service threads, which survive them.
fn service_panics() -> u64 {
    static PANICS: AtomicU64 = AtomicU64::new(0);
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let otherwise = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if thread::current().name() == Some("dds-shm") {
                PANICS.fetch_add(1, Ordering::Relaxed);
            }
            otherwise(info);
        }));
    });
    PANICS.load(Ordering::Relaxed)
}

fn scribble_under(options: &SegmentOptions) {
    let panics = service_panics();
    let home = Home::new();
    let owner = PosixSlotAllocator::create(&home.node(), options).unwrap();
    let (flink, data) = (owner.flink_path().to_owned(), owner.segment_path().to_owned());
    let writer = owner.into_writer().unwrap();
    let ctl = File::options().write(true).open(control(&data)).unwrap();
    let len = ctl.metadata().unwrap().len();
    let node = home.node();
    let running = Running {
        stop: AtomicBool::new(false),
        written: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        received: AtomicU64::new(0),
        attached: AtomicU64::new(0),
    };
    let start = Instant::now();
    thread::scope(|scope| {
        let running = &running;
        let mut threads = vec![scope.spawn(move || running.write(&writer))];
        for keeps in [1, 1, 2] {
            let (node, flink) = (&node, &flink);
            threads.push(scope.spawn(move || running.read(node, flink, keeps)));
        }
        scribble(&ctl, len, start + Duration::from_secs(1));
        running.stop.store(true, Ordering::Relaxed);
        let stopped = Instant::now();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(stopped.elapsed() < SOON, "{:?}", stopped.elapsed());
    });
    assert_eq!(service_panics(), panics);
    let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
    assert!(count(&running.written) + count(&running.refused) > 0);
    assert!(count(&running.attached) > 0);
}

#[test]
fn nothing_that_is_scribbled_into_the_control_object_ends_an_overwriting_writer_or_its_readers() {
    scribble_under(&options().misbehaves_after(Duration::from_secs(600)));
}

#[test]
fn nothing_that_is_scribbled_into_the_control_object_ends_a_waiting_writer_or_its_readers() {
    let waits = FlowPolicy::keep_all(Duration::from_millis(20));
    scribble_under(&options().flow(waits).misbehaves_after(Duration::from_secs(600)));
}

/// What a child does: has its memory taken away, with the handler installed.
#[test]
#[ignore = "run by other tests, in a process of its own"]
fn another_process() {
    let Some((object, _, dir)) = role() else { return };
    sigbus::install().unwrap();
    let node = Node::new(&RuntimeDir::create(&dir).unwrap(), no_janitor()).unwrap();
    let owner = PosixSlotAllocator::create(&node, &options()).unwrap();
    let (flink, data) = (owner.flink_path().to_owned(), owner.segment_path().to_owned());
    let writer = owner.into_writer().unwrap();
    let reader =
        PosixSlotAllocator::open_reader(&node, &flink, None, ReaderOptions::default()).unwrap();
    eventually("admission", || reader.is_admitted());
    let write = || writer.write(&[1; 256], &SampleInfo::default());
    write().unwrap();
    assert!(reader.take().unwrap().is_some());
    let path = match &*object {
        "data" => data,
        "control" => control(&data),
        _ => Path::new("/dev/shm").join(format!("dds-shm-{}.bell", node.id())),
    };
    say(path.display());
    await_go();
    let until = Instant::now() + if object == "bell" { SOON / 10 } else { SOON / 4 };
    let mut errors = [None, None];
    while errors.iter().any(Option::is_none) && Instant::now() < until {
        if errors[0].is_none() {
            errors[0] = write().err().map(|error| format!("{error:?}"));
        }
        if errors[1].is_none() {
            let taken = reader.take_within(Duration::from_millis(1));
            errors[1] = taken.err().map(|error| format!("{error:?}"));
        }
    }
    say(format!("{errors:?}"));
    drop((reader, writer));
    say("dropped");
}

#[test]
fn memory_that_is_taken_away_is_an_error() {
    // Without its bell a process looks by itself from time to time.
    let poisoned = "[Some(\"Poisoned\"), Some(\"Poisoned\")]";
    for (object, said) in [("data", poisoned), ("control", poisoned), ("bell", "[None, None]")] {
        let home = Home::new();
        let mut child = home.child(object, "");
        let path = PathBuf::from(child.line());
        SharedObject::open(
            &dds_shm::shm::ObjectName::new(path.file_name().unwrap().to_str().unwrap()).unwrap(),
            Access::ReadWrite,
        )
        .unwrap()
        .file()
        .set_len(0)
        .unwrap();
        child.go_on();
        child.expect(said);
        child.expect("dropped");
        assert!(child.ends_well());
    }
}
