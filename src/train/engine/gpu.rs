//! The engine of our kernels on a GPU, for batches in host memory. The self-check uses this engine, and so do several
//! ranks that train together. A process that trains alone uses `learner/gpu.rs`.

use std::sync::Arc;
use std::time::Duration;

use tonic_loader::Batch;
use tonic_ranks::Ranks;
use tonic_shard::{FrameShape, Width};

use crate::engine::gpu_network::{Extent, GpuNetwork, Rounding};
use crate::engine::step::{BatchLoss, Engine, check_labels, check_loss, check_potentials, check_step, finite};
use crate::engine::training_loss::TrainingLoss;
use crate::error::{KernelError, Result};
use crate::feed::{Sizes, StagedBatch, Staging};
use crate::gpu::{Device, Stream};
use crate::kernel::SpikeCounts;
use crate::kernel::batch_source::BatchSource;
use crate::kernel::program::{ColumnTypes, MatmulPrecision, Program};
use crate::network::{Network, Parameters, Shape};

/// The engine of our kernels on a GPU, for batches in host memory.
#[derive(Debug)]
pub struct GpuEngine {
    device: Device,
    stream: Stream,
    precision: MatmulPrecision,
    /// The kernels. They are replaced if a batch has other column types, but never if several ranks train.
    program: Option<Arc<Program>>,
    /// `Some` if several ranks train: then the networks and `staged` keep their memory from batch to batch. With
    /// `None`, each batch gets new memory, filled with NaN.
    kept: Option<Kept>,
    /// Networks for training and for evaluation.
    trained: Option<GpuNetwork>,
    evaluated: Option<GpuNetwork>,
    staged: Option<StagedBatch>,
    logits: Vec<f32>,
    loss: TrainingLoss,
    rounding: Rounding,
}

#[derive(Debug)]
struct Kept {
    ranks: Ranks,
    staging: Staging,
}

impl GpuEngine {
    /// Makes an engine on a device.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda) if the GPU's driver returns an error.
    pub fn new(device: &Device, precision: MatmulPrecision) -> Result<GpuEngine> {
        Ok(GpuEngine {
            stream: device.stream()?,
            device: device.clone(),
            precision,
            program: None,
            kept: None,
            trained: None,
            evaluated: None,
            staged: None,
            logits: Vec::new(),
            loss: TrainingLoss::default(),
            rounding: Rounding::default(),
        })
    }

    /// Sets the ranks that make training steps of `network` together, and allocates buffers on the device of `program`.
    /// `extents` are the sizes of the batches of this rank, in training and in evaluation.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`](crate::Error::DeviceMemory) if the GPU has too little free memory.
    /// [`Error::Cuda`](crate::Error::Cuda) if the GPU's driver returns an error.
    pub(crate) fn with_ranks(
        mut self,
        ranks: Ranks,
        program: &Arc<Program>,
        network: &Network,
        extents: [Extent; 2],
    ) -> Result<GpuEngine> {
        let [trained, evaluated] = extents.map(|extent| GpuNetwork::new(program.clone(), network, extent));
        let mut networks = [trained?.with_ranks(ranks, network.architecture())?, evaluated?];
        for on_device in &mut networks {
            on_device.load(&self.stream, network, None)?;
        }
        [self.trained, self.evaluated] = networks.map(Some);
        let staging = Staging::new(&self.device, program.column_types(), Sizes::default())?;
        self.kept = Some(Kept { ranks, staging });
        self.program = Some(program.clone());
        Ok(self)
    }

    fn ranks(&self) -> Ranks {
        self.kept.as_ref().map_or(Ranks::solo(), |kept| kept.ranks)
    }

    /// Copies a network and a batch to the device. `trains` says whether the network has the buffers for training.
    fn load(
        &mut self,
        network: &Network,
        batch: &Batch,
        steps: usize,
        trains: bool,
    ) -> Result<(&mut GpuNetwork, BatchSource, &Stream)> {
        let Shape { inputs, classes, .. } = *network.shape();
        if self.ranks().is_solo() || !batch.is_empty() {
            check_labels(batch, classes)?;
        }
        check_samples(inputs, batch)?;
        let program = match (&self.kept, &self.program) {
            (Some(_), Some(program)) => program.clone(),
            _ => self.program(inputs, batch.longest(), batch)?,
        };
        let GpuEngine { stream, kept, trained, evaluated, staged, loss, .. } = self;
        let place = if trains { trained } else { evaluated };
        if kept.is_none() {
            (*place, *staged) = (None, None);
        }
        let staged = match (staged, kept) {
            (Some(staged), Some(Kept { staging, .. })) => {
                staged.renew(stream, staging, batch, classes)?;
                staged
            }
            (place, _) => place.insert(StagedBatch::new(stream, program.column_types(), batch, classes)?),
        };
        let on_device = match place {
            Some(on_device) => {
                on_device.renew(stream, &network.parameters)?;
                on_device
            }
            place => {
                let longest = batch.longest().max(steps);
                let extent = Extent { batch: batch.len(), longest, trains, kept: 0, batches: 1 };
                let mut on_device = GpuNetwork::new(program, network, extent)?;
                on_device.set_loss(&if trains { loss.clone() } else { TrainingLoss::default() })?;
                on_device.load(stream, network, None)?;
                on_device.poison(stream)?;
                place.insert(on_device)
            }
        };
        on_device.begin(stream, 0, 0)?;
        Ok((on_device, staged.source(), stream))
    }

    /// Runs a batch forward, and keeps the logits. Returns what `read` reads from the device.
    fn run_forward<T>(
        &mut self,
        network: &Network,
        batch: &Batch,
        steps: usize,
        read: impl FnOnce(&GpuNetwork) -> Result<T>,
    ) -> Result<T> {
        let (on_device, source, stream) = self.load(network, batch, steps, false)?;
        on_device.forward(stream, source, Some(steps))?;
        on_device.check_potentials()?;
        let (logits, other) = (on_device.logits(batch.len())?, read(on_device)?);
        self.logits = logits;
        Ok(other)
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
        let ranks = self.ranks();
        check_step(ranks, network, batch, gradient)?;
        let terms = self.loss.of_share(ranks, &batch.labels);
        let (samples, weight) = (terms.samples, terms.total);
        let (on_device, source, stream) = self.load(network, batch, steps, true)?;
        on_device.set_whole(samples, weight);
        on_device.step(stream, source, Some(steps))?;
        let (score, state) = (on_device.first_score()?, on_device.state()?);
        let logits = on_device.logits(batch.len())?;
        // The last number is the lowest layer whose potentials overflowed.
        let [loss, penalty, correct, rounded, lowest] =
            ranks.fold_array([0.0, 0.0, 0.0, 0.0, f64::INFINITY], |[loss, penalty, correct, rounded, lowest]| {
                if !batch.is_empty() {
                    *loss += score.loss;
                    *penalty += score.penalty;
                    *correct += f64::from(score.correct);
                    *rounded += f64::from(state.rounded);
                }
                if state.overflowed > 0 {
                    *lowest = lowest.min(state.overflowed.into());
                }
            });
        check_potentials(lowest)?;
        let loss = check_loss(BatchLoss { loss, correct: correct as usize, penalty })?;
        on_device.add_gradients(stream, gradient, batch.is_empty())?;
        self.logits = logits;
        self.rounding.note(rounded > 0.0);
        Ok(loss)
    }

    fn forward(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<&[f32]> {
        self.run_forward(network, &labelled(batch), steps, |_| Ok(()))?;
        Ok(&self.logits)
    }

    fn spikes(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<Vec<SpikeCounts>> {
        let (on_device, source, stream) = self.load(network, &labelled(batch), steps, true)?;
        on_device.spikes(stream, source, (batch.frames.len(), Some(steps)))
    }

    fn set_loss(&mut self, loss: TrainingLoss) -> Result<()> {
        self.trained.iter_mut().try_for_each(|trained| trained.set_loss(&loss))?;
        self.loss = loss;
        Ok(())
    }

    fn logits(&self) -> &[f32] {
        &self.logits
    }

    fn remark(&mut self) -> Option<String> {
        self.rounding.remark()
    }

    fn exchange_time(&self) -> Duration {
        self.trained.as_ref().map_or(Duration::ZERO, GpuNetwork::exchange_time)
    }

    fn evaluate(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<BatchLoss> {
        let predictions = self.run_forward(network, batch, steps, |on_device| on_device.predictions(batch.len()))?;
        let correct = predictions.iter().filter(|prediction| prediction.is_correct()).count();
        let loss = predictions.iter().map(|of| of.loss).sum::<f64>() / batch.len() as f64;
        Ok(finite(BatchLoss { loss, correct, penalty: 0.0 })?)
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
