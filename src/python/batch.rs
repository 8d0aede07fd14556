//! Makes one batch: dense frames in any layout, or the rows of a sparse matrix.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use tonic_loader::{EpochSample, Windows};
use tonic_shard::{Column, ColumnBuf, FrameShape, FromValue, Result, SparseFrames, Width, each_width};

use crate::arrays::{Buffer, Buffers};
use crate::form::Layout;
use crate::sample::{convert, label};

/// What the batches of a loader look like.
#[derive(Clone, Debug)]
pub(crate) struct BatchForm {
    pub(crate) shape: FrameShape,
    /// Number of frames of each sample in a batch, T. Shorter samples are padded with zeros, and longer samples are
    /// cut.
    pub(crate) steps: usize,
    /// Type of the numbers in the frames.
    pub(crate) width: Width,
    /// Layout of a dense batch; `None` for sparse batches.
    pub(crate) layout: Option<Layout>,
}

/// A batch. The label of a sample without a class is -1.
pub(crate) struct Batch {
    pub(crate) labels: Vec<i64>,
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
    /// Makes the next batch of an epoch. `windows` gives the samples that all ranks together take in the next step.
    /// The batch gets only the samples of this step whose indices are in `mine`. Must run in a pool of `threads.rs`.
    pub(crate) fn make(&self, windows: &mut Windows<'_>, mine: Range<usize>, buffers: &Arc<Buffers>) -> Result<Batch> {
        match self.layout {
            Some(layout) => self.make_dense(windows, mine, layout, buffers),
            None => self.make_sparse(windows, mine),
        }
    }

    fn make_dense(
        &self,
        windows: &mut Windows<'_>,
        mine: Range<usize>,
        layout: Layout,
        buffers: &Arc<Buffers>,
    ) -> Result<Batch> {
        let sample_len = self.steps * self.shape.cells() as usize;
        let mut buffer = buffers.take(self.width, mine.len() * sample_len);
        let labels = each_width!(buffer.numbers(), ColumnBuf, numbers => match layout.time_major {
            false => fill(windows, mine, numbers.chunks_exact_mut(sample_len).collect(), |out, sample| {
                sample.unpack(|packed| packed.write_dense(out))
            }),
            true => fill(windows, mine.clone(), self.frames_of_samples(numbers, mine.len()), |out, sample| {
                sample.unpack(|packed| packed.write_blocks(out.into_iter()))
            }),
        })?;
        Ok(Batch { labels, frames: Frames::Dense(buffer, layout) })
    }

    /// Divides a time-major batch of `samples` samples into the frames of each sample.
    fn frames_of_samples<'a, N: FromValue>(&self, batch: &'a mut [N], samples: usize) -> Vec<Vec<&'a mut [N]>> {
        let mut frames: Vec<Vec<_>> = (0..samples).map(|_| Vec::with_capacity(self.steps)).collect();
        for (i, frame) in batch.chunks_exact_mut(self.shape.cells() as usize).enumerate() {
            frames[i % samples].push(frame);
        }
        frames
    }

    fn make_sparse(&self, windows: &mut Windows<'_>, mine: Range<usize>) -> Result<Batch> {
        let (mut labels, mut frames) = (Vec::with_capacity(mine.len()), None);
        each_part(windows, mine, |part| {
            labels.extend(part.iter().map(|sample| label(sample.label())));
            part.iter().try_for_each(|sample| {
                let frames = frames.get_or_insert_with(|| SparseFrames::new(sample.widths()));
                sample.unpack(|packed| packed.unpack(frames))
            })
        })?;
        let frames = frames.as_ref();
        Ok(Batch { labels, frames: Frames::Sparse(self.rows(frames)) })
    }

    /// Makes the rows of a sparse batch. `frames` has the frames of the batch's samples, or is `None` if the batch
    /// has no samples. Each sample is padded or cut to `steps` frames.
    fn rows(&self, frames: Option<&SparseFrames>) -> SparseRows {
        let mut rows = SparseRows { indptr: vec![0], indices: Vec::new(), values: ColumnBuf::new(self.width) };
        for sample in frames.into_iter().flat_map(SparseFrames::samples) {
            let start = rows.indices.len() as i64;
            let sizes = sample.frame_sizes.iter().map(i64::from).chain(std::iter::repeat(0)).take(self.steps);
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

/// Fills a dense batch and returns the labels. `targets` has an item for each sample: the sample's memory in the
/// batch. Calls `write` with each sample and its item of `targets`, in parallel.
fn fill<T: Send>(
    windows: &mut Windows<'_>,
    mine: Range<usize>,
    targets: Vec<T>,
    write: impl Fn(T, &EpochSample<'_>) -> Result<()> + Sync,
) -> Result<Vec<i64>> {
    let (mut labels, mut targets) = (Vec::with_capacity(mine.len()), targets.into_iter());
    each_part(windows, mine, |part| {
        labels.extend(part.iter().map(|sample| label(sample.label())));
        let targets: Vec<T> = targets.by_ref().take(part.len()).collect();
        targets.into_par_iter().zip(part).try_for_each(|(target, sample)| write(target, sample))
    })?;
    Ok(labels)
}

/// Calls `each` with the samples of the next step whose indices are in `mine`. If the samples arrive in several
/// parts, calls `each` once for each part.
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
