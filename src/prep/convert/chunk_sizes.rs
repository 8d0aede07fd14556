//! Decides how many samples go into a chunk and how many chunks into a shard.
//!
//! Both sizes depend only on the numbers of samples and events, the kind of sensor and the user's options. So copies of
//! a recording give the same set, whatever their file format.

use crate::events::SensorSize;

/// Default number of samples per chunk. Larger chunks compress better; smaller chunks shuffle better.
const CHUNK_SAMPLES: u32 = 64;
/// Maximum number of bytes that the samples of a chunk take in the recordings, unless the user sets `chunk_samples`.
const CHUNK_SOURCE_BYTES: f64 = 16e6;
/// Assumed bytes per event in a cochlea's recording: a float16 time, a uint16 channel, and 0.25 bytes for HDF5 itself.
const COCHLEA_EVENT_BYTES: f64 = 4.25;
/// Assumed bytes per event in a camera's recording: int16 x and y, an int64 time and a bool, as in Tonic's arrays.
const CAMERA_EVENT_BYTES: f64 = 13.0;
/// Assumed bytes per sample in a recording, without the events: the header of a NumPy file, or a row of an HDF5 array.
const SAMPLE_BYTES: f64 = 128.0;
/// Default approximate size of a shard, written as on the command line: 64 MiB.
pub const SHARD_SIZE: &str = "64M";
/// Assumed size of the shards, divided by the size of the recordings. This is the ratio for the data set SSC.
const COMPRESSION: f64 = 0.07;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkSizes {
    pub chunk_samples: u32,
    /// Number of chunks per shard: a power of two, so that small changes of the recordings rarely change this number.
    pub shard_chunks: u32,
}

impl ChunkSizes {
    /// Chooses the sizes for `samples` samples with `events` events in all.
    pub(super) fn new(
        samples: u64,
        events: u64,
        sensor: SensorSize,
        chunk_samples: Option<u32>,
        shard_bytes: u64,
    ) -> ChunkSizes {
        let event_bytes = if sensor.height == 1 { COCHLEA_EVENT_BYTES } else { CAMERA_EVENT_BYTES };
        let source_bytes = events as f64 * event_bytes + samples as f64 * SAMPLE_BYTES;
        ChunkSizes::of_bytes(samples, source_bytes, chunk_samples, shard_bytes)
    }

    /// Chooses the sizes for recordings of `source_bytes` bytes. [`ChunkSizes::new`] estimates this number. Earlier
    /// versions of the program used the real size.
    pub(super) fn of_bytes(
        samples: u64,
        source_bytes: f64,
        chunk_samples: Option<u32>,
        shard_bytes: u64,
    ) -> ChunkSizes {
        let sample_bytes = source_bytes / samples.max(1) as f64;
        let fitting = (CHUNK_SOURCE_BYTES / sample_bytes.max(1.0)).log2().floor().clamp(0.0, 30.0);
        let chunk_samples = chunk_samples.unwrap_or(CHUNK_SAMPLES.min(1 << fitting as u32));
        let chunk_bytes = sample_bytes * f64::from(chunk_samples) * COMPRESSION;
        let exponent = (shard_bytes as f64 / chunk_bytes.max(1.0)).log2().round().clamp(0.0, 20.0);
        ChunkSizes { chunk_samples, shard_chunks: 1 << exponent as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::COCHLEA;

    const CAMERA: SensorSize = SensorSize { width: 128, height: 128, polarities: 2 };

    fn sizes(samples: u64, events: u64) -> ChunkSizes {
        ChunkSizes::new(samples, samples * events, COCHLEA, None, 64 << 20)
    }

    #[test]
    fn ssc_and_shd_have_shards_of_about_64_mib_and_those_of_the_size_of_their_files() {
        for samples in [75_466, 9_981, 20_382, 8_156, 2_264] {
            for events in [7_500, 7_967, 8_500] {
                let found = sizes(samples, events);
                assert_eq!(found, ChunkSizes { chunk_samples: 64, shard_chunks: 512 }, "{events}");
                let bytes = samples as f64 * events as f64 * 4.258;
                assert_eq!(found, ChunkSizes::of_bytes(samples, bytes, None, 64 << 20), "{events}");
            }
        }
        assert_eq!(ChunkSizes::of_bytes(75_466, 75_466.0 * 33_900.0, None, 64 << 20), sizes(75_466, 7_967));
        let shard_bytes = 512.0 * 64.0 * 2_400.0;
        assert!((45e6..95e6).contains(&shard_bytes), "{shard_bytes}");
        let borders = [4_837, 4_838, 9_705, 9_706].map(|events| sizes(75_466, events).shard_chunks);
        assert_eq!(borders, [1024, 512, 512, 256], "as the constant's comment says");
    }

    #[test]
    fn large_samples_have_small_chunks() {
        let chunk =
            |samples, events, given| ChunkSizes::new(samples, samples * events, CAMERA, given, 64 << 20).chunk_samples;
        assert_eq!(chunk(100, 76_000, None), 16);
        assert_eq!(chunk(1, 300_000_000, None), 1);
        assert_eq!(chunk(100, 76_000, Some(64)), 64);
        assert_eq!([58_000, 59_000].map(|events| sizes(100, events).chunk_samples), [64, 32]);
    }

    #[test]
    fn a_changed_recording_does_not_move_the_borders() {
        let sizes = |events| ChunkSizes::new(10_000, events, COCHLEA, None, 64 << 20);
        assert_eq!(sizes(79_670_000), sizes(79_675_000));
    }

    #[test]
    fn absurd_numbers_give_sizes_all_the_same() {
        let sizes = |samples, events, given, bytes| ChunkSizes::new(samples, events, COCHLEA, given, bytes);
        assert_eq!(sizes(0, 0, Some(64), 0).shard_chunks, 1);
        assert_eq!(sizes(1, u64::MAX, None, 1), ChunkSizes { chunk_samples: 1, shard_chunks: 1 });
        assert_eq!(sizes(u64::MAX, 1, None, u64::MAX).shard_chunks, 1 << 20);
    }
}
