//! Runs the trainer as a child process on the GPU of these tests.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use assert_cmd::Command;

use crate::{is_real, kernel_cache, sets};

/// Returns the environment variables for the GPU and the kernel cache of the tests.
fn environment() -> Vec<(&'static str, OsString)> {
    let cache = ("TONIC_CACHE", kernel_cache().into());
    if is_real() { vec![cache] } else { vec![cache, ("LD_LIBRARY_PATH", tonic_emulator::install().into())] }
}

pub(crate) fn on_gpu(mut command: Command) -> Command {
    command.envs(environment());
    command
}

/// Returns the command of a small fit on the GPU.
pub(crate) fn fit(dir: &Path, run: &str, others: &str) -> Command {
    on_gpu(sets::fit(dir, run, &format!("--device cuda:0 {others}")))
}

/// Returns a command that evaluates a run on the GPU.
pub(crate) fn eval(dir: &Path, run: &str, data: &str) -> Command {
    on_gpu(sets::eval_on("cuda:0", dir, run, data))
}

/// Starts a quiet fit on the GPU as a child process. Its stderr is a pipe.
pub(crate) fn start(dir: &Path, run: &str, others: &str) -> Child {
    let arguments = sets::fit_arguments(dir, run, &format!("--device cuda:0 --quiet {others}"));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tonic-train"));
    command.envs(environment()).args(arguments).stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs a fit on the GPU, which must succeed. Returns the run's folder.
pub(crate) fn fitted(dir: &Path, run: &str, others: &str) -> PathBuf {
    sets::succeeds(&mut fit(dir, run, &format!("--quiet {others}")));
    dir.join(run)
}
