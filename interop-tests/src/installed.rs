//! What tests need and make themselves, once, under the target folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::need::target_folder;

/// The folder `name` under the target folder, with what `make` puts into it.
///
/// Made by the first that asks, of whatever test or process; made anew when `recipe`, which says all
/// that the content depends on, is not that of what is there.
pub(crate) fn installed(
    name: &str,
    recipe: &str,
    make: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let folder = target_folder().join(name);
    // Written last: a folder without it is half made.
    let stamp = folder.join("installed.txt");
    let lock_path = target_folder().join(format!("{name}.lock"));
    let lock = File::create(&lock_path).map_err(|error| at(&lock_path, &error))?;
    lock.lock().map_err(|error| at(&lock_path, &error))?;
    if fs::read_to_string(&stamp).is_ok_and(|made| made == recipe) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| at(&folder, &error))?;
    }
    fs::create_dir_all(&folder).map_err(|error| at(&folder, &error))?;
    make(&folder)?;
    fs::write(&stamp, recipe).map_err(|error| at(&stamp, &error))?;
    Ok(folder)
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| at(path, &error))
}

fn at(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// Runs a command to its end; the error has what it said, and the advice.
pub(crate) fn execute(command: &mut Command, advice: &str) -> Result<Output, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}: {advice}"))?;
    if output.status.success() {
        return Ok(output);
    }
    // Build tools complain on either.
    let complaint = [output.stdout, output.stderr].concat();
    let complaint = String::from_utf8_lossy(&complaint);
    Err(format!("{command:?} failed ({}): {advice}\n{}", output.status, complaint.trim()))
}
