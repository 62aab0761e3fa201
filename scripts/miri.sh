#!/usr/bin/env bash
# Miri over everything that maps nothing: values on the wire, types and what the derive makes of them,
# the protocol on the heap with several threads. Counts shrink there.
#
#     scripts/miri.sh [short]
set -euo pipefail
cd "$(dirname "$0")/.."
rustup toolchain list | grep -q '^nightly' || rustup toolchain install nightly --profile minimal
rustup component add --toolchain nightly miri rust-src 2>/dev/null
export CARGO_TARGET_DIR=target/miri PROPTEST_CASES=${PROPTEST_CASES:-4}
# Clocks and random numbers are the real ones.
export MIRIFLAGS="-Zmiri-disable-isolation ${MIRIFLAGS:-}"
run() { # run TARGET [ARGUMENT...]: TARGET is --lib or --test=NAME
    local cargo=(cargo +nightly miri test --locked --no-default-features "$1")
    "${cargo[@]}" --no-run
    timeout 3000 "${cargo[@]}" -- "${@:2}"
}
# In short: where there is unsafe code that can run here, and threads.
run --lib types::tests slots::owner_cell slots::zds2::layout
run --test=slot_conformance in_memory::a_reader_that in_memory::two_loans in_memory::typed in_memory::the_payload
if [ "${1:-}" != short ]; then
    run --lib types:: wire:: discovery::shm_locator discovery::locator discovery::registry_file \
        discovery::reassembly discovery::reliable discovery::remote discovery::user_data discovery::lease slots:: sync:: transport::switch transport::stable_vec transport::event shm::memory
    run --test=slot_conformance in_memory::
    run --test=slot_torn_reads of_a_segment_on_the_heap_sees
    run --test=flat_struct
    run --test=wire_discovery_data
    run --test=fuzz_corpus
fi
