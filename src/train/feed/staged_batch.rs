//! Copies single batches from host memory to a GPU: for the self-check, the benchmark, the GPU engine, and the spike
//! counts after an epoch.

use tonic_loader::Batch;

use crate::error::Result;
use crate::feed::staging::{Amount, Stage, Staged, Staging};
use crate::gpu::{Buffer, Stream};
use crate::kernel::batch_source::BatchSource;
use crate::kernel::interface::DrawOrder;
use crate::kernel::program::ColumnTypes;

/// A batch in device memory. The kernels read all samples of the batch, in order.
#[derive(Debug)]
pub(crate) struct StagedBatch {
    source: BatchSource,
    /// The memory that `source` points to.
    _memory: (Staged, Buffer<DrawOrder>),
}

impl StagedBatch {
    /// Queues a copy of a batch to the device of `stream`. All labels must be below `classes`.
    ///
    /// # Errors
    /// [`Error::Kernel`](crate::Error::Kernel) if a label is not below `classes`,
    /// [`Error::DeviceMemory`](crate::Error::DeviceMemory), [`Error::Cuda`](crate::Error::Cuda).
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

    /// Returns the addresses of the batch in device memory, for the kernels. They are valid as long as this value
    /// lives.
    pub(crate) fn source(&self) -> BatchSource {
        self.source
    }
}
