//! Tests conversions and training in jobs of a real Slurm. Skipped where Slurm is not installed.
#![cfg(target_os = "linux")]

mod convert;
#[cfg(feature = "train")]
mod fit;
mod slurm;
