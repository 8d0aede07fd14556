//! Benchmark of training steps on batches in memory, without the time of loading.

use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use tonic_loader::{Batch, EpochOrder, Share};
use tonic_ranks::Ranks;
use tonic_report::median;

use crate::bench::gpu;
use crate::engine::TrainingLoss;
use crate::error::Result;
use crate::feed::Feed;
use crate::gpu::Device;
use crate::kernel::program::Program;
use crate::kernel::{OptimiserConfig, SpikeCounts};
use crate::learner::{
    Backend, Epoch, HostLearner, Learner, Pad, Padding, Rates, Room, TrainState, check_parameters, check_step,
    cpu_engine,
};
use crate::network::{Architecture, Layers, Network, Parameters, Tensor, TensorKind};

/// Options of the benchmark of training steps: network, batch size and device.
#[derive(Clone, Debug)]
pub struct StepBench {
    /// Number of samples per batch.
    pub batch_size: usize,
    /// Number of timed training steps on the CPU. On a GPU, maximum number of timed rounds, each of several steps.
    pub steps: usize,
    /// Layers of the network.
    pub layers: Layers,
    /// Factor for the initial weights of each hidden layer. In a layer with a norm, factor for the scales of the norm
    /// instead.
    pub gain: f32,
    /// The chosen engine and device.
    pub backend: Backend,
}

/// Measured times, memory use and loss of training steps.
#[derive(Clone, Debug, Serialize)]
pub struct StepMeasured {
    /// Median time of a step, in seconds.
    pub step_seconds: f64,
    /// Time of the fastest step, in seconds.
    pub step_seconds_min: f64,
    /// Time of the slowest step, in seconds.
    pub step_seconds_max: f64,
    /// Loss of the last step.
    pub last_loss: f64,
    /// GPU memory of steps and batches, in bytes. `None` on the CPU.
    pub device_memory_bytes: Option<u64>,
    /// Samples per second, computed from the median time of a step.
    pub samples_per_second: f64,
    /// Number of samples per batch.
    pub batch_size: usize,
    /// Number of time steps per sample.
    #[serde(rename = "steps")]
    pub time_steps: usize,
    /// Device that trained: "cpu", or the product name of the GPU.
    pub device: String,
    /// Number of CPU threads that compute.
    pub threads: usize,
    /// Number of neurons of each hidden layer.
    pub hidden: Vec<usize>,
    /// Share of cells that have events, over all frames of the measured batches, including padding.
    pub density: f64,
    /// Mean over the hidden layers of the share of pairs (neuron, time step) with a spike, in the first measured batch,
    /// before training. `None` without hidden layers.
    pub spike_density: Option<f64>,
}

pub(super) struct Trainer {
    backend: Backend,
    program: Option<Arc<Program>>,
    initial: TrainState,
    /// Learner for whole epochs. `None` before the first use.
    learner: Option<Box<dyn Learner>>,
    room: Room,
    padding: Padding,
    /// Free GPU memory in bytes before training. `None` on the CPU.
    free: Option<u64>,
}

impl Trainer {
    pub(super) fn new(
        bench: &StepBench,
        program: Option<Arc<Program>>,
        (inputs, classes): (usize, usize),
        time_steps: usize,
        room: Room,
    ) -> Result<Trainer> {
        let architecture = Architecture::new(inputs, bench.layers.clone(), classes);
        check_parameters(&architecture)?;
        check_step(&architecture, room.batch, time_steps)?;
        let mut network = Network::new(architecture, &mut ChaCha8Rng::seed_from_u64(0));
        let architecture = network.architecture().clone();
        for (i, layer) in bench.layers.hidden.iter().enumerate() {
            let is_scaled = |tensor: &&Tensor| match tensor.kind {
                TensorKind::Scale => true,
                TensorKind::Weight(_) => layer.norm.is_none(),
                _ => false,
            };
            for tensor in architecture.layer(i).filter(is_scaled) {
                network.parameters.flat_mut()[tensor.range.clone()].iter_mut().for_each(|value| *value *= bench.gain);
            }
        }
        let free = bench.backend.device.as_ref().map(Device::free_memory).transpose()?;
        let padding = Padding { pad: Pad::Fixed, steps: time_steps };
        let initial = TrainState::new(network);
        Ok(Trainer { backend: bench.backend.clone(), program, initial, learner: None, room, padding, free })
    }

    /// Returns the compiled GPU kernels, or `None` if training does not use them.
    pub(super) fn program(&self) -> Option<&Program> {
        self.program.as_deref()
    }

    pub(super) fn epoch(&mut self, feed: &Feed, order: EpochOrder, batch_size: usize, each: impl Fn()) -> Result<()> {
        let OptimiserConfig { lr, rule, .. } = self.initial.optimiser.config;
        let rates = Rates::constant(lr, rule.momentum());
        let epoch = Epoch { order, batch_size, first: 0, padding: self.padding, rates };
        self.learner()?.train(feed, &epoch, &mut |_, _| each())
    }

    /// Resets the network and the optimiser to the initial state.
    pub(super) fn restart(&mut self) -> Result<()> {
        let initial = self.initial.clone();
        self.learner()?.restart(&initial)
    }

    fn learner(&mut self) -> Result<&mut dyn Learner> {
        let learner = match self.learner.take() {
            Some(learner) => learner,
            None => {
                let loss = TrainingLoss::default();
                self.backend.learner(self.program.as_ref(), self.initial.clone(), loss, self.room)?
            }
        };
        Ok(&mut **self.learner.insert(learner))
    }

    /// Measures the times of training steps on the largest batches, after a warm-up.
    pub(super) fn measure(&mut self, batches: &[Batch], bench: &StepBench) -> Result<StepMeasured> {
        let largest = batches.iter().map(Batch::len).max().unwrap_or(0);
        let batches: Vec<&Batch> = batches.iter().filter(|batch| batch.len() == largest).collect();
        let (steps, padding) = (bench.steps, self.padding);
        let mut device_memory_bytes = None;
        let mut last_loss = f64::NAN;
        let mut times = match (&self.program, self.free) {
            (Some(program), Some(free)) => {
                let timed = gpu::step_times(program, &self.initial, &batches, padding.steps, steps)?;
                (last_loss, device_memory_bytes) = (timed.last_loss, Some(free.saturating_sub(timed.free)));
                timed.seconds
            }
            _ => {
                let engine = self.backend.host_engine(&self.initial.network)?;
                let mut learner = HostLearner::new(engine, self.initial.clone(), Share::whole());
                let mut times = Vec::with_capacity(steps);
                for (i, batch) in batches.iter().cycle().take(steps + 1).enumerate() {
                    let started = Instant::now();
                    let step = learner.step(batch, padding)?;
                    if i > 0 {
                        times.push(started.elapsed().as_secs_f64());
                    }
                    last_loss = step.loss;
                }
                times
            }
        };
        let step_seconds_min = times.iter().copied().fold(f64::INFINITY, f64::min);
        let step_seconds_max = times.iter().copied().fold(0.0, f64::max);
        let step_seconds = median(&mut times);
        let samples: usize = batches.iter().map(|batch| batch.len()).sum();
        let entries: usize = batches.iter().flat_map(|batch| batch.frames.samples()).map(|s| s.entries()).sum();
        let cells = samples as f64 * self.padding.steps as f64 * self.initial.network.shape().inputs as f64;
        Ok(StepMeasured {
            step_seconds,
            step_seconds_min,
            step_seconds_max,
            last_loss,
            device_memory_bytes,
            samples_per_second: largest as f64 / step_seconds,
            batch_size: bench.batch_size,
            time_steps: self.padding.steps,
            device: bench.backend.device.as_ref().map_or("cpu".into(), |device| device.name().to_string()),
            threads: rayon::current_num_threads(),
            hidden: bench.layers.hidden.iter().map(|layer| layer.neurons).collect(),
            density: entries as f64 / cells,
            spike_density: batches.first().map(|batch| self.spike_density(batch)).transpose()?.flatten(),
        })
    }

    fn spike_density(&self, batch: &Batch) -> Result<Option<f64>> {
        let mut network = self.initial.network.clone();
        let mut engine = cpu_engine(&network, Ranks::solo());
        let steps = self.padding.steps;
        if network.layers().norms().next().is_some() {
            // A training step normalises with the statistics of the batch, not with the initial running statistics.
            let mut gradient = Parameters::zeros(network.architecture().clone());
            engine.step(&network, batch, steps, &mut gradient)?;
            network.parameters.statistics_mut().copy_from_slice(gradient.statistics());
        }
        let counts = engine.spikes(&network, batch, steps)?;
        let share = |of: &SpikeCounts| {
            of.active_steps.iter().sum::<u64>() as f64 / (of.active_steps.len() as f64 * of.steps as f64)
        };
        Ok((!counts.is_empty()).then(|| counts.iter().map(share).sum::<f64>() / counts.len() as f64))
    }
}
