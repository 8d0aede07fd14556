//! The network: its layers, parameters, initial values and surrogate gradient, the network file and the model file.
//!
//! ```text
//! layers        the layers from the input to the readout, without the sizes of input and output
//! neuron, iaf   the neurons of a layer: settings and learned parameters
//! file, entry   reads the network file; errors name the line
//! text          writes the text of a network file
//! presets       networks with names, and their training settings
//! tensors       the tensors of a network: names, shapes, ranges in the flat list of parameters
//! parameters    a network: its architecture and its parameters as one flat list
//! init          initial values; orthogonal has the matrices of recurrent connections
//! surrogate     the surrogate gradient of the spike count
//! model_file    model.safetensors
//! ```

mod entry;
mod file;
mod iaf;
mod init;
mod layers;
mod model_file;
mod neuron;
mod orthogonal;
mod parameters;
mod presets;
mod surrogate;
mod tensors;
mod text;

pub use entry::NetworkFault;
pub(crate) use entry::line_at;
pub use iaf::{Iaf, SpikeFn};
pub use layers::{
    Dropout, Hidden, HiddenSizes, InitState, Layers, LinearInit, LinearLayer, Mask, Norm, Output, Readout,
};
pub(crate) use model_file::read_arrays;
pub use model_file::{Model, from_bytes, read_model, read_parameters, to_bytes, write_model};
pub use neuron::{Adlif, CSilif, CubaLif, Draw, Learned, Lif, Neuron, Reset, Silif, Surrogate};
pub use parameters::{Linear, Network, Parameters};
pub use presets::{Preset, PresetFrames};
pub use surrogate::SingleExponential;
pub use tensors::{Architecture, Shape, Statistic, StatisticKind, Tensor, TensorKind};
