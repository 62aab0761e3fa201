#!/usr/bin/env bash
# Instructions of one sample of 64 octets, in one process: loan, copy in, publish, take, give back. Counted
# by valgrind (Debian), so the same from run to run, whatever else the machine does.
#
#     scripts/instructions.sh [callgrind-file]
#
# With a file, the costs by function and line are left there, for callgrind_annotate.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "needs valgrind: apt-get install valgrind" >&2; exit 1; }
annotated="${1:-}"
cargo build --release --locked --manifest-path benches/Cargo.toml -p instructions
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DDS_SHM_DIR="$work/runtime"
few=20000 many=120000

count() { # count SAMPLES FILE
    valgrind --tool=callgrind --callgrind-out-file="$2" \
        benches/target/release/instructions "$1" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
    awk '/^(summary|totals):/ { print $2; exit }' "$2"
}

low=$(count $few "$work/few")
high=$(count $many "$work/many")
if [ -n "$annotated" ]; then cp "$work/many" "$annotated"; fi
awk -v low="$low" -v high="$high" -v samples=$((many - few)) \
    'BEGIN { printf "%.1f instructions per sample\n", (high - low) / samples }'
