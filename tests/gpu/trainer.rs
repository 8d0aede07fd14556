//! The trainer as a child process that finds the GPU of these tests.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use assert_cmd::Command;

use crate::{is_real, kernel_cache, sets};

/// What a child's environment has for it.
fn environment() -> Vec<(&'static str, OsString)> {
    let cache = ("TONIC_CACHE", kernel_cache().into());
    if is_real() { vec![cache] } else { vec![cache, ("LD_LIBRARY_PATH", tonic_emulator::install().into())] }
}

/// A command that finds the GPU.
pub(crate) fn on_gpu(mut command: Command) -> Command {
    command.envs(environment());
    command
}

/// A fit of [`sets::fit`] on the GPU.
pub(crate) fn fit(dir: &Path, run: &str, others: &str) -> Command {
    on_gpu(sets::fit(dir, run, &format!("--device cuda:0 {others}")))
}

/// An evaluation of [`sets::eval_on`] on the GPU.
pub(crate) fn eval(dir: &Path, run: &str, data: &str) -> Command {
    on_gpu(sets::eval_on("cuda:0", dir, run, data))
}

/// A quiet fit on the GPU in the background; its words are read when it has ended.
pub(crate) fn start(dir: &Path, run: &str, others: &str) -> Child {
    let arguments = sets::fit_arguments(dir, run, &format!("--device cuda:0 --quiet {others}"));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tonic-train"));
    command.envs(environment()).args(arguments).stderr(Stdio::piped()).spawn().unwrap()
}

/// Fits on the GPU, which must do. Returns the run's folder.
pub(crate) fn fitted(dir: &Path, run: &str, others: &str) -> PathBuf {
    sets::succeeds(&mut fit(dir, run, &format!("--quiet {others}")));
    dir.join(run)
}
