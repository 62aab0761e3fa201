//! Where and with what was measured.

use std::env;
use std::fs::read_to_string;
use std::process::Command;

use serde::Serialize;

/// See the head of the file.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    /// The two that were used.
    pub(crate) cpus: [usize; 2],
    /// How the two are related, as far as the system says.
    pub(crate) relation: String,
    pub(crate) processors: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) hypervisor: bool,
    /// 1, 5 and 15 minutes, at the start.
    pub(crate) load_average: String,
    pub(crate) rustc: String,
    /// Package and version.
    pub(crate) versions: Vec<(String, String)>,
    /// Of dds-shm, with `+` if files were changed.
    pub(crate) commit: String,
    pub(crate) command: String,
}

/// What is measured, as Cargo.lock calls it.
const PACKAGES: [&str; 4] = ["dds-shm", "iceoryx2", "ll_mp", "zerodds-flatdata"];

impl Machine {
    pub(crate) fn look(cpus: [usize; 2]) -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let meminfo = read("/proc/meminfo");
        let memory = meminfo.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse().ok());
        let kernel = read("/proc/sys/kernel/osrelease");
        let load: Vec<_> = read("/proc/loadavg").split(' ').take(3).map(str::to_owned).collect();
        Self {
            processor: field("model name").unwrap_or_else(|| "unknown".to_owned()),
            cpus,
            relation: relation(cpus),
            processors: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            memory_mib: memory.unwrap_or(0u64) / 1024,
            kernel: format!("Linux {}", kernel.trim()),
            hypervisor: field("flags").is_some_and(|flags| flags.contains(" hypervisor")),
            load_average: load.join(" "),
            rustc: env!("BENCHES_RUSTC").to_owned(),
            versions: PACKAGES.map(|name| (name.to_owned(), version(name))).to_vec(),
            commit: commit(),
            command: command(),
        }
    }
}

fn read(path: &str) -> String {
    read_to_string(path).unwrap_or_default()
}

fn relation(cpus: [usize; 2]) -> String {
    let topology = |name: &str, cpu: usize| {
        read(&format!("/sys/devices/system/cpu/cpu{cpu}/topology/{name}")).trim().to_owned()
    };
    let same = |name: &str| topology(name, cpus[0]) == topology(name, cpus[1]);
    match (same("physical_package_id"), same("core_id")) {
        (true, true) => "two threads of one core",
        (true, false) => "two cores of one package",
        (false, _) => "two packages",
    }
    .to_owned()
}

fn version(package: &str) -> String {
    let lock = include_str!("../Cargo.lock");
    let entry = lock
        .split("[[package]]")
        .find(|entry| entry.lines().any(|line| line == format!("name = \"{package}\"")));
    let line = entry.and_then(|entry| entry.lines().find(|line| line.starts_with("version")));
    line.and_then(|line| line.split('"').nth(1)).unwrap_or("unknown").to_owned()
}

fn commit() -> String {
    let args = ["describe", "--always", "--dirty=+", "--exclude=*"];
    let described = Command::new("git").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    match described {
        Ok(out) if out.status.success() => String::from_utf8_lossy(&out.stdout).trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

/// As it can be typed again.
fn command() -> String {
    let args: Vec<_> = env::args().skip(1).collect();
    format!("cargo run --release -- {}", args.join(" ")).trim_end_matches(" -- ").to_owned()
}
