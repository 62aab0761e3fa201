//! Cyclone DDS as C applications use it: the library, its headers, `idlc` and `ddsperf`, built from
//! the source that a package on crates.io carries, unchanged.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::installed::{execute, installed};
use crate::python;

/// Names the package with the source; its lock file says which exactly.
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cyclone/Cargo.toml");
const PACKAGE: &str = "cyclors";

const OPTIONS: [&str; 7] = [
    "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
    "-DBUILD_SHARED_LIBS=ON",
    "-DBUILD_TESTING=OFF",
    "-DBUILD_EXAMPLES=OFF",
    "-DENABLE_LTO=OFF",
    "-DENABLE_SECURITY=OFF",
    "-DENABLE_SSL=OFF",
];

/// Where Cyclone DDS is installed: `bin`, `include`, `lib`.
///
/// Built when it is first asked for, which takes minutes. The error says what is missing and what to do.
pub(crate) fn installation() -> Result<PathBuf, String> {
    let source = source()?;
    let recipe = format!("{}\n{}\n", source.display(), OPTIONS.join("\n"));
    installed("cyclonedds", &recipe, |folder| {
        let advice = "Cyclone DDS needs a C compiler, here as `cc`";
        let tools = python::programs()?;
        let build = folder.join("build");
        let mut configure = Command::new(tools.join("cmake"));
        configure.arg("-S").arg(&source).arg("-B").arg(&build).args(["-G", "Ninja"]).args(OPTIONS);
        configure.arg(define("CMAKE_MAKE_PROGRAM", &tools.join("ninja")));
        configure.arg(define("CMAKE_INSTALL_PREFIX", folder)).arg("-DCMAKE_INSTALL_LIBDIR=lib");
        execute(&mut configure, advice)?;
        execute(Command::new(tools.join("cmake")).arg("--build").arg(&build), advice)?;
        execute(Command::new(tools.join("cmake")).arg("--install").arg(&build), advice)?;
        // Several times what is installed.
        std::fs::remove_dir_all(&build).map_err(|error| format!("{}: {error}", build.display()))
    })
}

fn define(name: &str, path: &Path) -> String {
    format!("-D{name}={}", path.display())
}

/// The source of Cyclone DDS, where cargo keeps what it fetched.
fn source() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--locked", "--format-version", "1", "--manifest-path", MANIFEST]);
    let output = execute(&mut metadata, "have access to crates.io, or fetch it once")?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("the output of {metadata:?}: {error}"))?;
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let manifest = packages
        .iter()
        .find(|package| package["name"] == PACKAGE)
        .and_then(|package| package["manifest_path"].as_str())
        .ok_or_else(|| format!("{PACKAGE} is not in {MANIFEST}"))?;
    Ok(Path::new(manifest).with_file_name("cyclonedds"))
}

/// The folder of the programs of Cyclone DDS; the test has to need
/// [`Need::CycloneC`](crate::Need::CycloneC).
pub fn cyclone_programs() -> PathBuf {
    installation().expect("a test that needs Need::CycloneC").join("bin")
}
