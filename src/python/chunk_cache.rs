//! Keeps decoded chunks of a set in memory. If they take too much memory, the chunks that were not used for the longest
//! time are removed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use tonic_shard::{Decoder, PackedChunk, Result, SampleTable, ShardSet};

use crate::error::exception;

/// A chunk that has been checked in full: its cells are inside the frame.
#[derive(Debug)]
pub(crate) struct DecodedChunk {
    pub(crate) packed: PackedChunk,
    pub(crate) table: SampleTable,
}

impl DecodedChunk {
    /// Reads, checks and decompresses chunk `number`.
    pub(crate) fn read(set: &ShardSet, number: u64, decoder: &mut Decoder) -> Result<DecodedChunk> {
        let mut chunk = DecodedChunk { packed: set.empty_packed(), table: set.empty_chunk().table };
        set.decode_checked(number, decoder, &mut chunk.packed)?;
        chunk.packed.read_table(&mut chunk.table);
        Ok(chunk)
    }
}

/// The decoded chunks that are kept in memory. The lock is taken only while the thread holds the GIL: see `threads.rs`.
#[derive(Default)]
pub(crate) struct ChunkCache {
    /// Maximum size in bytes of all kept chunks together.
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    chunks: HashMap<u64, KeptChunk>,
    bytes: usize,
    /// Number of requests for chunks so far. When a chunk is requested, the field `used` of the chunk's entry is set
    /// to this number.
    uses: u64,
    decoders: Vec<Decoder>,
}

struct KeptChunk {
    chunk: Arc<DecodedChunk>,
    used: u64,
}

impl ChunkCache {
    /// Makes a cache that keeps chunks of at most `limit` bytes together. If one chunk is larger than that, the cache
    /// keeps this chunk alone.
    pub(crate) fn new(limit: usize) -> ChunkCache {
        ChunkCache { limit, kept: Mutex::default() }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Returns chunk `number` of `set`. If the cache doesn't have the chunk, reads and decodes it with the GIL
    /// released.
    pub(crate) fn get(&self, py: Python<'_>, set: &ShardSet, number: u64) -> PyResult<Arc<DecodedChunk>> {
        let decoder = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(chunk) = kept.get(number) {
                return Ok(chunk);
            }
            kept.decoders.pop()
        };
        let mut decoder = decoder.unwrap_or_default();
        let read = py.detach(|| DecodedChunk::read(set, number, &mut decoder));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.decoders.push(decoder);
        let chunk = Arc::new(read.map_err(exception)?);
        kept.keep(number, chunk.clone(), self.limit);
        Ok(chunk)
    }
}

impl Kept {
    fn get(&mut self, number: u64) -> Option<Arc<DecodedChunk>> {
        self.uses += 1;
        let known = self.chunks.get_mut(&number)?;
        known.used = self.uses;
        Some(known.chunk.clone())
    }

    /// Adds a chunk. Then removes other chunks until all kept chunks fit into `limit` bytes. Begins with the chunks
    /// that were not used for the longest time.
    fn keep(&mut self, number: u64, chunk: Arc<DecodedChunk>, limit: usize) {
        self.bytes += chunk.packed.bytes();
        let before = self.chunks.insert(number, KeptChunk { chunk, used: self.uses });
        self.bytes -= before.map_or(0, |known| known.chunk.packed.bytes());
        while self.bytes > limit && self.chunks.len() > 1 {
            let others = self.chunks.iter().filter(|&(&other, _)| other != number);
            let Some((&oldest, _)) = others.min_by_key(|(_, known)| known.used) else { break };
            let removed = self.chunks.remove(&oldest);
            self.bytes -= removed.map_or(0, |known| known.chunk.packed.bytes());
        }
    }
}
