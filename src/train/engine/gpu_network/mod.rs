//! The network on a GPU: buffers (`buffers.rs`), state and copies (`network.rs`), and the kernel launches of a training
//! step (`launches.rs`).
//!
//! ```text
//! draw -> inflate_input -> iaf_forward of each layer -> readout -+-> iaf_backward of each, last first ------+-> update
//!                                                                |              |                         |
//!                                                                +-> readout_gradient -> weight_gradient --+
//! ```
//!
//! The kernels in the lower line run on a second stream, at the same time as the kernels in the upper line. If the
//! first layer reads sparse input, `inflate_input` runs on the second stream too.
//!
//! A training step is recorded once for each source of batches and replayed for each batch, so every launch must have a
//! fixed grid and fixed arguments. Every sum has a fixed order: the same run on the same GPU gives the same bits.

mod buffers;
mod launches;
mod network;

pub use buffers::Extent;
pub use network::GpuNetwork;
