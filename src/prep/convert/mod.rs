//! Converts recordings into a set.
//!
//! ```text
//! job       what is converted, by which recipe, into which chunks and shards
//! division  which part of the set each task of a cluster makes, and how long it takes
//! plan      how many samples a chunk has, and how many chunks a shard has
//! inputs    the recordings: finds the file, and the sample in it, for each sample of the set
//! chunks    makes one chunk: reads, transforms, frames, encodes
//! large     streams the events of a large sample through the transforms
//! memory    how much memory large samples need
//! outside   the error for an event outside the sensor
//! loss      how many events each step lost
//! causes    describes losses and their likely causes in words
//! limit     checks losses against the largest share of events that may be lost
//! settings  what a resumed conversion must have as it began
//! pipeline  makes all chunks on all cores, and writes them in order
//! ```

mod causes;
mod chunks;
mod division;
mod inputs;
mod job;
mod large;
mod limit;
mod loss;
mod memory;
mod outside;
mod pipeline;
mod plan;
mod settings;

pub use chunks::{ChunkFailure, ChunkMaker};
pub use division::{Division, Share};
pub use inputs::{Inputs, hash_linked};
pub use job::{Conversion, Estimate, Job, LEVEL, RecipeChoice};
pub use pipeline::{Converted, convert};
pub use plan::SHARD_SIZE;
