//! The example checks itself; here it is run.

use interop_tests::in_namespace;

#[path = "../examples/two_participants.rs"]
mod two_participants;

#[test]
#[allow(clippy::panic, reason = "a test fails by panicking")]
fn two_participants_in_two_processes_exchange_samples() {
    in_namespace!([], || {
        if let Err(error) = two_participants::main() {
            panic!("{error}");
        }
    });
}
