//! The engine of libtorch's autograd, with which the tests compare the kernels.
//!
//! tch cannot define autograd functions. The code therefore computes the spike count s as
//!
//! ```text
//! s = spikes(v) + (f - f.detach())    with f = sigma(v).detach() * v
//! ```
//!
//! The value of s is exactly the spike count, because f - f is 0. ds/dv is the surrogate gradient sigma(v).

use tch::{Device, Kind, Reduction, Tensor, no_grad};
use tonic_loader::Batch;

use crate::engine::step::{BatchLoss, Engine, check_interrupt, check_loss, check_step};
use crate::error::{BaseFault, Error, KernelError, Result};
use crate::gpu::load_libtorch_cuda;
use crate::kernel::iaf::Neuron;
use crate::kernel::{ActiveCells, SpikeCounts, loss};
use crate::network::{Network, Parameters};

/// The engine of libtorch's autograd (option `--engine reference`), for comparisons with the kernels.
#[derive(Debug)]
pub struct LibtorchEngine {
    device: Device,
    /// Logits of the last batch, (batch, classes).
    logits: Vec<f32>,
    class_weights: Option<Vec<f32>>,
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
        Ok(LibtorchEngine { device, logits: Vec::new(), class_weights: None })
    }

    fn keep_logits(&mut self, output: &Tensor, len: usize) {
        self.logits.resize(len, 0.0);
        output.to_device(Device::Cpu).contiguous().copy_data(&mut self.logits, len);
    }
}

impl Engine for LibtorchEngine {
    fn step(&mut self, network: &Network, batch: &Batch, steps: usize, gradient: &mut Parameters) -> Result<BatchLoss> {
        let classes = check_step(network, batch, gradient)?;
        let device = self.device;
        let input = DenseBatch::new(network, device, batch, steps)?;
        let leaves: Vec<Tensor> =
            leaves(network, device).into_iter().map(|leaf| leaf.set_requires_grad(true)).collect();
        let (output, _) = output(network, &input, &leaves)?;
        let targets: Vec<i64> = batch.labels.iter().map(|&label| label.into()).collect();
        let targets = Tensor::from_slice(&targets).to_device(device);
        let weights = self.class_weights.as_ref().map(|weights| Tensor::from_slice(weights).to_device(device));
        let mean = output.cross_entropy_loss(&targets, weights, Reduction::Mean, -100, 0.0);
        let computed = Tensor::run_backward(&[&mean], &leaves, false, false);
        let mut results = computed.iter();
        for layer in gradient.layers_mut() {
            for (part, computed) in [layer.weight_t, layer.bias].into_iter().zip(&mut results) {
                computed.to_device(Device::Cpu).contiguous().copy_data(part, part.len());
            }
        }
        self.keep_logits(&output.detach(), batch.len() * classes);
        let rows = self.logits.chunks_exact(classes);
        let correct = rows.zip(&batch.labels).filter(|&(row, &label)| loss::predicted(row) == label as usize).count();
        Ok(check_loss(BatchLoss { loss: mean.double_value(&[]), correct })?)
    }

    fn forward(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<&[f32]> {
        let input = DenseBatch::new(network, self.device, batch, steps)?;
        let (output, _) = no_grad(|| output(network, &input, &leaves(network, self.device)))?;
        self.keep_logits(&output, batch.frames.len() * network.shape().classes);
        Ok(&self.logits)
    }

    fn spikes(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<Vec<SpikeCounts>> {
        let input = DenseBatch::new(network, self.device, batch, steps)?;
        let (_, layers) = no_grad(|| output(network, &input, &leaves(network, self.device)))?;
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
        Ok(layers.iter().map(counts).collect())
    }

    fn set_class_weights(&mut self, weights: Option<Vec<f32>>) {
        self.class_weights = weights;
    }

    fn logits(&self) -> &[f32] {
        &self.logits
    }
}

struct DenseBatch {
    /// Input counts, (time steps, batch, inputs). All samples are padded to the same number of time steps.
    counts: Tensor,
    /// 1 while a sample runs and 0 after its last time step, (time steps, batch, 1).
    alive: Tensor,
}

impl DenseBatch {
    fn new(network: &Network, device: Device, batch: &Batch, steps: usize) -> Result<DenseBatch, KernelError> {
        let inputs = network.shape().inputs;
        let (samples, longest) = (batch.frames.len(), batch.longest().max(steps));
        let mut counts = vec![0.0f32; longest * samples * inputs];
        let mut alive = vec![0.0f32; longest * samples];
        let mut active = ActiveCells::default();
        for (i, sample) in batch.frames.samples().enumerate() {
            active.set_frames(sample, inputs, steps, i)?;
            for t in 0..active.steps() {
                let row = t * samples + i;
                alive[row] = 1.0;
                for &(cell, count) in active.step(t) {
                    counts[row * inputs + cell as usize] += count;
                }
            }
        }
        let (t, b, c) = (longest as i64, samples as i64, inputs as i64);
        Ok(DenseBatch {
            counts: Tensor::from_slice(&counts).reshape([t, b, c]).to_device(device),
            alive: Tensor::from_slice(&alive).reshape([t, b, 1]).to_device(device),
        })
    }
}

/// Returns W^T and the bias of each layer as leaf tensors of autograd.
fn leaves(network: &Network, device: Device) -> Vec<Tensor> {
    let layers = network.parameters.layers();
    let pairs = layers.map(|layer| {
        let weight_t = Tensor::from_slice(layer.weight_t).reshape([layer.inputs as i64, layer.outputs as i64]);
        [weight_t, Tensor::from_slice(layer.bias)].map(|leaf| leaf.to_device(device))
    });
    pairs.flatten().collect()
}

/// Returns the logits, (batch, classes), and the spike counts of each hidden layer, (time steps, batch, neurons).
fn output(network: &Network, input: &DenseBatch, leaves: &[Tensor]) -> Result<(Tensor, Vec<Tensor>)> {
    let layers = network.layers();
    let neuron = layers.as_iaf().ok_or_else(|| {
        Error::unavailable("engine reference", format!("it doesn't compute {} yet", layers.beyond_iaf()))
    })?;
    let neuron = neuron.constants();
    let mut activity = input.counts.shallow_clone();
    let hidden = network.shape().hidden.len();
    let mut spikes = Vec::with_capacity(hidden);
    for (i, pair) in leaves.chunks_exact(2).enumerate() {
        let currents = activity.matmul(&pair[0]) + &pair[1];
        activity = if i < hidden { spikes_over_time(&neuron, &currents)? } else { currents };
        if i < hidden {
            spikes.push(activity.shallow_clone());
        }
    }
    check_interrupt()?;
    Ok(((activity * &input.alive).sum_dim_intlist([0i64].as_slice(), false, Kind::Float), spikes))
}

fn spikes_over_time(neuron: &Neuron, currents: &Tensor) -> Result<Tensor> {
    let theta = f64::from(neuron.theta);
    let steps = currents.size()[0];
    if steps == 0 {
        return Ok(currents.shallow_clone());
    }
    let mut u = currents.get(0).zeros_like();
    let mut all = Vec::new();
    for t in 0..steps {
        check_interrupt()?;
        let v = u + currents.get(t);
        let s = spikes(neuron, &v);
        u = v - &s * theta;
        if let Some(m) = neuron.min_v_mem {
            // Not `clamp`: its gradient is 1 at u = m.
            u = u.where_self(&u.gt(f64::from(m)), &u.full_like(f64::from(m)));
        }
        all.push(s);
    }
    Ok(Tensor::stack(&all, 0))
}

fn spikes(neuron: &Neuron, v: &Tensor) -> Tensor {
    let theta = f64::from(neuron.theta);
    let fixed = v.detach();
    let count = (&fixed / theta).trunc();
    let count = count.where_self(&fixed.gt(0.0), &count.zeros_like());
    let sigma = ((&fixed - theta).abs() * -f64::from(neuron.rate)).exp() * f64::from(neuron.peak);
    let f = sigma * v;
    count + (&f - f.detach())
}
