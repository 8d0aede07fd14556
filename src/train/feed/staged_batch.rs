//! Copies one batch from host memory to a GPU, without a cache or a ring buffer.

use tonic_loader::Batch;

use crate::error::{KernelError, Result};
use crate::feed::staging::{Labels, Sizes, Stage, Staged, Staging};
use crate::gpu::{Buffer, Stream};
use crate::kernel::batch_source::BatchSource;
use crate::kernel::interface::DrawOrder;
use crate::kernel::program::ColumnTypes;

#[derive(Debug)]
pub(crate) struct StagedBatch {
    source: BatchSource,
    /// The GPU memory that `source` points to.
    _memory: (Staged, Buffer<DrawOrder>),
}

impl StagedBatch {
    /// Queues a copy of a batch to the GPU of `stream`. Returns an error if a label is not below `classes`, or if the
    /// batch doesn't have a key for each sample.
    pub(crate) fn new(
        stream: &Stream,
        column_types: ColumnTypes,
        batch: &Batch,
        classes: usize,
    ) -> Result<StagedBatch> {
        let device = stream.device();
        let (frames, keys) = (batch.frames.len(), batch.keys.len());
        if frames != keys {
            return Err(KernelError::KeysMissing { samples: frames, keys }.into());
        }
        let labels = batch.labels.iter().zip(&batch.keys);
        let samples = batch.frames.samples().zip(labels).map(|(frames, (&label, &key))| (frames, label, key));
        let samples: Vec<_> = samples.collect();
        let sizes = samples.iter().map(Stage::sizes).fold(Sizes::default(), Sizes::plus);
        let (mut staging, staged) =
            (Staging::new(device, column_types, sizes)?, Staged::new(device, column_types, sizes)?);
        staging.push(&samples, Labels { classes, optional: false }, Sizes::default())?;
        staging.upload(stream, &staged, Sizes::default())?;
        let order = device.buffer_from(&[DrawOrder::batch(samples.len() as u64)])?;
        let source = BatchSource::new(staged.columns(), order.address());
        Ok(StagedBatch { source, _memory: (staged, order) })
    }

    /// Returns the addresses of the batch in GPU memory. The addresses are valid until the batch is dropped.
    pub(crate) fn source(&self) -> BatchSource {
        self.source
    }
}
