//! Tests that a network and its graph compute the same, and that networks without an equivalent in NIR are refused.

use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::network::{
    Architecture, CubaLif, Hidden, Iaf, InitState, Layers, Lif, LinearInit, LinearLayer, Model, Network, Neuron, Norm,
    Output, Readout, Reset, Silif, SingleExponential, SpikeFn, from_bytes, to_bytes,
};
use crate::nir::convention::Convention;
use crate::nir::{export, import};

const SINGLE: Iaf = Iaf {
    theta: 0.5,
    min_v_mem: None,
    surrogate: SingleExponential { grad_width: 0.5, grad_scale: 1.0 },
    spike_fn: SpikeFn::Single,
};

fn model(neuron: Neuron, norm: Option<Norm>, bias: bool) -> Model {
    let linear = LinearLayer { bias, init: LinearInit::Uniform };
    let layer = |neurons| Hidden { neurons, linear, norm, recurrent: false, neuron, dropout: None };
    let readout = Output { linear, norm, readout: Readout::Sum };
    let layers = Layers { init_state: InitState::Zero, hidden: vec![layer(7), layer(5)], readout };
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut network = Network::new(Architecture::new(4, layers, 3), &mut rng);
    for value in network.parameters.statistics_mut() {
        *value = rng.random_range(0.5..1.5);
    }
    Model { network, classes: ["a", "b", "c"].map(String::from).to_vec(), steps: 9 }
}

fn neurons() -> Vec<Neuron> {
    let mut all = Vec::new();
    for reset in [Reset::Soft, Reset::Hard] {
        all.push(Neuron::Lif(Lif { reset, ..Lif::default() }));
        all.push(Neuron::Lif(Lif { reset, learn: false, alpha: [0.9; 2], ..Lif::default() }));
        all.push(Neuron::CubaLif(CubaLif { reset, ..CubaLif::default() }));
    }
    all.push(Neuron::Iaf(Iaf { theta: 0.5, min_v_mem: Some(-0.5), ..Iaf::default() }));
    all.push(Neuron::Iaf(SINGLE));
    all.push(Neuron::Iaf(Iaf::default()));
    all
}

/// Returns all numbers of the network's graph. Networks with equal numbers compute the same.
fn meaning(model: &Model) -> Vec<f64> {
    let (graph, _) = export::graph(model, Convention::Nir, Some(0.004)).unwrap();
    graph
        .nodes
        .iter()
        .flat_map(|(_, node)| node.arrays.values())
        .flat_map(|array| array.values.clone())
        .map(f64::from)
        .collect()
}

#[test]
fn a_graph_comes_back_as_the_network_that_it_was() {
    let mut compared = 0;
    for neuron in neurons() {
        for convention in [Convention::Nir, Convention::Sinabs, Convention::SnnTorch] {
            for (norm, bias) in [(None, true), (Some(Norm::default()), false)] {
                let before = model(neuron, norm, bias);
                let Ok((graph, notes)) = export::graph(&before, convention, Some(0.004)) else { continue };
                assert!(notes[0].contains("the logits are the sum over time"));
                assert_eq!(from_bytes(&to_bytes(&before).unwrap()).unwrap(), before);
                let after = import::model(Path::new("x"), &graph, convention, Some(0.004), 9).unwrap();
                assert_eq!(after.classes, before.classes);
                if matches!(neuron, Neuron::Iaf(_)) {
                    assert!(after.network.layers().hidden.iter().all(|layer| layer.neuron == neuron));
                    let again = export::graph(&after, convention, Some(0.004)).unwrap().0;
                    assert_eq!(again.nodes, graph.nodes);
                } else {
                    // Folded norms and gains are rounded to float32 once more.
                    let (expected, got) = (meaning(&before), meaning(&after));
                    assert_eq!(expected.len(), got.len());
                    for (expected, got) in expected.iter().zip(&got) {
                        assert!(
                            (expected - got).abs() <= 2e-5 * expected.abs().max(1e-2),
                            "{expected} {got} {neuron:?}"
                        );
                    }
                }
                compared += 1;
            }
        }
    }
    // nir: all but iaf with a bound; sinabs: soft lif, iaf with a bound; snntorch: hard ones.
    assert_eq!(compared, 2 * (6 + 2 + 2 + 1 + 3));
}

#[test]
fn the_longest_time_constants_are_read_again() {
    let alpha = 1.0_f32.next_down(); // a time constant of 17 million steps
    let neurons = [Neuron::Lif(Lif { learn: false, alpha: [alpha; 2], ..Lif::default() })];
    for (neuron, convention) in neurons.into_iter().flat_map(|n| [(n, Convention::Nir), (n, Convention::Sinabs)]) {
        let before = model(neuron, None, true);
        let graph = export::graph(&before, convention, Some(0.004)).unwrap().0;
        let after = import::model(Path::new("x"), &graph, convention, Some(0.004), 9).unwrap();
        // The model file of the network can be read again.
        let read = from_bytes(&to_bytes(&after).unwrap()).unwrap();
        assert_eq!(read, after);
        let longer = |node: &mut crate::nir::graph::Node| {
            node.arrays.get_mut("tau").unwrap().values.iter_mut().for_each(|tau| *tau *= 10.0);
        };
        let mut graph = graph;
        longer(&mut graph.nodes[2].1);
        let refused = import::model(Path::new("x"), &graph, convention, Some(0.004), 9).unwrap_err().to_string();
        assert!(refused.contains("tau: expected time constants") && refused.contains("10 million"), "{refused}");
    }
}

#[test]
fn sinabs_lif_is_said_to_spike_several_times() {
    let notes = |neuron, convention| export::graph(&model(neuron, None, true), convention, Some(0.004)).unwrap().1;
    let lif = Neuron::Lif(Lif::default());
    let said = |notes: Vec<String>| notes.iter().any(|note| note.contains("twice the threshold"));
    assert!(said(notes(lif, Convention::Sinabs)) && !said(notes(lif, Convention::Nir)));
    let iaf = Neuron::Iaf(Iaf { min_v_mem: Some(-1.0), ..Iaf::default() });
    assert!(!said(notes(iaf, Convention::Sinabs)));
    let spikes = |neuron| {
        let graph = export::graph(&model(neuron, None, true), Convention::Sinabs, Some(0.004)).unwrap().0;
        graph.metadata.get("spike_fn").cloned()
    };
    assert_eq!((spikes(iaf), spikes(lif)), (Some("MultiSpike".into()), None));
}

#[test]
fn time_constants_solve_the_equations() {
    let neuron = Neuron::Lif(Lif { learn: false, alpha: [0.75; 2], ..Lif::default() });
    let tau = |convention, dt| {
        let graph = export::graph(&model(neuron, None, true), convention, dt).unwrap().0;
        (f64::from(graph.nodes[2].1.arrays["tau"].values[0]), graph.version)
    };
    let (nir, version) = tau(Convention::Nir, Some(0.004));
    assert!(((-0.004 / nir).exp() - 0.75).abs() < 1e-7 && version == "1.0.4");
    assert!(((-1.0 / tau(Convention::Sinabs, None).0).exp() - 0.75).abs() < 1e-7);
}

/// 1 / dt as float32, times dt, is not 1 for this dt.
#[test]
fn weights_before_single_spikes_are_the_same_at_any_dt() {
    let before = model(Neuron::Iaf(SINGLE), None, true);
    let graph = export::graph(&before, Convention::Nir, Some(0.003)).unwrap().0;
    let after = import::model(Path::new("x"), &graph, Convention::Nir, Some(0.003), 9).unwrap();
    assert_eq!(after.network.parameters, before.network.parameters);
}

#[test]
fn a_file_for_another_importer_is_refused() {
    let iaf = Neuron::Iaf(Iaf { min_v_mem: Some(-1.0), ..Iaf::default() });
    let mut graph = export::graph(&model(iaf, None, true), Convention::Sinabs, None).unwrap().0;
    let refused = |graph: &_, words: &[&str]| {
        let error = import::model(Path::new("x"), graph, Convention::Nir, Some(0.004), 9).unwrap_err().to_string();
        words.iter().for_each(|word| assert!(error.contains(word), "no {word:?} in {error}"));
    };
    refused(&graph, &["--convention sinabs, for which the file was written", "got nir"]);
    // A file that Sinabs wrote doesn't say so.
    graph.metadata.clear();
    refused(&graph, &["r: expected R = 1 / dt, --convention sinabs", "--dt 1", "multiplies all inputs by dt = 0.004"]);
    assert!(import::model(Path::new("x"), &graph, Convention::Nir, Some(1.0), 9).is_ok());
}

#[test]
fn what_nir_has_not_is_refused_with_the_reason() {
    let refuse = |model: &Model, convention, words: &[&str]| {
        let error = export::graph(model, convention, Some(0.004)).unwrap_err().to_string();
        words.iter().for_each(|word| assert!(error.contains(word), "no {word:?} in {error}"));
    };
    let of = |neuron| model(neuron, None, true);
    refuse(&of(Neuron::Silif(Silif::default())), Convention::Nir, &["layer 1: expected neurons that NIR has", "silif"]);
    let mut both = of(Neuron::Iaf(Iaf::default())).network.layers().clone();
    both.hidden[1].neuron = Neuron::Iaf(SINGLE);
    let both = Network::new(Architecture::new(4, both, 3), &mut ChaCha8Rng::seed_from_u64(1));
    let both = Model { network: both, classes: Vec::new(), steps: 1 };
    refuse(&both, Convention::Nir, &["one spike_fn for all layers", "\"single\" and \"multi\""]);
    refuse(&of(Neuron::Iaf(Iaf::default())), Convention::Sinabs, &["min_v_mem = -1.0", "no bound"]);
    refuse(&of(Neuron::Iaf(Iaf::default())), Convention::SnnTorch, &["layer 1", "leak from IF"]);
    refuse(&of(Neuron::Iaf(SINGLE)), Convention::Sinabs, &["spike_fn = \"multi\"", "\"single\""]);
    refuse(&of(Neuron::Iaf(SINGLE)), Convention::SnnTorch, &["layer 1", "leak from IF"]);
    let bounded = Iaf { min_v_mem: Some(-1.0), ..SINGLE };
    refuse(&of(Neuron::Iaf(bounded)), Convention::Nir, &["no lower bound", "min_v_mem = -1.0"]);
    refuse(&of(Neuron::CubaLif(CubaLif::default())), Convention::Sinabs, &["no cuba-lif"]);
    refuse(&of(Neuron::Lif(Lif::default())), Convention::SnnTorch, &["reset = \"hard\"", "\"soft\""]);
    let mut recurrent = of(Neuron::Lif(Lif::default())).network.layers().clone();
    recurrent.hidden[1].recurrent = true;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let network = Network::new(Architecture::new(4, recurrent.clone(), 3), &mut rng);
    let changed = |network| Model { network, classes: Vec::new(), steps: 1 };
    refuse(&changed(network), Convention::Nir, &["layer 2", "recurrent"]);
    recurrent.hidden[1].recurrent = false;
    recurrent.init_state = InitState::Uniform;
    let network = Network::new(Architecture::new(4, recurrent, 3), &mut rng);
    refuse(&changed(network), Convention::Nir, &["all states are 0"]);
    let lif = of(Neuron::Lif(Lif::default()));
    let error = export::graph(&lif, Convention::Nir, None).unwrap_err().to_string();
    assert!(error.contains("dt: expected the duration of a time step"), "{error}");

    let graph = export::graph(&lif, Convention::Nir, Some(0.004)).unwrap().0;
    let refuse = |change: &dyn Fn(&mut crate::nir::graph::Graph), words: &str| {
        let mut graph = graph.clone();
        change(&mut graph);
        let error = import::model(Path::new("x.nir"), &graph, Convention::Nir, Some(0.004), 9).unwrap_err().to_string();
        assert!(error.contains("x.nir") && error.contains(words), "no {words:?} in {error}");
    };
    let set = |name: &'static str, value: f32| {
        move |graph: &mut crate::nir::graph::Graph| {
            graph.nodes[2].1.arrays.get_mut(name).unwrap().values[3] = value;
        }
    };
    refuse(&set("v_leak", 0.1), "v_leak: expected 0");
    refuse(&set("v_threshold", -1.0), "v_threshold: expected positive numbers");
    refuse(&set("tau", -1.0), "tau: expected time constants");
    let to_if = |graph: &mut crate::nir::graph::Graph| graph.nodes[2].1.kind = "IF".into();
    let later = |graph: &mut crate::nir::graph::Graph| {
        to_if(graph);
        graph.version = "1.0.8".into();
    };
    refuse(&later, "a spike that subtracts the threshold, as in nir 1.0.4");
    let mut leaky = graph.clone();
    to_if(&mut leaky);
    leaky.metadata.clear();
    let error = import::model(Path::new("x.nir"), &leaky, Convention::SnnTorch, None, 9).unwrap_err().to_string();
    assert!(error.contains("leak from IF"), "{error}");
    refuse(&|graph| graph.nodes[1].1.kind = "Conv2d".into(), "Conv2d");
    refuse(&|graph| drop(graph.nodes[1].1.arrays.remove("bias")), "bias: expected an array, got none");
    let turned = |graph: &mut crate::nir::graph::Graph| {
        let arrays = &mut graph.nodes[3].1.arrays;
        arrays.get_mut("weight").unwrap().shape = vec![7, 5];
        let bias = arrays.get_mut("bias").unwrap();
        (bias.shape, bias.values) = (vec![7], vec![0.0; 7]);
    };
    refuse(&turned, "7 inputs, got 5");
    refuse(&|graph| graph.nodes.truncate(3), "a linear layer before the output");
}
