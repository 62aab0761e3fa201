#!/usr/bin/env bash
# Every configuration of the exhaustive model of the slot protocol, with its state counts.
#
# A word as argument restricts it to configurations and seeded bugs with that word in their name.
set -eu
cd "$(dirname "$0")/.."
DDS_SHM_MODEL=full DDS_SHM_MODEL_ONLY="${1:-}" \
    cargo test --release --test slot_model -- --nocapture --test-threads 1
