//! Event recordings to frame shards, once; spiking networks trained from them at the speed of the machine.
//!
//! ```text
//! events.h5 --source--> Events --transform--> Events --framing--> SparseFrames --shard--> DIR/*.shard + manifest.json
//!                                                                                                  |
//!                                       network, run folder <-- fit <-- snn <-- kernel <-- loader <-+
//! ```
//!
//! [`prep`] is everything before the shard, `train` (of the feature of that name) everything after it, and neither
//! imports the other: [`shard`] is all that they share, with the one form of data that it stores, [`frames`].

pub mod column;
pub mod error;
pub mod frames;
pub mod interrupt;
pub mod plot;
pub mod prep;
pub mod progress;
pub mod publish;
pub mod shard;
pub mod strategy;
#[cfg(feature = "train")]
pub mod train;
