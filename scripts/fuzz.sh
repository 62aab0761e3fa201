#!/usr/bin/env bash
# Runs every fuzz target (or those that are named) for so many seconds each, from the inputs kept in
# fuzz/corpus. New inputs go to target/fuzz/corpus; what breaks something stops the run and is in
# target/fuzz/artifacts: fix it, and keep the input in fuzz/corpus under a name that says what it is.
# Needs a nightly toolchain and a C++ compiler; takes cargo-fuzz from crates.io if it is not there.
#
#     scripts/fuzz.sh [seconds=60] [target...]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
[ $# -gt 0 ] && shift
rustup toolchain list | grep -q '^nightly' || rustup toolchain install nightly --profile minimal
cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked
work=$PWD/target/fuzz
if [ $# -eq 0 ]; then
    mapfile -t targets < <(cargo +nightly fuzz list)
    set -- "${targets[@]}"
fi
for target in "$@"; do
    echo "== $target"
    mkdir -p "$work/corpus/$target" "$work/artifacts/$target"
    cargo +nightly fuzz run --target-dir "$work" "$target" "$work/corpus/$target" "fuzz/corpus/$target" -- \
        "-max_total_time=$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        "-artifact_prefix=$work/artifacts/$target/"
done
