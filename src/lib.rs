//! Converts event recordings to frame shards once, and trains spiking neural networks from these shards.
//!
//! ```text
//! recording --source--> Events --transform--> Events --framing--> SparseFrames --> DIR/*.shard + manifest.json
//!                                                                                               |
//! run folder, model <-- run <-- learner (engine) <-- feed (GPU cache) <-- loader (host cache) <-+
//! ```
//!
//! [`prep`] makes shard sets from recordings, [`shard`] is their format, [`sets`] has tools for finished sets,
//! [`loader`] makes batches, [`report`] draws pictures, and [`base`] is what all of these share. `train` (feature
//! `train`) trains networks, and `remote` (feature `remote`) pushes, pulls and reads sets at URLs. Each of them is a
//! separate crate that is re-exported here.
//!
//! ```
//! use std::path::Path;
//! use tonic_toolkit::shard::ShardSet;
//!
//! let set = ShardSet::open(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/v2")))?;
//! println!("{} samples of {}", set.len(), set.manifest().description.shape);
//! # Ok::<(), tonic_toolkit::shard::Error>(())
//! ```

pub use tonic_base as base;
pub use tonic_loader as loader;
pub use tonic_prep as prep;
#[cfg(feature = "remote")]
pub use tonic_remote as remote;
pub use tonic_report as report;
pub use tonic_sets as sets;
pub use tonic_shard as shard;
#[cfg(feature = "train")]
pub use tonic_train as train;
