#![doc = include_str!("README.md")]
#![doc = include_str!("FORMAT.md")]

mod body;
mod chunk;
mod codec;
mod column;
mod description;
mod difference;
mod entries;
mod error;
mod frames;
mod large;
mod layout;
mod ledger;
mod manifest;
mod map;
mod order;
mod output_dir;
mod packed;
mod part;
mod planes;
mod reader;
pub mod salvage;
mod shard;
mod shard_draft;
mod stored;
pub mod verify;
mod writer;

pub use chunk::{Chunk, FLAG_EMPTY, FLAG_OVERLAP, FLAG_SORTED, NO_LABEL, SampleTable};
pub use codec::{ChunkName, Decoder, EncodedChunk, Encoder, StoredChunk, check_chunk};
pub use column::{Column, ColumnBuf, Width};
pub use description::{Id, LinkedFile, MARKER, SetDescription, SourceFile, Tool, shard_name};
pub use difference::{differing_parts, listed};
pub use error::{Error, Result, ShardFault};
pub use frames::{CountTooLarge, FrameShape, FromValue, SampleFrames, SparseFrames, Widths};
pub use large::LargeChunk;
pub use layout::{
    ChunkRecord, HEADER_BYTES, MAX_CHUNK_SAMPLES, RECORD_BYTES, SetLayout, ShardHead, ShardPlace, aligned,
    chunk_checksum,
};
pub use ledger::Ledger;
pub use manifest::{MANIFEST_FILE, MOST_CLASSES, Manifest, ShardEntry, Totals, identity_of};
pub use order::{Order, OrderParts, Permutation, WINDOW_SAMPLES, Window};
pub use output_dir::{Existing, Origin, OutputDir};
pub use packed::{PackedChunk, PackedSample};
pub use part::Part;
pub use reader::{SampleReader, ShardSet};
pub use shard::Shard;
pub use shard_draft::ShardDraft;
pub use stored::Stored;
pub use writer::{KEPT, SetWriter};
