//! Everything before the shard: recordings in, frames out.
//!
//! The modules read as the pipeline: a [`source`] gives [`events`], a recipe's [`transform`]s change them, [`framing`]
//! bins them, [`chunks`] are made of them. A [`job`] settles what is made of what, by a [`plan`], and [`pipeline`] runs it on
//! every core; [`bench`] measures what training would take without it. What can be done with the sets that come out is in [`sets`].

pub mod bench;
pub mod chunks;
pub mod events;
pub mod framing;
pub mod inputs;
pub mod job;
pub mod known;
pub mod parallel;
pub mod pipeline;
pub mod plan;
pub mod sets;
pub mod source;
pub mod transform;
