//! The kernel launches of a training step.

use crate::engine::gpu_network::buffers::{DenseInput, Hidden, OptimiserState, Readout, tile_pairs};
use crate::engine::gpu_network::network::GpuNetwork;
use crate::error::Result;
use crate::gpu::{Address, Buffer, Stream};
use crate::kernel::batch_source::BatchSource;
use crate::kernel::interface::{
    BackwardArgs, DrawArgs, ForwardArgs, GradientArgs, InflateInputArgs, ReadoutArgs, SpikesArgs, UpdateArgs,
};
use crate::kernel::product::TILE;
use crate::kernel::program::{
    LONGEST_OF_BATCH, RULE_ADAM, RULE_ADAMW, RULE_NESTEROV, RULE_SGD, SizedKernel, UPDATE_COLUMNS, UPDATE_ROWS, WARP,
};
use crate::kernel::{OptimiserConfig, Rule};

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
        self.draw(stream, source, steps)?;
        if let Some(input) = self.input.as_ref().filter(|input| input.feeds_forward()) {
            self.write_input(stream, source, input)?;
        }
        self.run_forward(stream, source)
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

    fn run_forward(&self, stream: &Stream, source: BatchSource) -> Result<()> {
        let frames = self.input.as_ref().filter(|input| input.feeds_forward());
        for (i, layer) in self.hidden.iter().enumerate() {
            let before = match i.checked_sub(1) {
                Some(i) => Some(&self.hidden[i].spikes),
                None => frames.map(|input| &input.values),
            };
            let pieces = if i == 0 { self.program.column_types().input_pieces() } else { 1 };
            let product = self.program.products().forward(pieces, layer.before_width / TILE);
            let args = ForwardArgs {
                state: self.state.address(),
                drawn: self.drawn.address(),
                neuron: self.neuron,
                columns: source.columns,
                before: before.map_or(Address::null(), Buffer::address),
                weight_pieces: layer.forward.address(),
                weights: self.parameters.at(layer.weights_at),
                bias: self.parameters.at(layer.bias_at),
                v: layer.v.address(),
                spikes: layer.spikes.address(),
                totals: if i + 1 == self.hidden.len() { self.readout.totals.address() } else { Address::null() },
                batch_size: self.extent.batch as u32,
                time: self.extent.time() as u32,
                width: layer.width as u32,
                before_width: layer.before_width as u32,
                neurons: layer.neurons as u32,
                resident: product.resident.into(),
                stages: product.stages,
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

    /// Queues the kernel that counts the spikes of `layer` in the last batch. Needs the buffers for training.
    pub(super) fn count_spikes(&self, stream: &Stream, layer: &Hidden) -> Result<()> {
        let args = SpikesArgs {
            state: self.state.address(),
            drawn: self.drawn.address(),
            neuron: self.neuron,
            v: layer.v.address(),
            spikes: self.counted.spikes.address(),
            active_steps: self.counted.active_steps.address(),
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
            // The forward pass waits for the dense input only if it reads it.
            if input.feeds_forward() {
                self.write_input(stream, source, input)?;
            } else {
                self.fork(stream)?;
                self.write_input(&self.side, source, input)?;
            }
        }
        self.run_forward(stream, source)?;
        self.fork(stream)?;
        // One more block adds up the batch's score.
        let numbers = (self.readout.neurons + 1) * self.shape.classes;
        let blocks = [numbers.div_ceil(WARP) + 1, 1];
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

    /// Makes the second stream, `side`, wait for the work that is already queued on `stream`.
    fn fork(&self, stream: &Stream) -> Result<()> {
        stream.record(&self.fork)?;
        self.side.wait(&self.fork)
    }

    fn backward(&self, stream: &Stream, layer: &Hidden, above: Option<&Hidden>) -> Result<()> {
        let product = above.map(|above| self.program.products().backward(above.width / TILE));
        let args = BackwardArgs {
            state: self.state.address(),
            drawn: self.drawn.address(),
            neuron: self.neuron,
            above: above.map_or(Address::null(), |above| above.lambda.address()),
            weight_pieces: above.map_or(Address::null(), |above| above.backward.address()),
            row: self.readout.row.address(),
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

    fn weight_gradient(
        &self,
        stream: &Stream,
        source: BatchSource,
        layer: &Hidden,
        before: Option<&Hidden>,
    ) -> Result<()> {
        let program = &self.program;
        let pieces = if before.is_some() { 1 } else { program.column_types().input_pieces() };
        let product = program.products().gradient(pieces);
        let (kernel, before) = match (before, &self.input) {
            (Some(before), _) => (&program.weight_gradient, before.spikes.address()),
            (None, Some(input)) => (&program.weight_gradient_input, input.values.address()),
            (None, None) => (&program.weight_gradient_cells, Address::null()),
        };
        let args = GradientArgs {
            state: self.state.address(),
            drawn: self.drawn.address(),
            columns: source.columns,
            before,
            lambda: layer.lambda.address(),
            partials: layer.partials.address(),
            batch_size: self.extent.batch as u32,
            time: self.extent.time() as u32,
            width: layer.width as u32,
            before_width: layer.before_width as u32,
            stages: product.stages,
        };
        let blocks = [tile_pairs(layer.before_width, layer.width), layer.splits];
        kernel.launch_sized(stream, blocks, product.bytes, &args)
    }

    pub(super) fn launch_parameters(&self, stream: &Stream, kernel: &SizedKernel) -> Result<()> {
        let OptimiserState { mean, mean_square, rates, config, .. } = &self.optimiser;
        let OptimiserConfig { rule, weight_decay, .. } = config.unwrap_or_default();
        let (rule, beta2, eps) = match rule {
            Rule::Adam(moments) => (RULE_ADAM, moments.beta2, moments.eps),
            Rule::AdamW(moments) => (RULE_ADAMW, moments.beta2, moments.eps),
            Rule::Sgd { nesterov: false, .. } => (RULE_SGD, 0.0, 0.0),
            Rule::Sgd { nesterov: true, .. } => (RULE_NESTEROV, 0.0, 0.0),
        };
        let moment = |buffer: &Buffer<f32>| config.map_or(Address::null(), |_| buffer.address());
        let args = UpdateArgs {
            state: self.state.address(),
            layers: self.layers.address(),
            parameters: self.parameters.address(),
            gradients: self.gradients.address(),
            mean: moment(mean),
            mean_square: moment(mean_square),
            rates: rates.address(),
            beta2,
            eps,
            weight_decay,
            rule,
        };
        // One row of blocks for each layer.
        let tiles =
            |(inputs, outputs): (usize, usize)| (inputs + 1).div_ceil(UPDATE_ROWS) * outputs.div_ceil(UPDATE_COLUMNS);
        let blocks = self.shape.linears().map(tiles).max().unwrap_or(0);
        kernel.launch(stream, [blocks, self.layers.len()], &args)
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
            class_weights: self.readout.class_weights.address(),
            scores: self.readout.scores.address(),
            width: *width as u32,
            neurons: *neurons as u32,
            classes: self.shape.classes as u32,
            by_position: (self.extent.kept > 0).into(),
        }
    }
}
