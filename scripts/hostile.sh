#!/usr/bin/env bash
# A process with the same rights writes whatever hurts into control objects and bells, and replaces
# flinks and node files, under running writers and readers in other processes, for so long.
#
#     scripts/hostile.sh [seconds=300]
set -eu
cd "$(dirname "$0")/.."
DDS_SHM_HOSTILE_SECONDS="${1:-300}" \
    cargo test --release --test hostile_processes -- --nocapture --test-threads 1
