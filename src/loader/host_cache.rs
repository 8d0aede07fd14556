//! The host cache: all chunks of a set in memory, decompressed and checked once, in the packed form of FORMAT.md.

use rayon::prelude::*;

use tonic_base::{Progress, interrupt};
use tonic_shard::{Decoder, PackedChunk, Result, ShardSet};

/// All chunks of a set in memory, decompressed.
#[derive(Debug)]
pub struct HostCache {
    chunks: Vec<PackedChunk>,
}

impl HostCache {
    /// Reads, checks and decompresses all chunks of `set` on all worker threads.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`]; [`tonic_base::Error::Io`]; [`tonic_base::Error::Interrupted`].
    pub fn load(set: &ShardSet, progress: &Progress) -> Result<HostCache> {
        let load = |decoder: &mut Decoder, number| {
            interrupt::check("the set was not loaded")?;
            let mut chunk = set.empty_packed();
            set.decode_checked(number, decoder, &mut chunk)?;
            progress.add(chunk.len() as u64);
            Ok(chunk)
        };
        set.will_read(0..set.chunks());
        let chunks: Result<Vec<_>> = (0..set.chunks()).into_par_iter().map_init(Decoder::new, load).collect();
        Ok(HostCache { chunks: chunks? })
    }

    /// Returns the chunk with the index `number` in the set.
    ///
    /// # Panics
    /// If the set has no such chunk.
    pub fn chunk(&self, number: u64) -> &PackedChunk {
        &self.chunks[number as usize]
    }

    /// Size of the cache in memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(PackedChunk::bytes).sum()
    }
}

/// Estimates the size of the host cache of `set` in bytes, without loading the set.
pub fn host_bytes(set: &ShardSet) -> u64 {
    let (description, totals) = (&set.manifest().description, &set.manifest().totals);
    let chunks = set.shards().iter().flat_map(|shard| &shard.head().chunks);
    let indexed = chunks.map(|chunk| PackedChunk::bytes_of(chunk.samples, chunk.decoded_bytes)).sum();
    let frames = totals.frames.saturating_mul(description.widths.frame_sizes.bytes() as u64);
    totals.entries.saturating_add(frames).max(indexed)
}
