//! With feature `libtorch`, gives binaries and tests an rpath to libtorch, so that they run without `LD_LIBRARY_PATH`.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    // Without such a line, any change in the package would run this again.
    println!("cargo::rerun-if-changed=Cargo.toml");
    if env::var_os("CARGO_FEATURE_LIBTORCH").is_none() {
        return;
    }
    for name in ["LIBTORCH", "LIBTORCH_LIB", "LIBTORCH_USE_PYTORCH", "VIRTUAL_ENV"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    match libtorch_lib() {
        Ok(lib) => println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display()),
        Err(message) => println!("cargo::error={message}"),
    }
}

/// Returns the folder of libtorch that torch-sys links against.
fn libtorch_lib() -> Result<PathBuf, String> {
    let lib = if env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        pytorch_lib()?
    } else if let Some(home) = env::var_os("LIBTORCH_LIB").or_else(|| env::var_os("LIBTORCH")) {
        PathBuf::from(home).join("lib")
    } else {
        PathBuf::from("/usr/lib")
    };
    if ["libtorch.so", "libtorch.dylib"].iter().any(|name| lib.join(name).exists()) {
        lib.canonicalize().map_err(|e| format!("{}: {e}", lib.display()))
    } else {
        Err(format!(
            "feature `libtorch` needs libtorch, and {} has none: run scripts/setup --libtorch or set LIBTORCH",
            lib.display()
        ))
    }
}

fn pytorch_lib() -> Result<PathBuf, String> {
    let python = if env::var_os("VIRTUAL_ENV").is_some() { "python" } else { "python3" };
    let script = "import os, torch; print(os.path.dirname(torch.__file__))";
    match Command::new(python).args(["-c", script]).output() {
        Ok(output) if output.status.success() => {
            Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).join("lib"))
        }
        _ => Err(format!("LIBTORCH_USE_PYTORCH is set, but {python} cannot import torch")),
    }
}
