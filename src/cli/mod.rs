//! The commands of `dds-shm`.
//!
//! | file | what |
//! |---|---|
//! | `perf` | how fast it is, beside the bare cache line and the bare futex |
//! | `child` | this executable again, as the other process of a measurement or a demo |
//! | `pinning` | which processor runs what |
//! | `signals` | ending on SIGINT and SIGTERM with nothing left behind |
//! | `output` | JSON on stdout; tables and progress on stderr |
//! | `error` | what went wrong, and the exit code that says so |

mod child;
mod error;
mod octets;
mod output;
mod perf;
mod pinning;
mod quantity;
mod signals;

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
        Command::Perf(command) => perf::run(&command),
        Command::Child(args) => child::run(&args),
    }
}
