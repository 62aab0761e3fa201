//! Cyclone DDS as C applications use it: the library, its headers, `idlc` and `ddsperf`, built from
//! the source that a package on crates.io carries, unchanged; and applications of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::installed::{execute, installed, read};
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
        fs::remove_dir_all(&build).map_err(|error| format!("{}: {error}", build.display()))
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

/// Sources of our applications.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cyclone/app");

/// A program made of the sources.
struct Application {
    name: &'static str,
    sources: &'static [&'static str],
    types: &'static str,
    flags: &'static [&'static str],
}

const APPLICATIONS: [Application; 3] = [
    Application { name: "app", sources: &["app.c", "kinds.c"], types: "types", flags: &[] },
    Application {
        name: "evolved-app",
        sources: &["app.c", "kinds.c"],
        types: "types",
        flags: &["-DEVOLVED"],
    },
    Application { name: "measure", sources: &["measure.c"], types: "sizes", flags: &[] },
];

/// The folder of our applications, and of the programs of Cyclone DDS.
pub(crate) fn programs() -> Result<PathBuf, String> {
    // Cargo is asked once for each process.
    static PROGRAMS: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PROGRAMS.get_or_init(make_programs).clone()
}

fn make_programs() -> Result<PathBuf, String> {
    let cyclone = installation()?;
    let mut recipe = format!("{}\n", read(&cyclone.join("installed.txt"))?);
    let sources = fs::read_dir(SOURCES).map_err(|error| format!("{SOURCES}: {error}"))?;
    let mut sources: Vec<_> = sources.flatten().map(|entry| entry.path()).collect();
    sources.sort();
    for source in &sources {
        recipe += &read(source)?;
    }
    installed("cyclonedds-programs", &recipe, |folder| {
        for application in &APPLICATIONS {
            application.build(&cyclone, folder)?;
        }
        let link = |name: &str| {
            std::os::unix::fs::symlink(cyclone.join("bin").join(name), folder.join(name))
                .map_err(|error| format!("{name}: {error}"))
        };
        link("ddsperf")
    })
}

impl Application {
    fn build(&self, cyclone: &Path, folder: &Path) -> Result<(), String> {
        let advice = "the C applications of the tests have to compile";
        let generated = folder.join(format!("{}.d", self.name));
        fs::create_dir_all(&generated)
            .map_err(|error| format!("{}: {error}", generated.display()))?;
        let types = Path::new(SOURCES).join(self.types).with_extension("idl");
        let mut idlc = Command::new(cyclone.join("bin/idlc"));
        execute(idlc.args(self.flags).arg("-o").arg(&generated).arg(types), advice)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-g"]).args(self.flags);
        compiler.arg("-I").arg(cyclone.join("include")).arg("-I").arg(&generated);
        compiler.args(self.sources.iter().map(|source| Path::new(SOURCES).join(source)));
        compiler.arg(generated.join(self.types).with_extension("c"));
        compiler.arg("-o").arg(folder.join(self.name));
        compiler.arg("-L").arg(cyclone.join("lib")).arg("-lddsc");
        execute(compiler.arg(format!("-Wl,-rpath,{}", cyclone.join("lib").display())), advice)?;
        Ok(())
    }
}
