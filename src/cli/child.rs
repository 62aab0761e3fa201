//! This executable again, as the other process of a measurement or a demo.
//!
//! Parent and child talk in lines of JSON over the child's stdin and stdout: the parent gives orders,
//! the child reports. The child ends with its stdin; one that does not is killed, by the parent or, if
//! the parent has died, by the kernel.

use std::io::{BufRead as _, BufReader, Write as _, stdin};
use std::marker::PhantomData;
use std::process::{self, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::ChildFailure;
use super::{CliError, demo, perf, pinning, signals};

/// What a child is there for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Role {
    /// The other side of `perf`.
    Perf,
    /// The publisher of `demo`.
    DemoPublisher,
    /// A subscriber of `demo`.
    DemoSubscriber,
}

#[derive(Debug, Args)]
pub(crate) struct ChildArgs {
    role: Role,
    /// Process id of who started it
    #[arg(long)]
    parent: i32,
    /// Processor to stay on
    #[arg(long)]
    cpu: Option<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer<R> {
    Done(R),
    Failed(ChildFailure),
}

/// How long a child may take to end by itself.
const LEAVE_TO_END: Duration = Duration::from_secs(2);

/// A child that takes orders of type `O` and answers each with a report of type `R`. When it is
/// dropped it is asked to end, and killed if it does not.
#[derive(Debug)]
pub(crate) struct Child<O, R> {
    process: process::Child,
    /// `None` once there will be no more.
    orders: Option<ChildStdin>,
    reports: BufReader<ChildStdout>,
    types: PhantomData<fn(O) -> R>,
}

impl<O: Serialize, R: DeserializeOwned> Child<O, R> {
    /// Starts one. To be called on the main thread: the kernel takes the end of the calling thread
    /// for the end of the parent.
    pub(crate) fn start(role: Role, cpu: Option<usize>) -> Result<Self, CliError> {
        let role = role.to_possible_value().map(|role| role.get_name().to_owned());
        // The file that runs now, even if another was installed over it.
        let mut command = Command::new("/proc/self/exe");
        command.arg("child").args(role).arg(format!("--parent={}", process::id()));
        command.args(cpu.map(|cpu| format!("--cpu={cpu}")));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(CliError::io("start the second process"))?;
        let gone = || CliError::ChildGone { status: "no pipes".to_owned() };
        let orders = Some(process.stdin.take().ok_or_else(gone)?);
        let reports = BufReader::new(process.stdout.take().ok_or_else(gone)?);
        Ok(Self { process, orders, reports, types: PhantomData })
    }

    /// Gives an order. The report is to be fetched before the next.
    pub(crate) fn order(&mut self, order: &O) -> Result<(), CliError> {
        let mut line = serde_json::to_string(order)
            .map_err(|error| CliError::io("write an order")(error.into()))?;
        line.push('\n');
        match self.orders.as_mut().map(|orders| orders.write_all(line.as_bytes())) {
            Some(Ok(())) => Ok(()),
            // It may have said why.
            _ => self.report().and(Err(self.gone())),
        }
    }

    /// Waits for the report on the last order.
    pub(crate) fn report(&mut self) -> Result<R, CliError> {
        let mut line = String::new();
        let read = self.reports.read_line(&mut line).map_err(CliError::io("read a report"))?;
        if read == 0 {
            return Err(self.gone());
        }
        match serde_json::from_str(&line) {
            Ok(Answer::Done(report)) => Ok(report),
            Ok(Answer::Failed(failure)) => Err(CliError::InChild(failure)),
            Err(_) => Err(CliError::Protocol { text: line.trim_end().to_owned() }),
        }
    }

    /// `Err` if it has ended, or a signal asks us to.
    pub(crate) fn check(&mut self) -> Result<(), CliError> {
        signals::check()?;
        match self.process.try_wait() {
            Ok(None) => Ok(()),
            // What it said before it ended is more than that it did.
            _ => self.report().and(Err(self.gone())),
        }
    }

    fn gone(&mut self) -> CliError {
        let status = self.process.wait();
        CliError::ChildGone { status: status.map_or_else(|e| e.to_string(), |s| s.to_string()) }
    }
}

impl<O, R> Drop for Child<O, R> {
    fn drop(&mut self) {
        self.orders = None;
        let started = Instant::now();
        while started.elapsed() < LEAVE_TO_END {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        // Both fail only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The main function of a child process.
pub(crate) fn run(args: &ChildArgs) -> Result<ExitCode, CliError> {
    prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|errno| CliError::io("ask to be killed with the parent")(errno.into()))?;
    if getppid().as_raw() != args.parent {
        // It died before we asked; or a person tries out what is not for people.
        return Err(CliError::Usage("this command is for dds-shm itself".to_owned()));
    }
    signals::leave_to_parent()?;
    match args.role {
        Role::Perf => perf::child(|| {
            if let Some(cpu) = args.cpu {
                pinning::pin(cpu);
            }
        }),
        Role::DemoPublisher => demo::publisher(),
        Role::DemoSubscriber => demo::subscriber(),
    }
    .map(|()| ExitCode::SUCCESS)
    .or_else(|error| match error {
        // The parent has been told, and says it.
        CliError::InChild(failure) => Ok(ExitCode::from(failure.code)),
        error => Err(error),
    })
}

/// Carries out orders until there are no more, and reports on each. After a failure it ends.
pub(crate) fn obey<O, R>(
    mut carry_out: impl FnMut(O) -> Result<R, CliError>,
) -> Result<(), CliError>
where
    O: DeserializeOwned,
    R: Serialize,
{
    for line in stdin().lines() {
        let line = line.map_err(CliError::io("read an order"))?;
        let order = serde_json::from_str(&line).map_err(|_| CliError::Protocol { text: line })?;
        match carry_out(order) {
            Ok(report) => answer(&Answer::Done(report))?,
            Err(error) => {
                let failure = ChildFailure::from(&error);
                answer(&Answer::<R>::Failed(failure.clone()))?;
                return Err(CliError::InChild(failure));
            }
        }
    }
    Ok(())
}

fn answer<R: Serialize>(answer: &Answer<R>) -> Result<(), CliError> {
    super::output::print_json(answer)
}
