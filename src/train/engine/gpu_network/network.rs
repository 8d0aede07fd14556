//! A network in GPU memory, and the copies between this network and host memory.

use std::sync::Arc;

use crate::engine::gpu_network::buffers::{
    CountedSpikes, DenseInput, Extent, Hidden, LayerPosition, OptimiserState, POISON, Readout,
};
use crate::engine::step::Prediction;
use crate::engine::training_loss::TrainingLoss;
use crate::error::{BaseFault, Error, Result};
use crate::gpu::{Buffer, DeviceType, Event, Pinned, Stream};
use crate::kernel::batch_source::BatchSource;
use crate::kernel::iaf::Neuron;
use crate::kernel::interface::{BatchScore, Drawn, Layer, NeuronArgs, State};
use crate::kernel::program::Program;
use crate::kernel::{Optimiser, Rule, SpikeCounts};
use crate::network::{Iaf, Network, Parameters, Shape};

/// A network in GPU memory, with the optimiser's state and the buffers of a training step.
#[derive(Debug)]
pub struct GpuNetwork {
    pub(super) program: Arc<Program>,
    pub(super) shape: Shape,
    pub(super) neuron: NeuronArgs,
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
    pub(super) layers: Buffer<Layer>,
    pub(super) input: Option<DenseInput>,
    pub(super) hidden: Vec<Hidden>,
    pub(super) readout: Readout,
    pub(super) counted: CountedSpikes,
}

/// Returns the constants of the neurons, or an error if the network has layers that the kernels don't compute.
fn iaf(network: &Network) -> Result<Iaf> {
    network.layers().as_iaf().ok_or_else(|| {
        let why = format!("the kernels of a GPU don't compute {} yet", network.layers().beyond_iaf());
        Error::unavailable("training on a GPU", why)
    })
}

impl GpuNetwork {
    /// Allocates buffers for networks with the shape of `network`, which must have a hidden layer.
    /// [`load`](Self::load) copies the parameters.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`](crate::Error::DeviceMemory) if the GPU has too little free memory.
    /// [`Unavailable`](tonic_base::Error::Unavailable) if the network has layers that the kernels don't compute.
    pub fn new(program: Arc<Program>, network: &Network, extent: Extent) -> Result<GpuNetwork> {
        let shape = network.shape().clone();
        let neuron = iaf(network)?;
        let device = program.device();
        let input = DenseInput::new(&program, extent, shape.inputs)?;
        let dense = input.as_ref().is_some_and(DenseInput::feeds_forward);
        let mut hidden = Vec::new();
        let mut at = 0;
        for (i, (inputs, outputs)) in shape.linears().take(shape.hidden.len()).enumerate() {
            let position = LayerPosition { first: i == 0, last: i + 1 == shape.hidden.len(), dense: i > 0 || dense };
            hidden.push(Hidden::new(&program, extent, position, (inputs, outputs), at)?);
            at += (inputs + 1) * outputs;
        }
        let readout = Readout::new(device, extent, &shape, at)?;
        let layers = hidden.iter().zip(shape.linears()).map(|(layer, sizes)| layer.args(sizes));
        let layers: Vec<Layer> = layers.chain([readout.args(shape.classes)]).collect();
        let parameters = network.parameters.flat().len();
        Ok(GpuNetwork {
            side: device.stream()?,
            fork: device.event(false)?,
            join: device.event(false)?,
            input,
            neuron: neuron_args(&neuron.constants()),
            extent,
            optimiser: OptimiserState::new(device, extent, parameters)?,
            state: device.buffer(1)?,
            begun: device.pinned(1)?,
            drawn: device.buffer(extent.batch)?,
            parameters: device.buffer(parameters)?,
            gradients: device.buffer(extent.if_training(parameters))?,
            layers: device.buffer_from(&layers)?,
            counted: CountedSpikes::new(device, extent, &hidden)?,
            hidden,
            readout,
            program,
            shape,
        })
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
        put(stream, &self.parameters, network.parameters.flat())?;
        self.optimiser.config = optimiser.map(|optimiser| optimiser.config);
        if let Some(Optimiser { config, mean, mean_square, .. }) = optimiser {
            put(stream, &self.optimiser.mean, mean)?;
            put(stream, &self.optimiser.mean_square, mean_square)?;
            let rates = [config.lr, config.rule.momentum()].repeat(self.optimiser.rates.len() / 2);
            put(stream, &self.optimiser.rates, &rates)?;
        }
        for layer in &self.hidden {
            stream.fill(&layer.forward, 0)?;
            stream.fill(&layer.backward, 0)?;
        }
        self.launch_parameters(stream, &self.program.pack)
    }

    /// Sets the learning rate and the momentum of each batch. `rates[0]` is for the first batch after
    /// [`begin`](Self::begin).
    pub(crate) fn set_rates(&mut self, stream: &Stream, rates: &[[f64; 2]]) -> Result<()> {
        let (rates, host) = (rates.as_flattened(), &mut self.optimiser.host_rates);
        host.as_mut_slice()?[..rates.len()].copy_from_slice(rates);
        stream.upload(&self.optimiser.rates, 0, host, 0..rates.len())
    }

    /// Sets the loss for steps that are queued or recorded later.
    ///
    /// # Errors
    /// [`Unavailable`](tonic_base::Error::Unavailable) with the name of a setting that the kernels don't support.
    pub(crate) fn set_loss(&mut self, loss: &TrainingLoss) -> Result<()> {
        loss.check_gpu()?;
        let weights = loss.class_weights.as_deref().unwrap_or_default();
        self.readout.class_weights = self.program.device().buffer_from(weights)?;
        Ok(())
    }

    /// Fills the outputs of a step with NaN, so that tests notice reads of memory that no kernel wrote.
    pub(crate) fn poison(&self, stream: &Stream) -> Result<()> {
        self.hidden.iter().try_for_each(|layer| layer.poison(stream))?;
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
        self.begun.as_mut_slice()?[0] =
            State { next, begin: next, updates, samples: 0, batch: 0, batches: 0, stopped: 0, rounded: 0 };
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

    /// Returns the spike counts of each hidden layer for a batch. Needs the buffers for training (`Extent::trains`).
    /// Call [`begin`](Self::begin) before the next training step.
    pub(crate) fn spikes(
        &mut self,
        stream: &Stream,
        source: BatchSource,
        (samples, steps): (usize, Option<usize>),
    ) -> Result<Vec<SpikeCounts>> {
        self.begin(stream, 0, 0)?;
        self.forward(stream, source, steps)?;
        let mut layers = Vec::new();
        for layer in &self.hidden {
            self.count_spikes(stream, layer)?;
            let mut counts = SpikeCounts::new(layer.neurons);
            counts.steps = self.drawn(samples)?.iter().map(|drawn| u64::from(drawn.steps)).sum();
            let spikes = self.counted.spikes.read_range(0..samples * layer.width)?;
            let active = self.counted.active_steps.read_range(0..samples * layer.width)?;
            let each = (0..layer.width).cycle().zip(spikes.into_iter().zip(active));
            for (neuron, (spikes, active)) in each.filter(|(neuron, _)| *neuron < layer.neurons) {
                counts.add(neuron, spikes as u64, active.into());
            }
            layers.push(counts);
        }
        Ok(layers)
    }

    /// Copies the gradients of the last training step from the GPU to `to`.
    pub(crate) fn read_gradients(&self, to: &mut Parameters) -> Result<()> {
        to.flat_mut().copy_from_slice(&self.gradients.read()?);
        Ok(())
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

/// Copies values to the GPU, after all work already queued on `stream`. Returns when the copy has ended.
fn put<T: DeviceType>(stream: &Stream, to: &Buffer<T>, from: &[T]) -> Result<()> {
    let mut pinned = stream.device().pinned(from.len())?;
    pinned.as_mut_slice()?.copy_from_slice(from);
    stream.upload(to, 0, &pinned, 0..from.len())
}

fn neuron_args(neuron: &Neuron) -> NeuronArgs {
    NeuronArgs {
        theta: neuron.theta,
        reciprocal: 1.0 / neuron.theta,
        lower: neuron.min_v_mem.unwrap_or(f32::NEG_INFINITY),
        peak: neuron.peak,
        rate: neuron.rate,
        exact: neuron.has_exact_reciprocal().into(),
    }
}
