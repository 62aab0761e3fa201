//! What `#[derive(FlatStruct)]` refuses, and in which words: the `.stderr` files beside the sources
//! under `tests/ui/`. `TRYBUILD=overwrite` renews them.

use std::{env, process::Command};

/// The compiler whose words are in `tests/ui/flat_struct_rustc/*.stderr`.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn what_cannot_be_shared_is_refused_with_the_way_out() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/flat_struct/*.rs");

    // Around what the derive says of types stand the compiler's own words, which change with it.
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("rustc runs").stdout;
    if version.starts_with(COMPILER.as_bytes()) {
        cases.compile_fail("tests/ui/flat_struct_rustc/*.rs");
    } else {
        println!("not compared: messages that contain those of {COMPILER}x");
    }
}
