//! The network on a GPU: buffers (`buffers.rs`), state and copies (`network.rs`), and the kernel launches of a training
//! step (`launches.rs`).
//!
//! ```text
//! draw -> inflate_input -> iaf_forward of each layer -> readout -+-> iaf_backward of each, last first ------+-> update
//!                                                                |              |                         |
//!                                                                +-> readout_gradient -> weight_gradient --+
//! ```
//!
//! The kernels in the lower line run on a second stream, at the same time as those in the upper line, because one
//! kernel alone doesn't fill a large GPU. If a frame has many cells, the first layer reads the sparse input instead of
//! the dense frames that `inflate_input` writes, and `inflate_input` runs on the second stream too.
//!
//! Every launch has a fixed grid and fixed arguments. What changes from batch to batch is in device memory: the samples
//! of the batch, their number, and the number of updates. A training step is therefore recorded as a graph once for
//! each source of batches. For each batch of an epoch, the host only replays the graph. Every sum has a fixed order:
//! the same run on the same device gives the same bits.

mod buffers;
mod launches;
mod network;

pub use buffers::Extent;
pub use network::GpuNetwork;
