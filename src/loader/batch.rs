//! A batch of samples: sparse frames and labels.

use std::ops::Range;

use tonic_shard::{Result, SampleFrames, SparseFrames, Widths};

use crate::epoch_order::EpochOrder;
use crate::windows::EpochSample;

/// Samples that are trained on together.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Frames of all samples, one sample after another.
    pub frames: SparseFrames,
    /// Class of each sample, (batch,), or [`NO_LABEL`](tonic_shard::NO_LABEL).
    pub labels: Vec<u32>,
    /// Key of each sample, (batch,). All random numbers for the sample in this epoch are drawn from its key.
    pub keys: Vec<u64>,
}

impl Batch {
    /// Creates an empty batch. `widths` says which number type each column of the frames has.
    pub fn new(widths: Widths) -> Batch {
        Batch { frames: SparseFrames::new(widths), labels: Vec::new(), keys: Vec::new() }
    }

    /// Makes a batch of samples that don't come from a set. Sample i gets the key that sample i of a set has with
    /// [`EpochOrder::Sequential`].
    pub fn of(frames: SparseFrames, labels: Vec<u32>) -> Batch {
        let keys = (0..frames.len() as u64).map(|sample| EpochOrder::Sequential.key(sample)).collect();
        Batch { frames, labels, keys }
    }

    /// Returns the samples with the indices in `range`.
    ///
    /// # Panics
    /// If the batch has fewer samples.
    pub fn part(&self, range: Range<usize>) -> Batch {
        let mut frames = SparseFrames::new(self.frames.widths());
        range.clone().for_each(|i| frames.push_sample(self.frames.sample(i)));
        Batch { frames, labels: self.labels[range.clone()].to_vec(), keys: self.keys[range].to_vec() }
    }

    /// Appends samples of an epoch.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`], which names the chunk, if a cell is outside the frame.
    pub fn extend(&mut self, samples: &[EpochSample<'_>], order: EpochOrder) -> Result<()> {
        samples.iter().try_for_each(|sample| {
            self.labels.push(sample.label());
            self.keys.push(order.key(sample.index()));
            sample.unpack(|packed| packed.unpack(&mut self.frames))
        })
    }

    /// Removes all samples, but keeps the allocated memory.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.labels.clear();
        self.keys.clear();
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
