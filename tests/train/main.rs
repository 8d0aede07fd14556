//! Tests of `tonic-train` and its library on the CPU, in one binary.
//!
//! ```text
//! run, resume, frozen, hostile   whole runs, stopped runs, runs of earlier versions, disturbed runs
//! training                       optimisers, schedules, selection of an epoch, augmentation
//! evaluation, predict, model_file    evaluation, logits and file of a run's network
//! networks                       network files and presets
//! engines, agreement             the engines compute the same
//! loader                         batches of a set
//! health, classes, faults, printed    warnings, error messages and printed text
//! report, browser, show, tensorboard    reports, pictures and event files
//! nir                            networks for other programs
//! sweeps, bench, command_lines   many runs; benchmarks; frozen command lines
//! sets, runs, random             helpers
//! ```

#[cfg(feature = "libtorch")]
mod agreement;
mod bench;
mod browser;
mod classes;
#[path = "../prep/command_lines.rs"]
mod command_lines;
mod engines;
mod evaluation;
mod faults;
mod frozen;
mod health;
mod hostile;
mod loader;
mod model_file;
mod networks;
#[cfg(feature = "nir")]
mod nir;
mod predict;
mod presets;
mod printed;
#[allow(dead_code)] // without libtorch, only the crate and tests/gpu use the rest
mod random;
mod report;
mod resume;
mod run;
mod runs;
mod sets;
mod show;
mod sweeps;
mod tensorboard;
mod training;
