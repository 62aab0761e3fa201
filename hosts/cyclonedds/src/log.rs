//! What the plugin has to say, on the standard error output.

use std::io;
use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry};

/// One log for all instances of a process: the one that wants most decides.
static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Has everything told up to this level.
pub(crate) fn enable(level: LevelFilter) {
    let mut is_new = false;
    let handle = LEVEL.get_or_init(|| {
        is_new = true;
        let (filter, handle) = reload::Layer::new(level);
        let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
        // A Rust program with this as a library may have a log of its own.
        let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
        handle
    });
    if !is_new {
        let _ = handle.modify(|now| *now = level.max(*now));
    }
}
