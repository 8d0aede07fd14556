//! A batch: sparse frames and labels, and the dense form for those who want one.

use rayon::prelude::*;

use crate::frames::{FrameShape, SampleFrames, SparseFrames, Widths};

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

    /// Appends a sample.
    pub fn push(&mut self, sample: SampleFrames<'_>, label: u32) {
        self.frames.push_sample(sample);
        self.labels.push(label);
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

    /// Writes the batch as dense float32, (B, T, P * H * W), into `out`; frames beyond `steps` are left out.
    pub fn write_dense(&self, shape: FrameShape, steps: usize, out: &mut Vec<f32>) {
        let sample_len = steps * shape.cells() as usize;
        out.resize(self.len() * sample_len, 0.0);
        out.par_chunks_mut(sample_len.max(1)).zip(self.samples()).for_each(|(dense, sample)| {
            dense.fill(0.0);
            sample.write_dense(shape, dense);
        });
    }
}
