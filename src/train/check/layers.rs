//! Checks of networks with norms, dropout, and other neurons and readouts: a training step and an evaluation.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::check::cases::{Case, REFERENCE, batch_of};
use crate::check::verdict::{Verdict, relative_difference};
use crate::engine::{Engine, GpuEngine, LayeredEngine};
use crate::error::Result;
use crate::gpu::Device;
use crate::kernel::program::MatmulPrecision;
use crate::network::{Architecture, Layers, Network, Parameters, TensorKind};

/// Largest relative difference between logits or statistics of GPU and CPU.
const TOLERANCE: f64 = 1e-5;

/// Names and network files of the checks. Together they have every neuron, surrogate gradient, dropout mask and readout
/// that the kernels compute. The factors of dropout, 1 / (1 - p), are powers of two: products with them are exact in
/// every precision.
pub(super) const NETWORKS: [(&str, &str); 5] = [
    (
        "silif, norm, dropout, leaky",
        r#"init_state = "uniform"
        layers = [
          { linear = 128, bias = false, init = "xavier" }, { norm = "batch" }, { neuron = "silif" }, { dropout = 0.5 },
          { linear = 70 }, { norm = "batch" }, { neuron = "silif", surrogate = "arctan" }, { dropout = 0.75 },
          { linear = "classes", bias = false }, { norm = "batch" }, { readout = "leaky" },
        ]"#,
    ),
    (
        "lif, dropout of samples, max",
        r#"layers = [
          { linear = 65 }, { neuron = "lif", alpha = 0.875, learn = false, reset = "hard" },
          { dropout = 0.5, mask = "sample" },
          { linear = 40, bias = false }, { neuron = "lif", surrogate = "fast-sigmoid" },
          { linear = "classes" }, { readout = "max" },
        ]"#,
    ),
    (
        "iaf, norm, dropout, sum",
        r#"layers = [
          { linear = 70, bias = false }, { norm = "batch" }, { neuron = "iaf", min_v_mem = -1.0 }, { dropout = 0.5 },
          { linear = "classes", bias = false }, { norm = "batch" }, { readout = "sum" },
        ]"#,
    ),
    (
        "iaf that spikes once, bound",
        r#"layers = [
          { linear = 33 }, { neuron = "iaf", theta = 0.75, min_v_mem = -0.5, spike_fn = "single" },
          { linear = 40 }, { neuron = "iaf", spike_fn = "single" },
          { linear = "classes" }, { readout = "sum" },
        ]"#,
    ),
    (
        "lif, last",
        r#"init_state = "uniform"
        layers = [
          { linear = 9 }, { neuron = "lif", surrogate = "single-exponential" },
          { linear = "classes" }, { readout = "last" },
        ]"#,
    ),
];

/// Name and network file of a check with layers as wide as those of `silif-ssc`.
pub(super) const WIDE: (&str, &str) = (
    "silif 2x512, norm, dropout, leaky",
    r#"init_state = "uniform"
    layers = [
      { linear = 512, bias = false, init = "xavier" }, { norm = "batch" }, { neuron = "silif" }, { dropout = 0.5 },
      { linear = 512, bias = false, init = "xavier" }, { norm = "batch" }, { neuron = "silif" }, { dropout = 0.5 },
      { linear = "classes", bias = false }, { norm = "batch" }, { readout = "leaky" },
    ]"#,
);

/// Compares a training step and an evaluation of a network. Gradients may differ by `tolerance`.
pub(super) fn check_layers(device: &Device, precision: MatmulPrecision, text: &str, tolerance: f64) -> Result<Verdict> {
    let case = Case { lengths: &[70, 31, 64, 1], steps: 70, ..REFERENCE };
    let batch = batch_of(&case);
    let layers = Layers::parse(text, &[]).expect("a network of the checks");
    let architecture = Architecture::new(case.inputs as usize, layers, case.classes);
    let mut network = Network::new(architecture, &mut ChaCha8Rng::seed_from_u64(7));
    // Multiples of 1/64 give the linear layers exact outputs, so that no spike depends on the order of a sum. They are
    // larger than the initial values, so that the neurons spike.
    for layer in network.parameters.layers_mut() {
        layer.weight_t.iter_mut().chain(layer.bias).for_each(|w| *w = (*w * 512.0).round() / 64.0);
    }
    let architecture = network.architecture().clone();
    for scale in architecture.tensors().iter().filter(|tensor| tensor.kind == TensorKind::Scale) {
        network.parameters.flat_mut()[scale.range.clone()].fill(6.0);
    }
    let mut gpu = GpuEngine::new(device, precision)?;
    let mut cpu = LayeredEngine::new(&network);
    let step = |engine: &mut dyn Engine| -> Result<_> {
        let mut gradient = Parameters::zeros(network.architecture().clone());
        let loss = engine.step(&network, &batch, case.steps, &mut gradient)?;
        Ok((loss, engine.logits().to_vec(), gradient))
    };
    let (ours, theirs) = (step(&mut gpu)?, step(&mut cpu)?);
    if ours.0.correct != theirs.0.correct || (ours.0.loss / theirs.0.loss - 1.0).abs() > TOLERANCE {
        return Ok(Err(format!("loss {} where {} is right", ours.0.loss, theirs.0.loss)));
    }
    if step(&mut gpu)? != ours {
        return Ok(Err("the same step has other bits from run to run".into()));
    }
    let mut apart = 0.0_f64;
    for tensor in network.architecture().tensors() {
        let [ours, theirs] = [&ours.2, &theirs.2].map(|of| &of.flat()[tensor.range.clone()]);
        // Below a norm, the gradient of a bias is 0, up to rounding on the CPU.
        let is_zero = ours.iter().all(|&g| g == 0.0) && theirs.iter().all(|&g| g.abs() < 1e-6);
        apart = apart.max(if is_zero { 0.0 } else { relative_difference(ours, theirs) });
    }
    let mut results = relative_difference(&ours.1, &theirs.1);
    results = results.max(relative_difference(ours.2.statistics(), theirs.2.statistics()));
    // With the statistics of the batch as running statistics, neurons spike about as often as in the training step.
    network.parameters.statistics_mut().copy_from_slice(theirs.2.statistics());
    let evaluated = [&mut gpu as &mut dyn Engine, &mut cpu].map(|engine| -> Result<_> {
        engine.forward(&network, &batch, case.steps)?;
        Ok((engine.logits().to_vec(), engine.spikes(&network, &batch, case.steps)?))
    });
    let [ours, theirs] = evaluated;
    let (ours, theirs) = (ours?, theirs?);
    if ours.1 != theirs.1 {
        return Ok(Err("the numbers of spikes differ".into()));
    }
    if theirs.1.iter().any(|layer| layer.spikes.iter().all(|&spikes| spikes == 0)) {
        return Ok(Err("a layer is silent, so nothing was compared".into()));
    }
    results = results.max(relative_difference(&ours.0, &theirs.0));
    let words = format!(
        "spikes equal, logits apart by {results:.1e} at most, {TOLERANCE:.0e} allowed, gradients by {apart:.1e}, \
         {tolerance:.0e} allowed"
    );
    Ok(if results <= TOLERANCE && apart <= tolerance { Ok(words) } else { Err(words) })
}
