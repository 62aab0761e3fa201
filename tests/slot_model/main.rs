//! Every interleaving of the slot protocol under sequential consistency, in small configurations.
//!
//! The protocol's own code runs, each shared access one step, with kills, lease expiry, return,
//! late join, leaving and the reuse of entries wherever they can happen. [`rules`] has the rules
//! that must hold; [`mutant`] has the protocol with one clause broken at a time, which the rules
//! must notice.
//!
//! `cargo test` explores the small configurations; `scripts/model.sh` explores all of them.

mod automaton;
mod config;
mod configurations;
mod explore;
mod layout;
mod mutant;
mod owner;
mod reader;
mod rules;
mod words;
mod world;

use config::Config;
use configurations::{HARMLESS, LARGE, MUTANTS, SMALL};
use explore::explore;
use mutant::Mutant;

/// More states than any configuration has; a protocol change that comes near it needs a look.
const LIMIT: usize = 30_000_000;

fn is_full() -> bool {
    std::env::var("DDS_SHM_MODEL").is_ok_and(|value| value == "full")
}

/// Explores each configuration and says how large it is; panics if one is broken.
fn all_hold(configs: &[Config], exact: bool) {
    let only = std::env::var("DDS_SHM_MODEL_ONLY").unwrap_or_default();
    let mut broken = Vec::new();
    for config in configs.iter().filter(|config| config.name.contains(&only)) {
        let report = explore(*config, Mutant::None, exact, LIMIT);
        println!(
            "{} {:<44} {:>9} states {:>9} steps {:>6.1?}",
            if report.broken.is_some() { "FAIL" } else { "ok  " },
            config.name,
            report.states,
            report.steps,
            report.took
        );
        if let Some(what) = report.broken {
            println!("{what}");
            broken.push(config.name);
        }
    }
    assert!(broken.is_empty(), "broken: {broken:?}");
}

#[test]
fn nothing_breaks_in_the_small_configurations() {
    all_hold(SMALL, false);
}

#[test]
fn what_is_taken_for_one_state_is_one() {
    let few =
        ["overwriting", "blocking, lease and return", "blocking, late join", "owner dies, mixed"];
    let configs = SMALL.iter().filter(|config| is_full() || few.contains(&config.name));
    all_hold(&configs.copied().collect::<Vec<_>>(), true);
}

#[test]
fn nothing_breaks_in_the_large_configurations() {
    if is_full() {
        all_hold(LARGE, false);
    }
}

#[test]
fn every_seeded_bug_is_found() {
    let only = std::env::var("DDS_SHM_MODEL_ONLY").unwrap_or_default();
    let mut missed = Vec::new();
    for (mutant, config, signs) in MUTANTS {
        let name = format!("{mutant:?}");
        if !name.contains(&only) {
            continue;
        }
        let report = explore(*config, *mutant, false, LIMIT);
        let found = report.broken.unwrap_or_else(|| "nothing".to_owned());
        let sign = found.split([':', '\n']).next().unwrap_or_default();
        println!("{name:<40} {:<36} {:>8} states: {sign}", config.name, report.states);
        if !signs.iter().any(|expected| found.starts_with(expected)) {
            missed.push(format!("{name} in {}: {found}", config.name));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn what_is_not_needed_can_be_left_out() {
    for (mutant, names) in HARMLESS {
        for config in SMALL.iter().filter(|config| names.contains(&config.name)) {
            let report = explore(*config, *mutant, false, LIMIT);
            let name = format!("{mutant:?}");
            println!("{name:<40} {:<36} {:>8} states", config.name, report.states);
            assert!(report.broken.is_none(), "{name} in {}: {:?}", config.name, report.broken);
        }
    }
}
