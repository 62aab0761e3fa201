//! The border to C: no panic crosses it.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does something that C called for. A panic is told, and answered with `otherwise`.
pub(crate) fn guarded<R>(what: &str, otherwise: R, body: impl FnOnce() -> R) -> R {
    // What a panic leaves half-done is behind locks that recover, or not reachable any more.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        tracing::error!("{what}: a panic in the plugin; please report it");
        otherwise
    })
}
