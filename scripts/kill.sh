#!/usr/bin/env bash
# Kills processes: in front of every step that others can see, in every role, so many times over; then so
# many at random, with everybody else running. Says what was measured; stops at the first thing that is
# not as promised. spec-notes/robustness.md has what it said.
#
#     scripts/kill.sh [kills=5000] [rounds=3]
set -euo pipefail
cd "$(dirname "$0")/.."
kills=${1:-5000} rounds=${2:-3}
crash_points() { cargo test --test crash_points -- --nocapture "$@"; }
for round in $(seq "$rounds"); do
    echo "== every point, round $round of $rounds"
    crash_points --skip anybody_dies_at_any_time
done
echo "== $kills at random"
DDS_SHM_KILLS=$kills crash_points anybody_dies_at_any_time
