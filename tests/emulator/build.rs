//! Gives the crate an OUT_DIR: the folder in the target directory where a test compiles the emulator when it needs it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
