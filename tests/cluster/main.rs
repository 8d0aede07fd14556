//! Tests conversions and training in jobs of a real Slurm, and training on several ranks. Skipped where Slurm is not
//! installed.
#![cfg(target_os = "linux")]

mod convert;
#[cfg(feature = "train")]
mod fit;
#[cfg(feature = "mpi")]
mod gpu_ranks;
#[cfg(feature = "mpi")]
mod rank_faults;
#[cfg(feature = "mpi")]
mod ranks;
mod slurm;
