//! The GPU as an engine: a batch of the host's through the kernels and back, as the tests and the self-check hold it to
//! the other engines. Training keeps network and samples on the device instead
//! ([`DeviceLearner`](crate::train::learner)).

use std::sync::Arc;

use super::device::{DeviceNetwork, Extent};
use super::network::{Network, Parameters};
use super::{BatchLoss, check_labels, finite};
use crate::column::Width;
use crate::error::Result;
use crate::frames::{FrameShape, SampleFrames};
use crate::train::kernel::KernelError;
use crate::train::kernel::cuda::{Device, Stream};
use crate::train::kernel::interface::{Order, Source};
use crate::train::kernel::program::{Form, MatmulPrecision, Program};
use crate::train::loader::staging::{Amount, Stage, Staged, Staging};

/// What computes loss and gradients on a GPU, of batches that the host has.
#[derive(Debug)]
pub struct DeviceEngine {
    device: Device,
    stream: Stream,
    precision: MatmulPrecision,
    program: Option<Arc<Program>>,
    logits: Vec<f32>,
}

impl DeviceEngine {
    /// On a device.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn new(device: &Device, precision: MatmulPrecision) -> Result<DeviceEngine> {
        let stream = device.stream()?;
        Ok(DeviceEngine { device: device.clone(), stream, precision, program: None, logits: Vec::new() })
    }

    /// As [`Engine::step`](super::Engine::step). Buffers are made anew each time: shapes may change from call to call.
    ///
    /// # Errors
    /// Those of [`Engine::step`](super::Engine::step), and what the device has to say.
    pub fn step(
        &mut self,
        network: &Network,
        batch: &[SampleFrames<'_>],
        labels: &[u32],
        steps: usize,
        gradients: &mut Parameters,
    ) -> Result<BatchLoss> {
        self.run(network, batch, labels, steps, Some(gradients))
    }

    /// As [`Engine::evaluate`](super::Engine::evaluate).
    ///
    /// # Errors
    /// Those of [`Engine::evaluate`](super::Engine::evaluate), and what the device has to say.
    pub fn evaluate(
        &mut self,
        network: &Network,
        batch: &[SampleFrames<'_>],
        labels: &[u32],
        steps: usize,
    ) -> Result<BatchLoss> {
        self.run(network, batch, labels, steps, None)
    }

    /// The logits of the last batch, (batch, classes).
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    fn run(
        &mut self,
        network: &Network,
        batch: &[SampleFrames<'_>],
        labels: &[u32],
        steps: usize,
        gradients: Option<&mut Parameters>,
    ) -> Result<BatchLoss> {
        check_labels(batch.len(), labels, network.shape().classes)?;
        check_samples(network.shape().inputs, batch)?;
        let samples: Vec<(SampleFrames<'_>, u32)> = batch.iter().copied().zip(labels.iter().copied()).collect();
        let longest = batch.iter().map(|sample| sample.frames()).max().unwrap_or(0);
        let program = self.program(network.shape().inputs, longest, batch)?;
        let amount = samples.iter().fold(Amount::default(), |all, sample| all.plus(sample.amount()));
        let mut staging = Staging::new(&self.device, program.form(), amount)?;
        let staged = Staged::new(&self.device, program.form(), amount)?;
        staging.push(&samples, network.shape().classes, Amount::default())?;
        staging.upload(&self.stream, &staged, Amount::default())?;
        let order = self.device.buffer_from(&[Order::sequential(batch.len() as u64)])?;
        let extent = Extent {
            batch: batch.len(),
            longest: longest.max(steps),
            trained: gradients.is_some(),
            kept: 0,
            batches: 1,
        };
        let mut on_device = DeviceNetwork::new(program, network, extent)?;
        on_device.load(&self.stream, network, None)?;
        on_device.poison(&self.stream)?;
        on_device.begin(&self.stream, 0, 0)?;
        let source = Source::new(staged.columns(), order.address());
        match gradients {
            Some(gradients) => {
                on_device.step(&self.stream, source, Some(steps))?;
                on_device.read_gradients(gradients)?;
            }
            None => on_device.forward(&self.stream, source, Some(steps))?,
        }
        self.logits = on_device.logits(batch.len())?;
        let outcomes = on_device.outcomes(batch.len())?;
        let loss = outcomes.iter().map(|outcome| outcome.loss).sum::<f64>() / batch.len() as f64;
        let correct = outcomes.iter().filter(|outcome| outcome.is_correct()).count();
        Ok(finite(BatchLoss { loss, correct })?)
    }

    /// The program for samples like these, kept from batch to batch while they are alike.
    fn program(&mut self, inputs: usize, longest: usize, batch: &[SampleFrames<'_>]) -> Result<Arc<Program>> {
        let shape = FrameShape { polarities: 1, height: 1, width: inputs as u32 };
        let counts = batch.iter().map(|sample| sample.counts.width());
        let form = Form::of(shape, longest, counts.filter(|&width| width > Width::U8).chain([Width::U8]));
        match &self.program {
            Some(program) if program.form() == form => Ok(program.clone()),
            _ => {
                let program = Arc::new(Program::new(&self.device, form, self.precision)?);
                Ok(self.program.insert(program).clone())
            }
        }
    }
}

/// What the kernels rely on.
fn check_samples(inputs: usize, batch: &[SampleFrames<'_>]) -> std::result::Result<(), KernelError> {
    for (index, sample) in batch.iter().enumerate() {
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
