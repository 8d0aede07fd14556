//! Networks in NIR, the Neuromorphic Intermediate Representation: for other frameworks and for chips.
//!
//! ```text
//! graph        a graph of NIR: a chain of nodes with arrays
//! convention   how a framework understands time constants, resets and thresholds
//! export       a network as a graph
//! import       a graph as a network
//! hdf          graphs in HDF5 files (feature `nir`)
//! ```
//!
//! NIR's neurons are differential equations. A network here has a decay factor per time step of duration dt:
//!
//! | neuron | here | NIR |
//! |---|---|---|
//! | lif | u = alpha r + (1 - alpha) x | tau dv/dt = -v + R I, alpha = exp(-dt / tau) |
//! | cuba-lif | i = alpha i + x; u = beta r + i | tau_syn dI/dt = -I + w_in S; tau_mem dv/dt = -v + R I |
//! | iaf, which NIR lets spike once per step | v = u + x | dv/dt = R I, R = 1 / dt |
//!
//! u is the membrane potential, r the potential after the previous step's reset, and x the input. For lif, the exact
//! solution of NIR's equation over a time step with a constant input is v = alpha v + (1 - alpha) R I.

mod convention;
mod export;
mod graph;
#[cfg(feature = "nir")]
mod hdf;
mod import;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use convention::Convention;

use crate::error::Result;
#[cfg(not(feature = "nir"))]
use crate::error::{BaseFault, Error};
use crate::network::{Model, read_model};

/// Writes the network of a model file as a graph of NIR to an HDF5 file. `dt` is the duration of a time step in
/// seconds, which [`Convention::Nir`] needs. Returns notes about what NIR cannot express.
///
/// # Errors
/// - [`Usage`](tonic_base::Error::Usage) if NIR or the framework can't express a layer; names the layer and the reason
/// - [`Unavailable`](tonic_base::Error::Unavailable) without the feature `nir`
/// - the errors of reading the model and of writing the file
pub fn export(model: &Path, file: &Path, convention: Convention, dt: Option<f64>) -> Result<Vec<String>> {
    let (graph, notes) = export::graph(&read_model(model)?, convention, dt)?;
    write(file, &graph)?;
    Ok(notes)
}

/// Reads a network from a graph of NIR in an HDF5 file. `dt` and `convention` are as in [`export`](fn@export). `steps`
/// is the number of time steps of the model. The names of the classes come from the graph's metadata, if it has one for
/// each class; otherwise, the names are 0, 1, and so on.
///
/// # Errors
/// - [`Usage`](tonic_base::Error::Usage) if tonic-train can't express a node; names the node and the reason
/// - [`Corrupt`](tonic_base::Error::Corrupt) if the file is damaged
/// - [`Io`](tonic_base::Error::Io)
/// - [`Unavailable`](tonic_base::Error::Unavailable) without the feature `nir`
pub fn import(file: &Path, convention: Convention, dt: Option<f64>, steps: usize) -> Result<Model> {
    let graph = read(file)?;
    import::model(file, &graph, convention, dt, steps)
}

#[cfg(feature = "nir")]
use hdf::{read, write};

#[cfg(not(feature = "nir"))]
fn write(_: &Path, _: &graph::Graph) -> Result<()> {
    Err(missing())
}

#[cfg(not(feature = "nir"))]
fn read(_: &Path) -> Result<graph::Graph> {
    Err(missing())
}

#[cfg(not(feature = "nir"))]
fn missing() -> Error {
    Error::unavailable("NIR", "this program is built without HDF5")
}
