//! Training steps on batches that are in memory already: what the network itself takes.

use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::gpu;
use crate::error::Result;
use crate::strategy::median;
use crate::train::config::{EngineChoice, Pad};
use crate::train::eval::Feed;
use crate::train::kernel::adam::{Adam, AdamConfig};
use crate::train::kernel::cuda::Device;
use crate::train::kernel::program::{Form, MatmulPrecision};
use crate::train::learner::{Backend, Epoch, Learner, Room};
use crate::train::loader::{Batch, EpochOrder, Loader};
use crate::train::snn::{Iaf, Network, Shape, hidden_spikes};

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
    /// On a GPU, if there is to be one.
    pub device: Option<Device>,
    /// How exact products are there.
    pub matmul_precision: MatmulPrecision,
}

impl StepBench {
    /// What computes, for sets of one recipe.
    ///
    /// # Errors
    /// Those of [`Backend::new`].
    pub(super) fn backend(&self, form: Form) -> Result<Backend> {
        Backend::of_form(self.device.as_ref(), self.engine, self.matmul_precision, form)
    }
}

/// What a training step takes.
#[derive(Clone, Debug, Serialize)]
pub struct StepMeasured {
    /// Seconds of a step, median: loss, gradients and Adam.
    pub step_seconds: f64,
    /// The same, fastest.
    pub step_seconds_min: f64,
    /// The same, slowest.
    pub step_seconds_max: f64,
    /// The loss of the last step.
    pub last_loss: f64,
    /// What the steps take of a GPU's memory, frames included.
    pub device_memory_bytes: Option<u64>,
    /// Samples a second of the median step.
    pub samples_per_second: f64,
    /// Samples a batch.
    pub batch_size: usize,
    /// Time steps a sample.
    pub steps: usize,
    /// What computed it: "cpu", or the GPU's name.
    pub device: String,
    /// Threads of the host.
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
    backend: Backend,
    engine: EngineChoice,
    initial: Network,
    /// Made when it is needed: on a GPU, steps are timed without it.
    learner: Option<Learner>,
    room: Room,
    feed: Feed,
    /// Free memory of the GPU before anything was made.
    free: Option<u64>,
}

/// What a trainer is made for.
pub(super) struct Task {
    pub(super) inputs: usize,
    pub(super) classes: usize,
    pub(super) time_steps: usize,
    /// Steps of the longest sample.
    pub(super) longest: usize,
    /// Batches of an epoch.
    pub(super) batches: u64,
}

impl Trainer {
    /// A fresh network, the same each time.
    pub(super) fn new(task: &Task, bench: &StepBench, backend: Backend) -> Result<Trainer> {
        let shape = Shape { inputs: task.inputs, hidden: bench.hidden.clone(), classes: task.classes };
        let mut initial = Network::new(shape, Iaf::default(), &mut ChaCha8Rng::seed_from_u64(0));
        for layer in initial.parameters.layers_mut().take(bench.hidden.len()) {
            layer.weight_t.iter_mut().for_each(|weight| *weight *= bench.gain);
        }
        let room = Room { batch: bench.batch_size, longest: task.longest, batches: task.batches, evaluated: 0 };
        let free = bench.device.as_ref().map(Device::free_memory).transpose()?;
        let feed = Feed { pad: Pad::Fixed, steps: task.time_steps };
        Ok(Trainer { backend, engine: bench.engine, initial, learner: None, room, feed, free })
    }

    /// What computes.
    pub(super) fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Trains on a whole epoch; calls `each` with each batch.
    ///
    /// # Errors
    /// Those of [`Learner::train`].
    pub(super) fn epoch(
        &mut self,
        loader: &Loader,
        order: EpochOrder,
        batch_size: usize,
        each: impl Fn(),
    ) -> Result<()> {
        let epoch = Epoch { order, batch_size, first: 0, feed: self.feed };
        self.learner()?.train(loader, &epoch, |_, _| each())
    }

    /// Back to the initial network, so that what is trained next has the same spikes as what was trained before.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub(super) fn restart(&mut self) -> Result<()> {
        let initial = self.initial.clone();
        self.learner()?.restart(&initial, &optimiser(&initial))
    }

    fn learner(&mut self) -> Result<&mut Learner> {
        let learner = match self.learner.take() {
            Some(learner) => learner,
            None => {
                let (network, adam) = (self.initial.clone(), optimiser(&self.initial));
                Learner::new(&self.backend, self.engine, network, adam, self.room)?
            }
        };
        Ok(self.learner.insert(learner))
    }

    /// Times steps on `batches` in turn, after one that warms up; of full batches, where there is one.
    ///
    /// # Errors
    /// [`crate::error::Error::Kernel`], [`Error::Cuda`](crate::error::Error::Cuda).
    pub(super) fn measure(&mut self, batches: &[Batch], bench: &StepBench) -> Result<StepMeasured> {
        let largest = batches.iter().map(Batch::len).max().unwrap_or(0);
        let batches: Vec<&Batch> = batches.iter().filter(|batch| batch.len() == largest).collect();
        let (steps, feed) = (bench.steps, self.feed);
        let mut device_memory_bytes = None;
        let mut last_loss = f64::NAN;
        let mut times = match (self.backend.program(), self.free) {
            (Some(program), Some(free)) => {
                let timed = gpu::step_times(program, &self.initial, &batches, feed.steps, steps)?;
                (last_loss, device_memory_bytes) = (timed.last_loss, Some(free.saturating_sub(timed.free)));
                timed.seconds
            }
            _ => {
                let mut times = Vec::with_capacity(steps);
                for (i, batch) in batches.iter().cycle().take(steps + 1).enumerate() {
                    let started = Instant::now();
                    let step = self.learner()?.step(batch, feed)?;
                    if i > 0 {
                        times.push(started.elapsed().as_secs_f64());
                    }
                    last_loss = step.map_or(last_loss, |step| step.loss);
                }
                times
            }
        };
        let step_seconds_min = times.iter().copied().fold(f64::INFINITY, f64::min);
        let step_seconds_max = times.iter().copied().fold(0.0, f64::max);
        let step_seconds = median(&mut times);
        let samples: usize = batches.iter().map(|batch| batch.len()).sum();
        let entries: usize = batches.iter().flat_map(|batch| batch.frames.samples()).map(|s| s.entries()).sum();
        let cells = samples as f64 * self.feed.steps as f64 * self.initial.shape().inputs as f64;
        Ok(StepMeasured {
            step_seconds,
            step_seconds_min,
            step_seconds_max,
            last_loss,
            device_memory_bytes,
            samples_per_second: largest as f64 / step_seconds,
            batch_size: bench.batch_size,
            steps: self.feed.steps,
            device: bench.device.as_ref().map_or("cpu".into(), |device| device.name().to_string()),
            threads: rayon::current_num_threads(),
            hidden: bench.hidden.clone(),
            density: entries as f64 / cells,
            spike_density: batches.first().map(|batch| self.spike_density(batch)).transpose()?.flatten(),
        })
    }

    fn spike_density(&self, batch: &Batch) -> Result<Option<f64>> {
        let mut shares = Vec::new();
        for sample in batch.frames.samples().take(SPIKE_SAMPLES) {
            let layers = hidden_spikes(&self.initial, sample, self.feed.steps)?;
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

fn optimiser(network: &Network) -> Adam {
    Adam::new(AdamConfig::default(), network.parameters.flat().len())
}
