//! The kernel launches of a training step.

use crate::engine::gpu_network::across_ranks::Totals;
use crate::engine::gpu_network::buffers::{CountedSpikes, DenseInput, Hidden, OptimiserState, Readout, tile_pairs};
use crate::engine::gpu_network::network::{GpuLayers, GpuNetwork};
use crate::engine::step::Pass;
use crate::error::Result;
use crate::gpu::{Address, Buffer, Stream};
use crate::kernel::batch_source::BatchSource;
use crate::kernel::interface::{
    BackwardArgs, DrawArgs, ForwardArgs, GradientArgs, InflateInputArgs, NeuronArgs, ReadoutArgs, SpikesArgs,
};
use crate::kernel::product::TILE;
use crate::kernel::program::{
    CLIP_CHUNK, LONGEST_OF_BATCH, RULE_ADAM, RULE_ADAMW, RULE_NESTEROV, RULE_SGD, SizedKernel, WARP,
};
use crate::kernel::update_interface::{ClipArgs, UpdateArgs};
use crate::kernel::{OptimiserConfig, Rule};

/// What the product for a weight gradient reads and writes.
pub(super) struct WeightGradient {
    pub(super) lambda: Address<u16>,
    pub(super) partials: Address<f32>,
    pub(super) width: usize,
    pub(super) before_width: usize,
    pub(super) splits: usize,
}

impl GpuNetwork {
    /// Queues the kernel that chooses the samples of the next batch.
    ///
    /// Each sample will run for `steps` time steps, or for all its frames if it has more. If `steps` is `None`, the
    /// longest sample of the batch decides the number of time steps.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda) if the GPU's driver returns an error.
    pub fn draw(&self, stream: &Stream, source: BatchSource, steps: Option<usize>) -> Result<()> {
        let args = DrawArgs {
            state: self.state.address(),
            order: source.order,
            samples: source.columns.samples,
            drawn: self.drawn.address(),
            batch_size: self.extent.batch as u32,
            steps: steps.map_or(LONGEST_OF_BATCH, |steps| steps as u32),
        };
        self.program.draw.launch(stream, [1, 1], &args)
    }

    /// Queues the kernels that choose and evaluate the next batch. [`draw`](Self::draw) explains `steps`.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda) if the GPU's driver returns an error.
    pub fn forward(&self, stream: &Stream, source: BatchSource, steps: Option<usize>) -> Result<()> {
        self.run(stream, source, steps, Pass::Evaluation)
    }

    /// Queues the kernels that choose the next batch and run it through all layers. [`Pass::Measuring`] needs the
    /// buffers for training.
    pub(super) fn run(&self, stream: &Stream, source: BatchSource, steps: Option<usize>, pass: Pass) -> Result<()> {
        self.draw(stream, source, steps)?;
        if let Some(input) = self.input.as_ref().filter(|input| input.feeds_forward()) {
            self.write_input(stream, source, input)?;
        }
        self.run_forward(stream, source, pass)
    }

    /// Returns whether a forward pass counts the spikes of each hidden layer.
    pub(super) fn counts(&self, pass: Pass) -> bool {
        match pass {
            Pass::Training => self.loss.penalty.is_some(),
            Pass::Measuring => true,
            Pass::Evaluation => false,
        }
    }

    fn write_input(&self, stream: &Stream, source: BatchSource, input: &DenseInput) -> Result<()> {
        let args = InflateInputArgs {
            state: self.state.address(),
            drawn: self.drawn.address(),
            columns: source.columns,
            out: input.values.address(),
            batch_size: self.extent.batch as u32,
            time: self.extent.time() as u32,
            width: input.width as u32,
            block_frames: input.block_frames as u32,
        };
        let blocks = [self.extent.batch, self.extent.time().div_ceil(input.block_frames)];
        self.program.inflate_input.launch_sized(stream, blocks, input.block_bytes(), &args)
    }

    /// Queues the kernels of all layers and of the loss.
    fn run_forward(&self, stream: &Stream, source: BatchSource, pass: Pass) -> Result<()> {
        match &self.layers {
            GpuLayers::Iaf(hidden, neuron) => {
                self.forward_iaf(stream, source, (hidden, *neuron))?;
                let layers = hidden.iter().zip(&self.counted).filter(|_| self.counts(pass));
                layers.into_iter().try_for_each(|(layer, counted)| self.count_spikes(stream, layer, *neuron, counted))
            }
            GpuLayers::Layered(layered) => self.forward_layered(stream, source, layered, pass),
        }
    }

    fn forward_iaf(
        &self,
        stream: &Stream,
        source: BatchSource,
        (hidden, neuron): (&[Hidden], NeuronArgs),
    ) -> Result<()> {
        let frames = self.input.as_ref().filter(|input| input.feeds_forward());
        for (i, layer) in hidden.iter().enumerate() {
            let before = match i.checked_sub(1) {
                Some(i) => Some(&hidden[i].spikes),
                None => frames.map(|input| &input.values),
            };
            let pieces = if i == 0 { self.program.column_types().input_pieces() } else { 1 };
            let product = self.program.products().forward(pieces, layer.before_width / TILE);
            let args = ForwardArgs {
                state: self.state.address(),
                drawn: self.drawn.address(),
                neuron,
                columns: source.columns,
                before: before.map_or(Address::null(), Buffer::address),
                weight_pieces: layer.forward.address(),
                weights: self.parameters.at(layer.weights_at),
                bias: self.parameters.at(layer.bias_at),
                v: layer.v.address(),
                spikes: layer.spikes.address(),
                totals: if i + 1 == hidden.len() { self.readout.totals.address() } else { Address::null() },
                batch_size: self.extent.batch as u32,
                time: self.extent.time() as u32,
                width: layer.width as u32,
                before_width: layer.before_width as u32,
                neurons: layer.neurons as u32,
                resident: product.resident.into(),
                stages: product.stages,
                layer: i as u32,
            };
            let blocks = layer.blocks(self.extent.batch);
            match (i, before) {
                (0, None) => self.program.iaf_forward_cells.launch(stream, blocks, &args)?,
                (0, Some(_)) => self.program.iaf_forward_input.launch_sized(stream, blocks, product.bytes, &args)?,
                _ => self.program.iaf_forward.launch_sized(stream, blocks, product.bytes, &args)?,
            }
        }
        self.program.readout.launch(stream, [self.extent.batch, 1], &self.readout_args())
    }

    /// Queues the kernel that counts the spikes of `layer`. Needs the buffers for training.
    fn count_spikes(&self, stream: &Stream, layer: &Hidden, neuron: NeuronArgs, counted: &CountedSpikes) -> Result<()> {
        let args = SpikesArgs {
            state: self.state.address(),
            drawn: self.drawn.address(),
            neuron,
            v: layer.v.address(),
            spikes: counted.spikes.address(),
            active_steps: counted.active_steps.address(),
            time: self.extent.time() as u32,
            width: layer.width as u32,
            neurons: layer.neurons as u32,
        };
        self.program.count_spikes.launch(stream, layer.blocks(self.extent.batch), &args)
    }

    /// Queues the kernels of a training step on the next batch. If [`load`](Self::load) got no optimiser, the
    /// parameters stay unchanged. [`draw`](Self::draw) explains `steps`.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda) if the GPU's driver returns an error.
    pub fn step(&self, stream: &Stream, source: BatchSource, steps: Option<usize>) -> Result<()> {
        self.draw(stream, source, steps)?;
        if let Some(input) = &self.input {
            // The forward pass waits for the dense input only if the pass reads this input.
            if input.feeds_forward() {
                self.write_input(stream, source, input)?;
            } else {
                self.fork(stream)?;
                self.write_input(&self.side, source, input)?;
            }
        }
        self.run_forward(stream, source, Pass::Training)?;
        self.penalise(stream)?;
        self.fork(stream)?;
        match &self.layers {
            GpuLayers::Iaf(hidden, neuron) => self.backward_iaf(stream, source, hidden, *neuron)?,
            GpuLayers::Layered(layered) => {
                // With one block, this kernel only adds up the score of the batch.
                self.program.readout_gradient.launch(&self.side, [1, 1], &self.readout_args())?;
                self.backward_layered(stream, source, layered)?;
            }
        }
        self.side.record(&self.join)?;
        stream.wait(&self.join)?;
        self.update(stream)?;
        match &self.layers {
            GpuLayers::Layered(layered) if self.optimiser.config.is_some() => self.follow_statistics(stream, layered),
            _ => Ok(()),
        }
    }

    /// Queues the update of the parameters. If the optimiser clips gradients, `update` is queued twice: first it only
    /// computes the gradients, of which `squares` and `clip` compute a factor; then it applies gradients times factor.
    fn update(&self, stream: &Stream) -> Result<()> {
        let update = &self.program.update;
        let Some(clip_norm) = self.optimiser.config.and_then(|config| config.clip_norm) else {
            return self.launch_parameters(stream, update, None);
        };
        let OptimiserState { squares, factor, .. } = &self.optimiser;
        let args = ClipArgs {
            gradients: self.gradients.address(),
            squares: squares.address(),
            factor: factor.address(),
            clip_norm,
            parameters: self.gradients.len() as u64,
        };
        self.launch_parameters(stream, update, Some(Address::null()))?;
        self.program.squares.launch(stream, [self.gradients.len().div_ceil(CLIP_CHUNK), 1], &args)?;
        self.program.clip.launch(stream, [1, 1], &args)?;
        self.launch_parameters(stream, update, Some(factor.address()))
    }

    fn backward_iaf(&self, stream: &Stream, source: BatchSource, hidden: &[Hidden], neuron: NeuronArgs) -> Result<()> {
        // One more block adds up the score of the batch.
        let numbers = (self.readout.neurons + 1) * self.shape.classes;
        let blocks = [numbers.div_ceil(WARP) + 1, 1];
        self.program.readout_gradient.launch(&self.side, blocks, &self.readout_args())?;
        for (i, layer) in hidden.iter().enumerate().rev() {
            self.backward(stream, neuron, (layer, self.rates(i)), hidden.get(i + 1))?;
            self.fork(stream)?;
            let of = WeightGradient {
                lambda: layer.lambda.address(),
                partials: layer.partials.address(),
                width: layer.width,
                before_width: layer.before_width,
                splits: layer.splits,
            };
            let before = i.checked_sub(1).map(|i| hidden[i].spikes.address());
            self.weight_gradient(&self.side, source, of, before)?;
        }
        Ok(())
    }

    /// Makes the second stream, `side`, wait for the work that is already queued on `stream`.
    pub(super) fn fork(&self, stream: &Stream) -> Result<()> {
        stream.record(&self.fork)?;
        self.side.wait(&self.fork)
    }

    fn backward(
        &self,
        stream: &Stream,
        neuron: NeuronArgs,
        (layer, rates): (&Hidden, Address<f32>),
        above: Option<&Hidden>,
    ) -> Result<()> {
        let product = above.map(|above| self.program.products().backward(above.width / TILE));
        let args = BackwardArgs {
            state: self.state.address(),
            drawn: self.drawn.address(),
            neuron,
            above: above.map_or(Address::null(), |above| above.lambda.address()),
            weight_pieces: above.map_or(Address::null(), |above| above.backward.address()),
            row: self.readout.row.address(),
            rates,
            v: layer.v.address(),
            lambda: layer.lambda.address(),
            totals: layer.lambda_totals.address(),
            batch_size: self.extent.batch as u32,
            time: self.extent.time() as u32,
            width: layer.width as u32,
            above_width: above.map_or(0, |above| above.width as u32),
            resident: product.is_some_and(|product| product.resident).into(),
            apart: product.is_none_or(|product| product.apart).into(),
            stages: product.map_or(1, |product| product.stages),
        };
        let blocks = layer.blocks(self.extent.batch);
        match product {
            Some(product) => self.program.iaf_backward.launch_sized(stream, blocks, product.bytes, &args),
            None => self.program.iaf_backward_constant.launch(stream, blocks, &args),
        }
    }

    /// Calls `launch`, which queues a kernel that needs `len` sums over the samples of a batch. If several ranks share
    /// the batch, calls `launch` twice, and the ranks add up the sums in between.
    pub(super) fn over_ranks(&self, stream: &Stream, len: usize, launch: impl Fn(Totals) -> Result<()>) -> Result<()> {
        match &self.across {
            Some(across) => across.launch_twice(stream, len, launch),
            None => launch(Totals::default()),
        }
    }

    /// Queues the product for a weight gradient. `before` has the spikes of the layer below, or is `None` in the first
    /// layer.
    pub(super) fn weight_gradient(
        &self,
        stream: &Stream,
        source: BatchSource,
        of: WeightGradient,
        before: Option<Address<u16>>,
    ) -> Result<()> {
        let program = &self.program;
        let pieces = if before.is_some() { 1 } else { program.column_types().input_pieces() };
        let product = program.products().gradient(pieces);
        let (kernel, before) = match (before, &self.input) {
            (Some(before), _) => (&program.weight_gradient, before),
            (None, Some(input)) => (&program.weight_gradient_input, input.values.address()),
            (None, None) => (&program.weight_gradient_cells, Address::null()),
        };
        let args = GradientArgs {
            state: self.state.address(),
            drawn: self.drawn.address(),
            columns: source.columns,
            before,
            lambda: of.lambda,
            partials: of.partials,
            batch_size: self.extent.batch as u32,
            time: self.extent.time() as u32,
            width: of.width as u32,
            before_width: of.before_width as u32,
            stages: product.stages,
        };
        let blocks = [tile_pairs(of.before_width, of.width), of.splits];
        kernel.launch_sized(stream, blocks, product.bytes, &args)
    }

    /// Queues `update` or `pack`. `clipped` is `None` if gradients are not clipped. A null address makes `update` only
    /// compute the gradients. The address of a factor makes `update` update the parameters with these gradients, times
    /// the factor.
    pub(super) fn launch_parameters(
        &self,
        stream: &Stream,
        kernel: &SizedKernel,
        clipped: Option<Address<f32>>,
    ) -> Result<()> {
        let OptimiserState { mean, mean_square, rates, config, .. } = &self.optimiser;
        let OptimiserConfig { rule, weight_decay, .. } = config.unwrap_or_default();
        let (rule, beta2, eps) = match rule {
            Rule::Adam(moments) => (RULE_ADAM, moments.beta2, moments.eps),
            Rule::AdamW(moments) => (RULE_ADAMW, moments.beta2, moments.eps),
            Rule::Sgd { nesterov: false, .. } => (RULE_SGD, 0.0, 0.0),
            Rule::Sgd { nesterov: true, .. } => (RULE_NESTEROV, 0.0, 0.0),
        };
        let updates = config.is_some() && clipped.is_none_or(|factor| !factor.is_null());
        let moment = |buffer: &Buffer<f32>| if updates { buffer.address() } else { Address::null() };
        let args = UpdateArgs {
            state: self.state.address(),
            layers: self.table.address(),
            parameters: self.parameters.address(),
            gradients: self.gradients.address(),
            clipped: clipped.unwrap_or_default(),
            mean: moment(mean),
            mean_square: moment(mean_square),
            rates: rates.address(),
            beta2,
            eps,
            weight_decay,
            rule,
            layer_count: self.table.len() as u32,
        };
        kernel.launch(stream, [self.table.blocks, 1], &args)
    }

    pub(super) fn readout_args(&self) -> ReadoutArgs {
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
            class_weights: self.readout.class_weights.address(),
            smoothed: self.readout.smoothed.address(),
            penalties: self.loss.penalty.as_ref().map_or(Address::null(), |penalty| penalty.penalties.address()),
            weight_sum: self.loss.weight_sum,
            whole_weight: self.whole()[1],
            smoothing: self.loss.smoothing,
            scores: self.readout.scores.address(),
            width: *width as u32,
            neurons: *neurons as u32,
            classes: self.shape.classes as u32,
            by_position: (self.extent.kept > 0).into(),
            penalty_layers: if self.loss.penalty.is_some() { self.counted.len() as u32 } else { 0 },
            batch_size: self.extent.batch as u32,
        }
    }
}
