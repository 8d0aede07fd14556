//! Tests conversions and training in jobs of a real Slurm: arrays, requeues, cancelled and killed tasks, lost nodes,
//! and several writers of one output. Skipped where Slurm is not installed.
#![cfg(target_os = "linux")]

mod convert;
#[cfg(feature = "train")]
mod fit;
mod slurm;
