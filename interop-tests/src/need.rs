//! What a test needs from the machine, and what happens if it is not there.

use std::path::{Path, PathBuf};

use crate::{cyclone, namespace, python};

/// With this variable set to 1, a test whose needs are not met fails instead of being skipped.
pub const REQUIRE_VARIABLE: &str = "DDS_SHM_REQUIRE_INTEROP";

/// Something that a test cannot do without. Namespaces are always needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Cyclone DDS in a Python environment; made on first use, which needs the network.
    Cyclone,
    /// Cyclone DDS as C applications use it; built on first use, which needs a C compiler, the
    /// network and minutes.
    CycloneC,
    /// The program `rustdds-peer`; cargo builds it with the tests.
    RustDds,
}

impl Need {
    /// Makes it available. The error says what is missing and what to do.
    fn meet(self) -> Result<(), String> {
        match self {
            Self::Cyclone => python::interpreter().map(drop),
            Self::CycloneC => cyclone::programs().map(drop),
            Self::RustDds => program(RUSTDDS_PEER).map(drop),
        }
    }
}

/// Whether a test can run. Prints why not; panics instead if skipping is not allowed.
pub(crate) fn all_met(needs: &[Need]) -> bool {
    let met = namespace::available().and_then(|()| needs.iter().try_for_each(|need| need.meet()));
    match met {
        Ok(()) => true,
        Err(reason) if std::env::var_os(REQUIRE_VARIABLE).is_some_and(|value| value == "1") => {
            panic!("cannot run, and {REQUIRE_VARIABLE}=1 forbids to skip: {reason}")
        }
        Err(reason) => {
            println!("SKIPPED: {reason}");
            false
        }
    }
}

/// The program that is a RustDDS participant.
pub(crate) const RUSTDDS_PEER: &str = "rustdds-peer";
/// The program that is our embedded participant.
pub(crate) const EMBEDDED_PEER: &str = "embedded-peer";

/// A program of this package.
pub(crate) fn program(name: &str) -> Result<PathBuf, String> {
    // Tests are in target/<profile>/deps, programs one folder up.
    let executable = std::env::current_exe().map_err(|error| error.to_string())?;
    let found = executable
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.ok_or_else(|| {
        format!(
            "no {name} near {}: run `cargo build -p interop-tests --bins` first",
            executable.display()
        )
    })
}

/// The folder that cargo builds in: never committed, and kept from run to run.
pub(crate) fn target_folder() -> PathBuf {
    let executable = std::env::current_exe().unwrap_or_default();
    let marked = executable.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    marked
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), Path::to_path_buf)
}
