//! Copies one batch from host memory to a GPU, without a cache or a ring buffer.

use tonic_loader::Batch;

use crate::error::Result;
use crate::feed::staging::{Amount, Stage, Staged, Staging};
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
    /// Queues a copy of a batch to the GPU of `stream`. Returns an error if a label is not below `classes`.
    pub(crate) fn new(
        stream: &Stream,
        column_types: ColumnTypes,
        batch: &Batch,
        classes: usize,
    ) -> Result<StagedBatch> {
        let device = stream.device();
        let samples: Vec<_> = batch.frames.samples().zip(batch.labels.iter().copied()).collect();
        let amount = samples.iter().map(Stage::amount).fold(Amount::default(), Amount::plus);
        let (mut staging, staged) =
            (Staging::new(device, column_types, amount)?, Staged::new(device, column_types, amount)?);
        staging.push(&samples, classes, Amount::default())?;
        staging.upload(stream, &staged, Amount::default())?;
        let order = device.buffer_from(&[DrawOrder::batch(samples.len() as u64)])?;
        let source = BatchSource::new(staged.columns(), order.address());
        Ok(StagedBatch { source, _memory: (staged, order) })
    }

    /// Returns the addresses of the batch in GPU memory. The addresses are valid until the batch is dropped.
    pub(crate) fn source(&self) -> BatchSource {
        self.source
    }
}
