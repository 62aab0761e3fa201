//! dds-shm beside its peers: the same work, on the same machine, in one run.
//!
//! Two processes, each kept on a processor of its own, go through all figures and all transports in turn,
//! round after round; the medians over the rounds are written down, with their spread. See the README.

mod board;
mod cpu;
mod ends;
mod error;
mod figures;
mod machine;
mod mappings;
mod messages;
mod pair;
mod report;
mod results;
mod run;
mod samples;
mod second_process;
mod shared_pages;
mod statistics;
mod stopwatch;
mod transport;
mod transports;
mod waiting;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, id};

use clap::{Parser, Subcommand, ValueEnum as _};

use error::{Result, io};
use figures::Figure;
use run::Extent;
use second_process::SecondProcess;
use transport::Place;
use transports::Contender;

/// Measures dds-shm beside iceoryx2, LLMP, ZeroDDS flatdata and the bare machine, and writes tables and
/// plots.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    /// Rounds; the medians over them count
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Round trips of a round, where they are cheap; other figures in proportion
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(64..))]
    samples: u64,
    /// Only these figures
    #[arg(long, value_enum, value_delimiter = ',')]
    figures: Vec<Figure>,
    /// Only these transports
    #[arg(long, value_enum, value_delimiter = ',')]
    transports: Vec<Contender>,
    /// The two processors to use; default: the first two allowed
    #[arg(long, value_delimiter = ',', num_args = 1..=2)]
    cpus: Vec<usize>,
    /// Where to write
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks"))]
    out: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// The other side of the measurements; started by the program itself
    #[command(hide = true)]
    SecondProcess(SecondProcess),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.role {
        Some(Role::SecondProcess(args)) => second_process::run(args),
        None => measure(&cli),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(cli: &Cli) -> Result<()> {
    let or_all = |chosen: &[Contender]| {
        if chosen.is_empty() { Contender::all().to_vec() } else { chosen.to_vec() }
    };
    let figures = if cli.figures.is_empty() {
        Figure::value_variants().to_vec()
    } else {
        cli.figures.clone()
    };
    let extent = Extent {
        figures,
        contenders: or_all(&cli.transports),
        rounds: cli.rounds,
        samples: cli.samples,
        cpus: cli.cpus.as_slice().try_into().ok(),
    };
    let dir = tempfile::Builder::new().prefix("dds-shm-benches-").tempdir();
    let dir = dir.map_err(io("make a directory for the transports' files"))?;
    let place = Place { dir: dir.path().to_owned(), prefix: format!("dds_shm_benches_{}_", id()) };
    let results = run::run(&extent, &place);
    sweep(&place.prefix)?;
    report::write(&results?, &cli.out)
}

/// Removes what a peer leaves in shared memory: iceoryx2 keeps one object of its prefix for ever.
fn sweep(prefix: &str) -> Result<()> {
    let shared_memory = Path::new("/dev/shm");
    for entry in fs::read_dir(shared_memory).map_err(io("list /dev/shm"))? {
        let entry = entry.map_err(io("list /dev/shm"))?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            fs::remove_file(entry.path()).map_err(io(format!("remove {:?}", entry.path())))?;
        }
    }
    Ok(())
}
