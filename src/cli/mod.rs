//! The commands of `dds-shm`.
//!
//! | file | what |
//! |---|---|
//! | `demo` | the main job: one publisher, some subscribers, every sample checked |
//! | `publish`, `subscribe` | `pub` and `sub`, for two terminals |
//! | `list`, `collect` | `ls` and `gc`: what is there, and what can go |
//! | `perf` | how fast it is, beside the bare cache line and the bare futex |
//! | `pattern`, `octets` | what the samples are, and whether they are whole |
//! | `domain`, `qos`, `events` | taking part in a domain, and telling what happens there |
//! | `child` | this executable again, as the other process of a measurement or a demo |
//! | `pinning` | which processor runs what |
//! | `signals` | ending on SIGINT and SIGTERM with nothing left behind |
//! | `output` | JSON on stdout; tables and progress on stderr |
//! | `error` | what went wrong, and the exit code that says so |

mod child;
mod collect;
mod demo;
mod domain;
mod error;
mod events;
mod list;
mod octets;
mod output;
mod pattern;
mod perf;
mod pinning;
mod publish;
mod qos;
mod quantity;
mod signals;
mod subscribe;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use error::CliError;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  samples were lost or damaged, or did not come in time
  2  wrong arguments
  3  not enough shared memory
  4  no permission, or a runtime dir that cannot be used
  5  another format version, or another type
  6  any other failure
  130, 143  ended by SIGINT, SIGTERM

Environment:
  DDS_SHM_DIR  the runtime dir; default /dev/shm/dds-shm-<uid>
  RUST_LOG     what is logged on stderr, e.g. dds_shm=debug; default warn";

/// DDS samples through shared memory.
#[derive(Debug, Parser)]
#[command(name = "dds-shm", version, about, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the main job: processes that find each other and exchange samples in place
    Demo(demo::DemoArgs),
    /// Publish on a topic
    Pub(publish::PubArgs),
    /// Subscribe to a topic, and check what comes from `pub`
    Sub(subscribe::SubArgs),
    /// List nodes, segments and readers, and who is dead
    Ls(list::LsArgs),
    /// Tell what the dead left behind, and remove it with --yes
    Gc(collect::GcArgs),
    /// Measure latency, throughput and fan-out between two processes
    #[command(subcommand)]
    Perf(perf::Command),
    /// The second process of a command; started by it
    #[command(hide = true)]
    Child(child::ChildArgs),
}

/// Runs the command that the arguments name.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            error.show();
            error.exit_code()
        }
    }
}

fn run(command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Demo(args) => demo::run(&args),
        Command::Pub(args) => publish::run(&args),
        Command::Sub(args) => subscribe::run(&args),
        Command::Ls(args) => list::run(&args),
        Command::Gc(args) => collect::run(&args),
        Command::Perf(command) => perf::run(&command),
        Command::Child(args) => child::run(&args),
    }
}
