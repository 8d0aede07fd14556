//! This build script does nothing. It is here so that the crate has an `OUT_DIR`, a folder of the target directory. A
//! test that needs the emulator compiles the emulator to this folder.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
