//! Decides how many samples go into a chunk and how many chunks into a shard, before the first event is read.
//!
//! A plan depends only on the number of samples and the approximate size of the recordings. So one changed sample
//! changes one chunk. The number of threads, interruptions and resumes do not change the set.

/// Default samples per chunk, for samples that are not large. Larger chunks compress about 1% better. Smaller chunks
/// shuffle better.
const CHUNK_SAMPLES: u32 = 64;
/// Maximum bytes of recording per chunk, unless the user gives the chunk size. A worker holds a whole chunk in memory.
const CHUNK_SOURCE_BYTES: f64 = 16e6;
/// Default approximate size of a shard.
pub const SHARD_SIZE: &str = "64M";
/// Assumed shard bytes per byte of recording. For example, SSC has 33.9 kB per sample in recordings, and 2.4 kB in
/// shards.
const COMPRESSION: f64 = 0.07;

/// The number of samples per chunk and of chunks per shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Samples per chunk.
    pub chunk_samples: u32,
    /// Chunks per shard: a power of two, so that a small change in the size of the recordings rarely changes it.
    pub shard_chunks: u32,
}

impl Plan {
    /// Plans for `samples` samples in recordings of `source_bytes` bytes, with shards of about `shard_bytes` bytes. A
    /// chunk has `chunk_samples` samples. The default is 64, or fewer if the samples are large.
    pub(super) fn new(samples: u64, source_bytes: u64, chunk_samples: Option<u32>, shard_bytes: u64) -> Plan {
        let sample_bytes = source_bytes as f64 / samples.max(1) as f64;
        let fitting = (CHUNK_SOURCE_BYTES / sample_bytes.max(1.0)).log2().floor().clamp(0.0, 30.0);
        let chunk_samples = chunk_samples.unwrap_or(CHUNK_SAMPLES.min(1 << fitting as u32));
        let chunk_bytes = sample_bytes * f64::from(chunk_samples) * COMPRESSION;
        let exponent = (shard_bytes as f64 / chunk_bytes.max(1.0)).log2().round().clamp(0.0, 20.0);
        Plan { chunk_samples, shard_chunks: 1 << exponent as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssc_has_shards_of_about_64_mib() {
        let plan = Plan::new(75_466, 75_466 * 33_900, None, 64 << 20);
        assert_eq!(plan.chunk_samples, 64);
        let shard_bytes = f64::from(plan.shard_chunks * plan.chunk_samples) * 2_400.0;
        assert!((45e6..95e6).contains(&shard_bytes), "{shard_bytes}");
    }

    #[test]
    fn large_samples_have_small_chunks() {
        assert_eq!(Plan::new(100, 100 * 1_000_000, None, 64 << 20).chunk_samples, 16);
        assert_eq!(Plan::new(1, 4_000_000_000, None, 64 << 20).chunk_samples, 1);
        assert_eq!(Plan::new(100, 100 * 1_000_000, Some(64), 64 << 20).chunk_samples, 64);
    }

    #[test]
    fn a_changed_recording_does_not_move_the_borders() {
        let plan = |bytes| Plan::new(10_000, bytes, None, 64 << 20);
        assert_eq!(plan(339_000_000), plan(339_020_000));
    }

    #[test]
    fn absurd_sizes_make_a_plan_all_the_same() {
        assert_eq!(Plan::new(0, 0, Some(64), 0).shard_chunks, 1);
        assert_eq!(Plan::new(1, u64::MAX, None, 1), Plan { chunk_samples: 1, shard_chunks: 1 });
        assert_eq!(Plan::new(u64::MAX, 1, None, u64::MAX).shard_chunks, 1 << 20);
    }
}
