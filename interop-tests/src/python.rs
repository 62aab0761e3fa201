//! The Python environment with Cyclone DDS.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::need::target_folder;

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/requirements.txt");

/// The interpreter of an environment with everything in `peers/requirements.txt`.
///
/// Made when it is first asked for, by one of the tests that run at a time; made anew when the
/// requirements change. The error says what is missing and what to do.
pub(crate) fn environment() -> Result<PathBuf, String> {
    let folder = target_folder().join("interop-python");
    let interpreter = folder.join("bin/python");
    // Written last, with what was installed: an environment without it is half made.
    let stamp = folder.join("installed.txt");
    let wanted = read(Path::new(REQUIREMENTS))?;
    let up_to_date = || fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted);

    let lock_path = target_folder().join("interop-python.lock");
    let lock = File::create(&lock_path).map_err(|error| at(&lock_path, &error))?;
    lock.lock().map_err(|error| at(&lock_path, &error))?;
    if up_to_date() {
        return Ok(interpreter);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| at(&folder, &error))?;
    }
    let advice = "install Python 3.9 or later with its venv module, and have access to PyPI";
    execute(Command::new("python3").args(["-m", "venv"]).arg(&folder), advice)?;
    let mut pip = Command::new(&interpreter);
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet"]);
    execute(pip.args(["--only-binary", ":all:", "-r", REQUIREMENTS]), advice)?;
    execute(Command::new(&interpreter).args(["-c", "import cyclonedds.domain"]), advice)?;
    fs::write(&stamp, wanted).map_err(|error| at(&stamp, &error))?;
    Ok(interpreter)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| at(path, &error))
}

fn at(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn execute(command: &mut Command, advice: &str) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}: {advice}"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} failed ({}): {advice}\n{}", output.status, complaint.trim()))
}
