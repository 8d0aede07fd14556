//! A batch: sparse frames and labels.

use crate::frames::{SampleFrames, SparseFrames, Widths};

/// Samples that are trained on together.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Their frames.
    pub frames: SparseFrames,
    /// Their classes.
    pub labels: Vec<u32>,
}

impl Batch {
    /// No samples yet.
    pub fn new(widths: Widths) -> Batch {
        Batch { frames: SparseFrames::new(widths), labels: Vec::new() }
    }

    /// Forgets the samples and keeps the memory.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.labels.clear();
    }

    /// How many samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The samples' frames.
    pub fn samples(&self) -> Vec<SampleFrames<'_>> {
        self.frames.samples().collect()
    }

    /// Frames of the longest sample: what Tonic's PadTensors pads to.
    pub fn longest(&self) -> usize {
        self.frames.samples().map(|s| s.frames()).max().unwrap_or(0)
    }
}
