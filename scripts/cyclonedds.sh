#!/usr/bin/env bash
# The long form of the tests with Cyclone DDS: everything so many times over, and the loops that kill for so
# many rounds each. Stops at the first thing that is not as promised.
#
#     scripts/cyclonedds.sh [times=5] [rounds=100]
set -euo pipefail
cd "$(dirname "$0")/.."
times=${1:-5} rounds=${2:-100}
export DDS_SHM_REQUIRE_INTEROP=1
for time in $(seq "$times"); do
    echo "== $time of $times"
    cargo test -p interop-tests --locked --test cyclone_matrix --test cyclone_paths --test cyclone_scale
done
echo "== killed, $rounds rounds"
DDS_SHM_CYCLONE_ROUNDS=$rounds cargo test -p interop-tests --locked --test cyclone_kill
