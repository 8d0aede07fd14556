//! The engine of our kernels on a GPU, for tests and for the self-check. Training on a GPU uses `learner/gpu.rs`.

use std::sync::Arc;

use tonic_loader::Batch;
use tonic_shard::{FrameShape, Width};

use crate::engine::gpu_network::{Extent, GpuNetwork};
use crate::engine::step::{BatchLoss, Engine, check_labels, check_loss, finite};
use crate::engine::training_loss::TrainingLoss;
use crate::error::{KernelError, Result};
use crate::feed::StagedBatch;
use crate::gpu::{Device, Stream};
use crate::kernel::SpikeCounts;
use crate::kernel::interface::BatchScore;
use crate::kernel::program::{ColumnTypes, MatmulPrecision, Program};
use crate::network::{Network, Parameters, Shape};

/// The engine of our kernels on a GPU, for batches in host memory.
#[derive(Debug)]
pub struct GpuEngine {
    device: Device,
    stream: Stream,
    precision: MatmulPrecision,
    /// Kernels compiled for the column types of the last batch. `None` before the first batch.
    program: Option<Arc<Program>>,
    logits: Vec<f32>,
    loss: TrainingLoss,
}

impl GpuEngine {
    /// Makes an engine on a device.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda) if the GPU's driver returns an error.
    pub fn new(device: &Device, precision: MatmulPrecision) -> Result<GpuEngine> {
        let stream = device.stream()?;
        let (device, logits) = (device.clone(), Vec::new());
        Ok(GpuEngine { device, stream, precision, program: None, logits, loss: TrainingLoss::default() })
    }

    fn run(
        &mut self,
        network: &Network,
        batch: &Batch,
        steps: usize,
        gradient: Option<&mut Parameters>,
    ) -> Result<BatchLoss> {
        let (mut on_device, staged) = self.load(network, batch, steps, gradient.is_some())?;
        on_device.begin(&self.stream, 0, 0)?;
        let source = staged.source();
        let is_step = gradient.is_some();
        let loss = if is_step { self.loss.clone() } else { TrainingLoss::default() };
        on_device.set_loss(&loss)?;
        match gradient {
            Some(gradient) => {
                on_device.step(&self.stream, source, Some(steps))?;
                on_device.read_gradients(gradient)?;
            }
            None => on_device.forward(&self.stream, source, Some(steps))?,
        }
        self.logits = on_device.logits(batch.len())?;
        let predictions = on_device.predictions(batch.len())?;
        let correct = predictions.iter().filter(|prediction| prediction.is_correct()).count();
        let mean = predictions.iter().map(|of| of.loss).sum::<f64>() / batch.len() as f64;
        if !is_step {
            return Ok(finite(BatchLoss { loss: mean, correct, penalty: 0.0 })?);
        }
        let BatchScore { loss, penalty, .. } = on_device.first_score()?;
        Ok(check_loss(BatchLoss { loss, correct, penalty })?)
    }

    /// Copies a network and a batch to the device. `trains` says whether to allocate the buffers for training.
    fn load(
        &mut self,
        network: &Network,
        batch: &Batch,
        steps: usize,
        trains: bool,
    ) -> Result<(GpuNetwork, StagedBatch)> {
        let Shape { inputs, classes, .. } = *network.shape();
        check_labels(batch, classes)?;
        check_samples(inputs, batch)?;
        let longest = batch.longest();
        let program = self.program(inputs, longest, batch)?;
        let staged = StagedBatch::new(&self.stream, program.column_types(), batch, classes)?;
        let extent = Extent { batch: batch.len(), longest: longest.max(steps), trains, kept: 0, batches: 1 };
        let mut on_device = GpuNetwork::new(program, network, extent)?;
        on_device.load(&self.stream, network, None)?;
        on_device.poison(&self.stream)?;
        Ok((on_device, staged))
    }

    /// Returns the kernels for the column types of the batch.
    fn program(&mut self, inputs: usize, longest: usize, batch: &Batch) -> Result<Arc<Program>> {
        let shape = FrameShape { polarities: 1, height: 1, width: inputs as u32 };
        let counts = batch.frames.samples().map(|sample| sample.counts.width());
        let column_types =
            ColumnTypes::of(shape, longest, counts.filter(|&width| width > Width::U8).chain([Width::U8]));
        match &self.program {
            Some(program) if program.column_types() == column_types => Ok(program.clone()),
            _ => {
                let program = Arc::new(Program::new(&self.device, column_types, self.precision)?);
                Ok(self.program.insert(program).clone())
            }
        }
    }
}

impl Engine for GpuEngine {
    fn step(&mut self, network: &Network, batch: &Batch, steps: usize, gradient: &mut Parameters) -> Result<BatchLoss> {
        self.run(network, batch, steps, Some(gradient))
    }

    fn forward(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<&[f32]> {
        self.run(network, &labelled(batch), steps, None)?;
        Ok(&self.logits)
    }

    fn spikes(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<Vec<SpikeCounts>> {
        let (mut on_device, staged) = self.load(network, &labelled(batch), steps, true)?;
        on_device.spikes(&self.stream, staged.source(), (batch.frames.len(), Some(steps)))
    }

    fn set_loss(&mut self, loss: TrainingLoss) -> Result<()> {
        self.loss = loss;
        Ok(())
    }

    fn logits(&self) -> &[f32] {
        &self.logits
    }

    fn evaluate(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<BatchLoss> {
        self.run(network, batch, steps, None)
    }
}

/// Returns a copy of a batch with 0 for every label, because the kernels need valid labels.
fn labelled(batch: &Batch) -> Batch {
    Batch { labels: vec![0; batch.frames.len()], ..batch.clone() }
}

/// Returns an error if a cell is not below `inputs`, or if a sample's frame sizes, cells and counts don't match.
fn check_samples(inputs: usize, batch: &Batch) -> Result<(), KernelError> {
    for (index, sample) in batch.frames.samples().enumerate() {
        let (sizes, cells, counts) = (sample.frame_sizes.sum(), sample.cells.len(), sample.counts.len());
        if sizes != cells as u64 || cells != counts {
            return Err(KernelError::RaggedSample { sample: index, sizes, cells, counts });
        }
        if let Some(cell) = sample.cells.max().filter(|&cell| cell as usize >= inputs) {
            return Err(KernelError::CellOutsideInputs { sample: index, cell, inputs });
        }
    }
    Ok(())
}
