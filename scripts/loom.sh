#!/usr/bin/env bash
# The loom scenarios of the slot protocol and of the bells, with more preemptions per execution than
# `cargo test` tries: as many as are given ("none" for no bound), for at most so many seconds each.
#
#     scripts/loom.sh [preemptions=4] [seconds=600]
set -eu
cd "$(dirname "$0")/.."
export DDS_SHM_LOOM_PREEMPTIONS="${1:-4}" DDS_SHM_LOOM_SECONDS="${2:-600}"
cargo test --release --test loom_slots --test loom_doorbell -- --nocapture --test-threads 1
