//! The kernel launches of the forward pass.

use crate::engine::gpu_network::across_ranks::Totals;
use crate::engine::gpu_network::layered::{AfterNorm, LayerBuffers, Layered, Neurons};
use crate::engine::gpu_network::network::GpuNetwork;
use crate::engine::step::Pass;
use crate::error::Result;
use crate::gpu::{Address, Buffer, Stream};
use crate::kernel::batch_source::BatchSource;
use crate::kernel::layer_interface::{CellArgs, MaskArgs, NormArgs, OutputsArgs, ReduceArgs};
use crate::kernel::product::TILE;
use crate::kernel::program::{BLOCK_THREADS, CELL_IAF, MASK_TILE, NORM_CHANNELS, NORM_TOTALS};

impl GpuNetwork {
    /// Queues the kernels of all layers, up to the logits and their loss.
    pub(in crate::engine::gpu_network) fn forward_layered(
        &self,
        stream: &Stream,
        source: BatchSource,
        layered: &Layered,
        pass: Pass,
    ) -> Result<()> {
        let kernels = &self.program.layers;
        for layer in &layered.layers {
            self.outputs(stream, source, layered, layer, pass)?;
            if layer.norm.is_some() {
                let args = self.norm_args(layered, layer, pass);
                if pass.uses_batch() {
                    kernels.norm_sums.launch(stream, [self.extent.batch, layer.width / TILE], &args)?;
                }
                let statistics = |totals: Totals| {
                    let mut args: NormArgs = args;
                    (args.totals, args.has_totals) = (totals.address, totals.are_whole.into());
                    kernels.norm_statistics.launch(stream, [layer.width / NORM_CHANNELS, 1], &args)
                };
                match pass.uses_batch() {
                    true => self.over_ranks(stream, NORM_TOTALS * layer.width, statistics)?,
                    false => statistics(Totals::default())?,
                }
            }
            match &layer.after_norm {
                AfterNorm::Neurons(neurons) => self.neurons(stream, layered, layer, neurons, pass)?,
                AfterNorm::Readout { .. } => {
                    let args = self.reduce_args(layered, layer);
                    kernels.reduce.launch(stream, [self.extent.batch, 1], &args)?;
                }
            }
        }
        kernels.cross_entropy.launch(stream, [self.extent.batch, 1], &self.readout_args())
    }

    /// Queues the product of a linear layer.
    fn outputs(
        &self,
        stream: &Stream,
        source: BatchSource,
        layered: &Layered,
        layer: &LayerBuffers,
        pass: Pass,
    ) -> Result<()> {
        let kernels = &self.program.layers;
        let below = layer.index.checked_sub(1).map(|i| &layered.layers[i].after_norm);
        let input = self.input.as_ref().filter(|input| input.feeds_forward());
        let (kernel, before, pieces) = match (below, input) {
            (Some(AfterNorm::Neurons(neurons)), _) => (&kernels.outputs, neurons.spikes.address(), 1),
            (_, Some(input)) => {
                (&kernels.outputs_input, input.values.address(), self.program.column_types().input_pieces())
            }
            (_, None) => (&kernels.outputs_cells, Address::null(), 1),
        };
        let product = self.program.products().linear(pieces, layer.before_width / TILE);
        let args = OutputsArgs {
            state: self.state.address(),
            drawn: self.drawn.address(),
            columns: source.columns,
            before,
            weight_pieces: layer.forward.address(),
            weights: self.parameters.at(layer.weights_at),
            bias: layer.bias_at.map_or(Address::null(), |at| self.parameters.at(at)),
            out: layer.y.address(),
            batch_size: self.extent.batch as u32,
            time: self.extent.time() as u32,
            width: layer.width as u32,
            before_width: layer.before_width as u32,
            neurons: layer.neurons as u32,
            resident: product.resident.into(),
            stages: product.stages,
            scale: if pass == Pass::Training { layered.input_scale(layer.index) } else { 1.0 },
        };
        let blocks = [self.extent.batch, layer.width / TILE];
        match before.is_null() {
            true => kernel.launch(stream, blocks, &args),
            false => kernel.launch_sized(stream, blocks, product.bytes, &args),
        }
    }

    fn neurons(
        &self,
        stream: &Stream,
        layered: &Layered,
        layer: &LayerBuffers,
        neurons: &Neurons,
        pass: Pass,
    ) -> Result<()> {
        let kernels = &self.program.layers;
        let args = self.cell_args(layered, layer, pass);
        if let Some(dropout) = neurons.dropout.filter(|_| pass == Pass::Training) {
            let (time, tiles) = (self.extent.time(), layer.width / MASK_TILE);
            let args = MaskArgs {
                state: self.state.address(),
                drawn: self.drawn.address(),
                masks: neurons.masks.address(),
                batch_size: self.extent.batch as u32,
                time: time as u32,
                tiles: tiles as u32,
                kept: dropout.kept(),
                per_sample: dropout.is_per_sample().into(),
                layer: layer.index as u32,
            };
            let blocks = self.extent.batch * (time * tiles).div_ceil(BLOCK_THREADS);
            kernels.dropout_masks.launch(stream, [blocks, 1], &args)?;
        }
        if neurons.cell != CELL_IAF {
            kernels.cell_constants.launch(stream, [layer.width.div_ceil(BLOCK_THREADS), 1], &args)?;
        }
        kernels.cell_forward.launch(stream, [self.extent.batch, layer.width / TILE], &args)
    }

    pub(super) fn norm_args(&self, layered: &Layered, layer: &LayerBuffers, pass: Pass) -> NormArgs {
        let statistics = |buffer: &Buffer<f32>| match layer.norm {
            Some(norm) if buffer.len() > 0 => buffer.at(norm.statistics_at),
            _ => Address::null(),
        };
        NormArgs {
            state: self.state.address(),
            drawn: self.drawn.address(),
            y: layer.y.address(),
            sums: layer.norm_sums.address(),
            totals: Address::null(),
            gamma: layer.norm.map_or(Address::null(), |norm| self.parameters.at(norm.gamma_at)),
            beta: layer.norm.map_or(Address::null(), |norm| self.parameters.at(norm.beta_at)),
            running: statistics(&layered.running),
            batch: statistics(&layered.batch),
            norm: layer.scales.address(),
            inverse: layer.inverse.address(),
            coefficients: layer.coefficients.address(),
            gradient: layered.gradient.address(),
            lambda: layer.lambda.address(),
            batch_size: self.extent.batch as u32,
            time: self.extent.time() as u32,
            width: layer.width as u32,
            channels: layer.neurons as u32,
            momentum: layer.norm.map_or(0.0, |norm| norm.momentum),
            evaluates: (!pass.uses_batch()).into(),
            has_totals: 0,
        }
    }

    /// Returns the arguments of the kernels of neurons, and of `layer_gradient` for any layer.
    pub(super) fn cell_args(&self, layered: &Layered, layer: &LayerBuffers, pass: Pass) -> CellArgs {
        let neurons = match &layer.after_norm {
            AfterNorm::Neurons(neurons) => Some(neurons),
            AfterNorm::Readout { .. } => None,
        };
        let is_training = pass == Pass::Training;
        let counted = self.counted.get(layer.index).filter(|_| self.counts(pass));
        let (surrogate, [surrogate_a, surrogate_b]) = neurons.map_or((0, [0.0; 2]), |of| of.surrogate);
        let no_iaf = crate::network::Iaf::default().constants();
        CellArgs {
            state: self.state.address(),
            drawn: self.drawn.address(),
            parameters: layer.parameters,
            neuron: neurons.map_or_else(|| (&no_iaf).into(), |of| of.iaf),
            constants: neurons.map_or(Address::null(), |of| of.constants.address()),
            y: layer.y.address(),
            norm: layer.scales.address(),
            masks: neurons.filter(|_| is_training).map_or(Address::null(), |of| of.masks.address()),
            spikes: neurons.map_or(Address::null(), |of| of.spikes.address()),
            checkpoints: neurons.filter(|_| is_training).map_or(Address::null(), |of| of.checkpoints.address()),
            gradient: layered.gradient.address(),
            rates: self.rates(layer.index),
            sums: layer.sums.address(),
            totals: Address::null(),
            counted: counted.map_or(Address::null(), |of| of.spikes.address()),
            active_steps: counted.map_or(Address::null(), |of| of.active_steps.address()),
            gamma: layer.norm.map_or(Address::null(), |norm| self.parameters.at(norm.gamma_at)),
            inverse: layer.inverse.address(),
            coefficients: layer.coefficients.address(),
            vectors: layer.vectors.address(),
            batch_size: self.extent.batch as u32,
            time: self.extent.time() as u32,
            width: layer.width as u32,
            neurons: layer.neurons as u32,
            cell: layer.cell(),
            surrogate,
            surrogate_a,
            surrogate_b,
            layer: layer.index as u32,
            random_states: layer.random_states,
            has_totals: 0,
        }
    }

    pub(super) fn reduce_args(&self, layered: &Layered, layer: &LayerBuffers) -> ReduceArgs {
        let (reduction, values, softmax) = match &layer.after_norm {
            AfterNorm::Readout { reduction, values, softmax } => (*reduction, values.address(), softmax.address()),
            AfterNorm::Neurons(_) => (0, Address::null(), Address::null()),
        };
        ReduceArgs {
            state: self.state.address(),
            drawn: self.drawn.address(),
            y: layer.y.address(),
            norm: layer.scales.address(),
            leak: layer.parameters[0],
            values,
            softmax,
            logits: self.readout.logits.address(),
            errors: self.readout.gradient.address(),
            gradient: layered.gradient.address(),
            sums: layer.sums.address(),
            batch_size: self.extent.batch as u32,
            time: self.extent.time() as u32,
            width: layer.width as u32,
            classes: layer.neurons as u32,
            reduction,
            layer: layer.index as u32,
            random_states: layer.random_states,
        }
    }
}
