//! Everything after the shard: loaders, kernels, the network and its training.
