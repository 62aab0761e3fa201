//! Many readers, many topics, many samples, full and slow: unmodified C applications of Cyclone DDS over
//! the plugin.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::Command;
use std::thread;

use interop_tests::{CycloneApp, CycloneOptions, Need, Via, in_namespace};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn plugin() -> CycloneOptions {
    CycloneOptions::new(Via::Plugin)
}

/// One number of what a reader has drained, when it has got so many, or ends.
fn drained(reader: &mut CycloneApp, words: &str, name: &str) -> i64 {
    let (_, events) = reader.try_run(&format!("drained {words}"));
    events[0][name].as_i64().unwrap()
}

#[test]
fn twenty_readers() {
    in_namespace!([Need::CycloneC], || {
        let mut apps: Vec<_> = (0..4).map(|_| plugin().start()).collect();
        let mut writer = plugin().start();
        for kind in ["Fixed64", "KeyedByName"] {
            for app in &mut apps {
                for reader in 0..5 {
                    app.run(&format!("reader r{reader} {kind} Twenty{kind} keep-all"));
                    app.run(&format!("drain r{reader}"));
                }
            }
            writer.run(&format!("writer w {kind} Twenty{kind} keep-all"));
            writer.matched("w", 20);
            for app in &mut apps {
                for reader in 0..5 {
                    app.matched(&format!("r{reader}"), 1);
                }
            }
            writer.run("write w 1 1 2000");
            for app in &mut apps {
                for reader in 0..5 {
                    let words = format!("r{reader} count=2000");
                    assert_eq!(drained(app, &words, "count"), 2000, "{kind} {words}");
                    assert_eq!(drained(app, &words, "disordered"), 0);
                }
                app.run("clear");
            }
            writer.run("clear");
        }
    });
}

#[test]
fn two_hundred_topics() {
    in_namespace!([Need::CycloneC], || {
        let (mut writer, mut reader) = (plugin().start(), plugin().start());
        for topic in 0..200 {
            let kind = ["KeyedByNumber", "KeyedByName"][topic % 2];
            writer.run(&format!("writer w{topic} {kind} Topic{topic} keep-all"));
            reader.run(&format!("reader r{topic} {kind} Topic{topic} keep-all"));
        }
        for topic in 0..200 {
            writer.matched(&format!("w{topic}"), 1);
            reader.matched(&format!("r{topic}"), 1);
        }
        for round in 0..2 {
            for topic in 0..200 {
                writer.run(&format!("write w{topic} {topic} {} 5", 1 + round * 5));
            }
            for topic in 0..200 {
                assert_eq!(reader.take(&format!("r{topic} count=5")).len(), 5, "topic {topic}");
            }
        }
        writer.stop();
        reader.stop();
    });
}

#[test]
fn reliable_keep_all_waits_for_a_slow_reader_and_loses_nothing() {
    in_namespace!([Need::CycloneC], || {
        for kind in ["Fixed64", "KeyedByName"] {
            let (mut writer, mut slow) = (plugin().start(), plugin().start());
            writer.connect(&mut slow, kind, "Slow", ["keep-all", "keep-all"]);
            slow.run("drain r slow=100");
            let mut fast = plugin().start();
            fast.run(&format!("reader r {kind} Slow keep-all"));
            fast.run("drain r");
            fast.matched("r", 1);
            writer.matched("w", 2);
            writer.run("write w 1 1 5000");
            for reader in [&mut slow, &mut fast] {
                assert_eq!(drained(reader, "r count=5000", "count"), 5000, "{kind}");
                assert_eq!(drained(reader, "r", "disordered"), 0);
            }
        }
    });
}

#[test]
fn a_stopped_reader_costs_a_reliable_writer_its_blocking_time() {
    in_namespace!([Need::CycloneC], || {
        let (mut writer, mut reader) = (plugin().start(), plugin().start());
        writer.connect(&mut reader, "Fixed64", "Stopped", ["keep-all blocking=200", "keep-all"]);
        reader.run("drain r");
        let process = Pid::from_raw(reader.peer().process_id().try_into().unwrap());
        kill(process, Signal::SIGSTOP).unwrap();
        // More than fits: what is refused is told as TIMEOUT, after the time that was allowed.
        let mut written = 0;
        let mut refused = None;
        for _ in 0..200 {
            let (code, events) = writer.try_run(&format!("write w 1 {} 100", 1 + written));
            written += events[0]["count"].as_i64().unwrap();
            if code != 0 {
                refused = Some((code, events[0]["longest_us"].as_i64().unwrap()));
                break;
            }
        }
        let (code, longest) = refused.unwrap();
        assert_eq!(code, -10, "TIMEOUT");
        assert!((190_000..600_000).contains(&longest), "{longest} us");
        kill(process, Signal::SIGCONT).unwrap();
        let all = drained(&mut reader, &format!("r count={written}"), "count");
        assert_eq!(all, written, "what was accepted arrives");
        // And those who need not wait do not.
        let mut lossy = plugin().start();
        lossy.run("writer w Fixed64 Stopped best-effort");
        lossy.run("reader r Fixed64 Stopped best-effort");
        lossy.run("write w 1 1 1000");
    });
}

/// What of a fixed workload over KEEP_LAST arrives, summed over rounds: a listener takes, as fast as it
/// can.
fn arrived(via: Via, workload: &Workload, rounds: u32) -> i64 {
    let (mut writer, mut reader) =
        (CycloneOptions::new(via).start(), CycloneOptions::new(via).start());
    let Workload { kind, depth, count, every } = workload;
    (0..rounds)
        .map(|_| {
            let qos = format!("depth={depth}");
            writer.connect(&mut reader, kind, "KeepLast", [&qos, &qos]);
            reader.run("drain r");
            writer.run(&format!("write w 1 1 {count} every={every}"));
            // What KEEP_LAST promises: the last arrives.
            writer.run("write w 1 1000000 1");
            let count = drained(&mut reader, "r ends=1", "count");
            assert_eq!(drained(&mut reader, "r", "ends"), 1, "{workload:?}");
            assert_eq!(drained(&mut reader, "r", "disordered"), 0, "{workload:?}");
            writer.run("clear");
            reader.run("clear");
            count
        })
        .sum()
}

#[derive(Debug)]
struct Workload {
    kind: &'static str,
    depth: u32,
    count: u32,
    every: u32,
}

#[test]
fn keep_last_loses_no_more_than_over_the_network() {
    in_namespace!([Need::CycloneC], || {
        let workload = |kind, depth, count, every| Workload { kind, depth, count, every };
        let rounds = 10;
        let mut worse = Vec::new();
        for workload in [
            workload("Fixed64", 1, 300, 1000),
            workload("KeyedByName", 1, 3000, 0),
            workload("KeyedByName", 16, 3000, 20),
            workload("Large", 1, 50, 0),
            workload("Large", 4, 50, 5000),
        ] {
            let network = arrived(Via::Network, &workload, rounds);
            let plugin = arrived(Via::Plugin, &workload, rounds);
            let written = rounds * workload.count;
            println!("{workload:?}: of {written}, network {network}, plugin {plugin}");
            // Both lose by chance, by who has the processor when: 2 % are no difference.
            if plugin + i64::from(written) / 50 < network {
                worse.push(format!(
                    "{workload:?}: of {written}, network {network}, plugin {plugin}"
                ));
            }
        }
        assert!(worse.is_empty(), "{worse:#?}");
    });
}

fn mount(words: &str) {
    let status = Command::new("mount").args(words.split(' ')).status().unwrap();
    assert!(status.success(), "mount {words}");
}

#[test]
fn a_full_dev_shm_is_an_error_of_writes_and_never_silence() {
    in_namespace!([Need::CycloneC], || {
        mount("-t tmpfs -o size=6m,mode=1777 small /dev/shm");
        // Not in /dev/shm, which is full.
        mount("-t tmpfs log /mnt");
        let log = Path::new("/mnt/log");
        let options = plugin().log(log);
        let (mut writer, mut reader) = (options.start(), plugin().start());
        writer.connect(&mut reader, "Fixed64", "Before", ["keep-all", "keep-all"]);
        // Segments for samples of a MiB do not fit, whoever asks first.
        writer.run("writer large Large Full keep-all blocking=500");
        reader.run("reader large Large Full keep-all");
        writer.matched("large", 1);
        reader.matched("large", 1);
        let (mut told, mut written) = (0, 0);
        for number in 1..=12 {
            let (code, _) = writer.try_run(&format!("write large 1 {number} 1"));
            if code == 0 { written += 1 } else { told += 1 }
        }
        let (_, events) = reader.try_run(&format!("take large count={written} mode=loan"));
        let taken = events.iter().filter(|event| event["event"] == "sample").count();
        assert_eq!(taken, written, "what was written arrives; {told} were errors");
        if told > 0 {
            let said = std::fs::read_to_string(log).unwrap();
            assert!(said.lines().count() < 6, "told once per cause: {said}");
            assert!(said.lines().count() < 6, "told once per cause: {said}");
            assert!(said.contains("Full"), "{said}");
        }
        // Those who have their memory go on.
        writer.run("write w 1 1 100");
        assert_eq!(reader.take("r count=100").len(), 100);
        // And when there is room again, all is well.
        mount("-o remount,size=256m /dev/shm");
        writer.run("write large 1 100 3");
        assert_eq!(reader.take("large count=3 mode=loan").len(), 3);
    });
}

#[test]
fn writers_in_many_threads_of_many_processes() {
    in_namespace!([Need::CycloneC], || {
        let mut reader = plugin().start();
        reader.run("reader r KeyedByNumber Crowd keep-all");
        reader.run("drain r");
        let writers = (0..4).map(|number| {
            thread::spawn(move || {
                let mut app = plugin().start();
                app.run("writer w KeyedByNumber Crowd keep-all");
                app.matched("w", 1);
                app.run(&format!("write w {number} 1 3000"));
                app.run("sleep 300");
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.join().unwrap();
        }
        assert_eq!(drained(&mut reader, "r count=12000", "count"), 12_000);
        assert_eq!(drained(&mut reader, "r", "disordered"), 0);
    });
}
