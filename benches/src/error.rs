//! What can go wrong while measuring.

use std::fmt::Debug;
use std::time::Duration;

/// Result of this program's functions.
pub(crate) type Result<T> = std::result::Result<T, BenchError>;

/// Why a measurement failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The system refused something.
    #[error("cannot {what}: {source}")]
    Io { what: String, source: std::io::Error },
    /// A transport under test refused something; its own words.
    #[error("{what} failed: {reason}")]
    Transport { what: &'static str, reason: String },
    /// The other process reported a failure.
    #[error("in the second process: {0}")]
    InChild(String),
    /// The other process is not there any more.
    #[error("the second process ended: {0}")]
    ChildGone(String),
    /// A wait was given up.
    #[error("{what}: nothing within {limit:?}")]
    Stuck { what: &'static str, limit: Duration },
    /// The two processes do not understand each other.
    #[error("unexpected message between the processes: {0}")]
    Protocol(String),
    /// A plot could not be drawn.
    #[error("cannot draw {file}: {reason}")]
    Plot { file: String, reason: String },
}

/// Says what the system was to do.
pub(crate) fn io<E: Into<std::io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> BenchError {
    let what = what.into();
    move |source| BenchError::Io { what, source: source.into() }
}

/// Says what a transport was to do. The errors of the peers have nothing in common but `Debug`.
pub(crate) fn failed<E: Debug>(what: &'static str) -> impl FnOnce(E) -> BenchError {
    move |error| BenchError::Transport { what, reason: format!("{error:?}") }
}
