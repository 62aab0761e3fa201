//! What two applications do, as text, and what comes of it, as text, to be compared.

use std::fmt::Write as _;

use crate::{CycloneApp, CycloneOptions, Via, texts};

/// A named script for two applications, `w` and `r`.
///
/// Each line is who, and a command of `cyclone/app/app.c`; `?` in front of the command lets it fail,
/// and its return code be part of the result. `{topic}` stands for a topic of this scenario's own, `=`
/// for both applications, one after the other.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it shows; also the topic.
    pub name: String,
    /// Its lines.
    pub script: String,
}

impl Scenario {
    /// A script of this name.
    pub fn new(name: impl Into<String>, script: impl Into<String>) -> Self {
        Self { name: name.into(), script: script.into() }
    }
}

/// What came of each scenario, in the same order: a line per sample, and per failure that may be.
///
/// All are run by one pair of processes.
///
/// # Panics
///
/// If a command fails that may not.
pub fn outcomes(scenarios: &[Scenario], options: &CycloneOptions) -> Vec<String> {
    let mut writer = options.start();
    let mut reader = options.start();
    let outcomes = scenarios.iter().map(|scenario| outcome(scenario, &mut writer, &mut reader));
    let outcomes = outcomes.collect();
    writer.stop();
    reader.stop();
    outcomes
}

fn outcome(scenario: &Scenario, writer: &mut CycloneApp, reader: &mut CycloneApp) -> String {
    let topic: String =
        scenario.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let mut result = String::new();
    for line in scenario.script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (who, command) = line.split_once(' ').expect("who, and a command");
        let command = command.replace("{topic}", &topic);
        let apps = match who {
            "w" => vec![&mut *writer],
            "r" => vec![&mut *reader],
            "=" => vec![&mut *writer, &mut *reader],
            _ => panic!("{line}: w, r or ="),
        };
        for app in apps {
            let (code, events) = app.try_run(command.trim_start_matches('?'));
            let mut samples = texts(&events);
            samples.sort_by(|a, b| instance(a).cmp(instance(b)));
            for text in samples {
                let _ = writeln!(result, "{text}");
            }
            for status in events.iter().filter(|event| event["event"] == "status") {
                let (matched, refused) = (&status["matched"], &status["incompatible"]);
                let _ = writeln!(result, "{matched} matched, {refused} refused");
            }
            if code != 0 {
                let _ = writeln!(result, "{command}: {code}");
                assert!(command.starts_with('?'), "{}: {line}:\n{result}{events:?}", scenario.name);
            }
        }
    }
    writer.run("clear");
    reader.run("clear");
    result
}

/// The key in the text of a sample. Cyclone DDS keeps the order within an instance; that of instances
/// depends on when they were looked at.
fn instance(text: &str) -> &str {
    let end = text.find("seq=").or_else(|| text.find('[')).unwrap_or(text.len());
    &text[..end]
}

/// Runs the scenarios over the network and over the plugin, and holds the outcomes against each other.
///
/// # Panics
///
/// If they differ; the message has every one that does.
pub fn assert_alike(scenarios: &[Scenario]) {
    let network = outcomes(scenarios, &CycloneOptions::new(Via::Network));
    let plugin = outcomes(scenarios, &CycloneOptions::new(Via::Plugin));
    let differences: String = scenarios
        .iter()
        .zip(network.iter().zip(&plugin))
        .filter(|(_, (network, plugin))| network != plugin)
        .map(|(scenario, (network, plugin))| {
            format!("== {}\n-- network:\n{network}-- plugin:\n{plugin}", scenario.name)
        })
        .collect();
    assert!(differences.is_empty(), "not alike:\n{differences}");
}
