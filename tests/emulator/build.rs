//! Does nothing. A build script gives the crate an `OUT_DIR`, a folder in which tests compile the emulator.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
