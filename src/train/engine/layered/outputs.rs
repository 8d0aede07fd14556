//! Runs single samples forward, and returns the spikes of hidden layers and the outputs over time.

use tonic_shard::SampleFrames;

use crate::engine::layered::{LayeredEngine, Pass};
use crate::error::Result;
use crate::kernel::{ActiveCells, TILE_WIDTH, loss};
use crate::network::{Network, Readout};

impl LayeredEngine {
    /// Runs one sample forward. Its random initial states depend on `key`.
    pub(crate) fn trace(&mut self, network: &Network, sample: SampleFrames<'_>, key: u64, steps: usize) -> Result<()> {
        self.run_samples(network, &[sample], &[key], steps, Pass::Evaluation)
    }

    /// Returns the spikes of each hidden layer for the sample of the last [`trace`](LayeredEngine::trace).
    pub(crate) fn traced_spikes(&self) -> &[ActiveCells] {
        self.samples.first().map_or(&[], |sample| sample.spikes())
    }

    /// Returns the outputs over time, (steps, classes), for the sample of the last [`trace`](LayeredEngine::trace).
    /// Row t is the output of the readout after time steps 0 to t.
    pub(crate) fn outputs_over_time(&self) -> Vec<f32> {
        let classes = self.architecture.shape.classes;
        let (Some(sample), Some(layer)) = (self.samples.first(), self.layers.last()) else { return Vec::new() };
        let Some(trace) = sample.layers.last() else { return Vec::new() };
        let (stride, tiles) = (sample.stride(), layer.tiles());
        let readout = self.architecture.layers.readout.readout;
        let mut so_far = vec![if readout == Readout::Max { f32::NEG_INFINITY } else { 0.0 }; classes];
        let mut outputs = Vec::with_capacity(sample.steps() * classes);
        for t in 0..sample.steps() {
            let value = |class: usize| {
                let (tile, j) = (class / TILE_WIDTH, class % TILE_WIDTH);
                let (scale, shift) = layer.norm.tile(tile);
                match readout {
                    Readout::Sum => trace.y[tile * stride + t][j].mul_add(scale[j], shift[j]),
                    _ => trace.states[t * tiles + tile][j],
                }
            };
            let values: Vec<f32> = (0..classes).map(value).collect();
            let rows = so_far.iter_mut().zip(&values);
            match readout {
                Readout::Sum => rows.for_each(|(sum, value)| *sum += value),
                Readout::Leaky => {
                    rows.zip(loss::softmax(&values)).for_each(|((sum, _), share)| *sum += share as f32);
                }
                Readout::Max => rows.for_each(|(largest, value)| *largest = largest.max(*value)),
                Readout::Last => so_far.copy_from_slice(&values),
            }
            outputs.extend_from_slice(&so_far);
        }
        outputs
    }
}
