//! Processes that are killed in front of every step that others can see, and those who live on.
//!
//! One test per role and operation. Each runs the operation in a process of its own, again and again,
//! killed at its first point (`dds_shm::crash_points`), then at its second, until it ends before it is
//! killed; the last of these is killed when it has done everything. Each time the survivors are asked
//! what they have: no sample torn, none twice, none lost that was committed, nobody held up for longer
//! than promised; a successor starts; and then nothing is left of the dead.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/stall.rs"]
mod stall;
#[path = "../support/mod.rs"]
mod support;

mod files;
mod random;
mod readers;
mod samples;
mod sweep;
mod writers;

use sweep::Act;

/// What a child does.
#[test]
#[ignore = "run by other tests, in a process of its own"]
fn another_process() {
    let Some((role, argument, dir)) = support::role() else { return };
    let act = Act::new(&argument, dir);
    match role.split_once(' ').unwrap() {
        ("writer", what) => writers::act(&act, what),
        ("reader", what) => readers::act(&act, what),
        ("random", what) => random::act(&act, what),
        ("files", what) => files::act(&act, what),
        other => panic!("no such role: {other:?}"),
    }
}
