//! `gc`: what the dead left behind, and removing it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use dds_shm::discovery::RegistrySweeper;
use dds_shm::liveness::janitor::{Finding, FoundKind, Keep, Verdict};
use dds_shm::liveness::{RuntimeDir, SweepOptions, sweep};
use serde::Serialize;

use super::output::print_json;
use super::publish::parse_positive;
use super::quantity::grouped;
use super::{CliError, error};

#[derive(Clone, Debug, Args)]
pub(crate) struct GcArgs {
    /// Remove it, instead of only telling
    #[arg(long)]
    yes: bool,
    /// Also what cannot be proved to be a dead node's, because nothing else of the node is left: only
    /// when no program that uses dds-shm runs
    #[arg(long)]
    unattributed: bool,
    /// How long durable segments stay for who adopts them, in seconds after their owner's death
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = parse_positive)]
    adoption_grace: f64,
    /// Print the result as JSON on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Collection {
    runtime_dir: String,
    /// Whether things were removed, and not only told.
    removes: bool,
    /// How many things were removed or would be, and the octets of their memory.
    removed: usize,
    octets: u64,
    failed: usize,
    findings: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    kind: &'static str,
    path: String,
    node: Option<String>,
    octets: u64,
    verdict: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
}

/// Runs `gc`.
pub(crate) fn run(args: &GcArgs) -> Result<ExitCode, CliError> {
    let dir = RuntimeDir::of_process()?;
    let options = SweepOptions {
        remove: args.yes,
        adoption_grace: Duration::from_secs_f64(args.adoption_grace),
        unattributed: args.unattributed,
        helpers: vec![Arc::new(RegistrySweeper)],
    };
    let report = sweep(&dir, &options)?;
    let failed =
        report.findings.iter().filter(|finding| matches!(finding.verdict, Verdict::Failed(_)));
    let collection = Collection {
        runtime_dir: dir.path().display().to_string(),
        removes: args.yes,
        removed: report.removed().count(),
        octets: report.removed().map(|finding| finding.bytes).sum(),
        failed: failed.count(),
        findings: report.findings.iter().map(Line::of).collect(),
    };
    if args.json {
        print_json(&collection)?;
    } else {
        collection.show();
    }
    Ok(if collection.failed > 0 { ExitCode::from(error::OTHER) } else { ExitCode::SUCCESS })
}

impl Line {
    fn of(finding: &Finding) -> Self {
        let (verdict, why) = match &finding.verdict {
            Verdict::Keep(why) => ("stays", reason(why)),
            Verdict::Removable => ("removable", String::new()),
            Verdict::Removed => ("removed", String::new()),
            Verdict::Failed(why) => ("failed", why.clone()),
        };
        let kind = match finding.kind {
            FoundKind::Node => "node",
            FoundKind::Bell => "bell",
            FoundKind::Control => "control",
            FoundKind::Data => "data",
            FoundKind::Zds2 => "zds2",
            FoundKind::Outsize => "outsize",
            FoundKind::Flink => "flink",
            FoundKind::Registry => "registry",
            FoundKind::Temporary => "temporary",
        };
        Self {
            kind,
            path: finding.path.display().to_string(),
            node: finding.node.map(|node| node.to_string()),
            octets: finding.bytes,
            verdict,
            why,
        }
    }
}

fn reason(keep: &Keep) -> String {
    match keep {
        Keep::Alive => "its node is alive".to_owned(),
        Keep::Adoption { left } => {
            format!("kept {} s for who adopts it (--adoption-grace 0 ends that)", left.as_secs())
        }
        Keep::OtherDir(dir) => {
            format!("it belongs to the runtime dir {0}: run with DDS_SHM_DIR={0}", dir.display())
        }
        Keep::Unattributed => {
            "nothing else of its node is left to prove it dead; --unattributed removes it, when no \
             program that uses dds-shm runs"
                .to_owned()
        }
        Keep::OtherUser(uid) => format!("it belongs to uid {uid}, who can remove it"),
        Keep::Needed => "something of the same node or segment stays".to_owned(),
        Keep::Busy => "somebody is still making or changing it".to_owned(),
    }
}

impl Collection {
    fn show(&self) {
        for line in &self.findings {
            let why = Some(&line.why).filter(|why| !why.is_empty());
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            eprintln!("{:<9}  {:<9} {}{why}", line.verdict, line.kind, line.path);
        }
        let kib = grouped(self.octets.div_ceil(1024));
        match (self.removes, self.removed) {
            (_, 0) => eprintln!("nothing to remove"),
            (true, removed) => eprintln!("removed {removed} files and objects, {kib} KiB"),
            (false, removed) => {
                eprintln!("{removed} files and objects, {kib} KiB, can go: `dds-shm gc --yes`");
            }
        }
        if self.failed > 0 {
            eprintln!("{} could not be removed", self.failed);
        }
    }
}
