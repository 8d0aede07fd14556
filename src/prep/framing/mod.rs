//! Framing: events become sparse frames.

mod accumulate;
mod slicing;

pub use accumulate::{Accumulator, FramedSample};
pub use slicing::{MAX_FRAMES, ToFrame};
