//! Everything after the shard: loaders, kernels, the network and its training.
//!
//! A [`loader`] gives batches of sparse frames, the [`kernel`]s carry them through the network of [`snn`] and back, on
//! the [`device`] that was chosen: that is a [`learner`], which [`fit`] trains in a run; its [`checkpoint`]s and
//! [`metrics`] go into the run folder, [`eval`] judges the result and [`export`] gives it away. [`check`] holds a GPU to the CPU.

pub mod bench;
pub mod check;
pub mod checkpoint;
pub mod config;
pub mod device;
pub mod eval;
pub mod export;
pub mod fit;
pub mod folder;
pub mod kernel;
pub mod learner;
pub mod loader;
pub mod metrics;
mod run;
pub mod snn;
