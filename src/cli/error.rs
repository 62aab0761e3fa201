//! What went wrong, for the person who must fix it, and the exit code that says so to a script.

use std::io;
use std::process::ExitCode;

use dds_shm::SlotError;
use dds_shm::liveness::LivenessError;
use dds_shm::shm::ShmError;
use dds_shm::transport::{Mismatch, NetworkReason, TransportError};
use serde::{Deserialize, Serialize};

use super::signals;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error(transparent)]
    Slot(#[from] SlotError),
    #[error(transparent)]
    Liveness(#[from] LivenessError),
    #[error(transparent)]
    Shm(#[from] ShmError),
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The other process of a command failed and said why.
    #[error("in the second process: {0}")]
    InChild(ChildFailure),
    /// The other process of a command ended, and did not say why.
    #[error("the second process ended unexpectedly ({status}): see its messages above")]
    ChildGone { status: String },
    /// The two processes do not understand each other.
    #[error(
        "the second process said {text:?}, which is not understood: was the executable replaced while it ran?"
    )]
    Protocol { text: String },
    #[error("cannot {action}: {source}")]
    Io { action: &'static str, source: io::Error },
    #[error("{0}")]
    Usage(String),
    /// Somebody did not come in time.
    #[error("{0}")]
    NotInTime(String),
    /// A signal asked us to end.
    #[error("ended by a signal")]
    Interrupted,
}

/// An error of a child process, as it travels to its parent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ChildFailure {
    pub(crate) message: String,
    pub(crate) code: u8,
}

impl std::fmt::Display for ChildFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<&CliError> for ChildFailure {
    fn from(error: &CliError) -> Self {
        Self { message: error.to_string(), code: error.code() }
    }
}

/// Samples were lost or damaged, or did not come in time.
pub(crate) const NOT_ALL: u8 = 1;
const USAGE: u8 = 2;
const MEMORY: u8 = 3;
const PERMISSION: u8 = 4;
pub(crate) const INCOMPATIBLE: u8 = 5;
pub(crate) const OTHER: u8 = 6;

impl CliError {
    pub(crate) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }

    /// Says on stderr what went wrong.
    pub(crate) fn show(&self) {
        if !matches!(self, Self::Interrupted) {
            eprintln!("dds-shm: {self}");
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        match self {
            Self::Slot(error) => slot_code(error),
            Self::Liveness(error) => liveness_code(error),
            Self::Shm(error) => shm_code(error),
            Self::Transport(error) => transport_code(error),
            Self::InChild(failure) => failure.code,
            Self::Usage(_) => USAGE,
            Self::NotInTime(_) => NOT_ALL,
            Self::Interrupted => signals::exit_code(),
            Self::ChildGone { .. } | Self::Protocol { .. } | Self::Io { .. } => OTHER,
        }
    }
}

fn transport_code(error: &TransportError) -> u8 {
    match error {
        TransportError::Network(NetworkReason::NotSizable(_)) => USAGE,
        TransportError::Network(NetworkReason::Mismatch(Mismatch::TypeHash(_))) => INCOMPATIBLE,
        TransportError::Slots(error) => slot_code(error),
        TransportError::Liveness(error) => liveness_code(error),
        _ => OTHER,
    }
}

fn slot_code(error: &SlotError) -> u8 {
    match error {
        SlotError::Format(_) | SlotError::TypeMismatch { .. } => INCOMPATIBLE,
        SlotError::Plan { .. } => USAGE,
        SlotError::Shm(error) => shm_code(error),
        SlotError::Liveness(error) => liveness_code(error),
        _ => OTHER,
    }
}

fn liveness_code(error: &LivenessError) -> u8 {
    match error {
        LivenessError::Shm(error) => shm_code(error),
        LivenessError::NotADirectory { .. }
        | LivenessError::WrongOwner { .. }
        | LivenessError::WritableByOthers { .. }
        | LivenessError::NotWritable { .. }
        | LivenessError::PathTooLong { .. } => PERMISSION,
        LivenessError::BadBell { .. } => INCOMPATIBLE,
        _ => OTHER,
    }
}

fn shm_code(error: &ShmError) -> u8 {
    match error {
        ShmError::NoSpace { .. } => MEMORY,
        ShmError::Permission { .. } | ShmError::ReadOnly { .. } => PERMISSION,
        _ => OTHER,
    }
}
