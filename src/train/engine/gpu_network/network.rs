//! A network in GPU memory, and the copies between this network and host memory.

use std::sync::Arc;
use std::time::Duration;

use tonic_ranks::Ranks;

use crate::engine::gpu_network::across_ranks::AcrossRanks;
use crate::engine::gpu_network::buffers::{
    CountedSpikes, DenseInput, Extent, Hidden, LayerPosition, Loss, OptimiserState, POISON, Readout, put,
};
use crate::engine::gpu_network::layered::{self, Layered};
use crate::engine::gpu_network::table::Table;
use crate::engine::step::{Pass, Prediction, check_potentials};
use crate::error::{BaseFault, Error, Result};
use crate::gpu::{Buffer, Event, Pinned, Stream};
use crate::kernel::batch_source::BatchSource;
use crate::kernel::interface::{BatchScore, Drawn, NeuronArgs, State};
use crate::kernel::program::Program;
use crate::kernel::update_interface::UpdatedLayer;
use crate::kernel::{Optimiser, Rule, SpikeCounts};
use crate::network::{Architecture, Layers, Network, Parameters, Shape};

/// A network in GPU memory, with the optimiser's state and the buffers of a training step.
#[derive(Debug)]
pub struct GpuNetwork {
    pub(super) program: Arc<Program>,
    pub(super) shape: Shape,
    pub(super) extent: Extent,
    pub(super) side: Stream,
    pub(super) fork: Event,
    pub(super) join: Event,
    pub(super) optimiser: OptimiserState,
    pub(super) state: Buffer<State>,
    pub(super) begun: Pinned<State>,
    pub(super) drawn: Buffer<Drawn>,
    pub(super) parameters: Buffer<f32>,
    pub(super) gradients: Buffer<f32>,
    pub(super) table: Table,
    pub(super) input: Option<DenseInput>,
    pub(super) layers: GpuLayers,
    pub(super) readout: Readout,
    pub(super) loss: Loss,
    /// Where the host writes parameters and statistics, and reads gradients.
    pub(super) host: Pinned<f32>,
    /// What several ranks need to train together. `None` if this process trains alone.
    pub(super) across: Option<AcrossRanks>,
    /// Spike counts of each hidden layer.
    pub(super) counted: Vec<CountedSpikes>,
}

/// The layers of a network on a GPU.
#[derive(Debug)]
pub(super) enum GpuLayers {
    /// Linear layers and integrate-and-fire neurons: the hidden layers.
    Iaf(Vec<Hidden>, NeuronArgs),
    /// Any kinds of layers.
    Layered(Layered),
}

/// Checks that the kernels of a GPU compute these layers.
///
/// # Errors
/// [`Unavailable`](tonic_base::Error::Unavailable) with the names of the layers that the kernels don't compute.
pub(crate) fn check_layers(layers: &Layers) -> Result<()> {
    match &*layered::missing(layers) {
        [] => Ok(()),
        missing => {
            let why = format!("the kernels of a GPU don't compute {} yet", missing.join(", "));
            Err(Error::unavailable("training on a GPU", why))
        }
    }
}

impl GpuNetwork {
    /// Allocates buffers for networks with the architecture of `network`. [`load`](Self::load) copies the parameters.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`](crate::Error::DeviceMemory) if the GPU has too little free memory.
    /// [`Unavailable`](tonic_base::Error::Unavailable) if the network has layers that the kernels don't compute.
    pub fn new(program: Arc<Program>, network: &Network, extent: Extent) -> Result<GpuNetwork> {
        check_layers(network.layers())?;
        let shape = network.shape().clone();
        let device = program.device();
        let input = DenseInput::new(&program, extent, shape.inputs)?;
        let dense = input.as_ref().is_some_and(DenseInput::feeds_forward);
        let parameters = device.buffer(network.parameters.flat().len())?;
        let neuron = network.layers().as_iaf().filter(|_| !shape.hidden.is_empty());
        let (layers, readout, records) = match neuron {
            Some(neuron) => {
                let hidden = hidden(&program, extent, &shape, dense)?;
                let last = shape.hidden.last().copied().unwrap_or(0);
                let at = parameters.len() - (last + 1) * shape.classes;
                let readout = Readout::new(device, extent, &shape, last, at)?;
                let records = hidden.iter().zip(shape.linears()).map(|(layer, sizes)| layer.args(sizes));
                let records: Vec<UpdatedLayer> = records.chain([readout.args(shape.classes)]).collect();
                (GpuLayers::Iaf(hidden, (&neuron.constants()).into()), readout, records)
            }
            None => {
                let layered = Layered::new(&program, extent, network, &parameters, dense)?;
                let records = layered.records(network.architecture());
                (GpuLayers::Layered(layered), Readout::new(device, extent, &shape, 0, 0)?, records)
            }
        };
        let counted = shape.hidden.iter().map(|&neurons| CountedSpikes::new(device, extent, neurons));
        Ok(GpuNetwork {
            side: device.stream()?,
            fork: device.event(false)?,
            join: device.event(false)?,
            input,
            extent,
            optimiser: OptimiserState::new(device, extent, parameters.len())?,
            state: device.buffer(1)?,
            begun: device.pinned(1)?,
            drawn: device.buffer(extent.batch)?,
            gradients: device.buffer(extent.if_training(parameters.len()))?,
            table: Table::new(device, records)?,
            counted: counted.collect::<Result<_>>()?,
            loss: Loss::default(),
            host: device.pinned(parameters.len() + network.parameters.statistics().len())?,
            across: None,
            parameters,
            layers,
            readout,
            program,
            shape,
        })
    }

    /// Sets the ranks that make training steps together. `architecture` is that of the network.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`](crate::Error::DeviceMemory) if the GPU has too little free memory.
    pub(crate) fn with_ranks(mut self, ranks: Ranks, architecture: &Architecture) -> Result<GpuNetwork> {
        let widest = match &self.layers {
            GpuLayers::Iaf(..) => 0,
            GpuLayers::Layered(layered) => layered.layers.iter().map(|layer| layer.width).max().unwrap_or(0),
        };
        self.across = Some(AcrossRanks::new(self.program.device(), ranks, architecture, widest)?);
        Ok(self)
    }

    /// Sets the number of samples in the next batch, of all ranks, and the sum of their weights in the loss.
    pub(crate) fn set_whole(&mut self, samples: usize, weight: f64) {
        if let Some(across) = &mut self.across {
            across.whole = [samples as f64, weight];
        }
    }

    /// Number of samples in the batch of all ranks, and the sum of their weights in the loss. Both are 0 if this
    /// process has the whole batch.
    pub(super) fn whole(&self) -> [f64; 2] {
        self.across.as_ref().map_or([0.0; 2], |across| across.whole)
    }

    /// Copies the network's parameters and the optimiser's state to the GPU. Without `optimiser`, training steps only
    /// compute gradients. All batches use the optimiser's learning rate until `set_rates` is called.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda) if the GPU's driver returns an error.
    /// [`Error::DeviceMemory`](crate::Error::DeviceMemory) if the GPU has too little free memory.
    ///
    /// # Panics
    /// If `network` has another shape than the network given to [`new`](Self::new).
    pub fn load(&mut self, stream: &Stream, network: &Network, optimiser: Option<&Optimiser>) -> Result<()> {
        assert_eq!(network.shape(), &self.shape, "shape of the network");
        let zero = |buffer: &Buffer<u16>| stream.fill(buffer, 0);
        self.optimiser.config = optimiser.map(|optimiser| optimiser.config);
        self.table.freeze(stream, optimiser.map_or(&[], Optimiser::groups))?;
        if let Some(Optimiser { config, mean, mean_square, .. }) = optimiser {
            put(stream, &self.optimiser.mean, mean)?;
            put(stream, &self.optimiser.mean_square, mean_square)?;
            let rates = [config.lr, config.rule.momentum()].repeat(self.optimiser.rates.len() / 2);
            put(stream, &self.optimiser.rates, &rates)?;
        }
        match &self.layers {
            GpuLayers::Iaf(hidden, _) => {
                hidden.iter().flat_map(|layer| [&layer.forward, &layer.backward]).try_for_each(zero)?
            }
            GpuLayers::Layered(layered) => {
                let weights = layered.layers.iter().flat_map(|layer| [&layer.forward, &layer.backward]);
                weights.into_iter().try_for_each(zero)?;
            }
        }
        self.renew(stream, &network.parameters)
    }

    /// Copies new values of the loaded network's parameters and running statistics to the GPU.
    pub(crate) fn renew(&mut self, stream: &Stream, parameters: &Parameters) -> Result<()> {
        let (flat, statistics) = (parameters.flat(), parameters.statistics());
        let (host, at) = (self.host.as_mut_slice()?, flat.len());
        host[..at].copy_from_slice(flat);
        host[at..].copy_from_slice(statistics);
        stream.upload(&self.parameters, 0, &self.host, 0..at)?;
        if let GpuLayers::Layered(layered) = &self.layers {
            stream.upload(&layered.running, 0, &self.host, at..at + statistics.len())?;
        }
        self.launch_parameters(stream, &self.program.pack, None)
    }

    /// Sets the learning rate and the momentum of each batch. `rates[0]` is for the first batch after
    /// [`begin`](Self::begin).
    pub(crate) fn set_rates(&mut self, stream: &Stream, rates: &[[f64; 2]]) -> Result<()> {
        let (rates, host) = (rates.as_flattened(), &mut self.optimiser.host_rates);
        host.as_mut_slice()?[..rates.len()].copy_from_slice(rates);
        stream.upload(&self.optimiser.rates, 0, host, 0..rates.len())
    }

    /// Fills the outputs of a step with NaN, so that tests notice reads of memory that no kernel wrote.
    pub(crate) fn poison(&self, stream: &Stream) -> Result<()> {
        match &self.layers {
            GpuLayers::Iaf(hidden, _) => hidden.iter().try_for_each(|layer| layer.poison(stream))?,
            GpuLayers::Layered(layered) => layered.poison(stream)?,
        }
        self.input.iter().try_for_each(|input| stream.fill(&input.values, POISON))?;
        self.readout.poison(stream)?;
        stream.fill(&self.drawn, POISON)?;
        stream.fill(&self.gradients, POISON)
    }

    /// Sets the next batch's position in the epoch (`next`) and the number of parameter updates so far (`updates`).
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda) if the GPU's driver returns an error.
    pub fn begin(&mut self, stream: &Stream, next: u64, updates: u64) -> Result<()> {
        self.begun.as_mut_slice()?[0] = State {
            next,
            begin: next,
            updates,
            samples: 0,
            batch: 0,
            batches: 0,
            stopped: 0,
            overflowed: 0,
            rounded: 0,
        };
        stream.upload(&self.state, 0, &self.begun, 0..1)
    }

    /// Queues a copy of batch scores to host memory. `batches` is a range of batch indices, counted from 0 since the
    /// last [`begin`](Self::begin).
    pub(crate) fn download_scores(
        &self,
        stream: &Stream,
        batches: std::ops::Range<usize>,
        to: &mut Pinned<BatchScore>,
    ) -> Result<()> {
        stream.download(&self.readout.scores, batches, to, 0)
    }

    /// Reads the state of training from the GPU. Returns an error if earlier work failed.
    pub(crate) fn state(&self) -> Result<State> {
        Ok(self.state.read()?[0])
    }

    /// Returns an error if a potential was NaN or infinite since the last [`begin`](Self::begin), on this GPU.
    ///
    /// # Errors
    /// [`KernelError::NonFinitePotential`]. [`Error::Cuda`](crate::Error::Cuda) if earlier work failed.
    pub(crate) fn check_potentials(&self) -> Result<()> {
        Ok(check_potentials(self.state()?.overflowed.into())?)
    }

    /// Reads the parameters from the GPU, as one flat list.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda) if the GPU's driver returns an error.
    pub fn parameters(&self) -> Result<Vec<f32>> {
        self.parameters.read()
    }

    /// Reads two lists from the GPU:
    /// - the moving averages of the gradients (Adam), or the velocities (SGD)
    /// - the moving averages of the squared gradients; empty for SGD
    pub(crate) fn moments(&self) -> Result<[Vec<f32>; 2]> {
        let squares = match self.optimiser.config.map(|config| config.rule) {
            Some(Rule::Sgd { .. }) => Vec::new(),
            _ => self.optimiser.mean_square.read()?,
        };
        Ok([self.optimiser.mean.read()?, squares])
    }

    /// Returns the spike counts of each hidden layer for a batch. The norms use the statistics of this batch. Needs the
    /// buffers for training (`Extent::trains`). Call [`begin`](Self::begin) before the next training step.
    pub(crate) fn spikes(
        &mut self,
        stream: &Stream,
        source: BatchSource,
        (samples, steps): (usize, Option<usize>),
    ) -> Result<Vec<SpikeCounts>> {
        self.begin(stream, 0, 0)?;
        self.run(stream, source, steps, Pass::Measuring)?;
        self.check_potentials()?;
        let drawn = self.drawn(samples)?.iter().map(|drawn| u64::from(drawn.steps)).sum();
        let mut layers = Vec::new();
        for (&neurons, counted) in self.shape.hidden.iter().zip(&self.counted) {
            let mut counts = SpikeCounts::new(neurons);
            counts.steps = drawn;
            let width = counted.spikes.len() / self.extent.batch;
            let spikes = counted.spikes.read_range(0..samples * width)?;
            let active = counted.active_steps.read_range(0..samples * width)?;
            let each = (0..width).cycle().zip(spikes.into_iter().zip(active));
            for (neuron, (spikes, active)) in each.filter(|(neuron, _)| *neuron < neurons) {
                counts.add(neuron, spikes as u64, active.into());
            }
            layers.push(counts);
        }
        Ok(layers)
    }

    /// Copies the gradients of the last training step, and the statistics of its batch, from the GPU to `to`.
    pub(crate) fn read_gradients(&self, to: &mut Parameters) -> Result<()> {
        to.flat_mut().copy_from_slice(&self.gradients.read()?);
        if let GpuLayers::Layered(layered) = &self.layers {
            to.statistics_mut().copy_from_slice(&layered.batch.read()?);
        }
        Ok(())
    }

    /// Like [`read_gradients`](Self::read_gradients), but adds up the gradients of all ranks. `is_empty` says whether
    /// this rank had no samples.
    pub(crate) fn add_gradients(&mut self, stream: &Stream, to: &mut Parameters, is_empty: bool) -> Result<()> {
        let GpuNetwork { across: Some(across), gradients, host, layers, .. } = self else {
            return self.read_gradients(to);
        };
        if let GpuLayers::Layered(layered) = layers {
            to.statistics_mut().copy_from_slice(&layered.batch.read()?);
        }
        across.add_gradients(stream, (gradients, host), to.flat_mut(), is_empty)
    }

    /// Returns how long the sums over ranks have taken so far, including the copies to and from the GPU. Waits for
    /// other ranks don't count.
    pub(crate) fn exchange_time(&self) -> Duration {
        self.across.as_ref().map_or(Duration::ZERO, AcrossRanks::took)
    }

    /// Reads the running statistics of all norms from the GPU.
    pub(crate) fn statistics(&self) -> Result<Vec<f32>> {
        match &self.layers {
            GpuLayers::Iaf(..) => Ok(Vec::new()),
            GpuLayers::Layered(layered) => layered.running.read(),
        }
    }

    /// Reads the score of the first batch since the last [`begin`](Self::begin).
    pub(crate) fn first_score(&self) -> Result<BatchScore> {
        Ok(self.readout.scores.read_range(0..1)?[0])
    }

    /// Reads the records that the kernel `draw` wrote for the first `samples` samples of the last batch.
    pub(crate) fn drawn(&self, samples: usize) -> Result<Vec<Drawn>> {
        self.drawn.read_range(0..samples)
    }

    /// Reads the logits of the first `samples` samples of the last batch, (samples, classes).
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda) if the GPU's driver returns an error.
    pub fn logits(&self, samples: usize) -> Result<Vec<f32>> {
        self.readout.logits.read_range(0..samples * self.shape.classes)
    }

    /// Reads the predictions for the first `samples` samples of the epoch, or of the last batch if `Extent::kept` is 0.
    pub(crate) fn predictions(&self, samples: usize) -> Result<Vec<Prediction>> {
        let Readout { losses, predicted, labels, .. } = &self.readout;
        let classes = predicted.read_range(0..samples)?.into_iter().zip(labels.read_range(0..samples)?);
        let each = losses.read_range(0..samples)?.into_iter().zip(classes);
        Ok(each.map(|(loss, (predicted, label))| Prediction { loss, predicted, label }).collect())
    }
}

/// Allocates the hidden layers of a network of integrate-and-fire neurons.
fn hidden(program: &Program, extent: Extent, shape: &Shape, dense: bool) -> Result<Vec<Hidden>> {
    let mut at = 0;
    let layer = |(i, (inputs, outputs)): (usize, (usize, usize))| {
        let position = LayerPosition { first: i == 0, last: i + 1 == shape.hidden.len(), dense: i > 0 || dense };
        let layer = Hidden::new(program, extent, position, (inputs, outputs), at);
        at += (inputs + 1) * outputs;
        layer
    };
    shape.linears().take(shape.hidden.len()).enumerate().map(layer).collect()
}
