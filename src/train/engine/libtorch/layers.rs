//! The forward pass through the layers of a network. Tensors have the shape (time steps, batch, channels).

use tch::{Kind, Tensor};

use crate::engine::layered::uniform_start;
use crate::engine::libtorch::batch::DenseBatch;
use crate::engine::libtorch::neurons::{States, spikes_over_time};
use crate::engine::step::{Pass, check_interrupt};
use crate::error::Result;
use crate::kernel::TILE_WIDTH;
use crate::kernel::dropout::{self, DropoutKey};
use crate::network::{Dropout, InitState, Learned, Mask, Network, Readout, Statistic, TensorKind};

/// The result of a forward pass.
pub(super) struct Passed {
    /// Logits, (batch, classes).
    pub(super) logits: Tensor,
    /// Spike counts of each hidden layer before dropout, (time steps, batch, neurons).
    pub(super) spikes: Vec<Tensor>,
    /// Mean and unbiased variance of the batch, for each norm. Empty in an evaluation.
    pub(super) statistics: Vec<Tensor>,
}

/// Parameters of one layer.
struct Leaves<'a> {
    weight_t: Option<&'a Tensor>,
    bias: Option<&'a Tensor>,
    norm: Option<(&'a Tensor, &'a Tensor)>,
    recurrent: Option<&'a Tensor>,
    learned: Vec<Tensor>,
}

impl<'a> Leaves<'a> {
    fn of(network: &Network, leaves: &'a [Tensor], layer: usize) -> Leaves<'a> {
        let all = network.architecture().tensors().iter().zip(leaves).filter(|(tensor, _)| tensor.layer == layer);
        let (mut weight_t, mut bias, mut scale, mut shift, mut recurrent, mut learned) =
            (None, None, None, None, None, Vec::new());
        for (tensor, leaf) in all {
            match tensor.kind {
                TensorKind::Weight(_) => weight_t = Some(leaf),
                TensorKind::Bias => bias = Some(leaf),
                TensorKind::Scale => scale = Some(leaf),
                TensorKind::Shift => shift = Some(leaf),
                TensorKind::Recurrent => recurrent = Some(leaf),
                TensorKind::Neuron(Learned { clamp: Some([low, high]), .. }) => {
                    learned.push(leaf.clamp(f64::from(low), f64::from(high)));
                }
                TensorKind::Neuron(Learned { clamp: None, .. }) => learned.push(leaf.shallow_clone()),
            }
        }
        Leaves { weight_t, bias, norm: scale.zip(shift), recurrent, learned }
    }
}

/// Runs a batch forward. `leaves` are the parameters of the network.
pub(super) fn forward(network: &Network, input: &DenseBatch, leaves: &[Tensor], pass: Pass) -> Result<Passed> {
    let layers = network.layers();
    let (mut spikes, mut statistics) = (Vec::new(), Vec::new());
    let mut activity = input.counts.shallow_clone();
    for (i, layer) in layers.hidden.iter().enumerate() {
        let of = Leaves::of(network, leaves, i);
        let currents = currents(network, input, &activity, &of, i, pass, &mut statistics);
        let recurrent =
            of.recurrent.map(|weights| weights * (1 - Tensor::eye(layer.neurons as i64, (input.kind, input.device))));
        let states = |row: usize, is_state: bool| start(network, input, i, layer.neurons, is_state.then_some(row));
        let learned = fixed(&of.learned, layer.neuron.fixed(), input);
        let begin = States { u: states(0, true), w: states(1, layer.neuron.states() > 1), s: states(2, true) };
        activity = spikes_over_time(&layer.neuron, &learned, recurrent.as_ref(), &currents, begin)?;
        spikes.push(activity.shallow_clone());
        if let Some(dropout) = layer.dropout.filter(|_| pass == Pass::Training) {
            let kept = &activity * masks(input, &dropout, i, layer.neurons); // not in place: `spikes` has this tensor
            activity = kept;
        }
    }
    check_interrupt()?;
    let last = layers.hidden.len();
    let of = Leaves::of(network, leaves, last);
    let currents = currents(network, input, &activity, &of, last, pass, &mut statistics);
    let logits = readout(network, input, layers.readout.readout, &of.learned, &currents)?;
    Ok(Passed { logits, spikes, statistics })
}

/// Returns the outputs of the linear layer and the norm of layer `i`.
fn currents(
    network: &Network,
    input: &DenseBatch,
    activity: &Tensor,
    of: &Leaves<'_>,
    i: usize,
    pass: Pass,
    statistics: &mut Vec<Tensor>,
) -> Tensor {
    let mut y = match of.weight_t {
        Some(weight_t) => activity.matmul(weight_t),
        None => activity.shallow_clone(), // not reached: every layer has weights
    };
    if let Some(bias) = of.bias {
        y += bias;
    }
    let Some((scale, shift)) = of.norm else { return y };
    let dims = [0i64, 1];
    let (mean, variance) = match pass {
        Pass::Training | Pass::Measuring => {
            let rows = input.alive.sum(Kind::Double).double_value(&[]);
            let mean = (&y * &input.alive).sum_dim_intlist(dims.as_slice(), false, input.kind) / rows;
            let apart = (&y - &mean) * &input.alive;
            let variance = (&apart * &apart).sum_dim_intlist(dims.as_slice(), false, input.kind) / rows;
            statistics.extend([mean.detach(), variance.detach() * (rows / (rows - 1.0).max(1.0))]);
            (mean, variance)
        }
        Pass::Evaluation => {
            let values =
                |statistic: &Statistic| input.tensor(&network.parameters.statistics()[statistic.range.clone()]);
            let mut running = network.architecture().statistics().iter().filter(|of| of.layer == i).map(values);
            let zero = || Tensor::zeros([1], (input.kind, input.device));
            (running.next().unwrap_or_else(zero), running.next().unwrap_or_else(zero))
        }
    };
    (y - mean) / (variance + crate::kernel::norm::EPS).sqrt() * scale + shift
}

/// Returns the learned parameters of the neurons, followed by the fixed parameters that all neurons share.
fn fixed(learned: &[Tensor], fixed: Vec<f32>, input: &DenseBatch) -> Vec<Tensor> {
    let fixed = fixed.into_iter().map(|value| input.tensor(&[value]));
    learned.iter().map(Tensor::shallow_clone).chain(fixed).collect()
}

/// Returns initial values for the neurons of a layer, (batch, neurons). `row` chooses the values: 0 and 1 for the two
/// state variables, 2 for the spikes. If `row` is `None`, all values are 0.
fn start(network: &Network, input: &DenseBatch, i: usize, neurons: usize, row: Option<usize>) -> Tensor {
    let mut values = vec![0.0f32; input.keys.len() * neurons];
    if let Some(row) = row.filter(|_| network.layers().init_state == InitState::Uniform) {
        for (key, values) in input.keys.iter().zip(values.chunks_exact_mut(neurons)) {
            let tiles = uniform_start(*key, i, neurons, 2, true);
            values.iter_mut().enumerate().for_each(|(j, to)| *to = tiles[j / TILE_WIDTH][row][j % TILE_WIDTH]);
        }
    }
    input.tensor(&values).reshape([input.keys.len() as i64, neurons as i64])
}

/// Returns the factors by which dropout multiplies the spikes, (time steps, batch, neurons): 0 or 1 / (1 - p).
fn masks(input: &DenseBatch, dropout: &Dropout, i: usize, neurons: usize) -> Tensor {
    let kernel = dropout::Dropout::new(dropout.p, dropout.mask == Mask::Sample);
    let scale = kernel.scale();
    let mut values = Vec::with_capacity(input.steps() as usize * input.keys.len() * neurons);
    for t in 0..input.steps() as usize {
        for &key in &input.keys {
            let key = DropoutKey::new(key, i as u64);
            let mask = |j: usize| kernel.mask(key, t, j / TILE_WIDTH) >> (j % TILE_WIDTH) & 1;
            values.extend((0..neurons).map(|j| mask(j) as f32 * scale));
        }
    }
    let shape = [input.steps(), input.keys.len() as i64, neurons as i64];
    input.tensor(&values).reshape(shape)
}

/// Returns the logits, (batch, classes).
fn readout(
    network: &Network,
    input: &DenseBatch,
    kind: Readout,
    learned: &[Tensor],
    currents: &Tensor,
) -> Result<Tensor> {
    let over_time = |x: Tensor| (x * &input.alive).sum_dim_intlist([0i64].as_slice(), false, input.kind);
    let Some(alpha) = learned.first().filter(|_| kind != Readout::Sum) else {
        return Ok(over_time(currents.shallow_clone()));
    };
    let shape = network.shape();
    let mut y = start(network, input, shape.hidden.len(), shape.classes, Some(0));
    let mut all = Vec::new();
    for t in 0..input.steps() {
        check_interrupt()?;
        y = alpha * y + (1 - alpha) * currents.get(t);
        all.push(y.shallow_clone());
    }
    let all = Tensor::stack(&all, 0);
    Ok(match kind {
        Readout::Max => {
            let dead = input.alive.eq(0.0).expand_as(&all);
            all.masked_fill(&dead, f64::NEG_INFINITY).max_dim(0, false).0
        }
        Readout::Last => {
            let last = input.alive.sum_dim_intlist([0i64].as_slice(), true, Kind::Int64) - 1;
            all.gather(0, &last.expand([1, -1, shape.classes as i64], false), false).squeeze_dim(0)
        }
        _ => over_time(all.softmax(2, input.kind)),
    })
}
