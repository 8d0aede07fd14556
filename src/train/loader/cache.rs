//! The host cache: a whole set's columns, decoded once, at the widths of the shards.

use rayon::prelude::*;

use crate::error::Result;
use crate::frames::{SampleFrames, SparseFrames};
use crate::progress::Progress;
use crate::shard::codec::Decoder;
use crate::shard::{Manifest, ShardSet};

/// Chunks decoded at a time, before they are joined.
const STRIDE: u64 = 64;

/// A decoded set.
#[derive(Debug)]
pub struct HostCache {
    frames: SparseFrames,
    labels: Vec<u32>,
}

impl HostCache {
    /// Checks and decodes all of `set`, on all threads.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`].
    pub fn load(set: &ShardSet, progress: &Progress) -> Result<HostCache> {
        let mut cache = HostCache { frames: SparseFrames::new(set.manifest().description.widths), labels: Vec::new() };
        for start in (0..set.chunks()).step_by(STRIDE as usize) {
            let chunks = (start..(start + STRIDE).min(set.chunks()))
                .into_par_iter()
                .map_init(Decoder::new, |decoder, number| {
                    let mut chunk = set.empty_chunk();
                    set.decode(number, decoder, &mut chunk)?;
                    Ok(chunk)
                })
                .collect::<Result<Vec<_>>>()?;
            for chunk in chunks {
                cache.frames.append(&chunk.frames);
                cache.labels.extend_from_slice(&chunk.table.labels);
                progress.add(chunk.len() as u64);
            }
        }
        Ok(cache)
    }

    /// Sample `i`'s frames and label.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn sample(&self, i: usize) -> (SampleFrames<'_>, u32) {
        (self.frames.sample(i), self.labels[i])
    }

    /// Its size in memory.
    pub fn bytes(&self) -> usize {
        self.frames.bytes() + self.labels.len() * size_of::<u32>()
    }
}

/// The bytes that a set's host cache takes, from its manifest.
pub fn host_bytes(manifest: &Manifest) -> u64 {
    let (description, totals) = (&manifest.description, &manifest.totals);
    let widths = description.widths;
    let entry = (widths.cells.bytes() + widths.counts.bytes()) as u64;
    let sample = (2 * size_of::<usize>() + size_of::<u32>()) as u64;
    let frames = totals.frames.saturating_mul(widths.frame_sizes.bytes() as u64);
    totals
        .entries
        .saturating_mul(entry)
        .saturating_add(frames)
        .saturating_add(description.samples.saturating_mul(sample))
}

/// Bytes of memory that programs may still take, where the system says so.
pub fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
