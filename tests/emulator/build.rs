//! Gives the crate an OUT_DIR. A test that needs the emulator compiles it to this folder of the target directory.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
