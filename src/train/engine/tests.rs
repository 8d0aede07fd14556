//! Compares neurons and engines with results of Sinabs 3.1.3 and PyTorch 2.11, recorded by
//! scripts/goldens/sinabs_iaf.py and scripts/goldens/torch_class_weights.py.

use safetensors::SafeTensors;
use tonic_loader::Batch;
use tonic_shard::{Column, FrameShape, SparseFrames, Width, Widths};

#[cfg(feature = "libtorch")]
use crate::engine::LibtorchEngine;
use crate::engine::{CpuEngine, Engine, LayeredEngine, Tracer, TrainingLoss};
use crate::error::{Error, KernelError};
use crate::kernel::isa::Isa;
use crate::kernel::{TILE_WIDTH, Tile, iaf};
use crate::learner::ClassWeights;
use crate::network::{Iaf, Network, Parameters, Shape, SpikeFn};
use crate::random::{self, relative_error, wide};

/// Returns the neurons with this name in the goldens.
fn neuron(name: &str) -> Iaf {
    let (spike_fn, bound) = match name {
        "single" => (SpikeFn::Single, "none"),
        "single, -0.5" => (SpikeFn::Single, "-0.5"),
        bound => (SpikeFn::Multi, bound),
    };
    let min_v_mem = if bound == "none" { None } else { Some(bound.parse().unwrap()) };
    Iaf { min_v_mem, spike_fn, ..Iaf::default() }
}

fn host_engines(network: &Network) -> Vec<Box<dyn Engine>> {
    vec![
        match network.layers().as_iaf() {
            Some(_) => Box::new(CpuEngine::new(network)),
            None => Box::new(LayeredEngine::new(network)),
        },
        #[cfg(feature = "libtorch")]
        Box::new(LibtorchEngine::new(None).unwrap()),
    ]
}

struct Golden(Vec<u8>);

impl Golden {
    fn open(name: &str) -> Golden {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/goldens").join(name);
        Golden(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    fn tensor(&self, name: &str) -> (Vec<usize>, Vec<f64>) {
        use safetensors::Dtype;
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F32 => data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b).into()).collect(),
            Dtype::U8 => data.iter().map(|&b| b.into()).collect(),
            Dtype::I8 => data.iter().map(|&b| (b as i8).into()).collect(),
            other => panic!("{name}: {other:?}"),
        };
        (view.shape().to_vec(), values)
    }

    fn layers(&self) -> usize {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        (0..).take_while(|i| file.tensor(&format!("{}.weight", 2 * i)).is_ok()).count()
    }

    fn batch(&self) -> (Batch, usize) {
        let (shape, x) = self.tensor("x");
        let (steps, inputs) = (shape[1], shape[2]);
        let mut frames =
            SparseFrames::new(Widths::of(FrameShape { polarities: 1, height: 1, width: inputs as u32 }, Width::U8));
        for sample in x.chunks(steps * inputs) {
            let active = |row: &[f64]| -> Vec<u32> { (0..inputs as u32).filter(|&c| row[c as usize] != 0.0).collect() };
            let sizes: Vec<u32> = sample.chunks(inputs).map(|row| active(row).len() as u32).collect();
            let cells: Vec<u32> = sample.chunks(inputs).flat_map(active).collect();
            let counts: Vec<u32> = sample.iter().filter(|&&n| n != 0.0).map(|&n| n as u32).collect();
            frames.push(&sizes, &cells, Column::U32(&counts)).unwrap();
        }
        let labels = self.tensor("targets").1.iter().map(|&label| label as u32).collect();
        (Batch::of(frames, labels), steps)
    }

    fn check_step(&self, name: &str, engine: &mut dyn Engine, network: &Network) {
        let (batch, steps) = self.batch();
        let mut gradients = Parameters::zeros(network.architecture().clone());
        let result = engine.step(network, &batch, steps, &mut gradients).unwrap();
        assert_eq!(wide(engine.logits()), self.tensor(&format!("{name}/output")).1);
        let loss = self.tensor(&format!("{name}/loss")).1[0];
        assert!((result.loss - loss).abs() < 1e-6 * loss, "{} {loss}", result.loss);
        for (i, layer) in gradients.layers().enumerate() {
            for (kind, got) in [("weight", wide(&layer.weight())), ("bias", wide(layer.bias))] {
                let error = relative_error(got, &self.tensor(&format!("{name}/grad.{}.{kind}", 2 * i)).1);
                assert!(error < 1e-5, "{name}/grad.{}.{kind}: {error}", 2 * i);
            }
        }
    }
}

#[test]
fn one_layer_of_neurons() {
    let golden = Golden::open("sinabs_iaf.safetensors");
    for steps in [1, 2, 7, 250] {
        let ((shape, x), (_, g)) = (golden.tensor(&format!("T{steps}/x")), golden.tensor(&format!("T{steps}/g")));
        let (batch, neurons) = (shape[0], shape[2]);
        assert_eq!(shape[1], steps);
        for name in ["none", "-1.0", "-0.5", "single", "single, -0.5"] {
            let neuron = neuron(name).constants();
            let [spikes, potentials, dx] =
                ["s", "v", "dx"].map(|kind| golden.tensor(&format!("T{steps}/{name}/{kind}")).1);
            let (mut gradients, isas) = (Vec::new(), Isa::available());
            for (isa, sample) in isas.iter().flat_map(|isa| (0..batch).map(move |sample| (*isa, sample))) {
                let at = |t: usize| (sample * steps + t) * neurons;
                let tile = |values: &[f64], t: usize| -> Tile {
                    std::array::from_fn(|j| if j < neurons { values[at(t) + j] as f32 } else { 0.0 })
                };
                let mut v: Vec<Tile> = (0..steps).map(|t| tile(&x, t)).collect();
                let mut fired = vec![0; steps];
                iaf::forward(isa, &neuron, &mut v, steps, steps, &mut fired);
                let mut lambda: Vec<Tile> = (0..steps).map(|t| tile(&g, t)).collect();
                iaf::backward_tile(isa, &neuron, &v, &mut lambda);
                for t in 0..steps {
                    for j in 0..neurons {
                        assert_eq!(f64::from(v[t][j]), potentials[at(t) + j]);
                        assert_eq!(f64::from(neuron.spikes(v[t][j])), spikes[at(t) + j]);
                        assert_eq!(fired[t] >> j & 1 == 1, spikes[at(t) + j] > 0.0);
                        gradients.push(f64::from(lambda[t][j]));
                    }
                    assert_eq!(fired[t] >> neurons, 0, "the padding of {TILE_WIDTH} neurons never spikes");
                }
            }
            let error = relative_error(gradients, &dx.repeat(isas.len()));
            assert!(error < 1e-5, "T{steps}/{name}: {error}");
        }
    }
}

fn network(golden: &Golden, neuron: Iaf) -> Network {
    let shapes = (0..golden.layers()).map(|i| golden.tensor(&format!("{}.weight", 2 * i)).0);
    let shapes: Vec<Vec<usize>> = shapes.collect();
    let (readout, hidden) = shapes.split_last().unwrap();
    let hidden = hidden.iter().map(|shape| shape[0]).collect();
    let shape = Shape { inputs: shapes[0][1], hidden, classes: readout[0] };
    let mut network = Network::zeros(shape.iaf(neuron));
    for (i, mut layer) in network.parameters.layers_mut().enumerate() {
        let values = |kind: &str| -> Vec<f32> {
            golden.tensor(&format!("{}.{kind}", 2 * i)).1.iter().map(|&n| n as f32 / 64.0).collect()
        };
        layer.set_weight(&values("weight"));
        layer.bias.copy_from_slice(&values("bias"));
    }
    network
}

fn check_network(file: &str, neurons: &[&str]) {
    let golden = Golden::open(file);
    let (batch, steps) = golden.batch();
    for name in neurons {
        let network = network(&golden, neuron(name));
        let mut tracer = Tracer::new(&network);
        for layer in 0..3 {
            let (shape, expected) = golden.tensor(&format!("{name}/spikes.{}", 2 * layer + 1));
            for (sample, expected) in batch.frames.samples().zip(expected.chunks(shape[1] * shape[2])) {
                let spikes = &tracer.run(sample, 0, steps).unwrap().spikes[layer];
                let mut got = vec![0.0; expected.len()];
                for t in 0..steps {
                    spikes.step(t).iter().for_each(|&(j, s)| got[t * shape[2] + j as usize] = f64::from(s));
                }
                assert!(got == expected, "{file}: spikes of layer {layer}, {name}");
            }
        }
        for mut engine in host_engines(&network) {
            golden.check_step(name, &mut *engine, &network);
        }
    }
}

#[test]
fn a_small_network() {
    check_network("sinabs_net_small.safetensors", &["none", "-1.0", "single"]);
}

#[test]
fn the_reference_network() {
    check_network("sinabs_net_reference.safetensors", &["none", "-1.0"]);
}

#[test]
fn class_weights_are_those_of_pytorch() {
    let golden = Golden::open("torch_class_weights.safetensors");
    let network = network(&golden, Iaf::default());
    let (batch, _) = golden.batch();
    let mut samples = vec![0; network.shape().classes];
    batch.labels.iter().for_each(|&label| samples[label as usize] += 1);
    let balanced = ClassWeights::Balanced.of(&samples).unwrap();
    // A class without samples has the weight 0 here. The golden gives it the weight of a class with one sample.
    for ((weight, expected), samples) in wide(&balanced).iter().zip(&golden.tensor("balanced/weights").1).zip(&samples)
    {
        assert_eq!(*weight, if *samples == 0 { 0.0 } else { *expected });
    }
    for mut engine in host_engines(&network) {
        for name in ["balanced", "uneven"] {
            let weights = golden.tensor(&format!("{name}/weights")).1.iter().map(|&weight| weight as f32).collect();
            engine.set_loss(TrainingLoss { class_weights: Some(weights), ..TrainingLoss::default() }).unwrap();
            golden.check_step(name, &mut *engine, &network);
        }
    }
}

#[test]
fn bad_batches_are_refused_by_every_engine() {
    let shape = Shape { inputs: 9, hidden: vec![4], classes: 3 };
    let network = random::dyadic_network(1, shape, Iaf::default());
    let mut gradients = Parameters::zeros(network.architecture().clone());
    for mut engine in host_engines(&network) {
        let mut step = |samples: usize, labels: &[u32]| {
            let frames = random::frames(1, 10, &[3, 3][..samples], 1.0, 1);
            match engine.step(&network, &Batch::of(frames, labels.to_vec()), 3, &mut gradients) {
                Err(Error::Kernel(error)) => error,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(step(2, &[0, 0]), KernelError::CellOutsideInputs { sample: 0, cell: 9, inputs: 9 });
        assert_eq!(step(2, &[0, 3]), KernelError::LabelOutsideReadout { sample: 1, label: 3, classes: 3 });
        assert_eq!(step(2, &[0]), KernelError::LabelsMissing { samples: 2, labels: 1 });
        assert_eq!(step(0, &[]), KernelError::EmptyBatch);
    }
}
