//! Everything before the shard: recordings in, frames out.
//!
//! The modules read as the pipeline: a [`source`] gives [`events`], a recipe's [`transform`]s change them, [`framing`]
//! bins them, [`plan`] says which sample goes into which chunk, and [`pipeline`] runs it all on every core.

pub mod events;
pub mod export;
pub mod framing;
pub mod info;
pub mod pipeline;
pub mod plan;
pub mod show;
pub mod source;
pub mod transform;
