//! Every input that is kept for a fuzz target, and every input cut short, goes through it. What once
//! broke something is among them. `scripts/fuzz.sh` looks for more.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
mod targets;

#[test]
fn every_kept_input_is_taken_as_promised() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in targets::TARGETS {
        let mut count = 0;
        for entry in std::fs::read_dir(corpus.join(name)).expect(name) {
            let path = entry.unwrap().path();
            let input = std::fs::read(&path).unwrap();
            println!("{}", path.display());
            target(&input);
            // What is cut short in the middle is damaged like what is cut short anywhere.
            target(&input[..input.len() / 2]);
            count += 1;
        }
        assert!(count > 0, "no corpus for {name}");
    }
}
