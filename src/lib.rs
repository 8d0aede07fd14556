//! Event recordings to frame shards, once; spiking networks trained from them at the speed of the machine.
//!
//! ```text
//! events.h5 --source--> Events --transform--> Events --framing--> SparseFrames --shard--> DIR/*.shard + manifest.json
//!                                                                      |
//!                   network, run folder <-- fit <-- snn <-- kernel <-- loader (map, host cache, device cache)
//! ```

pub mod frames;
#[cfg(feature = "train")]
pub mod train;
