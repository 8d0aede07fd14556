//! The network on a GPU: its buffers (`buffers.rs`), its state (`network.rs`) and the launches of a step
//! (`launches.rs`).
//!
//! ```text
//! draw -+-> iaf_forward of each layer -> readout -+-> iaf_backward of each layer, last first --------+-> update
//!       |                                         |                |                                 |
//!       +-> inflate_input                         +-> readout_gradient -> weight_gradient of each ---+
//! ```
//!
//! The second row runs at the same time on a stream of its own, since one kernel alone doesn't fill a large GPU.
//!
//! Every launch has a fixed grid and fixed arguments. The samples of a batch, their number and the number of updates
//! are in device memory. A step is therefore recorded once for each source of batches and replayed, and the host does
//! nothing else between the batches of an epoch. Every sum has a fixed order: the same run on the same device gives the
//! same bits.

mod buffers;
mod launches;
mod network;

pub use buffers::Extent;
pub use network::GpuNetwork;
