//! The network on a GPU: its buffers (`layers.rs`), and the kernels of a step in their order (`step.rs`).
//!
//! ```text
//! draw -+-> iaf_forward of each layer -> readout -+-> iaf_backward of each layer, last first --------+-> update
//!       |                                         |                |                                 |
//!       +-> inflate_input                         +-> readout_gradient -> weight_gradient of each ---+
//! ```
//!
//! The second row runs beside the first on a stream of its own: alone, neither fills a large GPU.
//!
//! Every launch has a fixed grid and fixed arguments; which samples a batch has, how many, and how often the weights were
//! updated is in device memory. A step is therefore captured once and replayed, and the host is asked for nothing
//! between the batches of an epoch. No kernel adds in an order that chance decides: a run comes to the same bits again.

mod layers;
mod step;

use std::sync::Arc;

use layers::{AdamState, DenseInput, Hidden, POISON, Readout, padded};
use step::neuron_args;

use super::network::{Network, Parameters, Shape};
use crate::error::Result;
use crate::train::kernel::adam::Adam;
use crate::train::kernel::cuda::{Buffer, DeviceType, Event, Pinned, Stream};
use crate::train::kernel::interface::{Drawn, Layer, NeuronArgs, Score, State};
use crate::train::kernel::program::Program;

/// What a network on a GPU is made for.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Samples of a batch at most.
    pub batch: usize,
    /// Steps of a sample at most.
    pub longest: usize,
    /// Whether it is trained; evaluation needs less.
    pub trained: bool,
    /// Samples of an epoch at most whose loss and prediction are kept; 0 to keep those of a batch.
    pub kept: u64,
    /// Batches of an epoch at most.
    pub batches: u64,
}

/// What came of a sample.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Its cross entropy.
    pub loss: f64,
    /// The class of its largest logit.
    pub predicted: u32,
    /// Its class.
    pub label: u32,
}

/// A network in device memory.
#[derive(Debug)]
pub struct DeviceNetwork {
    program: Arc<Program>,
    shape: Shape,
    neuron: NeuronArgs,
    extent: Extent,
    side: Stream,
    fork: Event,
    join: Event,
    adam: AdamState,
    state: Buffer<State>,
    begun: Pinned<State>,
    drawn: Buffer<Drawn>,
    parameters: Buffer<f32>,
    gradients: Buffer<f32>,
    layers: Buffer<Layer>,
    input: Option<DenseInput>,
    hidden: Vec<Hidden>,
    readout: Readout,
}

impl Extent {
    /// Steps, rounded up to whole tiles.
    fn time(&self) -> usize {
        padded(self.longest.max(1))
    }

    /// Rows of a matrix over time.
    fn rows(&self) -> usize {
        self.batch * self.time()
    }

    /// What is only there to be trained.
    fn trained(&self, len: usize) -> usize {
        if self.trained { len } else { 0 }
    }
}

impl DeviceNetwork {
    /// Buffers for a network of this one's shape, which has a hidden layer at least. Its parameters are not yet there.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`](crate::error::Error::DeviceMemory).
    pub fn new(program: Arc<Program>, network: &Network, extent: Extent) -> Result<DeviceNetwork> {
        let shape = network.shape().clone();
        let device = program.device();
        let mut hidden = Vec::new();
        let mut at = 0;
        for (i, (inputs, outputs)) in shape.linears().take(shape.hidden.len()).enumerate() {
            let last = i + 1 == shape.hidden.len();
            hidden.push(Hidden::new(&program, extent, (i == 0, last), (inputs, outputs), at)?);
            at += (inputs + 1) * outputs;
        }
        let readout = Readout::new(device, extent, &shape, at)?;
        let layers = hidden.iter().zip(shape.linears()).map(|(layer, sizes)| layer.packed(sizes));
        let layers: Vec<Layer> = layers.chain([readout.packed(shape.classes)]).collect();
        let parameters = shape.parameters();
        let input = DenseInput::new(&program, extent, shape.inputs)?;
        Ok(DeviceNetwork {
            side: device.stream()?,
            fork: device.event(false)?,
            join: device.event(false)?,
            input,
            neuron: neuron_args(&network.neuron.constants()),
            extent,
            adam: AdamState::new(device, extent, parameters)?,
            state: device.buffer(1)?,
            begun: device.pinned(1)?,
            drawn: device.buffer(extent.batch)?,
            parameters: device.buffer(parameters)?,
            gradients: device.buffer(extent.trained(parameters))?,
            layers: device.buffer_from(&layers)?,
            hidden,
            readout,
            program,
            shape,
        })
    }

    /// Takes over a network's parameters, and with them the optimiser's state if it is to be trained.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda), [`Error::DeviceMemory`](crate::error::Error::DeviceMemory).
    ///
    /// # Panics
    /// If the network is of another shape.
    pub fn load(&mut self, stream: &Stream, network: &Network, adam: Option<&Adam>) -> Result<()> {
        assert_eq!(network.shape(), &self.shape, "shape of the network");
        put(stream, &self.parameters, network.parameters.flat())?;
        self.adam.settings = adam.map(|adam| [adam.config.beta1, adam.config.beta2, adam.config.eps]);
        if let Some(adam) = adam {
            put(stream, &self.adam.mean, &adam.mean)?;
            put(stream, &self.adam.mean_square, &adam.mean_square)?;
            put(stream, &self.adam.lr, &[adam.config.lr])?;
        }
        for layer in &self.hidden {
            stream.fill(&layer.forward, 0)?;
            stream.fill(&layer.backward, 0)?;
        }
        self.launch_parameters(stream, &self.program.pack)
    }

    /// Fills all that a step writes with bytes that are no numbers, so that one which reads what it has not written is
    /// found out.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn poison(&self, stream: &Stream) -> Result<()> {
        self.hidden.iter().try_for_each(|layer| layer.poison(stream))?;
        self.input.iter().try_for_each(|input| stream.fill(&input.values, POISON))?;
        self.readout.poison(stream)?;
        stream.fill(&self.drawn, POISON)?;
        stream.fill(&self.gradients, POISON)
    }

    /// Begins an epoch at a position of it, so many updates having been made.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn begin(&mut self, stream: &Stream, next: u64, updates: u64) -> Result<()> {
        self.begun.as_mut_slice()?[0] =
            State { next, begin: next, updates, samples: 0, batch: 0, batches: 0, stopped: 0, rounded: 0 };
        stream.upload(&self.state, 0, &self.begun, 0..1)
    }

    /// Queues a copy of the scores of batches of the epoch.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn download_scores(
        &self,
        stream: &Stream,
        batches: std::ops::Range<usize>,
        to: &mut Pinned<Score>,
    ) -> Result<()> {
        stream.download(&self.readout.scores, batches, to, 0)
    }

    /// Where training is.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda), also for what went wrong in a step before.
    pub fn state(&self) -> Result<State> {
        Ok(self.state.read()?[0])
    }

    /// The parameters as they are now.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn parameters(&self) -> Result<Vec<f32>> {
        self.parameters.read()
    }

    /// Adam's mean and mean square as they are now.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn moments(&self) -> Result<[Vec<f32>; 2]> {
        Ok([self.adam.mean.read()?, self.adam.mean_square.read()?])
    }

    /// The gradients of the last step.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn read_gradients(&self, to: &mut Parameters) -> Result<()> {
        to.flat_mut().copy_from_slice(&self.gradients.read()?);
        Ok(())
    }

    /// The first `samples` of the last batch, as they were drawn.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn drawn(&self, samples: usize) -> Result<Vec<Drawn>> {
        self.drawn.read_range(0..samples)
    }

    /// The logits of the first `samples` of the last batch, (samples, classes).
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn logits(&self, samples: usize) -> Result<Vec<f32>> {
        self.readout.logits.read_range(0..samples * self.shape.classes)
    }

    /// What came of the first `samples` of the last batch, or of the epoch where those are kept.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn outcomes(&self, samples: usize) -> Result<Vec<Outcome>> {
        let Readout { losses, predicted, labels, .. } = &self.readout;
        let classes = predicted.read_range(0..samples)?.into_iter().zip(labels.read_range(0..samples)?);
        let each = losses.read_range(0..samples)?.into_iter().zip(classes);
        Ok(each.map(|(loss, (predicted, label))| Outcome { loss, predicted, label }).collect())
    }
}

impl Outcome {
    /// Whether it was classified rightly.
    pub fn is_correct(&self) -> bool {
        self.predicted == self.label
    }
}

/// Copies to the device, when the stream comes to it; returns when that is done.
fn put<T: DeviceType>(stream: &Stream, to: &Buffer<T>, from: &[T]) -> Result<()> {
    let mut pinned = stream.device().pinned(from.len())?;
    pinned.as_mut_slice()?.copy_from_slice(from);
    stream.upload(to, 0, &pinned, 0..from.len())
}
