#![doc = include_str!("README.md")]
#![doc = include_str!("FORMAT.md")]

// frames, chunk, ledger         samples in memory: sparse frames, labels, what happened to each event
// column, planes, entries       columns of numbers, and how they are packed
// body, packed, large           a chunk's decoded bytes; a chunk as training keeps it; a chunk of large samples
// codec, stored                 compresses and verifies chunks; compressed bytes before they are written to a shard
// checked, streamed             checks chunks without unpacking them; reads large ones piece by piece
// layout, shard                 header and index of a shard; an open shard
// storage, directory, mapped_file    where the bytes of a set come from; a directory of mapped files
// description, manifest, part   what a set is; manifest.json; the part of a set that one machine converts
// writer, shard_draft, output_dir    writes a set; a shard that is being written; who may write to a folder
// set_copy                      assembles a set from files that come from elsewhere
// reader, order                 opens a set; the order of an epoch
// verify, salvage               checks a set; recovers chunks of a damaged shard
// card                          the page and the picture that describe a set; checks that a card belongs to a set
// difference, error             what differs between two sets; errors

mod body;
mod card;
mod checked;
mod chunk;
mod codec;
mod column;
mod description;
mod difference;
mod directory;
mod entries;
mod error;
mod frames;
mod large;
mod layout;
mod ledger;
mod manifest;
mod mapped_file;
mod order;
mod output_dir;
mod packed;
mod part;
mod planes;
mod reader;
pub mod salvage;
mod set_copy;
mod shard;
mod shard_draft;
mod storage;
mod stored;
mod streamed;
pub mod verify;
mod writer;

pub use card::{CARD, CARD_PICTURE, card_id_line, check_card};
pub use checked::CheckedChunk;
pub use chunk::{Chunk, FLAG_EMPTY, FLAG_OVERLAP, FLAG_SORTED, NO_LABEL, SampleTable};
pub use codec::{ChunkName, Decoder, EncodedChunk, Encoder, StoredChunk, check_chunk};
pub use column::{Column, ColumnBuf, Width, largest};
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
pub use output_dir::{Existing, Origin, OutputDir, describing_file};
pub use packed::{PackedChunk, PackedSample};
pub use part::Part;
pub use reader::{SampleReader, ShardSet};
pub use set_copy::SetCopy;
pub use shard::Shard;
pub use shard_draft::ShardDraft;
pub use storage::{ShardFile, Storage, is_url, refuse_url};
pub use stored::Stored;
pub use writer::{KEPT, SetWriter};
