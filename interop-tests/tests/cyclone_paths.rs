//! Which way the samples of unmodified C applications of Cyclone DDS go, and that they arrive whichever
//! it is.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use interop_tests::{
    CycloneApp, CycloneOptions, Need, PeerOptions, Via, in_namespace, loopback_octets,
};
use serde_json::Value;

fn plugin() -> CycloneOptions {
    CycloneOptions::new(Via::Plugin)
}

fn network() -> CycloneOptions {
    CycloneOptions::new(Via::Network)
}

/// Writes 20 samples of a MiB; the octets that went over the loopback interface meanwhile.
fn octets_of_20_mib(options: &CycloneOptions, kind: &str, mode: &str) -> u64 {
    let (mut writer, mut reader) = (options.start(), options.start());
    writer.connect(&mut reader, kind, "Bulk", ["keep-all", "keep-all"]);
    let before = loopback_octets();
    let write = format!("write w 1 1 20 size=1048560 mode={mode}");
    writer.run(&write);
    assert_eq!(reader.take("r count=20 mode=loan").len(), 20, "{options:?} {kind} {mode}");
    loopback_octets() - before
}

#[test]
fn payload_bypasses_the_network() {
    in_namespace!([Need::CycloneC], || {
        for (kind, mode) in [
            ("Large", "write"),
            ("Large", "loan"),
            ("Large", "cdr"),
            ("Blob", "write"),
            ("Letter", "cdr"),
        ] {
            let (udp, shm) =
                (octets_of_20_mib(&network(), kind, mode), octets_of_20_mib(&plugin(), kind, mode));
            assert!(udp > 20 << 20, "{kind} {mode}: {udp} octets, and 20 MiB were sent");
            assert!(shm < 1 << 20, "{kind} {mode}: {shm} octets of 20 MiB went over the network");
        }
    });
}

/// What /proc/self/maps says of the memory that events tell of.
fn mappings(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["mapping"].as_str()).collect()
}

#[test]
fn loans_lie_in_the_segment() {
    in_namespace!([Need::CycloneC], || {
        for kind in ["Fixed64", "KeyedByNumber", "Large"] {
            let (mut writer, mut reader) = (plugin().start(), plugin().start());
            writer.connect(&mut reader, kind, "Loans", ["keep-all", "keep-all"]);
            for number in 1..=5 {
                let written = writer.run(&format!("write w 1 {number} 1 mode=loan"));
                let taken = reader.run("take r count=1 mode=loan");
                // What is written is in memory of the writer's, what is read cannot be written.
                let maps = [mappings(&written), mappings(&taken)].concat();
                assert_eq!(maps.len(), 2, "{kind}: {written:?} {taken:?}");
                assert!(maps[0].starts_with("rw-s /dev/shm/"), "{kind}: {maps:?}");
                assert!(maps[1].starts_with("r--s /dev/shm/"), "{kind}: {maps:?}");
            }
        }
    });
}

#[test]
fn peers_with_and_without_the_plugin_reach_each_other() {
    in_namespace!([Need::CycloneC], || {
        for kind in ["KeyedByNumber", "KeyedByName"] {
            let mut apps = [plugin().start(), network().start(), plugin().start()];
            for (number, app) in apps.iter_mut().enumerate() {
                app.run(&format!("reader r {kind} Mixed keep-all"));
                app.run(&format!("writer w{number} {kind} Mixed keep-all"));
            }
            for (number, app) in apps.iter_mut().enumerate() {
                app.matched("r", 3);
                app.matched(&format!("w{number}"), 3);
            }
            for (number, app) in apps.iter_mut().enumerate() {
                app.run(&format!("write w{number} {number} 1 5"));
            }
            let all: Vec<_> = apps.iter_mut().map(|app| sorted(app.take("r count=15"))).collect();
            assert_eq!(all[0].len(), 15, "each once: {:?}", all[0]);
            assert!(all.iter().all(|taken| *taken == all[0]), "{all:?}");
            for app in &mut apps {
                app.run("sleep 50");
                assert_eq!(app.take("r"), [""; 0], "nothing comes twice");
            }
        }
    });
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

#[test]
fn a_python_application_beside_it() {
    in_namespace!([Need::Cyclone, Need::CycloneC], || {
        // The wheel's types cannot use a plugin, which is loaded by it all the same.
        for python in [network(), plugin()] {
            let peer = PeerOptions::default().topic("Beside", "interop::Sample").keep_all();
            let (mut app, mut other) = (plugin().start(), plugin().start());
            let mut writer = peer.clone().writer().cyclone_as(&python);
            let mut reader = peer.reader().cyclone_as(&python);
            reader.ready();
            writer.ready();
            app.run("writer w Sample Beside keep-all");
            app.run("reader r Sample Beside keep-all");
            other.run("reader r Sample Beside keep-all");
            app.matched("w", 3);
            app.matched("r", 2);
            other.matched("r", 2);
            app.run("write w 1 100 5");
            reader.wait_for("sample", |event| event["value"] == 104);
            other.run("take r count=5 mode=loan");
            app.run("take r count=5");
            assert!(writer.write(3));
            reader.wait_for("sample", |event| event["value"] == 2);
            assert_eq!(other.take("r count=3").len(), 3);
            assert_eq!(app.take("r count=3").len(), 3);
            let values = reader.events().iter().filter(|event| event["event"] == "sample");
            assert_eq!(values.count(), 8, "nothing comes twice");
        }
    });
}

#[test]
fn types_that_evolved() {
    in_namespace!([Need::CycloneC], || {
        for (old, new) in [(network(), network()), (plugin(), plugin())] {
            let (mut old, mut new) = (old.start(), new.start_evolved());
            for kind in ["Growing", "Changing"] {
                evolved_pair(kind, &mut old, &mut new);
                evolved_pair(kind, &mut new, &mut old);
            }
            new.run("reader r Stiff Stiff");
            old.run("writer w Stiff Stiff");
            old.run("write w 1 1 3");
            new.run("sleep 200");
            assert_eq!(new.take("r"), [""; 0]);
            assert_eq!(new.status("r", "matched"), 0);
        }
    });
}

fn evolved_pair(kind: &str, writer: &mut CycloneApp, reader: &mut CycloneApp) {
    writer.connect(reader, kind, kind, ["keep-all", "keep-all"]);
    writer.run("write w 1 1 3");
    writer.run("dispose w 1");
    let taken = reader.take("r count=3");
    assert!(taken.iter().all(|text| text.starts_with("id=1 ")), "{taken:?}");
    let last = taken.iter().rfind(|text| text.contains("[data")).unwrap();
    assert!(last.contains(" seq=3 value="), "{last}");
    writer.run("clear");
    reader.run("clear");
}

#[test]
fn several_domains_and_instances_in_one_process() {
    in_namespace!([Need::CycloneC], || {
        // Three domains; the last two of them are one to everybody else.
        let participants = ["a domain=1", "b domain=2 external=9", "c domain=3 external=9"];
        // An endpoint in two instances would get everything twice: Cyclone DDS writes to each.
        let two = plugin().instance("one").instance("two");
        for (options, exchange) in [(network(), ""), (plugin(), ""), (two, "psmx=two")] {
            let mut apps = [options.start_bare(), options.start_bare()];
            for app in &mut apps {
                for participant in participants {
                    app.run(&format!("participant {participant}"));
                }
                for name in ["a", "b", "c"] {
                    let rest = format!("KeyedByNumber Domains in={name} keep-all {exchange}");
                    app.run(&format!("reader r{name} {rest}"));
                    app.run(&format!("writer w{name} {rest}"));
                }
            }
            for app in &mut apps {
                for (name, count) in [("a", 2), ("b", 4), ("c", 4)] {
                    app.matched(&format!("r{name}"), count);
                    app.matched(&format!("w{name}"), count);
                }
            }
            for (id, app) in apps.iter_mut().enumerate() {
                for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
                    app.run(&format!("write w{name} {id} {} 2", 1 + number * 2));
                }
            }
            for app in &mut apps {
                for (name, count) in [("a", 4), ("b", 8), ("c", 8)] {
                    let taken = app.take(&format!("r{name} count={count}"));
                    assert_eq!(taken.len(), count, "{options:?}: {taken:?}");
                }
                app.run("sleep 50");
                for name in ["ra", "rb", "rc"] {
                    assert_eq!(app.take(name), [""; 0], "{options:?}");
                }
            }
        }
    });
}

/// Descriptors, mappings and threads of a process.
fn belongings(process: u32) -> [usize; 3] {
    // The process is in a namespace of its own, and /proc is not: the kernel says which it is there.
    let task = children_of_this_namespace()
        .into_iter()
        .find(|(inside, _)| *inside == process)
        .map(|(_, outside)| Path::new("/proc").join(outside.to_string()))
        .unwrap();
    let count = |name: &str| fs::read_dir(task.join(name)).unwrap().count();
    [count("fd"), fs::read_to_string(task.join("maps")).unwrap().lines().count(), count("task")]
}

/// The processes of this namespace: their numbers in it, and those in /proc.
fn children_of_this_namespace() -> Vec<(u32, u32)> {
    let own = fs::read_link("/proc/self/ns/pid").unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| {
        let outside: u32 = entry.file_name().to_str()?.parse().ok()?;
        if fs::read_link(entry.path().join("ns/pid")).ok()? != own {
            return None;
        }
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        Some((line.split_whitespace().last()?.parse().ok()?, outside))
    });
    numbers.collect()
}

#[test]
fn loaded_and_unloaded_again_and_again() {
    in_namespace!([Need::CycloneC], || {
        let mut other = plugin().start();
        other.run("reader r KeyedByName Again keep-all");
        let mut app = plugin().start_bare();
        let mut had = Vec::new();
        for round in 1..=12 {
            app.run("participant p");
            app.run("writer w KeyedByName Again keep-all");
            app.run("reader own KeyedByName Again keep-all");
            app.matched("w", 2);
            other.matched("r", 1);
            app.run(&format!("write w 1 {round} 1"));
            assert_eq!(other.take("r count=1").len(), 1);
            app.run("clear");
            // The last participant takes domain and plugin with it.
            app.run("delete p");
            other.matched("r", 0);
            other.run("take r");
            had.push(belongings(app.peer().process_id()));
        }
        // The first rounds fill what is kept for the next.
        let (early, late) = (had[3], had[11]);
        for (what, (early, late)) in
            ["descriptors", "mappings", "threads"].iter().zip(early.iter().zip(late))
        {
            assert!(late <= early + 2, "{what} grow: {had:?}");
        }
        app.stop();
    });
}

#[test]
fn an_unknown_option_is_warned_about() {
    in_namespace!([Need::CycloneC], || {
        let log = Path::new("/dev/shm/app.log");
        let options = plugin().plugin_options("COLOUR=green;SLOTS=many;").log(log);
        let (mut writer, mut reader) = (options.start(), plugin().start());
        assert_goes_by(Via::Plugin, &mut writer, &mut reader);
        let said = fs::read_to_string(log).unwrap();
        assert!(said.contains("COLOUR") && said.contains("SLOTS=many"), "{said}");
    });
}

/// Asserts that 4 MiB arrive, and which way.
fn assert_goes_by(via: Via, writer: &mut CycloneApp, reader: &mut CycloneApp) {
    writer.connect(reader, "Large", "Way", ["keep-all", "keep-all"]);
    let before = loopback_octets();
    writer.run("write w 1 1 4");
    assert_eq!(reader.take("r count=4").len(), 4);
    let octets = loopback_octets() - before;
    assert_eq!(octets < 1 << 20, via == Via::Plugin, "{octets} octets went over the network");
}

fn run(command: &str) {
    let status = Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(status.success(), "{command}");
}

#[test]
fn without_shared_memory_it_is_the_network() {
    in_namespace!([Need::CycloneC], || {
        // Where the runtime directory cannot be made, or is none.
        run("mkdir /dev/shm/closed && mount -t tmpfs -o ro none /dev/shm/closed");
        run("touch /dev/shm/file");
        let log = Path::new("/dev/shm/log");
        for place in ["/dev/shm/closed/dds-shm", "/dev/shm/file", "/proc/dds-shm"] {
            let options = plugin().environment("DDS_SHM_DIR", place).log(log);
            // Both, and one: the other has shared memory.
            for reader in [options.clone(), plugin()] {
                let (mut writer, mut reader) = (options.start(), reader.start());
                assert_goes_by(Via::Network, &mut writer, &mut reader);
            }
            let said = fs::read_to_string(log).unwrap();
            let place = Path::new(place);
            let named = |line: &&str| {
                [Some(place), place.parent()]
                    .iter()
                    .flatten()
                    .any(|path| line.contains(&*path.to_string_lossy()))
            };
            assert_eq!(said.lines().filter(named).count(), 1, "one line says why: {said}");
        }
    });
}

#[test]
fn processes_that_do_not_share_memory_use_the_network() {
    in_namespace!([Need::CycloneC], || {
        // As in a container: a /dev/shm of its own.
        let mut writer = plugin().start();
        run("mount -t tmpfs -o size=256m,mode=1777 another /dev/shm");
        let mut reader = plugin().start();
        assert_goes_by(Via::Network, &mut writer, &mut reader);
    });
}

/// Starts `ddsperf` with these words.
fn ddsperf(options: &CycloneOptions, words: &str) -> Child {
    options
        .command("ddsperf")
        .args(words.split_whitespace())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Its end, which has to be a good one: it says itself when samples were lost, or too few came.
fn assert_ends_well(ddsperf: Child) {
    let output = ddsperf.wait_with_output().unwrap();
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&said));
}

#[test]
fn ddsperf_pings_and_publishes() {
    in_namespace!([Need::CycloneC], || {
        for (passive, active) in [
            ("pong", "-Q roundtrips:300 ping size 65536"),
            ("-T KS -k all -Q samples:500 sub", "-T KS -k all pub 1kHz size 65536"),
            ("-T K32 -k all -Q samples:5000 sub", "-T K32 -k all pub 10kHz"),
            ("-T UK1k -k all -Q samples:2000 sub waitset", "-T UK1k -k all pub 5kHz loan"),
        ] {
            let before = loopback_octets();
            let passive = ddsperf(&plugin(), &format!("-D 3.5 {passive}"));
            let active = ddsperf(&plugin(), &format!("-D 2.5 {active}"));
            assert_ends_well(active);
            assert_ends_well(passive);
            let octets = loopback_octets() - before;
            assert!(octets < 4 << 20, "{octets} octets went over the network");
        }
    });
}

#[test]
fn leaving_without_a_word_leaves_nothing_behind() {
    in_namespace!([Need::CycloneC], || {
        let lease = Duration::from_secs(1);
        let mut reader = plugin().lease(lease).start();
        for round in 1..=5 {
            let mut writer = plugin().lease(lease).start();
            writer.connect(&mut reader, "KeyedByNumber", "Leaving", ["keep-all", "keep-all"]);
            writer.run("write w 1 1 10");
            assert_eq!(reader.take("r count=10 mode=loan").len(), 10, "round {round}");
            writer.peer().tell("exit");
            reader.matched("r", 0);
            reader.run("clear");
        }
        reader.stop();
        // Whoever is next tidies up.
        plugin().start().stop();
        let left: Vec<_> = fs::read_dir("/dev/shm")
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name())
            .filter(|name| !name.to_string_lossy().starts_with("dds-shm-"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    });
}
