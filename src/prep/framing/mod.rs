//! Framings turn events into sparse frames. A framing is the last step of a recipe.
//!
//! ```text
//! named        the list of framings
//! rule         the traits that every framing implements
//! slicing      divides a sample into slices
//! accumulate   counts of events in slices: ToFrame, ToImage, ToBinaRep
//! surfaces     time surfaces and voxel grids
//! averaged     averaged time surfaces
//! framer       makes the frames of whole samples
//! stream       makes frames from blocks of events
//! cells        counts events per cell
//! exp          an exponential with the same bits on every machine
//! ```
//!
//! A framing is a type that implements [`rule::EventFraming`]. To add a framing, write such a type, and add its
//! variant, match arm and signature to `named.rs`.

mod accumulate;
mod averaged;
mod cells;
mod exp;
mod framer;
mod named;
mod rule;
mod slicing;
mod stream;
mod surfaces;

pub(crate) use accumulate::{ToBinaRep, ToImage};
pub(crate) use averaged::ToAveragedTimesurface;
pub use framer::Framer;
pub use named::Framing;
pub(crate) use named::{FRAMINGS, MAX_CELLS};
pub use rule::FramedSample;
pub(crate) use slicing::{MAX_FRAMES, TimeWindows, ToFrame};
pub(crate) use stream::FrameStream;
pub(crate) use surfaces::{ToTimesurface, ToVoxelGrid};
