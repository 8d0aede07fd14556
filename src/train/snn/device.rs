//! The network on a GPU: its buffers, and the kernels of a step in their order.
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

use std::sync::Arc;

use super::network::{Network, Parameters, Shape};
use crate::error::Result;
use crate::train::kernel::adam::Adam;
use crate::train::kernel::cuda::{Address, Buffer, DeviceType, Event, Pinned, Stream};
use crate::train::kernel::iaf::Neuron;
use crate::train::kernel::interface::{
    BackwardArgs, DrawArgs, Drawn, ForwardArgs, GradientArgs, InflateInputArgs, Layer, NeuronArgs, ReadoutArgs, Score,
    Source, State, TILE, UpdateArgs,
};
use crate::train::kernel::program::{Entry, INFLATE_BYTES, Program, THREADS};

/// Blocks that a weight gradient is divided among, about: enough for the largest GPUs.
const GRADIENT_BLOCKS: usize = 256;
/// The most numbers that the parts of a weight gradient take together.
const MAX_PARTIALS: usize = 1 << 26;

/// The most bytes of an input that is made dense for the first layer's weight gradient; a larger one is read by its cells.
const MAX_DENSE_INPUT: usize = 1 << 30;
/// Frames that a block makes dense at most.
const INPUT_FRAMES: usize = 16;

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
    /// Steps, rounded up to whole tiles.
    time: usize,
    side: Stream,
    fork: Event,
    join: Event,
    adam: AdamState,
    state: Buffer<State>,
    drawn: Buffer<Drawn>,
    parameters: Buffer<f32>,
    gradients: Buffer<f32>,
    layers: Buffer<Layer>,
    input: Option<DenseInput>,
    hidden: Vec<Hidden>,
    readout: Readout,
}

/// The batch's input in pieces, (pieces, batch, T, width).
#[derive(Debug)]
struct DenseInput {
    width: usize,
    block_frames: usize,
    values: Buffer<u16>,
}

#[derive(Debug)]
struct AdamState {
    mean: Buffer<f32>,
    mean_square: Buffer<f32>,
    lr: Buffer<f64>,
    /// beta1, beta2, eps; none where gradients alone are wanted.
    settings: Option<[f64; 3]>,
}

/// A hidden layer's buffers; widths are rounded up to whole tiles.
#[derive(Debug)]
struct Hidden {
    neurons: usize,
    width: usize,
    before_width: usize,
    /// Places in the flat parameters.
    weights_at: usize,
    bias_at: usize,
    /// In pieces; of the first layer empty.
    forward: Buffer<u16>,
    backward: Buffer<u16>,
    v: Buffer<f32>,
    spikes: Buffer<u16>,
    lambda: Buffer<u16>,
    lambda_totals: Buffer<f32>,
    splits: usize,
    partials: Buffer<f32>,
}

#[derive(Debug)]
struct Readout {
    width: usize,
    neurons: usize,
    weights_at: usize,
    bias_at: usize,
    totals: Buffer<f32>,
    logits: Buffer<f32>,
    gradient: Buffer<f32>,
    losses: Buffer<f64>,
    predicted: Buffer<u32>,
    labels: Buffer<u32>,
    row: Buffer<f32>,
    out: Buffer<f32>,
    scores: Buffer<Score>,
}

fn padded(n: usize) -> usize {
    n.next_multiple_of(TILE)
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

impl DeviceNetwork {
    /// Buffers for a network of this one's shape, which has a hidden layer at least. Its parameters are not yet there.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`](crate::error::Error::DeviceMemory).
    pub fn new(program: Arc<Program>, network: &Network, extent: Extent) -> Result<DeviceNetwork> {
        let shape = network.shape().clone();
        let device = program.device();
        let (batch, time) = (extent.batch, padded(extent.longest.max(1)));
        let pieces = program.pieces();
        let rows = batch * time;
        let trained = |len: usize| if extent.trained { len } else { 0 };
        let mut hidden = Vec::new();
        let mut at = 0;
        for (i, (inputs, outputs)) in shape.linears().take(shape.hidden.len()).enumerate() {
            let (width, before_width, last) = (padded(outputs), padded(inputs), i + 1 == shape.hidden.len());
            let weights = if i == 0 { 0 } else { pieces * width * before_width };
            let splits = splits(batch, before_width, width);
            hidden.push(Hidden {
                neurons: outputs,
                width,
                before_width,
                weights_at: at,
                bias_at: at + inputs * outputs,
                forward: device.buffer(weights)?,
                backward: device.buffer(trained(weights))?,
                v: device.buffer(trained(rows * width))?,
                spikes: device.buffer(if last { 0 } else { rows * width })?,
                lambda: device.buffer(trained(pieces * rows * width))?,
                lambda_totals: device.buffer(trained(batch * width))?,
                splits,
                partials: device.buffer(trained(splits * before_width * width))?,
            });
            at += (inputs + 1) * outputs;
        }
        let (neurons, classes) = (shape.hidden.last().copied().unwrap_or(shape.inputs), shape.classes);
        let width = padded(neurons);
        let kept = if extent.kept > 0 { extent.kept as usize } else { batch };
        let readout = Readout {
            width,
            neurons,
            weights_at: at,
            bias_at: at + neurons * classes,
            totals: device.buffer(batch * width)?,
            logits: device.buffer(batch * classes)?,
            gradient: device.buffer(batch * classes)?,
            losses: device.buffer(kept)?,
            predicted: device.buffer(kept)?,
            labels: device.buffer(kept)?,
            row: device.buffer(trained(batch * width))?,
            out: device.buffer(trained((neurons + 1) * classes))?,
            scores: device.buffer(trained(extent.batches as usize))?,
        };
        let mut layers: Vec<Layer> =
            hidden.iter().zip(shape.linears()).map(|(layer, sizes)| layer.packed(sizes)).collect();
        layers.push(Layer {
            forward: Address::null(),
            backward: Address::null(),
            partials: readout.out.address(),
            bias_sums: Address::null(),
            inputs: neurons as u32,
            outputs: classes as u32,
            input_width: neurons as u32 + 1,
            output_width: classes as u32,
            splits: 1,
            readout: 1,
        });
        let parameters = shape.parameters();
        let input = extent.trained.then(|| DenseInput::new(&program, rows, shape.inputs)).flatten().transpose()?;
        Ok(DeviceNetwork {
            side: device.stream()?,
            fork: device.event(false)?,
            join: device.event(false)?,
            input,
            neuron: neuron_args(&network.neuron.constants()),
            extent,
            time,
            adam: AdamState {
                mean: device.buffer(trained(parameters))?,
                mean_square: device.buffer(trained(parameters))?,
                lr: device.buffer(trained(1))?,
                settings: None,
            },
            state: device.buffer(1)?,
            drawn: device.buffer(batch)?,
            parameters: device.buffer(parameters)?,
            gradients: device.buffer(trained(parameters))?,
            layers: device.buffer_from(&layers)?,
            hidden,
            readout,
            program,
            shape,
        })
    }

    /// The sizes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What it was made for.
    pub fn extent(&self) -> Extent {
        self.extent
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
        const NAN: u8 = 0xff;
        for layer in &self.hidden {
            for buffer in [&layer.v, &layer.lambda_totals, &layer.partials] {
                stream.fill(buffer, NAN)?;
            }
            for buffer in [&layer.spikes, &layer.lambda] {
                stream.fill(buffer, NAN)?;
            }
        }
        if let Some(input) = &self.input {
            stream.fill(&input.values, NAN)?;
        }
        let Readout { totals, logits, gradient, row, out, .. } = &self.readout;
        [totals, logits, gradient, row, out, &self.gradients]
            .into_iter()
            .try_for_each(|buffer| stream.fill(buffer, NAN))
    }

    /// Begins an epoch at a position of it, so many updates having been made.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn begin(&self, stream: &Stream, next: u64, updates: u64) -> Result<()> {
        let state = State { next, begin: next, updates, samples: 0, batch: 0, batches: 0, stopped: 0, rounded: 0 };
        put(stream, &self.state, &[state])
    }

    /// Queues the drawing of a batch. Each sample is to run for `steps` steps, for those of the batch's longest if it is
    /// none, and for all its frames at least.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn draw(&self, stream: &Stream, source: Source, steps: Option<usize>) -> Result<()> {
        let args = DrawArgs {
            state: self.state.address(),
            order: source.order,
            samples: source.columns.samples,
            drawn: self.drawn.address(),
            batch_size: self.extent.batch as u32,
            steps: steps.map_or(u32::MAX, |steps| steps as u32),
        };
        self.program.draw.launch(stream, [1, 1], &args)
    }

    /// Queues a batch's forward pass, drawn with as many `steps`: its losses and predictions.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn forward(&self, stream: &Stream, source: Source, steps: Option<usize>) -> Result<()> {
        self.draw(stream, source, steps)?;
        self.run_forward(stream, source)
    }

    fn run_forward(&self, stream: &Stream, source: Source) -> Result<()> {
        for (i, layer) in self.hidden.iter().enumerate() {
            let before = i.checked_sub(1).map(|i| &self.hidden[i]);
            let args = ForwardArgs {
                state: self.state.address(),
                drawn: self.drawn.address(),
                neuron: self.neuron,
                columns: source.columns,
                before: before.map_or(Address::null(), |before| before.spikes.address()),
                pieces: layer.forward.address(),
                weights: self.parameters.at(layer.weights_at),
                bias: self.parameters.at(layer.bias_at),
                v: layer.v.address(),
                spikes: layer.spikes.address(),
                totals: if i + 1 == self.hidden.len() { self.readout.totals.address() } else { Address::null() },
                time: self.time as u32,
                width: layer.width as u32,
                before_width: layer.before_width as u32,
                neurons: layer.neurons as u32,
            };
            let kernel = if i == 0 { &self.program.iaf_forward_cells } else { &self.program.iaf_forward };
            kernel.launch(stream, layer.blocks(self.extent.batch), &args)?;
        }
        self.program.readout.launch(stream, [self.extent.batch, 1], &self.readout_args())
    }

    /// Queues a training step: forward, backward, and Adam's update if [`load`](Self::load) was given its state.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn step(&self, stream: &Stream, source: Source, steps: Option<usize>) -> Result<()> {
        self.draw(stream, source, steps)?;
        if let Some(input) = &self.input {
            self.fork(stream)?;
            let args = InflateInputArgs {
                state: self.state.address(),
                drawn: self.drawn.address(),
                columns: source.columns,
                out: input.values.address(),
                batch_size: self.extent.batch as u32,
                time: self.time as u32,
                width: input.width as u32,
                block_frames: input.block_frames as u32,
            };
            let blocks = self.extent.batch * self.time.div_ceil(input.block_frames);
            self.program.inflate_input.launch(&self.side, [blocks, 1], &args)?;
        }
        self.run_forward(stream, source)?;
        self.fork(stream)?;
        // The block beyond sums up the batch.
        let numbers = (self.readout.neurons + 1) * self.shape.classes;
        let blocks = [numbers.div_ceil(THREADS) + 1, 1];
        self.program.readout_gradient.launch(&self.side, blocks, &self.readout_args())?;
        for (i, layer) in self.hidden.iter().enumerate().rev() {
            self.backward(stream, layer, self.hidden.get(i + 1))?;
            self.fork(stream)?;
            self.weight_gradient(&self.side, source, layer, i.checked_sub(1).map(|i| &self.hidden[i]))?;
        }
        self.side.record(&self.join)?;
        stream.wait(&self.join)?;
        self.launch_parameters(stream, &self.program.update)
    }

    /// What is given to the other stream comes after what this one has.
    fn fork(&self, stream: &Stream) -> Result<()> {
        stream.record(&self.fork)?;
        self.side.wait(&self.fork)
    }

    fn backward(&self, stream: &Stream, layer: &Hidden, above: Option<&Hidden>) -> Result<()> {
        let args = BackwardArgs {
            state: self.state.address(),
            drawn: self.drawn.address(),
            neuron: self.neuron,
            above: above.map_or(Address::null(), |above| above.lambda.address()),
            pieces: above.map_or(Address::null(), |above| above.backward.address()),
            row: self.readout.row.address(),
            v: layer.v.address(),
            lambda: layer.lambda.address(),
            totals: layer.lambda_totals.address(),
            batch_size: self.extent.batch as u32,
            time: self.time as u32,
            width: layer.width as u32,
            above_width: above.map_or(0, |above| above.width as u32),
        };
        let kernel = match above {
            Some(_) => &self.program.iaf_backward,
            None => &self.program.iaf_backward_constant,
        };
        kernel.launch(stream, layer.blocks(self.extent.batch), &args)
    }

    fn weight_gradient(&self, stream: &Stream, source: Source, layer: &Hidden, before: Option<&Hidden>) -> Result<()> {
        let (kernel, before) = match (before, &self.input) {
            (Some(before), _) => (&self.program.weight_gradient, before.spikes.address()),
            (None, Some(input)) => (&self.program.weight_gradient_input, input.values.address()),
            (None, None) => (&self.program.weight_gradient_cells, Address::null()),
        };
        let args = GradientArgs {
            state: self.state.address(),
            drawn: self.drawn.address(),
            columns: source.columns,
            before,
            lambda: layer.lambda.address(),
            partials: layer.partials.address(),
            batch_size: self.extent.batch as u32,
            time: self.time as u32,
            width: layer.width as u32,
            before_width: layer.before_width as u32,
        };
        let tiles = layer.before_width / TILE * (layer.width / TILE);
        kernel.launch(stream, [tiles, layer.splits], &args)
    }

    fn launch_parameters(&self, stream: &Stream, kernel: &Entry) -> Result<()> {
        let count = self.parameters.len();
        let AdamState { mean, mean_square, lr, settings } = &self.adam;
        let [beta1, beta2, eps] = settings.unwrap_or_default();
        let moment = |buffer: &Buffer<f32>| settings.map_or(Address::null(), |_| buffer.address());
        let args = UpdateArgs {
            state: self.state.address(),
            layers: self.layers.address(),
            parameters: self.parameters.address(),
            gradients: self.gradients.address(),
            mean: moment(mean),
            mean_square: moment(mean_square),
            lr: lr.address(),
            count: count as u64,
            beta1,
            beta2,
            eps,
        };
        kernel.launch(stream, [count.div_ceil(THREADS), 1], &args)
    }

    fn readout_args(&self) -> ReadoutArgs {
        let Readout { width, neurons, weights_at, bias_at, totals, logits, gradient, losses, .. } = &self.readout;
        ReadoutArgs {
            state: self.state.address(),
            drawn: self.drawn.address(),
            totals: totals.address(),
            weights: self.parameters.at(*weights_at),
            bias: self.parameters.at(*bias_at),
            logits: logits.address(),
            gradient: gradient.address(),
            losses: losses.address(),
            predicted: self.readout.predicted.address(),
            labels: self.readout.labels.address(),
            row: self.readout.row.address(),
            out: self.readout.out.address(),
            scores: self.readout.scores.address(),
            width: *width as u32,
            neurons: *neurons as u32,
            classes: self.shape.classes as u32,
            by_position: (self.extent.kept > 0).into(),
        }
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

impl DenseInput {
    /// Of so many rows; none where that would take too much.
    fn new(program: &Program, rows: usize, cells: usize) -> Option<Result<DenseInput>> {
        let (width, pieces) = (padded(cells), program.form().input_pieces());
        let block_frames = INFLATE_BYTES / (pieces * width * size_of::<u16>());
        let len = pieces.saturating_mul(rows).saturating_mul(width);
        (block_frames > 0 && len <= MAX_DENSE_INPUT / size_of::<u16>()).then(|| {
            let values = program.device().buffer(len)?;
            Ok(DenseInput { width, block_frames: block_frames.min(INPUT_FRAMES), values })
        })
    }
}

impl Outcome {
    /// Whether it was classified rightly.
    pub fn is_correct(&self) -> bool {
        self.predicted == self.label
    }
}

impl Hidden {
    /// A block for each sample and tile of neurons.
    fn blocks(&self, batch: usize) -> [usize; 2] {
        [batch, self.width / TILE]
    }

    fn packed(&self, (inputs, outputs): (usize, usize)) -> Layer {
        Layer {
            forward: self.forward.address(),
            backward: self.backward.address(),
            partials: self.partials.address(),
            bias_sums: self.lambda_totals.address(),
            inputs: inputs as u32,
            outputs: outputs as u32,
            input_width: self.before_width as u32,
            output_width: self.width as u32,
            splits: self.splits as u32,
            readout: 0,
        }
    }
}

/// Copies to the device, when the stream comes to it; returns when that is done.
fn put<T: DeviceType>(stream: &Stream, to: &Buffer<T>, from: &[T]) -> Result<()> {
    let mut pinned = stream.device().pinned(from.len())?;
    pinned.as_mut_slice()?.copy_from_slice(from);
    stream.upload(to, 0, &pinned, 0..from.len())
}

/// Parts that the samples' contributions to a weight gradient are divided into: by the sizes alone, since they decide the
/// order of the sum.
fn splits(batch: usize, before_width: usize, width: usize) -> usize {
    let tiles = before_width / TILE * (width / TILE);
    let most = (MAX_PARTIALS / (before_width * width)).max(1);
    (GRADIENT_BLOCKS / tiles).min(most).clamp(1, batch.max(1))
}
