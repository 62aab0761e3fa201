//! Cyclone DDS over dds-shm against Cyclone DDS over UDP, in one run.
//!
//! Two processes of `cyclone/app/measure.c`, one on each of two processors, in a network namespace of
//! their own; every round measures each way with each size once, so that what the machine does meanwhile
//! meets all alike. Writes `cyclonedds.json` and `cyclonedds.md`:
//!
//! ```sh
//! cargo build --release -p interop-tests --bin cyclonedds-benchmark
//! chrt -f 10 target/release/cyclonedds-benchmark
//! ```
//!
//! `chrt` puts it in front of everything else on the machine, where that is allowed; without it, nothing
//! else should run.
#![forbid(unsafe_code)]

mod machine;
mod report;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use clap::Parser;
use interop_tests::{CycloneOptions, Via, inside};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde::Serialize;
use serde_json::Value;

use crate::machine::Machine;

#[derive(Parser)]
#[command(about = "Measures Cyclone DDS over dds-shm against Cyclone DDS over UDP")]
struct Arguments {
    /// How often everything is measured.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How long each measurement takes, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    time: u64,
    /// The processors of the two processes.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1])]
    cpus: Vec<usize>,
    /// The folder of the results.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks"))]
    out: PathBuf,
    /// Set by the program itself, when it has entered its namespace.
    #[arg(long, hide = true)]
    entered: bool,
}

/// How the samples go, and how they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Way {
    Udp,
    PluginCopy,
    PluginLoan,
}

impl Way {
    const ALL: [Self; 3] = [Self::Udp, Self::PluginCopy, Self::PluginLoan];

    fn via(self) -> Via {
        if self == Self::Udp { Via::Network } else { Via::Plugin }
    }

    fn mode(self) -> &'static str {
        if self == Self::PluginLoan { "loan" } else { "copy" }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Figure {
    /// Nanoseconds from a write to the answer's arrival: median and 99th percentile.
    RoundTrip,
    /// Samples that arrived, per second.
    Throughput,
    /// Processor time of both processes while nothing is written, in parts of a million.
    Idle,
}

const ROUND_TRIP_SIZES: [u32; 4] = [64, 4096, 65536, 1 << 20];
const THROUGHPUT_SIZES: [u32; 2] = [64, 1 << 20];

/// One figure of one way, round by round.
#[derive(Debug, Serialize)]
struct Row {
    figure: Figure,
    way: Way,
    size: u32,
    rounds: Vec<f64>,
    /// Of round trips.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    p99: Vec<f64>,
    /// Samples that were written and did not arrive, in all rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Results {
    machine: Machine,
    rows: Vec<Row>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if !arguments.entered {
        // Whatever has to be built is built here, where the network is.
        drop(CycloneOptions::new(Via::Plugin).command("measure"));
        let program = std::env::current_exe()?;
        let mut command = inside(&[program.as_os_str()]);
        let status = command.args(std::env::args_os().skip(1)).arg("--entered").status()?;
        return if status.success() { Ok(()) } else { Err(format!("it failed: {status}").into()) };
    }
    let mut rows = rows();
    for round in 0..arguments.rounds {
        eprintln!("round {} of {}", round + 1, arguments.rounds);
        for row in &mut rows {
            row.measure(&arguments)?;
        }
    }
    let results = Results { machine: Machine::look(&arguments.cpus), rows };
    fs::create_dir_all(&arguments.out)?;
    let json = serde_json::to_string_pretty(&results)?;
    fs::write(arguments.out.join("cyclonedds.json"), json + "\n")?;
    fs::write(arguments.out.join("cyclonedds.md"), report::markdown(&results))?;
    Ok(())
}

fn rows() -> Vec<Row> {
    let sizes = ROUND_TRIP_SIZES.map(|size| (Figure::RoundTrip, size)).into_iter();
    let sizes = sizes.chain(THROUGHPUT_SIZES.map(|size| (Figure::Throughput, size)));
    let mut rows = Vec::new();
    for (figure, size) in sizes {
        rows.extend(Way::ALL.map(|way| Row::new(figure, way, size)));
    }
    rows.extend([Way::Udp, Way::PluginCopy].map(|way| Row::new(Figure::Idle, way, 64)));
    rows
}

impl Row {
    fn new(figure: Figure, way: Way, size: u32) -> Self {
        let lost = (figure == Figure::Throughput).then_some(0);
        Self { figure, way, size, rounds: Vec::new(), p99: Vec::new(), lost }
    }

    fn measure(&mut self, arguments: &Arguments) -> Result<(), Box<dyn Error>> {
        let roles = match self.figure {
            Figure::RoundTrip => ["pong", "ping"],
            Figure::Throughput => ["sub", "pub"],
            Figure::Idle => ["idle", "idle"],
        };
        // Nothing happens while it is idle, so that it takes longer to see something.
        let time = arguments.time * if self.figure == Figure::Idle { 5 } else { 1 };
        let start = |number: usize| {
            let role = roles[number];
            let mut command = CycloneOptions::new(self.way.via()).command("measure");
            command.args([role, &self.size.to_string(), self.way.mode(), &time.to_string()]);
            pinned(command, arguments.cpus.get(number).copied())
        };
        let [first, second] = [start(0)?, start(1)?];
        let second = said(second)?;
        let first = said(first)?;
        let number = |value: &Value, name: &str| {
            value[name].as_f64().ok_or_else(|| format!("no {name} in {value}"))
        };
        match self.figure {
            Figure::RoundTrip => {
                self.rounds.push(number(&second, "p50")?);
                self.p99.push(number(&second, "p99")?);
            }
            Figure::Throughput => {
                self.rounds.push(number(&first, "per_second")?);
                #[expect(clippy::cast_possible_truncation, reason = "a count")]
                let missing = (number(&second, "sent")? - number(&first, "received")?) as i64;
                self.lost = self.lost.map(|lost| lost + missing);
            }
            Figure::Idle => {
                let used = number(&first, "processor_us")? + number(&second, "processor_us")?;
                #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
                self.rounds.push(used / (time as f64 * 1000.0) * 1e6);
            }
        }
        Ok(())
    }
}

/// Starts a command on one processor.
fn pinned(mut command: Command, cpu: Option<usize>) -> Result<Child, Box<dyn Error>> {
    let own = nix::sched::sched_getaffinity(Pid::from_raw(0))?;
    if let Some(cpu) = cpu {
        let mut set = CpuSet::new();
        set.set(cpu)?;
        // The child's threads inherit it.
        sched_setaffinity(Pid::from_raw(0), &set)?;
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    sched_setaffinity(Pid::from_raw(0), &own)?;
    Ok(child?)
}

/// What a process says at its end; nothing is null.
fn said(child: Child) -> Result<Value, Box<dyn Error>> {
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("an end failed: {}", output.status).into());
    }
    if output.stdout.is_empty() {
        return Ok(Value::Null);
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
