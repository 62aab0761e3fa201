//! The examples check themselves; here they are run.

#[path = "../examples/host_integration.rs"]
mod host_integration;

#[test]
fn a_host_plugs_the_transport_in() -> Result<(), Box<dyn std::error::Error>> {
    host_integration::main()
}
