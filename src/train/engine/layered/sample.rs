//! What a step keeps of a sample in each layer, and its random initial states.

use tonic_loader::mix;
use tonic_shard::SampleFrames;

use crate::error::KernelError;
use crate::kernel::{ActiveCells, TILE_WIDTH, Tile, linear};

/// A sample in all layers.
#[derive(Debug, Default)]
pub(super) struct SampleLayers {
    /// Key from which the sample's random numbers are drawn.
    pub(super) key: u64,
    /// The input of the network, and then the output of each hidden layer: spikes, after dropout.
    pub(super) active: Vec<ActiveCells>,
    /// Spikes of each hidden layer before dropout, if the loss depends on them.
    pub(super) undropped: Vec<ActiveCells>,
    /// Gradient of the penalty for spike rates, the same for every spike of a neuron: for each hidden layer, one tile of
    /// neurons after another. Empty without a penalty.
    pub(super) rates: Vec<Vec<Tile>>,
    /// What each layer keeps for its backward pass, the readout last.
    pub(super) layers: Vec<Trace>,
    pub(super) logits: Vec<f32>,
    /// Gradient for the input currents of the layer at hand: `current[tile * stride + t]`.
    pub(super) current: Vec<Tile>,
}

/// What a layer keeps of a sample.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// Outputs of the linear layer: `y[tile * stride + t]`.
    pub(super) y: Vec<Tile>,
    /// One bit for each neuron and time step, `[t * tiles + tile]`: whether the neuron spikes.
    pub(super) fired: Vec<u32>,
    /// Bits like `fired`: whether a gradient for the spike can be used.
    pub(super) open: Vec<u32>,
    /// Membrane potentials of integrate-and-fire neurons, or the states of the readout.
    pub(super) states: Vec<Tile>,
    /// States and spikes of each tile before the first time step, if they are not 0.
    pub(super) start: Option<Vec<[Tile; 3]>>,
}

impl SampleLayers {
    /// Reads the frames of a sample, for `depth` layers. `index` is for error messages.
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
        self.layers.resize_with(depth, Trace::default);
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

/// Draws the states and spikes of a layer before the first time step, uniform in [0, 1). `states` is the number of state
/// variables that the layer's formula has. The draws depend on the sample's key, the layer and the neuron alone.
pub(in crate::engine) fn uniform_start(
    key: u64,
    layer: usize,
    neurons: usize,
    states: usize,
    spikes: bool,
) -> Vec<[Tile; 3]> {
    /// Keeps these draws apart from those of dropout, whose layers have smaller numbers.
    const STATES: u64 = 1 << 32;
    let stream = mix(key ^ mix(STATES + layer as u64));
    let mut start = vec![[[0.0; TILE_WIDTH]; 3]; neurons.div_ceil(TILE_WIDTH)];
    for neuron in 0..neurons {
        for row in (0..states).chain(spikes.then_some(2)) {
            let draw = mix(stream.wrapping_add(mix((neuron * 3 + row) as u64)));
            start[neuron / TILE_WIDTH][row][neuron % TILE_WIDTH] = (draw >> 40) as f32 / (1u64 << 24) as f32;
        }
    }
    start
}
