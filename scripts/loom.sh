#!/usr/bin/env bash
# Everything that loom explores (slot protocol, bells, the owner's turn, attaching beside creating), with
# more preemptions per execution than `cargo test` tries: as many as are given ("none" for no bound), for
# at most so many seconds for each scenario and each seeded bug.
#
#     scripts/loom.sh [preemptions=4] [seconds=600]
set -euo pipefail
cd "$(dirname "$0")/.."
export DDS_SHM_LOOM_PREEMPTIONS="${1:-4}" DDS_SHM_LOOM_SECONDS="${2:-600}"
tests=()
for test in tests/loom_*; do
    name=$(basename "$test" .rs)
    tests+=(--test "$name")
done
cargo test --release --locked "${tests[@]}" -- --nocapture --test-threads 1
