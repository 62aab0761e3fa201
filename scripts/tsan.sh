#!/usr/bin/env bash
# ThreadSanitizer over what several threads of one process do with one piece of memory: segments on the
# heap, bells, the event queues. It knows nothing of other mappings of the same memory, and nothing of
# fences: built with `--cfg dds_shm_tsan`, loads that need a fence in a read-only mapping are acquiring
# loads. Left out are unprotected copies (spec-notes/verification.md).
#
#     scripts/tsan.sh [short]
set -euo pipefail
cd "$(dirname "$0")/.."
rustup toolchain list | grep -q '^nightly' || rustup toolchain install nightly --profile minimal
rustup component add --toolchain nightly rust-src 2>/dev/null
host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=target/tsan CARGO_PROFILE_DEV_OPT_LEVEL=1
export RUSTFLAGS='-Zsanitizer=thread --cfg dds_shm_tsan'
export TSAN_OPTIONS='halt_on_error=1 second_deadlock_stack=1'
run() { # run TEST [ARGUMENT...]
    local cargo=(cargo +nightly test -Zbuild-std --locked --target "$host" --no-default-features --test "$1")
    "${cargo[@]}" --no-run
    timeout 900 "${cargo[@]}" -- "${@:2}"
}
run slot_torn_reads of_a_segment_on_the_heap_sees
run slot_conformance in_memory::
if [ "${1:-}" != short ]; then
    run wait_set
    run slot_lifecycle
    run transport_many
    # ThreadSanitizer stops what a process with threads forks.
    run liveness --skip a_forked_child
fi
