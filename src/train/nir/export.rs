//! Converts a network to a graph of NIR.

use std::collections::BTreeMap;

use crate::error::{BaseFault, Error, Result};
use crate::kernel::norm::EPS;
use crate::network::{
    Architecture, Hidden, InitState, Model, Network, Neuron, Readout, Reset, SpikeFn, Tensor, TensorKind,
};
use crate::nir::convention::Convention;
use crate::nir::graph::{Graph, Node};

/// A version of the package `nir` in which a spike subtracts the threshold. Neurons have no v_reset in this version.
pub(super) const SUBTRACTS: &str = "1.0.4";
/// A version of the package `nir` in which a spike sets the membrane potential to v_reset.
pub(super) const RESETS: &str = "1.0.8";

/// Sinabs' name for neurons that spike several times per step, in the metadata of a graph.
pub(super) const MULTI_SPIKE: &str = "MultiSpike";

/// Returns the graph of a network, and notes for the user about what NIR cannot express.
pub(super) fn graph(model: &Model, convention: Convention, dt: Option<f64>) -> Result<(Graph, Vec<String>)> {
    let Model { network, classes, steps } = model;
    let architecture = network.architecture();
    let layers = &architecture.layers;
    if layers.init_state != InitState::Zero {
        let expected = "init_state = \"zero\": in NIR, all states are 0 before the first time step";
        return Err(Error::usage("network", expected, "init_state = \"uniform\""));
    }
    for (i, layer) in layers.hidden.iter().enumerate() {
        if let Neuron::Iaf(of) = &layer.neuron {
            convention.check_iaf(&format!("layer {}", i + 1), of)?;
        }
    }
    let mut resets = layers.hidden.iter().filter_map(|layer| reset(&layer.neuron));
    let first = resets.next().unwrap_or(Reset::Soft);
    if resets.any(|other| other != first) {
        let expected = "one reset for all layers: the version of a file says what a spike does";
        return Err(Error::usage("network", expected, "soft and hard resets"));
    }
    let mut notes = Vec::new();
    let mut nodes =
        vec![("input".to_string(), Node::new("Input").with("shape", vec![architecture.shape.inputs as f32]))];
    for (i, layer) in layers.hidden.iter().enumerate() {
        let number = i + 1;
        if layer.recurrent {
            let expected = "layers without recurrent: importers disagree about its delay of a time step";
            return Err(Error::usage(format!("layer {number}"), expected, "a recurrent connection"));
        }
        let (node, gain) = neuron_node(network, i, convention, dt)?;
        nodes.push((format!("linear_{number}"), linear_node(network, i, &gain)));
        nodes.push((format!("{}_{number}", node.kind.to_lowercase()), node));
    }
    let last = layers.hidden.len();
    nodes.push(("linear_out".into(), linear_node(network, last, &[])));
    let word = match layers.readout.readout {
        Readout::Sum => "sum",
        other => {
            let alphas = effective(network, last)[0].clone();
            let dt = convention.time_step(dt)?;
            let mut node = Node::new("LI");
            let tau: Vec<f32> = alphas.iter().map(|&alpha| convention.tau(alpha, dt) as f32).collect();
            if convention.gain_is_in_weights() {
                let expected = "a readout that is summed over time: the importer has no leaky integrator with a gain";
                return Err(Error::usage("readout", expected, "a leaky integrator"));
            }
            node = node.with("r", vec![1.0; tau.len()]).with("v_leak", vec![0.0; tau.len()]).with("tau", tau);
            nodes.push(("readout".into(), node));
            match other {
                Readout::Max => "max",
                Readout::Last => "last",
                _ => "sum of softmax",
            }
        }
    };
    nodes.push(("output".into(), Node::new("Output").with("shape", vec![architecture.shape.classes as f32])));
    notes.push(format!("the logits are the {word} over time of the graph's outputs, which NIR cannot say"));
    let spikes = |layer: &Hidden| if let Neuron::Iaf(of) = layer.neuron { Some(of.spike_fn) } else { None };
    let spike_fns: Vec<SpikeFn> = layers.hidden.iter().filter_map(spikes).collect();
    let is_multi_spike = spike_fns.contains(&SpikeFn::Multi);
    if is_multi_spike && spike_fns.contains(&SpikeFn::Single) {
        let expected = "one spike_fn for all layers: the metadata of a file says how often neurons spike";
        return Err(Error::usage("network", expected, "\"single\" and \"multi\""));
    }
    if convention == Convention::Nir && !spike_fns.is_empty() {
        notes.push("neurons of IF spike above the threshold: here they spike also exactly at it".into());
    }
    if is_multi_spike {
        let words = "the neurons spike several times per step, which NIR cannot say: Sinabs' importer does it, and import \
                     reads it in the metadata (spike_fn)";
        notes.push(words.into());
    }
    if layers.hidden.iter().any(|layer| reset(&layer.neuron) == Some(Reset::Soft)) && convention == Convention::Nir {
        notes.push(format!(
            "a spike subtracts the threshold, as in nir {SUBTRACTS}: later versions set the membrane potential to 0"
        ));
    }
    if layers.hidden.iter().any(|layer| matches!(layer.neuron, Neuron::Lif(_))) && convention == Convention::Sinabs {
        let words = "Sinabs' importer makes LIF neurons that spike several times per step from twice the threshold on, \
                     and also exactly at the threshold: here they spike once, above the threshold";
        notes.push(words.into());
    }
    let mut metadata = BTreeMap::from([
        ("tonic_toolkit".to_string(), env!("CARGO_PKG_VERSION").to_string()),
        ("convention".into(), convention.name().into()),
        ("readout".into(), word.into()),
        ("classes".into(), serde_json::to_string(classes).unwrap_or_default()),
        ("steps".into(), steps.to_string()),
    ]);
    metadata.extend(dt.map(|dt| ("dt".into(), dt.to_string())));
    metadata.extend(is_multi_spike.then(|| ("spike_fn".into(), MULTI_SPIKE.into())));
    let version = if first == Reset::Hard { RESETS } else { SUBTRACTS };
    Ok((Graph { version: version.into(), nodes, metadata }, notes))
}

/// Returns what a spike does, or `None` for neurons that NIR has not.
fn reset(neuron: &Neuron) -> Option<Reset> {
    match neuron {
        Neuron::Lif(of) => Some(of.reset),
        Neuron::CubaLif(of) => Some(of.reset),
        Neuron::Iaf(_) => Some(Reset::Soft),
        _ => None,
    }
}

/// Returns the node of the neurons in hidden layer `i`, and the factor of each neuron's weights. If all factors are 1,
/// the list of factors is empty.
fn neuron_node(network: &Network, i: usize, convention: Convention, dt: Option<f64>) -> Result<(Node, Vec<f64>)> {
    let layer = &network.layers().hidden[i];
    let (what, n) = (format!("layer {}", i + 1), layer.neurons);
    let ones = |value: f32| vec![value; n];
    if let Some((reset, only)) = reset(&layer.neuron).zip(convention.reset()).filter(|(reset, only)| reset != only) {
        let word = |reset| if reset == Reset::Soft { "soft" } else { "hard" };
        let expected = format!("reset = {:?}, the only one of this importer", word(only));
        return Err(Error::usage(what, expected, format!("{:?}", word(reset))));
    }
    let spiking = |node: Node, is_hard: bool| {
        let node = node.with("v_leak", ones(0.0)).with("v_threshold", ones(1.0));
        if is_hard && convention == Convention::Nir { node.with("v_reset", ones(0.0)) } else { node }
    };
    match &layer.neuron {
        Neuron::Iaf(of) => {
            // NIR's equation multiplies the input by R and the duration of a time step.
            let r = if convention == Convention::Nir { 1.0 / convention.time_step(dt)? } else { 1.0 };
            Ok((Node::new("IF").with("r", ones(r as f32)).with("v_threshold", ones(of.theta)), Vec::new()))
        }
        Neuron::Lif(of) => {
            let (dt, alphas) = (convention.time_step(dt)?, effective(network, i)[0].clone());
            let tau = alphas.iter().map(|&alpha| convention.tau(alpha, dt) as f32).collect();
            let is_folded = convention.gain_is_in_weights();
            let r = alphas.iter().map(|&alpha| if is_folded { (1.0 / (1.0 - alpha)) as f32 } else { 1.0 }).collect();
            let gain = if is_folded { alphas.iter().map(|alpha| 1.0 - alpha).collect() } else { Vec::new() };
            Ok((spiking(Node::new("LIF").with("tau", tau).with("r", r), of.reset == Reset::Hard), gain))
        }
        Neuron::CubaLif(_) if convention == Convention::Sinabs => {
            Err(Error::usage(what, "lif or iaf: Sinabs' importer has no cuba-lif", "cuba-lif"))
        }
        Neuron::CubaLif(of) => {
            let (dt, learned) = (convention.time_step(dt)?, effective(network, i));
            let tau =
                |alphas: &[f64]| alphas.iter().map(|&alpha| convention.tau(alpha, dt) as f32).collect::<Vec<f32>>();
            // NIR's equations multiply both inputs by 1 - alpha. The equations of cuba-lif here don't.
            let gain = |alphas: &[f64]| alphas.iter().map(|&alpha| (1.0 / (1.0 - alpha)) as f32).collect::<Vec<f32>>();
            let node = Node::new("CubaLIF").with("tau_syn", tau(&learned[0])).with("tau_mem", tau(&learned[1]));
            let node = node.with("w_in", gain(&learned[0])).with("r", gain(&learned[1]));
            Ok((spiking(node, of.reset == Reset::Hard), Vec::new()))
        }
        other => {
            let expected = "neurons that NIR has: lif, cuba-lif or iaf";
            Err(Error::usage(
                what,
                expected,
                format!("{}, whose adaptation or complex state NIR has not", other.name()),
            ))
        }
    }
}

/// Returns the parameters of the neurons in layer `i`, learned or fixed, such as alpha: for each parameter a list with
/// one number per neuron. Learned numbers are clamped as in the forward pass.
fn effective(network: &Network, i: usize) -> Vec<Vec<f64>> {
    let architecture: &Architecture = network.architecture();
    let clamped = |tensor: &Tensor| match tensor.kind {
        TensorKind::Neuron(learned) => {
            let [low, high] = learned.clamp.unwrap_or([f32::MIN, f32::MAX]);
            let values = &network.parameters.flat()[tensor.range.clone()];
            Some(values.iter().map(|value| f64::from(value.clamp(low, high))).collect::<Vec<f64>>())
        }
        _ => None,
    };
    let learned: Vec<Vec<f64>> = architecture.layer(i).filter_map(clamped).collect();
    match architecture.layers.hidden.get(i) {
        Some(layer) if learned.is_empty() => {
            layer.neuron.fixed().iter().map(|&value| vec![f64::from(value); layer.neurons]).collect()
        }
        _ => learned,
    }
}

/// Returns the linear layer `i` with its norm folded in. The weights and the bias of output `j` are multiplied by
/// `gain[j]`.
fn linear_node(network: &Network, i: usize, gain: &[f64]) -> Node {
    let Some(linear) = network.parameters.layers().nth(i) else { return Node::new("Linear") };
    let architecture = network.architecture();
    let of = |kind: TensorKind| {
        let tensor = architecture.layer(i).find(|tensor| tensor.kind == kind);
        tensor.map(|tensor| &network.parameters.flat()[tensor.range.clone()])
    };
    let running: Vec<&[f32]> = architecture
        .statistics()
        .iter()
        .filter(|statistic| statistic.layer == i)
        .map(|statistic| &network.parameters.statistics()[statistic.range.clone()])
        .collect();
    let (mut scale, mut shift) = (vec![1.0; linear.outputs], vec![0.0; linear.outputs]);
    shift.iter_mut().zip(linear.bias).for_each(|(shift, &bias)| *shift = f64::from(bias));
    let norm = of(TensorKind::Scale).zip(of(TensorKind::Shift)).zip(running.first().zip(running.get(1)));
    if let Some(((gamma, beta), (mean, variance))) = norm {
        for j in 0..linear.outputs {
            scale[j] = f64::from(gamma[j]) / (f64::from(variance[j]) + EPS).sqrt();
            shift[j] = (shift[j] - f64::from(mean[j])) * scale[j] + f64::from(beta[j]);
        }
    }
    for (j, gain) in gain.iter().enumerate() {
        scale[j] *= gain;
        shift[j] *= gain;
    }
    let rows = linear.weight();
    let weight = rows.iter().enumerate().map(|(k, &w)| (f64::from(w) * scale[k / linear.inputs]) as f32).collect();
    let shape = [linear.outputs, linear.inputs];
    if linear.bias.is_empty() && norm.is_none() {
        return Node::new("Linear").with_matrix("weight", shape, weight);
    }
    let bias = shift.iter().map(|&shift| shift as f32).collect();
    Node::new("Affine").with_matrix("weight", shape, weight).with("bias", bias)
}
