//! Link options of the plugin.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Cyclone DDS unloads its plugins with the domain. Loans that an application has not returned, and
    // destructors of thread-local values, may come back to this code later.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libpsmx_dds_shm.so");
}
