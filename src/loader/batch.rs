//! A batch of samples: sparse frames and labels.

use tonic_shard::{SampleFrames, SparseFrames, Widths};

/// A batch: samples that are trained on together.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Frames of all samples, one sample after another.
    pub frames: SparseFrames,
    /// Class of each sample, (batch,).
    pub labels: Vec<u32>,
}

impl Batch {
    /// Creates an empty batch whose columns have these widths.
    pub fn new(widths: Widths) -> Batch {
        Batch { frames: SparseFrames::new(widths), labels: Vec::new() }
    }

    /// Removes all samples and keeps the memory.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.labels.clear();
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Frames of each sample, in order.
    pub fn samples(&self) -> Vec<SampleFrames<'_>> {
        self.frames.samples().collect()
    }

    /// Number of frames of the longest sample; Tonic's `PadTensors` pads a batch to this length.
    pub fn longest(&self) -> usize {
        self.frames.samples().map(|s| s.frames()).max().unwrap_or(0)
    }
}
