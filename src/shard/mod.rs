#![doc = include_str!("FORMAT.md")]

mod body;
pub mod codec;
mod entries;
pub mod layout;
pub mod ledger;
pub mod manifest;
mod map;
pub mod order;
pub mod packed;
pub mod part;
pub mod reader;
pub mod salvage;
pub mod verify;
pub mod writer;

pub use codec::{Chunk, SampleTable};
pub use ledger::Ledger;
pub use manifest::Manifest;
pub use order::Order;
pub use packed::PackedChunk;
pub use reader::ShardSet;
