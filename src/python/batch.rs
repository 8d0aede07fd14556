//! Makes one batch: dense frames in any layout, or the rows of a sparse matrix.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use tonic_loader::{Augmentation, EpochOrder, EpochSample, Windows};
use tonic_shard::{Column, ColumnBuf, FrameShape, FromValue, Result, SampleFrames, SparseFrames, Width, each_width};

use crate::arrays::{Buffer, Buffers};
use crate::form::Layout;
use crate::sample::{convert, label};

/// What the batches of a loader look like.
#[derive(Clone, Debug)]
pub(crate) struct BatchForm {
    pub(crate) shape: FrameShape,
    /// Number of frames of each sample in a batch, T. Shorter samples are padded with zeros, and longer samples are
    /// cut. With `None`, each batch is padded to its longest sample, as Tonic's PadTensors does.
    pub(crate) steps: Option<usize>,
    /// Type of the numbers.
    pub(crate) width: Width,
    /// Layout of a dense batch; `None` for sparse batches.
    pub(crate) layout: Option<Layout>,
    /// Random changes of the samples.
    pub(crate) augmentation: Option<Augmentation>,
}

/// A batch. The label of a sample without a class is -1.
pub(crate) struct Batch {
    pub(crate) labels: Vec<i64>,
    /// Number of frames of each sample, T.
    pub(crate) steps: usize,
    pub(crate) frames: Frames,
}

pub(crate) enum Frames {
    /// Dense frames, and their layout.
    Dense(Buffer, Layout),
    Sparse(SparseRows),
}

/// A sparse matrix in compressed rows (CSR): a row for each frame of each sample, a column for each cell of a frame.
pub(crate) struct SparseRows {
    /// Index of the first entry of each row. The last item is the number of all entries.
    pub(crate) indptr: Vec<i64>,
    /// Column of each entry.
    pub(crate) indices: Vec<i64>,
    /// Count of each entry.
    pub(crate) values: ColumnBuf,
}

impl BatchForm {
    /// Makes the batch of this rank for the next step. `windows` gives the samples of all ranks in this step. `mine`
    /// is the range of this rank's samples, as indices into the step. `order` is the order of the epoch. Must run in a
    /// pool of `threads.rs`.
    pub(crate) fn make(
        &self,
        windows: &mut Windows<'_>,
        mine: Range<usize>,
        order: EpochOrder,
        buffers: &Arc<Buffers>,
    ) -> Result<Batch> {
        match (self.layout, self.steps, &self.augmentation) {
            (Some(layout), Some(steps), None) => self.make_dense(windows, mine, (layout, steps), buffers),
            (Some(layout), ..) => self.make_unpacked(windows, mine, order, layout, buffers),
            (None, ..) => self.make_sparse(windows, mine, order),
        }
    }

    fn make_dense(
        &self,
        windows: &mut Windows<'_>,
        mine: Range<usize>,
        (layout, steps): (Layout, usize),
        buffers: &Arc<Buffers>,
    ) -> Result<Batch> {
        let (samples, sample_len) = (mine.len(), steps * self.shape.cells() as usize);
        let take = || buffers.take(self.width, samples * sample_len);
        let (mut labels, mut buffer) = (Vec::with_capacity(samples), None);
        each_part(windows, mine, |part| {
            // The buffer is taken as late as possible. Until then, Python may free an earlier array, and the memory of
            // this array is still in the processor's cache.
            let buffer: &mut Buffer = buffer.get_or_insert_with(take);
            let done = labels.len();
            labels.extend(part.iter().map(|sample| label(sample.label())));
            each_width!(buffer.numbers(), ColumnBuf, numbers => match layout.time_major {
                false => {
                    let targets = numbers.par_chunks_exact_mut(sample_len).skip(done);
                    targets.zip(part).try_for_each(|(out, sample)| sample.unpack(|packed| packed.write_dense(out)))
                }
                true => {
                    let targets = self.frames_of_samples(numbers, layout, (samples, steps)).into_par_iter().skip(done);
                    targets.zip(part).try_for_each(|(out, sample)| {
                        sample.unpack(|packed| packed.write_blocks(out.into_iter()))
                    })
                }
            })
        })?;
        Ok(Batch { labels, steps, frames: Frames::Dense(buffer.unwrap_or_else(take), layout) })
    }

    /// Makes a dense batch whose samples are padded to the longest of them, or changed at random.
    fn make_unpacked(
        &self,
        windows: &mut Windows<'_>,
        mine: Range<usize>,
        order: EpochOrder,
        layout: Layout,
        buffers: &Arc<Buffers>,
    ) -> Result<Batch> {
        let (labels, frames) = self.unpack(windows, mine, order)?;
        let samples: Vec<SampleFrames<'_>> = frames.iter().flat_map(SparseFrames::samples).collect();
        let steps = self.steps.unwrap_or_else(|| longest(&samples));
        let mut buffer = buffers.take(self.width, samples.len() * steps * self.shape.cells() as usize);
        each_width!(buffer.numbers(), ColumnBuf, numbers => {
            numbers.fill(Default::default());
            let targets = self.frames_of_samples(numbers, layout, (samples.len(), steps));
            targets.into_par_iter().zip(&samples).for_each(|(mut out, sample)| {
                let kept = sample.iter().take_while(|(t, ..)| *t < steps);
                kept.for_each(|(t, cell, value)| out[t][cell as usize] = FromValue::from_value(value));
            });
        });
        Ok(Batch { labels, steps, frames: Frames::Dense(buffer, layout) })
    }

    /// Splits the memory of a dense batch into frames. The result has a list of `steps` frames for each of the
    /// `samples` samples.
    fn frames_of_samples<'a, N: FromValue>(
        &self,
        batch: &'a mut [N],
        layout: Layout,
        (samples, steps): (usize, usize),
    ) -> Vec<Vec<&'a mut [N]>> {
        let mut frames: Vec<Vec<_>> = (0..samples).map(|_| Vec::with_capacity(steps)).collect();
        for (i, frame) in batch.chunks_exact_mut(self.shape.cells() as usize).enumerate() {
            frames[if layout.time_major { i % samples } else { i / steps }].push(frame);
        }
        frames
    }

    fn make_sparse(&self, windows: &mut Windows<'_>, mine: Range<usize>, order: EpochOrder) -> Result<Batch> {
        let (labels, frames) = self.unpack(windows, mine, order)?;
        let samples: Vec<SampleFrames<'_>> = frames.iter().flat_map(SparseFrames::samples).collect();
        let steps = self.steps.unwrap_or_else(|| longest(&samples));
        Ok(Batch { labels, steps, frames: Frames::Sparse(self.rows(&samples, steps)) })
    }

    /// Unpacks the samples of this rank from the next step, and changes them at random if the user asked for it. `mine`
    /// is the range of their indices in the step. Returns their labels and frames. The frames are `None` if there are no
    /// samples.
    fn unpack(
        &self,
        windows: &mut Windows<'_>,
        mine: Range<usize>,
        order: EpochOrder,
    ) -> Result<(Vec<i64>, Option<SparseFrames>)> {
        let mut stored: Option<tonic_loader::Batch> = None;
        each_part(windows, mine, |part| match part.first() {
            None => Ok(()),
            Some(first) => stored.get_or_insert_with(|| tonic_loader::Batch::new(first.widths())).extend(part, order),
        })?;
        let Some(stored) = stored else { return Ok((Vec::new(), None)) };
        let labels = stored.labels.iter().map(|&class| label(class)).collect();
        let Some(augmentation) = &self.augmentation else { return Ok((labels, Some(stored.frames))) };
        let mut changed = tonic_loader::Batch::new(stored.frames.widths());
        augmentation.apply(&stored, self.shape, &mut changed);
        Ok((labels, Some(changed.frames)))
    }

    /// Makes the rows of a sparse batch. Each sample is padded or cut to `steps` frames.
    fn rows(&self, samples: &[SampleFrames<'_>], steps: usize) -> SparseRows {
        let mut rows = SparseRows { indptr: vec![0], indices: Vec::new(), values: ColumnBuf::new(self.width) };
        for sample in samples {
            let start = rows.indices.len() as i64;
            let sizes = sample.frame_sizes.iter().map(i64::from).chain(std::iter::repeat(0)).take(steps);
            rows.indptr.extend(sizes.scan(start, |end, size| {
                *end += size;
                Some(*end)
            }));
            let kept = (rows.indptr[rows.indptr.len() - 1] - start) as usize;
            each_width!(sample.cells, Column, cells => rows.indices.extend(cells[..kept].iter().map(|&cell| cell as i64)));
            convert(sample.counts, kept, &mut rows.values);
        }
        rows
    }
}

/// Number of frames of the longest sample; 0 if there is none.
fn longest(samples: &[SampleFrames<'_>]) -> usize {
    samples.iter().map(SampleFrames::frames).max().unwrap_or(0)
}

/// Calls `each` with the samples of this rank from the next step. `mine` is the range of their indices in the step. If
/// the samples arrive in several parts, `each` is called once for each part.
fn each_part(
    windows: &mut Windows<'_>,
    mine: Range<usize>,
    mut each: impl FnMut(&[EpochSample<'_>]) -> Result<()>,
) -> Result<()> {
    let mut start = 0;
    windows.next_batch(|samples| {
        let [from, to] = [mine.start, mine.end].map(|at| at.clamp(start, start + samples.len()) - start);
        start += samples.len();
        each(&samples[from..to])
    })?;
    Ok(())
}
