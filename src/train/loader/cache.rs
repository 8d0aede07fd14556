//! The host cache: a whole set's chunks, decompressed and checked once, their entries still packed.

use rayon::prelude::*;

use crate::error::Result;
use crate::progress::Progress;
use crate::shard::codec::Decoder;
use crate::shard::{PackedChunk, ShardSet};

/// A set in memory.
#[derive(Debug)]
pub struct HostCache {
    chunks: Vec<PackedChunk>,
}

impl HostCache {
    /// Checks and decompresses all of `set`, on all threads.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`].
    pub fn load(set: &ShardSet, progress: &Progress) -> Result<HostCache> {
        let load = |decoder: &mut Decoder, number| {
            let mut chunk = set.empty_packed();
            set.decode_packed(number, decoder, &mut chunk)?;
            set.check_cells(number, &chunk)?;
            progress.add(chunk.len() as u64);
            Ok(chunk)
        };
        let chunks: Result<Vec<_>> = (0..set.chunks()).into_par_iter().map_init(Decoder::new, load).collect();
        Ok(HostCache { chunks: chunks? })
    }

    /// Chunk `number`.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn chunk(&self, number: u64) -> &PackedChunk {
        &self.chunks[number as usize]
    }

    /// Its size in memory.
    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(PackedChunk::bytes).sum()
    }
}

/// The bytes that a set's host cache takes: what the index of its shards says, or the manifest if that claims more.
pub fn host_bytes(set: &ShardSet) -> u64 {
    let (description, totals) = (&set.manifest().description, &set.manifest().totals);
    let chunks = set.shards().iter().flat_map(|shard| &shard.head().chunks);
    let indexed = chunks.map(|chunk| PackedChunk::bytes_of(chunk.samples, chunk.decoded_bytes)).sum();
    let frames = totals.frames.saturating_mul(description.widths.frame_sizes.bytes() as u64);
    totals.entries.saturating_add(frames).max(indexed)
}

/// Bytes of memory that programs may still take, where the system says so.
pub fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
