//! The network on a GPU: buffers (`buffers.rs`), state and copies (`network.rs`), and the kernel launches of a training
//! step (`launches.rs`).
//!
//! ```text
//! draw -> inflate_input -> iaf_forward of each layer -> readout -+-> iaf_backward of each, last first ------+-> update
//!                                                                |              |                         |
//!                                                                +-> readout_gradient -> weight_gradient --+
//! ```
//!
//! The kernels in the lower line run on a second stream, at the same time as the kernels in the upper line. If a frame
//! has many cells, the first layer reads sparse input, and `inflate_input` runs on the second stream too.
//!
//! Every launch has a fixed grid and fixed arguments. What changes from batch to batch is in GPU memory. A training
//! step is therefore recorded once for each source of batches, and replayed for each batch. Every sum has a fixed
//! order, so the same run on the same GPU gives the same bits.

mod buffers;
mod launches;
mod network;

pub use buffers::Extent;
pub use network::GpuNetwork;
