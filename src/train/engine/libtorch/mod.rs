//! The engine of libtorch's autograd, with which the tests compare the kernels.
//!
//! ```text
//! batch    a batch as dense tensors
//! layers   the forward pass through the layers of a network
//! neurons  the neurons of a layer over time
//! ```

mod batch;
mod layers;
mod neurons;

use tch::{Device, Kind, Reduction, Tensor, no_grad};
use tonic_loader::Batch;
use tonic_ranks::Ranks;

use crate::engine::libtorch::batch::DenseBatch;
use crate::engine::libtorch::layers::forward;
use crate::engine::step::{BatchLoss, Engine, Pass, check_loss, check_step};
use crate::engine::training_loss::{SpikeRate, TrainingLoss};
use crate::error::{BaseFault, Error, Result};
use crate::gpu::load_libtorch_cuda;
use crate::kernel::{SpikeCounts, loss};
use crate::network::{Network, Parameters};

/// The engine of libtorch's autograd (option `--engine reference`), for comparisons with the kernels.
#[derive(Debug)]
pub struct LibtorchEngine {
    device: Device,
    /// Type of all numbers.
    kind: Kind,
    /// Logits of the last batch, (batch, classes).
    logits: Vec<f32>,
    loss: TrainingLoss,
}

impl LibtorchEngine {
    /// Makes an engine on the GPU with the index `gpu`, from 0. Without `gpu`, the engine runs on the CPU.
    ///
    /// # Errors
    /// [`tonic_base::Error::Unavailable`] if libtorch has no CUDA support, or cannot use that GPU.
    pub fn new(gpu: Option<usize>) -> Result<LibtorchEngine> {
        let device = match gpu {
            None => Device::Cpu,
            Some(ordinal) => {
                load_libtorch_cuda()?;
                let seen = tch::Cuda::device_count();
                if !usize::try_from(seen).is_ok_and(|seen| ordinal < seen) {
                    let why = format!("libtorch's CUDA part can use {seen} GPUs with the driver of this machine");
                    return Err(Error::unavailable(format!("engine reference on cuda:{ordinal}"), why));
                }
                Device::Cuda(ordinal)
            }
        };
        Ok(LibtorchEngine { device, kind: Kind::Float, logits: Vec::new(), loss: TrainingLoss::default() })
    }

    /// Computes in float64 instead of float32.
    pub fn in_float64(self) -> LibtorchEngine {
        LibtorchEngine { kind: Kind::Double, ..self }
    }

    fn keep_logits(&mut self, output: &Tensor, len: usize) {
        self.logits.resize(len, 0.0);
        copy(output, &mut self.logits);
    }
}

/// Copies the values of a tensor to `to`.
fn copy(from: &Tensor, to: &mut [f32]) {
    from.to_device(Device::Cpu).to_kind(Kind::Float).contiguous().copy_data(to, to.len());
}

impl Engine for LibtorchEngine {
    fn step(&mut self, network: &Network, batch: &Batch, steps: usize, gradient: &mut Parameters) -> Result<BatchLoss> {
        let classes = check_step(Ranks::solo(), network, batch, gradient)?;
        let device = self.device;
        let input = DenseBatch::new(network, (device, self.kind), batch, steps)?;
        let leaves: Vec<Tensor> =
            leaves(network, &input).into_iter().map(|leaf| leaf.set_requires_grad(true)).collect();
        let passed = forward(network, &input, &leaves, Pass::Training)?;
        let targets: Vec<i64> = batch.labels.iter().map(|&label| label.into()).collect();
        let targets = Tensor::from_slice(&targets).to_device(device);
        let weights = self.loss.class_weights.as_ref().map(|weights| input.tensor(weights));
        let smoothing = self.loss.label_smoothing;
        let mean = passed.logits.cross_entropy_loss(&targets, weights, Reduction::Mean, -100, smoothing);
        let penalty = self.loss.spike_rate.map(|rate| penalty(rate, &passed.spikes, &input));
        let mean = penalty.as_ref().map_or_else(|| mean.shallow_clone(), |penalty| &mean + penalty);
        let computed = Tensor::run_backward(&[&mean], &leaves, false, false);
        let architecture = network.architecture();
        for (tensor, computed) in architecture.tensors().iter().zip(&computed) {
            copy(computed, &mut gradient.flat_mut()[tensor.range.clone()]);
        }
        for (statistic, computed) in architecture.statistics().iter().zip(&passed.statistics) {
            copy(computed, &mut gradient.statistics_mut()[statistic.range.clone()]);
        }
        self.keep_logits(&passed.logits.detach(), batch.len() * classes);
        let rows = self.logits.chunks_exact(classes);
        let correct = rows.zip(&batch.labels).filter(|&(row, &label)| loss::predicted(row) == label as usize).count();
        let penalty = penalty.map_or(0.0, |penalty| penalty.double_value(&[]));
        Ok(check_loss(BatchLoss { loss: mean.double_value(&[]), correct, penalty })?)
    }

    fn forward(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<&[f32]> {
        let input = DenseBatch::new(network, (self.device, self.kind), batch, steps)?;
        let passed = no_grad(|| forward(network, &input, &leaves(network, &input), Pass::Evaluation))?;
        self.keep_logits(&passed.logits, batch.frames.len() * network.shape().classes);
        Ok(&self.logits)
    }

    fn spikes(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<Vec<SpikeCounts>> {
        let input = DenseBatch::new(network, (self.device, self.kind), batch, steps)?;
        let passed = no_grad(|| forward(network, &input, &leaves(network, &input), Pass::Measuring))?;
        let steps = input.alive.sum(Kind::Double).double_value(&[]) as u64;
        // Counts beyond 2^53 would lose their last bits in float64.
        let sums = |spikes: &Tensor| -> Vec<u64> {
            let sums = spikes.sum_dim_intlist([0i64, 1].as_slice(), false, Kind::Double).to_device(Device::Cpu);
            Vec::<f64>::try_from(&sums).unwrap_or_default().into_iter().map(|sum| sum as u64).collect()
        };
        let counts = |layer: &Tensor| {
            let spikes = layer * &input.alive;
            SpikeCounts { spikes: sums(&spikes), active_steps: sums(&spikes.gt(0.0)), steps }
        };
        Ok(passed.spikes.iter().map(counts).collect())
    }

    fn set_loss(&mut self, loss: TrainingLoss) -> Result<()> {
        self.loss = loss;
        Ok(())
    }

    fn logits(&self) -> &[f32] {
        &self.logits
    }
}

/// Returns the penalty for spike rates. `spikes` has the spikes of each hidden layer, (time steps, batch, neurons).
fn penalty(rate: SpikeRate, spikes: &[Tensor], input: &DenseBatch) -> Tensor {
    let SpikeRate { bounds: [least, most], weight } = rate;
    let over_time = |x: &Tensor| x.sum_dim_intlist([0i64].as_slice(), false, input.kind);
    let steps = over_time(&input.alive).clamp_min(1.0);
    let layer = |spikes: &Tensor| {
        let rates = over_time(&(spikes * &input.alive)) / &steps;
        let apart = (&rates - most).relu() - (-&rates + least).relu();
        (&apart * &apart).mean(input.kind) * weight
    };
    spikes.iter().map(layer).fold(input.tensor(&[0.0]).squeeze(), |sum, layer| sum + layer)
}

/// Returns the parameters as leaf tensors of autograd. A weight matrix is W^T, (inputs, outputs). All other parameters
/// are vectors.
fn leaves(network: &Network, input: &DenseBatch) -> Vec<Tensor> {
    let leaf = |tensor: &crate::network::Tensor| {
        let values = input.tensor(&network.parameters.flat()[tensor.range.clone()]);
        let shape = [tensor.inputs as i64, tensor.outputs as i64];
        values.reshape(if tensor.is_weight() { &shape[..] } else { &shape[1..] })
    };
    network.architecture().tensors().iter().map(leaf).collect()
}
