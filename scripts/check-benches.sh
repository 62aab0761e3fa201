#!/usr/bin/env bash
# Format, lints and tests of benches/, which are a workspace of their own (they build the peers, some
# minutes), and a short run of all figures. Needs libclang (Debian: libclang-dev).
set -euo pipefail
cd "$(dirname "$0")/../benches"
cargo fmt --all --check
cargo clippy --workspace --all-targets --release --locked -- -D warnings
cargo test --workspace --release --locked
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cargo build --release --locked
timeout 300 target/release/dds-shm-benches --rounds 1 --samples 500 --out "$out"
test -s "$out/results.json" && test -s "$out/results.md" && test -s "$out/latency-touched.svg"
if grep -n 'fails:' "$out/results.md"; then exit 1; fi
