//! The command line, as people and scripts use it: processes, what they print, how they end, what they
//! leave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod home;

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use home::{Home, keys};

#[test]
fn a_demo_gets_every_sample_to_every_reader_through_shared_memory() {
    let home = Home::new();
    let ended = home.run(&["demo", "--samples", "5000", "--json"]);
    assert_eq!(ended.code, 0, "{ended}");
    let json = ended.json();
    assert_eq!(keys(&json), ["readers", "samples", "samples_per_s", "size", "via"]);
    assert_eq!((json["samples"].as_u64(), json["size"].as_u64()), (Some(5000), Some(64)));
    assert_eq!(json["via"], "shared-memory");
    let readers = json["readers"].as_array().unwrap();
    assert_eq!(readers.len(), 2);
    for reader in readers {
        assert_eq!(keys(reader), ["corrupt", "latency_ns", "lost", "received"]);
        assert_eq!(keys(&reader["latency_ns"]), ["p50", "p99", "p999"]);
        assert_eq!(reader["received"], 5000);
        assert_eq!((&reader["lost"], &reader["corrupt"]), (&0.into(), &0.into()));
        assert!(reader["latency_ns"]["p50"].as_u64().unwrap() > 0);
    }
    assert!(json["samples_per_s"].as_u64().unwrap() > 0);
    home.assert_empty();
}

#[test]
fn a_demo_of_large_samples_tells_people_on_stderr_alone() {
    let home = Home::new();
    let ended = home.run(&["demo", "--samples", "50", "--size", "300K", "--readers", "1"]);
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("50 of 50"), "{ended}");
    home.assert_empty();
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing() {
    let home = Home::new();
    let mut demo = home.start(&[&["demo", "--samples", "1000000000", "--json"]]);
    // Three processes are there.
    while home.nodes_in(&home.run(&["ls", "--json"]).json()).len() < 3 {}
    demo.signal(Signal::SIGINT);
    let ended = demo.end();
    assert_eq!((ended.code, ended.stdout.as_str()), (130, ""), "{ended}");
    home.assert_empty();
}

#[test]
fn subscribers_get_what_a_publisher_publishes_once_they_are_there() {
    let home = Home::new();
    let publisher = home.start(&[
        &["pub", "numbers", "--count", "700", "--rate", "0", "--keep-all"][..],
        &["--wait-readers", "2", "--size", "100", "--json"],
    ]);
    let subscribe = || {
        home.start(&[
            &["sub", "numbers", "--count", "700", "--keep-all", "--size", "100"][..],
            &["--timeout", "60", "--json"],
        ])
    };
    let subscribers = [subscribe(), subscribe()];
    for subscriber in subscribers {
        let ended = subscriber.end();
        assert_eq!(ended.code, 0, "{ended}");
        let json = ended.json();
        assert_eq!(keys(&json), ["corrupt", "events", "lost", "received", "replaced"]);
        assert_eq!(json["received"], 700);
        for none in ["lost", "replaced", "corrupt"] {
            assert_eq!(json[none], 0, "{none}");
        }
        let events = json["events"].as_array().unwrap();
        assert!(events.iter().any(|event| event["event"] == "writer_attached"), "{json}");
    }
    let ended = publisher.end();
    assert_eq!(ended.code, 0, "{ended}");
    let json = ended.json();
    assert_eq!((&json["published"], &json["uncovered"]), (&700.into(), &0.into()));
    assert_eq!((&json["readers"], &json["dropped"]), (&2.into(), &0.into()));
    home.assert_empty();
}

#[test]
fn a_late_joiner_gets_the_kept_history() {
    let home = Home::new();
    let mut publisher = home.start(&[
        &["pub", "history", "--count", "10", "--rate", "0", "--linger", "600"][..],
        &["--durability", "transient-local", "--depth", "5", "--json"],
    ]);
    publisher.await_line("staying");
    let late = [
        &["sub", "history", "--durability", "transient-local", "--depth", "5"][..],
        &["--count", "5", "--timeout", "60", "--json"],
    ];
    let ended = home.start(&late).end();
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!((&ended.json()["received"], &ended.json()["lost"]), (&5.into(), &0.into()));
    publisher.signal(Signal::SIGTERM);
    let ended = publisher.end();
    assert_eq!(ended.code, 143, "{ended}");
    assert_eq!(ended.json()["published"], 10);
    home.assert_empty();
}

#[test]
fn a_publisher_goes_on_when_a_reader_is_killed_with_its_hands_full() {
    let home = Home::new();
    let mut publisher = home.start(&[
        &["pub", "stuck", "--count", "3000", "--rate", "0", "--keep-all"][..],
        &["--wait-readers", "2", "--json"],
    ]);
    let mut stuck = home.start(&[&["sub", "stuck", "--hold", "2", "--keep-all"]]);
    let good = home.start(&[&[
        "sub",
        "stuck",
        "--count",
        "3000",
        "--keep-all",
        "--timeout",
        "60",
        "--json",
    ][..]]);
    stuck.await_line("holding 2 samples");
    publisher.await_line("trying again");
    stuck.signal(Signal::SIGKILL);
    let ended = good.end();
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!((&ended.json()["received"], &ended.json()["corrupt"]), (&3000.into(), &0.into()));
    let ended = publisher.end();
    assert_eq!(ended.code, 0, "{ended}");
    let json = ended.json();
    assert_eq!(json["published"], 3000);
    assert!(json["timeouts"].as_u64().unwrap() > 0, "{json}");
    let events = json["events"].as_array().unwrap();
    assert!(events.iter().any(|event| event["event"] == "reader_lost"), "{json}");
}

#[test]
fn a_reader_that_holds_on_makes_a_keep_all_publisher_wait() {
    let home = Home::new();
    let mut publisher = home.start(&[
        &["pub", "hold", "--rate", "0", "--keep-all", "--wait-readers", "1"][..],
        &["--max-blocking-ms", "50", "--json"],
    ]);
    let mut holder = home.start(&[&["sub", "hold", "--hold", "9", "--keep-all", "--json"]]);
    // No more than the publisher allows.
    holder.await_line("holding 2 samples");
    publisher.await_line("tried 4 times");
    let listing = home.run(&["ls", "--json"]).json();
    let segment = home.segment_in(&listing, &publisher).expect("the segment is listed");
    let reader = &segment["readers"][0];
    assert!(reader["lag"].as_u64().unwrap() > 100, "it is as far behind as it can be: {reader}");
    publisher.signal(Signal::SIGINT);
    let ended = publisher.end();
    assert_eq!(ended.code, 130, "{ended}");
    let json = ended.json();
    assert!(json["timeouts"].as_u64().unwrap() >= 4, "{json}");
    assert!(json["published"].as_u64().unwrap() >= 2, "{json}");
    holder.await_line("unmatched");
    holder.signal(Signal::SIGTERM);
    let ended = holder.end();
    assert_eq!(ended.code, 143, "{ended}");
    assert_eq!((&ended.json()["received"], &ended.json()["corrupt"]), (&2.into(), &0.into()));
    home.assert_empty();
}

#[test]
fn another_layout_is_told_with_both() {
    let home = Home::new();
    let mut publisher = home.start(&[&["pub", "layout", "--size", "64", "--json"]]);
    let mut subscriber = home.start(&[&["sub", "layout", "--size", "32", "--json"]]);
    let line = subscriber.await_line("another layout");
    assert!(line.contains("[64*u8]") && line.contains("[32*u8]"), "{line}");
    for running in [&mut subscriber, &mut publisher] {
        running.signal(Signal::SIGTERM);
    }
    let ended = subscriber.end();
    assert_eq!((ended.code, &ended.json()["received"]), (143, &0.into()), "{ended}");
    assert_eq!(publisher.end().code, 143);
    home.assert_empty();
}

#[test]
fn a_subscriber_that_met_only_another_layout_says_so_by_its_exit_code() {
    let home = Home::new();
    let mut publisher = home.start(&[&["pub", "code", "--size", "64"]]);
    publisher.await_line("publishing");
    let ended = home.run(&["sub", "code", "--size", "32", "--timeout", "4"]);
    assert_eq!(ended.code, 5, "{ended}");
}

#[test]
fn qos_that_does_not_match_is_told_by_name() {
    let home = Home::new();
    let _publisher = home.start(&[&["pub", "qos", "--reliability", "best-effort"]]);
    let mut subscriber = home.start(&[&["sub", "qos", "--reliability", "reliable"]]);
    let line = subscriber.await_line("mismatch");
    assert!(line.contains("RELIABILITY"), "{line}");
}

#[test]
fn what_a_killed_publisher_leaves_is_listed_told_and_removed() {
    let home = Home::new();
    let mut publisher = home.start(&[&["pub", "left", "--wait-readers", "1", "--keep-all"]]);
    let mut subscriber = home.start(&[&["sub", "left", "--keep-all"]]);
    subscriber.await_line("writer attached");
    publisher.await_line("reader attached");

    let listing = home.run(&["ls", "--json"]).json();
    let nodes = home.nodes_in(&listing);
    assert_eq!(nodes.len(), 2, "{listing}");
    assert!(nodes.iter().all(|node| node["state"] == "alive"), "{listing}");
    let segment = home.segment_in(&listing, &publisher).expect("the segment is listed");
    assert_eq!((&segment["topic"], &segment["state"]), (&"left".into(), &"open".into()));
    assert_eq!((&segment["type"], &segment["slot_size"]), (&"Octets".into(), &64.into()));
    let reader = &segment["readers"][0];
    assert_eq!(reader["pid"].as_u64(), Some(subscriber.pid().into()));
    assert_eq!((&reader["status"], &reader["wakes"]), (&"served".into(), &"bell".into()));
    assert_eq!(home.run(&["gc", "--json"]).json()["removed"], 0);

    publisher.signal(Signal::SIGKILL);
    publisher.await_death();
    let listing = home.run(&["ls", "--json"]).json();
    let segment = home.segment_in(&listing, &publisher).expect("its name is still there");
    assert_eq!(segment["owner_state"], "dead");

    let told = home.run(&["gc", "--json"]);
    assert_eq!(told.code, 0, "{told}");
    let (told, removed) = (told.json(), home.run(&["gc", "--yes", "--json"]).json());
    assert_eq!((&told["removes"], &removed["removes"]), (&false.into(), &true.into()));
    // Lock file, bell, both objects, flink; the living subscriber keeps its own.
    assert_eq!(told["removed"], 5, "{told}");
    assert_eq!(removed["removed"], 5, "{removed}");
    let listing = home.run(&["ls", "--json"]).json();
    assert!(home.segment_in(&listing, &publisher).is_none(), "{listing}");
    assert_eq!(home.nodes_in(&listing).len(), 1, "{listing}");

    subscriber.signal(Signal::SIGINT);
    assert_eq!(subscriber.end().code, 130);
    home.assert_empty();
}

#[test]
fn garbage_among_the_segments_is_passed_over() {
    let home = Home::new();
    let object = home.plant_garbage();
    let listing = home.run(&["ls", "--json"]);
    assert_eq!(listing.code, 0, "{listing}");
    let listing = listing.json();
    let unreadable = listing["unreadable"].as_array().unwrap();
    assert!(unreadable.iter().any(|line| line["object"] == object.as_str()), "{listing}");
    assert_eq!(home.run(&["ls"]).code, 0);
    let ended = home.run(&["gc", "--json"]);
    assert_eq!(ended.code, 0, "{ended}");
    let findings = ended.json()["findings"].clone();
    let findings: Vec<&Value> = findings.as_array().unwrap().iter().collect();
    let line = findings.iter().find(|line| line["path"].as_str().unwrap().ends_with(&object));
    assert_eq!(line.expect("it is told")["verdict"], "stays");
}

#[test]
fn failures_say_what_to_do() {
    let home = Home::new();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let mut command = home.command(&["pub", "x"]);
    let ended = home.finish(command.env("DDS_SHM_DIR", &file));
    assert_eq!(ended.code, 4, "{ended}");
    assert!(ended.stderr.contains("set DDS_SHM_DIR"), "{ended}");

    let ended = home.run(&["pub", "x", "--size", "1M", "--depth", "100000"]);
    assert_eq!(ended.code, 2, "{ended}");
    assert!(ended.stderr.contains("lower HISTORY"), "{ended}");

    assert_eq!(home.run(&["demo", "--size", "8"]).code, 2);
    assert_eq!(home.run(&["child", "perf", "--parent", "1"]).code, 2);
    home.assert_empty();
}

#[test]
fn measurements_have_the_shape_that_scripts_expect() {
    let home = Home::new();
    let shape = |args: &[&str]| {
        let ended = home.run(args);
        assert_eq!(ended.code, 0, "{ended}");
        keys(&ended.json())
    };
    let latency = ["perf", "latency", "--rounds", "1", "--iterations", "20", "--json"];
    assert_eq!(
        shape(&latency),
        [
            "floor_ns",
            "one_way_ns",
            "ratio",
            "size",
            "touched",
            "wake_floor_ns",
            "wake_ns",
            "wake_ratio"
        ]
    );
    let throughput = ["perf", "throughput", "--rounds", "1", "--iterations", "200", "--json"];
    assert_eq!(shape(&throughput), ["lost", "received", "samples_per_s", "sent", "size"]);
    let fanout =
        ["perf", "fanout", "--readers", "2", "--rounds", "1", "--iterations", "20", "--json"];
    assert_eq!(shape(&fanout), ["per_reader_ns", "publish_ns"]);
    home.assert_empty();
}
