//! Where and with what was measured.

use std::fs::read_to_string;
use std::process::Command;

use serde::Serialize;

/// See the head of the file.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    /// All there are.
    pub(crate) processors: usize,
    /// The two that were used.
    pub(crate) cpus: Vec<usize>,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    /// 1, 5 and 15 minutes, at the end.
    pub(crate) load_average: String,
    /// `net.core.rmem_max`: how much UDP may keep for a reader that is behind.
    pub(crate) receive_buffer: String,
    pub(crate) compilers: [String; 2],
    pub(crate) cyclonedds: &'static str,
    /// Of dds-shm, with `+` if files were changed.
    pub(crate) commit: String,
    pub(crate) command: String,
}

impl Machine {
    pub(crate) fn look(cpus: &[usize]) -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
        let model = model.map_or("unknown", |value| value.trim_start_matches([' ', '\t', ':']));
        let meminfo = read("/proc/meminfo");
        let memory = meminfo.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse().ok());
        let load: Vec<_> = read("/proc/loadavg").split(' ').take(3).map(str::to_owned).collect();
        let changed = !said("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty();
        let commit = said("git", &["rev-parse", "--short", "HEAD"]);
        let arguments: Vec<_> =
            std::env::args().skip(1).filter(|argument| argument != "--entered").collect();
        let command = "cargo build --release -p interop-tests --bin cyclonedds-benchmark && \
                       chrt -f 10 target/release/cyclonedds-benchmark";
        Self {
            processor: model.to_owned(),
            processors: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            cpus: cpus.to_vec(),
            memory_mib: memory.unwrap_or(0u64) / 1024,
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            load_average: load.join(" "),
            receive_buffer: read("/proc/sys/net/core/rmem_max").trim().to_owned(),
            compilers: [said("rustc", &["--version"]), said("cc", &["--version"])],
            cyclonedds: "11.0.1",
            commit: if changed { commit + "+" } else { commit },
            command: if arguments.is_empty() {
                command.to_owned()
            } else {
                format!("{command} {}", arguments.join(" "))
            },
        }
    }
}

fn read(path: &str) -> String {
    read_to_string(path).unwrap_or_default()
}

/// The first line that a program says; nothing if it cannot be asked.
fn said(program: &str, arguments: &[&str]) -> String {
    let folder = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}
