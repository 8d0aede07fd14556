//! The network on a GPU: buffers (`buffers.rs`), the table of parameters (`table.rs`), state and copies (`network.rs`),
//! the loss (`loss.rs`), the sums over ranks (`across_ranks.rs`), and the kernel launches of a training step
//! (`launches.rs`). Networks of linear layers and integrate-and-fire neurons have kernels of their own:
//!
//! ```text
//! draw -> inflate_input -> iaf_forward of each layer -> readout -+-> iaf_backward of each, last first ------+-> update
//!                                                                |              |                         |
//!                                                                +-> readout_gradient -> weight_gradient --+
//! ```
//!
//! `layered/` has the kernel launches of all other networks, which are computed layer by layer.
//!
//! The kernels in the lower line run on a second stream, at the same time as the kernels in the upper line. If the
//! first layer reads sparse input, `inflate_input` runs on the second stream too.
//!
//! A training step is recorded once for each source of batches and replayed for each batch, so every launch must have a
//! fixed grid and fixed arguments. Every sum has a fixed order: the same run on the same GPU gives the same bits.

mod across_ranks;
mod buffers;
mod launches;
mod layered;
mod loss;
mod network;
mod rounding;
mod table;

pub use buffers::Extent;
pub use network::GpuNetwork;
pub(crate) use network::check_layers;
pub(crate) use rounding::Rounding;
