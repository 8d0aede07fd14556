//! Tests of the emulator itself, by C++ programs that call the emulated driver and NVRTC.

use std::path::Path;
use std::process::Command;

use crate::{PTX, build, compile, real_nvrtc};

/// Compiles and runs a C++ program with these environment variables, and asserts that it succeeds.
fn passes(source: &str, environment: &[(&str, &Path)]) {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let program = scratch.path().join("selftest");
    compile(&["-O1", source, "-ldl"], &program);
    let mut command = Command::new(program);
    command.arg(build()).env_remove(PTX).env_remove("TONIC_EMULATED_COPIES").envs(environment.iter().copied());
    let result = command.output().expect("the self-test starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&result.stdout), String::from_utf8_lossy(&result.stderr));
    assert!(result.status.success(), "{stdout}{stderr}");
}

#[test]
fn right_programs_get_right_results_and_faults_are_found() {
    passes("selftest/cpp.cpp", &[]);
}

#[test]
fn faults_of_kernels_run_as_ptx_are_found() {
    if let Some(nvrtc) = real_nvrtc() {
        passes("selftest/ptx.cpp", &[(PTX, &nvrtc)]);
        passes("selftest/ptx.cpp", &[(PTX, &nvrtc), ("TONIC_EMULATED_COPIES", Path::new("early"))]);
    }
}
