//! The values that a step stores for one sample in each layer, and the random initial states of the sample.

use tonic_loader::mix;
use tonic_shard::SampleFrames;

use crate::error::KernelError;
use crate::kernel::dropout::STATE_STREAMS;
use crate::kernel::{ActiveCells, Aligned, TILE_WIDTH, Tile, linear};

/// The values that a step stores for one sample.
#[derive(Debug, Default)]
pub(super) struct SampleLayers {
    /// Key from which the sample's random numbers are drawn.
    pub(super) key: u64,
    /// Input of each layer: the frames for the first layer, then the spikes of each hidden layer after dropout.
    pub(super) active: Vec<ActiveCells>,
    /// Spikes of each hidden layer before dropout. Empty if the loss has no penalty for spike rates.
    pub(super) undropped: Vec<ActiveCells>,
    /// For each hidden layer, the gradient of the penalty with respect to the spikes of each neuron, in tiles. It is
    /// the same at every time step. Empty without a penalty.
    pub(super) rates: Vec<Vec<Tile>>,
    /// Values that each layer stores for the backward pass, the readout last.
    pub(super) layers: Vec<LayerTrace>,
    pub(super) logits: Vec<f32>,
    /// Gradient for the input currents of the neurons that the backward pass has reached: index `tile * stride + t`.
    pub(super) current_gradient: Aligned<Tile>,
}

/// Values that a layer stores for one sample.
#[derive(Debug, Default)]
pub(super) struct LayerTrace {
    /// Outputs of the linear layer: `y[tile * stride + t]`.
    pub(super) y: Aligned<Tile>,
    /// Bit j of `fired[t * tiles + tile]` is 1 if neuron j of the tile spikes at time step t.
    pub(super) fired: Vec<u32>,
    /// Bit j of `open[t * tiles + tile]` is 1 if the gradient for the spikes of neuron j at time step t is needed: its
    /// surrogate gradient can differ from 0 (always for integrate-and-fire neurons), and dropout keeps its spikes.
    pub(super) open: Vec<u32>,
    /// Membrane potentials of integrate-and-fire neurons, or the states of the readout and their softmax.
    pub(super) states: Aligned<Tile>,
    /// States and spikes of each tile before the first time step. `None` if all are 0.
    pub(super) start: Option<Vec<[Tile; 3]>>,
}

impl SampleLayers {
    /// Copies the frames of a sample. `depth` is the number of layers. `index` is for error messages.
    pub(super) fn begin(
        &mut self,
        frames: SampleFrames<'_>,
        key: u64,
        depth: usize,
        inputs: usize,
        steps: usize,
        index: usize,
    ) -> Result<(), KernelError> {
        self.key = key;
        self.undropped.clear();
        self.rates.clear();
        self.active.resize_with(depth, ActiveCells::default);
        self.layers.resize_with(depth, LayerTrace::default);
        self.active[0].set_frames(frames, inputs, steps, index)
    }

    pub(super) fn steps(&self) -> usize {
        self.active[0].steps()
    }

    pub(super) fn stride(&self) -> usize {
        linear::stride(self.steps())
    }

    /// Returns the spikes of each hidden layer.
    pub(super) fn spikes(&self) -> &[ActiveCells] {
        &self.active[1..]
    }
}

/// Draws the states and spikes of a layer before the first time step, uniform in [0, 1). `states` is the number of
/// state variables per neuron. `spikes` says whether to draw spikes. The numbers depend only on the sample's key, the
/// layer and the neuron.
pub(in crate::engine) fn uniform_start(
    key: u64,
    layer: usize,
    neurons: usize,
    states: usize,
    spikes: bool,
) -> Vec<[Tile; 3]> {
    let stream = mix(key ^ mix(STATE_STREAMS + layer as u64));
    let mut start = vec![[[0.0; TILE_WIDTH]; 3]; neurons.div_ceil(TILE_WIDTH)];
    for neuron in 0..neurons {
        for row in (0..states).chain(spikes.then_some(2)) {
            let draw = mix(stream.wrapping_add(mix((neuron * 3 + row) as u64)));
            start[neuron / TILE_WIDTH][row][neuron % TILE_WIDTH] = (draw >> 40) as f32 / (1u64 << 24) as f32;
        }
    }
    start
}
