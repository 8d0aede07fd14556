//! Converts a graph of NIR to a network.

use std::path::Path;

use crate::error::{BaseFault, Error, Result};
use crate::network::{
    Architecture, CubaLif, Hidden, Iaf, InitState, Layers, Lif, LinearInit, LinearLayer, Model, Network, Neuron,
    Output, Readout, Reset, SpikeFn, TensorKind,
};
use crate::nir::convention::Convention;
use crate::nir::export::MULTI_SPIKE;
use crate::nir::graph::{Graph, Node};

/// Factor that widens a range of decay factors. It multiplies the distance from the lower end to 0, and from the upper
/// end to 1.
const ROOM: f64 = 0.5;

/// A linear layer of the graph: weight (out, in) and bias, (out,) or empty.
struct Matrix {
    outputs: usize,
    inputs: usize,
    weight: Vec<f64>,
    bias: Vec<f64>,
}

/// Neurons of the graph, the values that each neuron learns, and the factor of each neuron's inputs.
struct Neurons {
    neuron: Neuron,
    learned: Vec<Vec<f64>>,
    gain: Vec<f64>,
}

/// Returns the network of a graph. Error messages name `path`.
pub(super) fn model(
    path: &Path,
    graph: &Graph,
    convention: Convention,
    dt: Option<f64>,
    steps: usize,
) -> Result<Model> {
    let mut nodes =
        graph.nodes.iter().map(|(name, node)| (format!("{}: node {name}", path.display()), node)).peekable();
    if let Some(written) = graph.metadata.get("convention").filter(|written| *written != convention.name()) {
        let expected = format!("--convention {written}, for which the file was written");
        return Err(Error::usage(path.display().to_string(), expected, convention.name()));
    }
    let (mut hidden, mut matrices, mut learned) = (Vec::new(), Vec::new(), Vec::new());
    nodes.next_if(|(_, node)| node.kind == "Input");
    loop {
        let Some((what, node)) = nodes.next() else {
            return Err(Error::usage(path.display().to_string(), "a linear layer before the output", "none"));
        };
        let mut matrix = matrix(&what, node)?;
        if let Some(before) = matrices.last().filter(|before: &&Matrix| before.outputs != matrix.inputs) {
            return Err(wrong(&what, "weight", format!("{} inputs", before.outputs), matrix.inputs));
        }
        let Some((what, node)) = nodes.next_if(|(_, node)| node.kind != "Output" && node.kind != "LI") else {
            matrices.push(matrix);
            break;
        };
        let of = neurons(&what, node, graph, convention, dt, matrix.outputs)?;
        for (row, gain) in matrix.weight.chunks_exact_mut(matrix.inputs).zip(&of.gain) {
            row.iter_mut().for_each(|weight| *weight *= gain);
        }
        matrix.bias.iter_mut().zip(&of.gain).for_each(|(bias, gain)| *bias *= gain);
        let linear = LinearLayer { bias: !matrix.bias.is_empty(), init: LinearInit::Uniform };
        let (neurons, neuron) = (matrix.outputs, of.neuron);
        hidden.push(Hidden { neurons, linear, norm: None, recurrent: false, neuron, dropout: None });
        matrices.push(matrix);
        learned.push(of.learned);
    }
    if let Some((what, node)) = nodes.find(|(_, node)| node.kind != "Output") {
        let expected = "the output after the last linear layer: leaky readouts are trained anew";
        return Err(Error::usage(what, expected, &node.kind));
    }
    let last = &matrices[matrices.len() - 1];
    let linear = LinearLayer { bias: !last.bias.is_empty(), init: LinearInit::Uniform };
    let readout = Output { linear, norm: None, readout: Readout::Sum };
    let layers = Layers { init_state: InitState::Zero, hidden, readout };
    let (inputs, classes) = (matrices[0].inputs, last.outputs);
    let mut network = Network::zeros(Architecture::new(inputs, layers, classes));
    for (mut layer, matrix) in network.parameters.layers_mut().zip(&matrices) {
        let float32 = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<f32>>();
        layer.set_weight(&float32(&matrix.weight));
        layer.bias.copy_from_slice(&float32(&matrix.bias));
    }
    let architecture = network.architecture().clone();
    for (i, learned) in learned.iter().enumerate() {
        let tensors = architecture.layer(i).filter(|tensor| matches!(tensor.kind, TensorKind::Neuron(_)));
        for (tensor, values) in tensors.zip(learned) {
            let to = &mut network.parameters.flat_mut()[tensor.range.clone()];
            to.iter_mut().zip(values).for_each(|(to, &value)| *to = value as f32);
        }
    }
    let named = graph.metadata.get("classes").and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
    let named = named.filter(|names| names.len() == classes);
    let names = named.unwrap_or_else(|| (0..classes).map(|class| class.to_string()).collect());
    Ok(Model { network, classes: names, steps })
}

fn wrong(what: &str, array: &str, expected: impl Into<String>, got: impl std::fmt::Display) -> Error {
    Error::usage(format!("{what}: {array}"), expected, got)
}

fn matrix(what: &str, node: &Node) -> Result<Matrix> {
    if node.kind != "Affine" && node.kind != "Linear" {
        let expected = "a chain of Affine or Linear nodes with IF, LIF or CubaLIF nodes between them";
        return Err(Error::usage(what, expected, &node.kind));
    }
    let weight = node.arrays.get("weight").ok_or_else(|| wrong(what, "weight", "an array", "none"))?;
    let &[outputs, inputs] = weight.shape.as_slice() else {
        return Err(wrong(what, "weight", "the shape (out, in)", format!("{:?}", weight.shape)));
    };
    if outputs == 0 || inputs == 0 {
        return Err(wrong(what, "weight", "at least the shape (1, 1)", format!("{:?}", weight.shape)));
    }
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
    let bias = if node.kind == "Affine" { numbers(what, node, "bias", outputs)? } else { Vec::new() };
    Ok(Matrix { outputs, inputs, weight: wide(&weight.values), bias })
}

/// Returns the array `name` of a node as `n` numbers. An array of one number is repeated `n` times.
fn numbers(what: &str, node: &Node, name: &str, n: usize) -> Result<Vec<f64>> {
    let array = node.arrays.get(name).ok_or_else(|| wrong(what, name, "an array", "none"))?;
    let values: Vec<f64> = array.values.iter().map(|&value| f64::from(value)).collect();
    match values.as_slice() {
        [one] => Ok(vec![*one; n]),
        many if many.len() == n => Ok(values),
        other => Err(wrong(what, name, format!("{n} numbers"), other.len())),
    }
}

fn neurons(
    what: &str,
    node: &Node,
    graph: &Graph,
    convention: Convention,
    dt: Option<f64>,
    n: usize,
) -> Result<Neurons> {
    let of = |name: &str| numbers(what, node, name, n);
    let is_reset = node.arrays.contains_key("v_reset");
    // Without v_reset, versions up to 1.0.4 subtract the threshold, and later versions set the potential to 0.
    let hard = if is_reset || version_of(&graph.version) > [1, 0, 4] { Reset::Hard } else { Reset::Soft };
    if node.kind == "IF" {
        let (theta, r) = (of("v_threshold")?, of("r")?);
        let first = theta[0];
        if theta.iter().any(|&other| other != first || other <= 0.0 || !other.is_finite()) {
            return Err(wrong(what, "v_threshold", "one positive number for all neurons", "others"));
        }
        let theta = first as f32;
        let (iaf, gain) = match convention {
            Convention::Nir if hard == Reset::Hard => {
                let expected = "a spike that subtracts the threshold, as in nir 1.0.4";
                return Err(Error::usage(what, expected, "IF of a later version, where it resets the potential"));
            }
            Convention::Nir => {
                let dt = convention.time_step(dt)?;
                if dt != 1.0 && r.iter().all(|&r| r == 1.0) {
                    let expected = "R = 1 / dt, --convention sinabs for a file of Sinabs, or --dt 1 if the neurons add up \
                                    their inputs as they are";
                    return Err(wrong(what, "r", expected, format!("1, which multiplies all inputs by dt = {dt}")));
                }
                let is_multi = graph.metadata.get("spike_fn").is_some_and(|name| name == MULTI_SPIKE);
                let spike_fn = if is_multi { SpikeFn::Multi } else { SpikeFn::Single };
                let iaf = Iaf { theta, spike_fn, ..Iaf::default() };
                // R of an exported network is 1 / dt as float32. Its product with dt may differ from 1.
                let gain = |r: f64| if r as f32 == (1.0 / dt) as f32 { 1.0 } else { r * dt };
                (iaf, r.into_iter().map(gain).collect())
            }
            Convention::Sinabs if r.iter().any(|&r| r != 1.0) => {
                return Err(wrong(what, "r", "1, because Sinabs' importer doesn't read it", "others"));
            }
            Convention::Sinabs => (Iaf { theta, min_v_mem: Some(-theta), ..Iaf::default() }, vec![1.0; n]),
            Convention::SnnTorch => {
                let expected = "LIF or CubaLIF: snnTorch's importer makes neurons that leak from IF";
                return Err(Error::usage(what, expected, "IF, which does not leak"));
            }
        };
        return Ok(Neurons { neuron: Neuron::Iaf(iaf), learned: Vec::new(), gain });
    }
    let is_cuba = node.kind == "CubaLIF";
    if !is_cuba && node.kind != "LIF" || is_cuba && convention == Convention::Sinabs {
        return Err(Error::usage(what, "neurons of type IF, LIF or CubaLIF that the convention has", &node.kind));
    }
    if of("v_leak")?.iter().any(|&leak| leak != 0.0) {
        return Err(wrong(what, "v_leak", "0", "others"));
    }
    if is_reset && of("v_reset")?.iter().any(|&reset| reset != 0.0) {
        return Err(wrong(what, "v_reset", "0", "others"));
    }
    let reset = convention.reset().unwrap_or(hard);
    let (theta, r, dt) = (of("v_threshold")?, of("r")?, convention.time_step(dt)?);
    if theta.iter().any(|&theta| theta <= 0.0 || !theta.is_finite()) {
        return Err(wrong(what, "v_threshold", "positive numbers", "others"));
    }
    let alphas = |name: &str| -> Result<Vec<f64>> {
        let alphas: Vec<f64> = of(name)?.iter().map(|&tau| convention.alpha(tau, dt)).collect();
        // A decay factor of 1 in float32 is no decay.
        match alphas.iter().all(|&alpha| (0.0..1.0).contains(&(alpha as f32))) {
            true => Ok(alphas),
            false => {
                let expected = format!("time constants from the time step, {dt}, to 10 million time steps");
                Err(wrong(what, name, expected, "others"))
            }
        }
    };
    // Here the threshold is 1, so potentials and inputs are divided by the graph's threshold.
    if is_cuba {
        let (syn, mem, w_in) = (alphas("tau_syn")?, alphas("tau_mem")?, of("w_in")?);
        let gain = (0..n).map(|j| (1.0 - syn[j]) * w_in[j] * (1.0 - mem[j]) * r[j] / theta[j]).collect();
        let neuron = CubaLif { alpha: range(&syn), beta: range(&mem), reset, ..CubaLif::default() };
        return Ok(Neurons { neuron: Neuron::CubaLif(neuron), learned: vec![syn, mem], gain });
    }
    let mem = alphas("tau")?;
    let gain = |j: usize| match convention {
        Convention::Sinabs => 1.0 / (1.0 - mem[j]) / theta[j],
        _ => r[j] / theta[j],
    };
    let gain = (0..n).map(gain).collect();
    let neuron = Lif { alpha: range(&mem), reset, ..Lif::default() };
    Ok(Neurons { neuron: Neuron::Lif(neuron), learned: vec![mem], gain })
}

/// Returns a range that is wider than the range of `alphas`, so that training can move each alpha in both directions.
fn range(alphas: &[f64]) -> [f32; 2] {
    let (low, high) = alphas.iter().fold((1.0_f64, 0.0_f64), |(low, high), &alpha| (low.min(alpha), high.max(alpha)));
    [(low * ROOM) as f32, ((1.0 - (1.0 - high) * ROOM) as f32).min(1.0_f32.next_down())]
}

fn version_of(text: &str) -> [u64; 3] {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}
