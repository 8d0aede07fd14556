//! A network: its architecture, and its parameters as one flat list.

use std::sync::Arc;

use tonic_ranks::Ranks;

use crate::network::layers::Layers;
use crate::network::tensors::{Architecture, Shape, TensorKind};

/// All parameters of a network, and the running statistics of its norms.
///
/// The same type holds gradients. Then the statistics are those of one batch.
///
/// The parameters are one flat list, in the order of the state dict of the equivalent `nn.Sequential` (`0.weight`,
/// `0.bias`, `2.weight`, ...). Weight matrices are transposed: (in, out) row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    architecture: Arc<Architecture>,
    values: Vec<f32>,
    statistics: Vec<f32>,
}

/// The weights and biases of one linear layer. `Numbers` is `&[f32]` or `&mut [f32]`.
#[derive(Clone, Copy, Debug)]
pub struct Linear<Numbers> {
    /// Number of inputs.
    pub inputs: usize,
    /// Number of outputs.
    pub outputs: usize,
    /// Transposed weight matrix W^T, (in, out) row-major.
    pub weight_t: Numbers,
    /// Biases, (out,), or empty for a layer without biases.
    pub bias: Numbers,
}

impl Linear<&[f32]> {
    /// Returns the weight matrix W, (out, in) row-major, as in PyTorch.
    pub fn weight(&self) -> Vec<f32> {
        transposed(self.weight_t, self.outputs)
    }
}

impl Linear<&mut [f32]> {
    /// Sets the weights of the layer from the weight matrix W, (out, in) row-major, as in PyTorch.
    pub fn set_weight(&mut self, weight: &[f32]) {
        self.weight_t.copy_from_slice(&transposed(weight, self.inputs));
    }
}

/// Transposes a row-major matrix with `columns` columns.
pub(super) fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| matrix.iter().skip(column).step_by(columns).copied()).collect()
}

impl Parameters {
    /// Makes parameters and statistics that are all 0.
    pub fn zeros(architecture: impl Into<Arc<Architecture>>) -> Parameters {
        let architecture = architecture.into();
        let values = vec![0.0; architecture.parameters()];
        let statistics = vec![0.0; architecture.statistics.last().map_or(0, |of| of.range.end)];
        Parameters { architecture, values, statistics }
    }

    /// Returns the architecture of the network.
    pub fn architecture(&self) -> &Arc<Architecture> {
        &self.architecture
    }

    /// Returns all parameters as one flat list, for the optimiser and the checkpoint.
    pub fn flat(&self) -> &[f32] {
        &self.values
    }

    /// Returns all parameters as one flat list that can be changed.
    pub fn flat_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Returns the statistics of all norms as one list. For each norm, the list has the means of all channels, then
    /// the variances. In gradients, they are the means and the unbiased variances of the batch.
    pub fn statistics(&self) -> &[f32] {
        &self.statistics
    }

    /// Returns the statistics of all norms as one list that can be changed. [`Parameters::statistics`] describes the
    /// list.
    pub fn statistics_mut(&mut self) -> &mut [f32] {
        &mut self.statistics
    }

    /// Copies the parameters and statistics of rank 0 to all ranks.
    pub(crate) fn copy_from_root(&mut self, ranks: Ranks) {
        ranks.copy_from_root(&mut self.values);
        ranks.copy_from_root(&mut self.statistics);
    }

    /// Moves the running statistics towards the statistics of `batch`, as PyTorch's `BatchNorm1d` does.
    pub fn follow(&mut self, batch: &Parameters) {
        for statistic in &self.architecture.statistics {
            let keep = 1.0 - statistic.momentum;
            let batch = &batch.statistics[statistic.range.clone()];
            for (running, batch) in self.statistics[statistic.range.clone()].iter_mut().zip(batch) {
                *running = keep * *running + statistic.momentum * batch;
            }
        }
    }

    /// Returns the linear layers, the readout last.
    pub fn layers(&self) -> impl Iterator<Item = Linear<&[f32]>> {
        let tensors = self.architecture.tensors.iter().enumerate();
        tensors.filter(|(_, tensor)| matches!(tensor.kind, TensorKind::Weight(_))).map(|(i, tensor)| {
            let bias = self.architecture.tensors.get(i + 1).filter(|next| next.kind == TensorKind::Bias);
            Linear {
                inputs: tensor.inputs,
                outputs: tensor.outputs,
                weight_t: &self.values[tensor.range.clone()],
                bias: bias.map_or(&[], |bias| &self.values[bias.range.clone()]),
            }
        })
    }

    /// Returns the linear layers, the readout last. Their weights and biases can be changed.
    pub fn layers_mut(&mut self) -> impl Iterator<Item = Linear<&mut [f32]>> {
        let mut rest = self.values.as_mut_slice();
        let mut tensors = self.architecture.tensors.iter().peekable();
        std::iter::from_fn(move || {
            let mut take = |len: usize| rest.split_off_mut(..len).unwrap_or_default();
            loop {
                let tensor = tensors.next()?;
                let values = take(tensor.range.len());
                if matches!(tensor.kind, TensorKind::Weight(_)) {
                    let bias = tensors.next_if(|next| next.kind == TensorKind::Bias);
                    let bias = bias.map_or(&mut [][..], |bias| take(bias.range.len()));
                    let (inputs, outputs) = (tensor.inputs, tensor.outputs);
                    return Some(Linear { inputs, outputs, weight_t: values, bias });
                }
            }
        })
    }
}

/// A spiking network: its architecture and its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Parameters, and running statistics of norms.
    pub parameters: Parameters,
}

impl Network {
    /// Returns the sizes and the layers of the network.
    pub fn architecture(&self) -> &Arc<Architecture> {
        &self.parameters.architecture
    }

    /// Returns the sizes of the network.
    pub fn shape(&self) -> &Shape {
        &self.parameters.architecture.shape
    }

    /// Returns the layers of the network.
    pub fn layers(&self) -> &Layers {
        &self.parameters.architecture.layers
    }
}
