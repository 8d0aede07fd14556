//! Training steps on batches that are in memory already: what the network itself takes.

use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::error::Result;
use crate::strategy::median;
use crate::train::config::EngineChoice;
use crate::train::kernel::adam::{Adam, AdamConfig};
use crate::train::loader::Batch;
use crate::train::snn::{Engine, Iaf, Network, Parameters, Shape, hidden_spikes};

/// Samples of the first batch in which spikes are counted.
const SPIKE_SAMPLES: usize = 16;

/// The network that is trained, and how.
#[derive(Clone, Debug)]
pub struct StepBench {
    /// Samples a batch.
    pub batch_size: usize,
    /// Training steps to time.
    pub steps: usize,
    /// Neurons of each hidden layer.
    pub hidden: Vec<usize>,
    /// Multiplies the initial hidden weights, so that neurons spike more or less densely.
    pub gain: f32,
    /// What computes a step.
    pub engine: EngineChoice,
}

/// What a training step takes.
#[derive(Clone, Debug, Serialize)]
pub struct StepMeasured {
    /// Seconds of a step, median: loss, gradients and Adam.
    pub step_seconds: f64,
    /// The same, fastest.
    pub step_seconds_min: f64,
    /// Samples a second of the median step.
    pub samples_per_second: f64,
    /// Samples a batch.
    pub batch_size: usize,
    /// Time steps a sample.
    pub steps: usize,
    /// Threads.
    pub threads: usize,
    /// Neurons of each hidden layer.
    pub hidden: Vec<usize>,
    /// Share of the input's cells that are occupied, padding included.
    pub density: f64,
    /// Share of (neuron, step) with a spike in the initial network, the mean of the hidden layers; `None` without any.
    pub spike_density: Option<f64>,
}

/// A network in training, with all that a step needs.
pub(super) struct Trainer {
    initial: Network,
    network: Network,
    gradients: Parameters,
    adam: Adam,
    engine: Engine,
    time_steps: usize,
}

impl Trainer {
    /// A fresh network between `inputs` cells and `classes`, the same each time.
    pub(super) fn new(inputs: usize, classes: usize, time_steps: usize, bench: &StepBench) -> Trainer {
        let shape = Shape { inputs, hidden: bench.hidden.clone(), classes };
        let mut initial = Network::new(shape.clone(), Iaf::default(), &mut ChaCha8Rng::seed_from_u64(0));
        for layer in initial.parameters.layers_mut().take(bench.hidden.len()) {
            layer.weight_t.iter_mut().for_each(|weight| *weight *= bench.gain);
        }
        let gradients = Parameters::zeros(shape);
        let adam = Adam::new(AdamConfig::default(), gradients.flat().len());
        let engine = bench.engine.engine(&initial);
        Trainer { network: initial.clone(), initial, gradients, adam, engine, time_steps }
    }

    /// Back to the initial network, so that what is trained next has the same spikes as what was trained before.
    pub(super) fn restart(&mut self) {
        self.network.clone_from(&self.initial);
        self.adam = Adam::new(AdamConfig::default(), self.gradients.flat().len());
    }

    /// One step of training.
    ///
    /// # Errors
    /// [`crate::error::Error::Kernel`].
    pub(super) fn step(&mut self, batch: &Batch) -> Result<()> {
        let samples = batch.samples();
        self.engine.step(&self.network, &samples, &batch.labels, self.time_steps, &mut self.gradients)?;
        self.adam.update(self.network.parameters.flat_mut(), self.gradients.flat());
        Ok(())
    }

    /// Times steps on `batches` in turn, after one that warms up; of full batches, where there is one.
    ///
    /// # Errors
    /// [`crate::error::Error::Kernel`].
    pub(super) fn measure(&mut self, batches: &[Batch], bench: &StepBench) -> Result<StepMeasured> {
        let largest = batches.iter().map(Batch::len).max().unwrap_or(0);
        let batches: Vec<&Batch> = batches.iter().filter(|batch| batch.len() == largest).collect();
        let mut times = Vec::with_capacity(bench.steps);
        for (i, batch) in batches.iter().cycle().take(bench.steps + 1).enumerate() {
            let started = Instant::now();
            self.step(batch)?;
            if i > 0 {
                times.push(started.elapsed().as_secs_f64());
            }
        }
        let step_seconds_min = times.iter().copied().fold(f64::INFINITY, f64::min);
        let step_seconds = median(&mut times);
        let samples: usize = batches.iter().map(|batch| batch.len()).sum();
        let entries: usize = batches.iter().flat_map(|batch| batch.frames.samples()).map(|s| s.entries()).sum();
        let cells = samples as f64 * self.time_steps as f64 * self.network.shape().inputs as f64;
        Ok(StepMeasured {
            step_seconds,
            step_seconds_min,
            samples_per_second: largest as f64 / step_seconds,
            batch_size: bench.batch_size,
            steps: self.time_steps,
            threads: rayon::current_num_threads(),
            hidden: bench.hidden.clone(),
            density: entries as f64 / cells,
            spike_density: batches.first().map(|batch| self.spike_density(batch)).transpose()?.flatten(),
        })
    }

    fn spike_density(&self, batch: &Batch) -> Result<Option<f64>> {
        let mut shares = Vec::new();
        for sample in batch.frames.samples().take(SPIKE_SAMPLES) {
            let layers = hidden_spikes(&self.initial, sample, self.time_steps)?;
            shares.extend(
                layers
                    .iter()
                    .zip(&self.initial.shape().hidden)
                    .map(|(spikes, &neurons)| spikes.entries() as f64 / (neurons as f64 * spikes.steps() as f64)),
            );
        }
        Ok((!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64))
    }
}
