//! The network: its sizes, parameters, initial weights and surrogate gradient, and the model file.

mod init;
mod model_file;
mod parameters;
mod surrogate;

pub use model_file::{Model, from_bytes, read_model, to_bytes, write_model};
pub use parameters::{Iaf, Linear, Network, Parameters, Shape};
pub use surrogate::SingleExponential;
