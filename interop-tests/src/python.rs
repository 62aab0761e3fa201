//! The Python environment with Cyclone DDS and build tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::installed::{execute, installed, read};

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/requirements.txt");

/// The folder of the programs of an environment with everything in `peers/requirements.txt`, the
/// interpreter `python` among them.
///
/// The error says what is missing and what to do.
pub(crate) fn programs() -> Result<PathBuf, String> {
    let environment = installed("interop-python", &read(Path::new(REQUIREMENTS))?, |folder| {
        let advice = "install Python 3.9 or later with its venv module, and have access to PyPI";
        execute(Command::new("python3").args(["-m", "venv"]).arg(folder), advice)?;
        let interpreter = folder.join("bin/python");
        let mut pip = Command::new(&interpreter);
        pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet"]);
        execute(pip.args(["--only-binary", ":all:", "-r", REQUIREMENTS]), advice)?;
        execute(Command::new(&interpreter).args(["-c", "import cyclonedds.domain"]), advice)?;
        Ok(())
    })?;
    Ok(environment.join("bin"))
}

/// The interpreter of that environment.
pub(crate) fn interpreter() -> Result<PathBuf, String> {
    Ok(programs()?.join("python"))
}
