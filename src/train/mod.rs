//! Everything after the shard: loaders, kernels, the network and its training.

pub mod export;
pub mod kernel;
pub mod snn;
