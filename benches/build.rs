//! Notes which compiler is used, for the reports.

use std::process::Command;

fn main() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = Command::new(rustc).arg("--version").output();
    let version =
        version.map_or_else(|_| String::new(), |out| String::from_utf8_lossy(&out.stdout).into());
    println!("cargo::rustc-env=BENCHES_RUSTC={}", version.trim());
    println!("cargo::rerun-if-changed=build.rs");
}
