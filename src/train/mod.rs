//! Everything after the shard: loaders, kernels, the network and its training.
//!
//! A [`loader`] gives batches of sparse frames, the [`kernel`]s carry them through the network of [`snn`] and back,
//! [`fit`] trains with them, [`checkpoint`]s and [`metrics`] go into the run folder, [`eval`] judges the result and
//! [`export`] gives it away.

pub mod bench;
pub mod checkpoint;
pub mod config;
pub mod eval;
pub mod export;
pub mod fit;
pub mod folder;
pub mod kernel;
pub mod loader;
pub mod metrics;
pub mod snn;
