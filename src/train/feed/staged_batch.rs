//! Copies one batch from host memory to a GPU, without a cache or a ring buffer.

use tonic_loader::Batch;

use crate::error::{KernelError, Result};
use crate::feed::staging::{Labels, Sizes, Stage, Staged, Staging};
use crate::gpu::{Buffer, Pinned, Stream};
use crate::kernel::batch_source::BatchSource;
use crate::kernel::interface::DrawOrder;
use crate::kernel::program::ColumnTypes;

#[derive(Debug)]
pub(crate) struct StagedBatch {
    source: BatchSource,
    /// The GPU memory that `source` points to. It has room for samples of the sizes `room`.
    samples: Staged,
    room: Sizes,
    order: Buffer<DrawOrder>,
    host_order: Pinned<DrawOrder>,
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
        let samples = batch.frames.samples().map(|frames| (frames, 0, 0).sizes());
        let room = samples.fold(Sizes::default(), Sizes::plus);
        let (samples, order) = (Staged::new(device, column_types, room)?, device.buffer(1)?);
        let source = BatchSource::new(samples.columns(), order.address());
        let mut staged = StagedBatch { source, samples, room, order, host_order: device.pinned(1)? };
        staged.renew(stream, &mut Staging::new(device, column_types, room)?, batch, classes)?;
        Ok(staged)
    }

    /// Replaces this batch by another one: queues a copy of `batch` to the GPU. The GPU must have finished its work
    /// with the old batch. `staging` must have the column types of the old batch.
    pub(crate) fn renew(
        &mut self,
        stream: &Stream,
        staging: &mut Staging,
        batch: &Batch,
        classes: usize,
    ) -> Result<()> {
        let (frames, keys) = (batch.frames.len(), batch.keys.len());
        if frames != keys {
            return Err(KernelError::KeysMissing { samples: frames, keys }.into());
        }
        let labels = batch.labels.iter().zip(&batch.keys);
        let samples = batch.frames.samples().zip(labels).map(|(frames, (&label, &key))| (frames, label, key));
        staging.clear();
        staging.push(&samples.collect::<Vec<_>>(), Labels { classes, optional: false }, Sizes::default())?;
        if !staging.used().fits(self.room) {
            self.room = staging.room();
            self.samples = Staged::new(stream.device(), staging.column_types(), self.room)?;
            self.source = BatchSource::new(self.samples.columns(), self.order.address());
        }
        staging.upload(stream, &self.samples, Sizes::default())?;
        self.host_order.as_mut_slice()?[0] = DrawOrder::batch(frames as u64);
        stream.upload(&self.order, 0, &self.host_order, 0..1)
    }

    /// Returns the addresses of the batch in GPU memory. The addresses are valid until the batch is dropped or renewed.
    pub(crate) fn source(&self) -> BatchSource {
        self.source
    }
}
