//! A batch of samples: sparse frames and labels.

use tonic_shard::{SampleFrames, SparseFrames, Widths};

/// Samples that are trained on together.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Frames of all samples, one sample after another.
    pub frames: SparseFrames,
    /// Class of each sample, (batch,), or [`NO_LABEL`](tonic_shard::NO_LABEL).
    pub labels: Vec<u32>,
    /// Index of each sample in its set, (batch,). Random numbers of a sample depend on it.
    pub indices: Vec<u64>,
}

impl Batch {
    /// Creates an empty batch. `widths` says which number type each column of the frames has.
    pub fn new(widths: Widths) -> Batch {
        Batch { frames: SparseFrames::new(widths), labels: Vec::new(), indices: Vec::new() }
    }

    /// Makes a batch of samples that are not from a set. Their indices count from 0.
    pub fn of(frames: SparseFrames, labels: Vec<u32>) -> Batch {
        let indices = (0..frames.len() as u64).collect();
        Batch { frames, labels, indices }
    }

    /// Removes all samples, but keeps the allocated memory.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.labels.clear();
        self.indices.clear();
    }

    /// Number of samples in the batch.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether the batch has no samples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Returns the frames of each sample, in the order of the batch.
    pub fn samples(&self) -> Vec<SampleFrames<'_>> {
        self.frames.samples().collect()
    }

    /// Number of frames of the longest sample. Tonic's `PadTensors` pads all samples of a batch to this length.
    pub fn longest(&self) -> usize {
        self.frames.samples().map(|s| s.frames()).max().unwrap_or(0)
    }
}
