//! The same network in plain libtorch autograd, over dense input and step by step: slow, short and independent of the
//! kernels, which are held to it.
//!
//! tch cannot define autograd functions. A spike is therefore written as
//!
//! ```text
//! s = spikes(v) + (f - f.detach())    with f = sigma(v).detach() * v
//! ```
//!
//! whose value is the spike count to the bit (a number minus itself is exactly 0) and whose gradient by v is sigma(v).

use tch::{Device, Kind, Reduction, Tensor, no_grad};

use super::BatchLoss;
use super::network::{Network, Parameters};
use crate::frames::SampleFrames;
use crate::train::kernel::iaf::Neuron;
use crate::train::kernel::{Activity, KernelError, loss};

/// Loss, logits and gradients of a batch whose labels are known to be classes.
pub(super) fn step(
    network: &Network,
    device: Device,
    batch: &[SampleFrames<'_>],
    labels: &[u32],
    steps: usize,
    logits: &mut [f32],
    gradients: &mut Parameters,
) -> Result<BatchLoss, KernelError> {
    let input = Input::new(network, device, batch, steps)?;
    let leaves: Vec<Tensor> = leaves(network, device).into_iter().map(|leaf| leaf.set_requires_grad(true)).collect();
    let output = output(network, &input, &leaves);
    let targets: Vec<i64> = labels.iter().map(|&label| label.into()).collect();
    let mean = output.cross_entropy_loss::<Tensor>(
        &Tensor::from_slice(&targets).to_device(device),
        None,
        Reduction::Mean,
        -100,
        0.0,
    );
    let computed = Tensor::run_backward(&[&mean], &leaves, false, false);
    let mut computed = computed.iter();
    for layer in gradients.layers_mut() {
        for (part, gradient) in [layer.weight_t, layer.bias].into_iter().zip(&mut computed) {
            gradient.to_device(Device::Cpu).contiguous().copy_data(part, part.len());
        }
    }
    output.detach().to_device(Device::Cpu).contiguous().copy_data(logits, logits.len());
    let rows = logits.chunks_exact(network.shape().classes);
    let correct = rows.zip(labels).filter(|&(row, &label)| loss::predicted(row) == label as usize).count();
    Ok(BatchLoss { loss: mean.double_value(&[]), correct })
}

/// The logits of a batch.
pub(super) fn forward(
    network: &Network,
    device: Device,
    batch: &[SampleFrames<'_>],
    steps: usize,
    logits: &mut [f32],
) -> Result<(), KernelError> {
    let input = Input::new(network, device, batch, steps)?;
    no_grad(|| {
        let output = output(network, &input, &leaves(network, device));
        output.to_device(Device::Cpu).contiguous().copy_data(logits, logits.len());
    });
    Ok(())
}

/// A batch as dense tensors.
struct Input {
    /// Counts, (T, batch, inputs), T of the longest sample.
    counts: Tensor,
    /// 1 where the step belongs to the sample and 0 after it, (T, batch, 1).
    alive: Tensor,
}

impl Input {
    fn new(network: &Network, device: Device, batch: &[SampleFrames<'_>], steps: usize) -> Result<Input, KernelError> {
        let inputs = network.shape().inputs;
        let longest = batch.iter().map(|sample| sample.frames()).max().unwrap_or(0).max(steps);
        let mut counts = vec![0.0f32; longest * batch.len() * inputs];
        let mut alive = vec![0.0f32; longest * batch.len()];
        let mut activity = Activity::default();
        for (i, &sample) in batch.iter().enumerate() {
            activity.set_frames(sample, inputs, steps, i)?;
            for t in 0..activity.steps() {
                let row = t * batch.len() + i;
                alive[row] = 1.0;
                for &(cell, count) in activity.step(t) {
                    counts[row * inputs + cell as usize] += count;
                }
            }
        }
        let (t, b, c) = (longest as i64, batch.len() as i64, inputs as i64);
        Ok(Input {
            counts: Tensor::from_slice(&counts).reshape([t, b, c]).to_device(device),
            alive: Tensor::from_slice(&alive).reshape([t, b, 1]).to_device(device),
        })
    }
}

/// W^T and bias of each layer, in the order of the parameters.
fn leaves(network: &Network, device: Device) -> Vec<Tensor> {
    let layers = network.parameters.layers();
    let pairs = layers.map(|layer| {
        let weight_t = Tensor::from_slice(layer.weight_t).reshape([layer.inputs as i64, layer.outputs as i64]);
        [weight_t, Tensor::from_slice(layer.bias)].map(|leaf| leaf.to_device(device))
    });
    pairs.flatten().collect()
}

/// The readout summed over each sample's steps, (batch, classes).
fn output(network: &Network, input: &Input, leaves: &[Tensor]) -> Tensor {
    let neuron = network.neuron.constants();
    let mut activity = input.counts.shallow_clone();
    let hidden = network.shape().hidden.len();
    for (i, pair) in leaves.chunks_exact(2).enumerate() {
        let currents = activity.matmul(&pair[0]) + &pair[1];
        activity = if i < hidden { spikes_over_time(&neuron, &currents) } else { currents };
    }
    (activity * &input.alive).sum_dim_intlist([0i64].as_slice(), false, Kind::Float)
}

fn spikes_over_time(neuron: &Neuron, currents: &Tensor) -> Tensor {
    let theta = f64::from(neuron.theta);
    let steps = currents.size()[0];
    if steps == 0 {
        return currents.shallow_clone();
    }
    let mut u = currents.get(0).zeros_like();
    let mut all = Vec::new();
    for t in 0..steps {
        let v = u + currents.get(t);
        let s = spikes(neuron, &v);
        u = v - &s * theta;
        if let Some(m) = neuron.min_v_mem {
            // Not `clamp`, whose gradient is 1 where u = m.
            u = u.where_self(&u.gt(f64::from(m)), &u.full_like(f64::from(m)));
        }
        all.push(s);
    }
    Tensor::stack(&all, 0)
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
