//! The network: its sizes, parameters, initial weights and surrogate gradient, and the model file.
//!
//! ```text
//! parameters    the layers, their sizes, and their parameters as one flat list
//! init          initial weights
//! surrogate     the surrogate gradient of the spike count
//! model_file    model.safetensors
//! ```

mod init;
mod model_file;
mod parameters;
mod surrogate;

pub use model_file::{Model, from_bytes, read_model, to_bytes, write_model};
pub use parameters::{Iaf, Linear, Network, Parameters, Part, Shape};
pub use surrogate::SingleExponential;
