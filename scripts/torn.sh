#!/usr/bin/env bash
# Samples of 64 KiB with a checksum from a writer in a tight loop to readers of every kind, in this process
# and another: format 1, mapped and on the heap, and ZDS2. For so many seconds each.
#
#     scripts/torn.sh [seconds=120]
set -euo pipefail
cd "$(dirname "$0")/.."
DDS_SHM_TORN_SECONDS="${1:-120}" \
    cargo test --release --locked --test slot_torn_reads -- --nocapture --test-threads 1
