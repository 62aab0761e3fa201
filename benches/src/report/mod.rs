//! Writes down what was found: JSON for programs, Markdown and plots for people.

mod markdown;
mod plots;

use std::fs;
use std::path::Path;

use crate::error::{BenchError, Result, io};
use crate::results::Results;

/// Writes all of it into `dir`.
pub(crate) fn write(results: &Results, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(io(format!("make {}", dir.display())))?;
    let save = |name: &str, text: String| {
        let path = dir.join(name);
        fs::write(&path, text).map_err(io(format!("write {}", path.display())))?;
        eprintln!("{}", path.display());
        Ok(())
    };
    let json = serde_json::to_string_pretty(results);
    save("results.json", json.map_err(|e| BenchError::Protocol(e.to_string()))? + "\n")?;
    let plots = plots::draw(results, dir)?;
    save("results.md", markdown::text(results, &plots))
}
