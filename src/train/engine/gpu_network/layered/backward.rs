//! The kernel launches of the backward pass.

use crate::engine::gpu_network::across_ranks::Totals;
use crate::engine::gpu_network::launches::WeightGradient;
use crate::engine::gpu_network::layered::{AfterNorm, LayerBuffers, Layered};
use crate::engine::gpu_network::network::GpuNetwork;
use crate::engine::step::Pass;
use crate::error::Result;
use crate::gpu::{Address, Stream};
use crate::kernel::batch_source::BatchSource;
use crate::kernel::layer_interface::{CellArgs, OutputsArgs};
use crate::kernel::product::TILE;
use crate::kernel::program::{BLOCK_THREADS, GRADIENT_TOTALS, NORM_CHANNELS};

impl GpuNetwork {
    /// Queues the kernels that compute the gradients of all layers, the readout first. Weight gradients run on the
    /// second stream.
    pub(in crate::engine::gpu_network) fn backward_layered(
        &self,
        stream: &Stream,
        source: BatchSource,
        layered: &Layered,
    ) -> Result<()> {
        let (kernels, batch) = (&self.program.layers, self.extent.batch);
        for layer in layered.layers.iter().rev() {
            let below = layer.index.checked_sub(1).map(|i| &layered.layers[i]);
            let args = self.cell_args(layered, layer, Pass::Training);
            let tiles = layer.width / TILE;
            match &layer.after_norm {
                AfterNorm::Readout { .. } => {
                    let args = self.reduce_args(layered, layer);
                    kernels.reduce_backward.launch(stream, [batch, 1], &args)?;
                }
                AfterNorm::Neurons(_) => kernels.cell_backward.launch(stream, [batch, tiles], &args)?,
            }
            let gradient = |totals: Totals| {
                let mut args: CellArgs = args;
                (args.totals, args.has_totals) = (totals.address, totals.are_whole.into());
                kernels.layer_gradient.launch(stream, [layer.width / NORM_CHANNELS, 1], &args)
            };
            match layer.norm {
                Some(_) => self.over_ranks(stream, GRADIENT_TOTALS * layer.width, gradient)?,
                None => gradient(Totals::default())?,
            }
            let norm = self.norm_args(layered, layer, Pass::Training);
            let blocks = [batch * self.extent.time() / TILE, tiles];
            kernels.norm_backward.launch(stream, blocks, &norm)?;
            self.fork(stream)?;
            let before = below.and_then(|below| match &below.after_norm {
                AfterNorm::Neurons(neurons) => Some(neurons.spikes.address()),
                AfterNorm::Readout { .. } => None,
            });
            let of = WeightGradient {
                lambda: layer.lambda.address(),
                partials: layer.partials.address(),
                width: layer.width,
                before_width: layer.before_width,
                splits: layer.splits,
            };
            self.weight_gradient(&self.side, source, of, before)?;
            if let Some(below) = below {
                self.input_gradient(stream, source, layered, layer, below)?;
            }
        }
        Ok(())
    }

    /// Queues the product that computes the gradient for the spikes of the layer below.
    fn input_gradient(
        &self,
        stream: &Stream,
        source: BatchSource,
        layered: &Layered,
        layer: &LayerBuffers,
        below: &LayerBuffers,
    ) -> Result<()> {
        let product = self.program.products().linear(self.program.pieces(), layer.width / TILE);
        let args = OutputsArgs {
            state: self.state.address(),
            drawn: self.drawn.address(),
            columns: source.columns,
            before: layer.lambda.address(),
            weight_pieces: layer.backward.address(),
            weights: Address::null(),
            bias: Address::null(),
            out: layered.gradient.address(),
            batch_size: self.extent.batch as u32,
            time: self.extent.time() as u32,
            width: below.width as u32,
            before_width: layer.width as u32,
            neurons: below.neurons as u32,
            resident: product.resident.into(),
            stages: product.stages,
            scale: layered.input_scale(layer.index),
        };
        let blocks = [self.extent.batch, below.width / TILE];
        self.program.layers.input_gradient.launch_sized(stream, blocks, product.bytes, &args)
    }

    /// Queues the kernels that move the running statistics of all norms towards those of the batch.
    pub(in crate::engine::gpu_network) fn follow_statistics(&self, stream: &Stream, layered: &Layered) -> Result<()> {
        for layer in layered.layers.iter().filter(|layer| layer.norm.is_some()) {
            let args = self.norm_args(layered, layer, Pass::Training);
            let blocks = (2 * layer.neurons).div_ceil(BLOCK_THREADS);
            self.program.layers.norm_follow.launch(stream, [blocks, 1], &args)?;
        }
        Ok(())
    }
}
