//! Unmodified C applications of Cyclone DDS that are killed, with whatever they hold, again and again:
//! nobody waits for the dead, nothing of theirs is left, and those who come after find everything in
//! order.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::time::Duration;

use interop_tests::{CycloneApp, CycloneOptions, Need, Via, in_namespace};

/// Rounds of each loop; `scripts/cyclonedds.sh` sets more.
fn rounds() -> u32 {
    std::env::var("DDS_SHM_CYCLONE_ROUNDS").map_or(6, |rounds| rounds.parse().unwrap())
}

/// With a lease short enough for a test: Cyclone DDS itself tells of the dead only when it is over.
fn plugin() -> CycloneOptions {
    CycloneOptions::new(Via::Plugin).lease(Duration::from_millis(700))
}

const KINDS: [&str; 3] = ["Fixed64", "KeyedByName", "Large"];

/// Octets in use in /dev/shm.
fn memory() -> u64 {
    let stat = nix::sys::statvfs::statvfs("/dev/shm").unwrap();
    (stat.blocks() - stat.blocks_free()) * stat.fragment_size()
}

/// Objects in /dev/shm, the runtime directory's among them.
fn objects() -> Vec<String> {
    fn collect(folder: &str, into: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path().to_string_lossy().into_owned();
            if entry.file_type().unwrap().is_dir() {
                collect(&path, into);
            } else {
                into.push(path);
            }
        }
    }
    let mut objects = Vec::new();
    collect("/dev/shm", &mut objects);
    objects
}

/// The longest write of `count` samples, in milliseconds.
fn longest_write(writer: &mut CycloneApp, first: u32, count: u32) -> i64 {
    let written = writer.run(&format!("write w 1 {first} {count} mode=loan"));
    written[0]["longest_us"].as_i64().unwrap() / 1000
}

#[test]
fn readers_killed_with_loans_out() {
    in_namespace!([Need::CycloneC], || {
        for kind in KINDS {
            let mut writer = plugin().start();
            let mut survivor = plugin().start();
            writer.connect(&mut survivor, kind, kind, ["keep-all blocking=5000", "keep-all"]);
            survivor.run("drain r");
            let mut written = 0;
            let mut used = Vec::new();
            for round in 0..rounds() {
                let mut victim = plugin().start();
                victim.run(&format!("reader r {kind} {kind} keep-all"));
                victim.matched("r", 1);
                writer.matched("w", 2);
                longest_write(&mut writer, 1 + written, 3);
                let taken = victim.run("take r count=3 mode=loan keep");
                assert!(taken.len() >= 3, "{kind} {round}: {taken:?}");
                // More, which it does not look at.
                longest_write(&mut writer, 4 + written, 2);
                written += 5;
                victim.kill();
                // Full or not, nobody waits for the dead: neither for its lease.
                let longest = longest_write(&mut writer, 1 + written, 40);
                written += 40;
                assert!(longest < 500, "{kind} {round}: a write took {longest} ms");
                let drained = survivor.run(&format!("drained r count={written}"));
                assert_eq!(drained[0]["count"], written, "{kind} {round}");
                writer.matched("w", 1);
                used.push(memory());
            }
            // What the dead held is used again.
            let (early, late) = (used[1], used[used.len() - 1]);
            assert!(late <= early + (early >> 2), "{kind}: memory grows: {used:?}");
        }
    });
}

#[test]
fn writers_killed_with_loans_out() {
    in_namespace!([Need::CycloneC], || {
        for kind in KINDS {
            let mut reader = plugin().start();
            reader.run(&format!("reader r {kind} {kind} keep-all"));
            let mut used = Vec::new();
            for round in 0..rounds() {
                let mut victim = plugin().start();
                victim.run(&format!("writer w {kind} {kind} keep-all"));
                victim.matched("w", 1);
                reader.matched("r", 1);
                victim.run("write w 1 1 3");
                if kind != "KeyedByName" {
                    victim.run("loan w 1");
                }
                // What was written stays to be read, and what is held stays as it is.
                let held = reader.run("take r count=3 mode=loan keep");
                victim.run("write w 1 4 2");
                victim.kill();
                assert_eq!(reader.take("r count=2 mode=loan").len(), 2, "{kind} {round}");
                assert!(held.len() >= 3, "{kind} {round}: {held:?}");
                reader.matched("r", 0);
                reader.run("release r");
                reader.run("take r");
                used.push(memory());
            }
            let (early, late) = (used[1], used[used.len() - 1]);
            assert!(late <= early + (early >> 2), "{kind}: memory grows: {used:?}");
        }
    });
}

#[test]
fn everybody_killed_and_started_again() {
    in_namespace!([Need::CycloneC], || {
        let mut left = Vec::new();
        for round in 0..rounds() {
            let (mut writer, mut reader) = (plugin().start(), plugin().start());
            writer.connect(
                &mut reader,
                "Fixed64",
                "Again",
                ["keep-all transient-local", "keep-all"],
            );
            writer.run("write w 1 1 20 mode=loan");
            let taken = reader.take("r count=20 mode=loan keep");
            assert_eq!(taken.len(), 20, "{round}");
            // History of a former life is nobody's.
            assert!(taken[0].starts_with("seq=1 "), "{round}: {taken:?}");
            reader.kill();
            writer.kill();
            left.push(objects().len());
        }
        assert!(left[left.len() - 1] <= left[0] + 4, "{left:?}");
        // One that leaves well, after those that did not, leaves nothing.
        let app = plugin().start();
        app.stop();
        let objects = objects();
        assert!(objects.iter().all(|path| path.contains("/dds-shm-0/")), "{objects:?}");
    });
}

#[test]
fn killed_in_the_middle_of_writing_and_reading() {
    in_namespace!([Need::CycloneC], || {
        let mut survivor = plugin().start();
        survivor.run("reader r KeyedByNumber Middle keep-all");
        survivor.run("drain r");
        survivor.run("writer w KeyedByNumber Middle keep-all blocking=3000");
        for round in 0..rounds() {
            let mut writer = plugin().start();
            writer.run("writer w KeyedByNumber Middle keep-all blocking=3000");
            let mut reader = plugin().start();
            reader.run("reader r KeyedByNumber Middle keep-all");
            reader.run("drain r slow=20");
            writer.matched("w", 2);
            reader.matched("r", 2);
            survivor.matched("w", 2);
            // A write that goes on until it is killed.
            writer.peer().tell(&format!("write w {} 1 100000000", 10 + round));
            survivor.run(&format!("write w 2 {} 300", 1 + round * 600));
            reader.kill();
            survivor.run(&format!("write w 2 {} 300", 301 + round * 600));
            writer.kill();
            survivor.matched("w", 1);
            survivor.matched("r", 1);
        }
        let drained = survivor.run("drained r");
        assert_eq!(drained[0]["disordered"], 0, "{drained:?}");
    });
}
