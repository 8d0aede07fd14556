//! Converts recordings into a set.
//!
//! ```text
//! conversion   the caller's settings
//! added        samples that a program adds, in place of recordings
//! job          what is converted, by which recipe, into which chunks and shards
//! estimate     how large the set will be, and how long it takes
//! division     which part of the set each task of a cluster makes, and how long it takes
//! chunk_sizes  how many samples a chunk has, and how many chunks a shard has
//! opening      shows progress while the recordings are opened
//! inputs       opens the recordings, and finds the recording of each sample
//! sensor       the error for a recording whose sensor size is unknown
//! hash         hashes of the recordings' files
//! chunks       makes one chunk: reads, transforms, frames, encodes
//! large        reads a large sample in blocks and transforms its events
//! memory       how much memory large samples need
//! outside      the error for an event outside the sensor
//! loss         how many events each step lost
//! causes       describes losses and their likely causes in words
//! limit        checks losses against the largest share of events that may be lost
//! settings     the settings that must not change when a conversion is resumed
//! pipeline     makes all chunks on all cores, and writes them in order
//! ```

mod added;
mod causes;
mod chunk_sizes;
mod chunks;
mod conversion;
mod division;
mod estimate;
mod hash;
mod inputs;
mod job;
mod large;
mod limit;
mod loss;
mod memory;
mod opening;
mod outside;
mod pipeline;
mod sensor;
mod settings;

pub use added::{AddedLabel, AddedSamples};
pub use chunk_sizes::SHARD_SIZE;
pub use chunks::{ChunkFailure, ChunkMaker};
pub use conversion::{Conversion, LEVEL, RecipeChoice};
pub use division::{Division, TaskShare};
pub use estimate::Estimate;
pub use hash::hash_linked;
pub use inputs::Inputs;
pub use job::Job;
pub use pipeline::{Converted, convert, convert_added};
