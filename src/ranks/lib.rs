#![doc = include_str!("README.md")]
#![forbid(unsafe_code)]

mod launcher;
mod place;
mod ranks;
#[cfg(feature = "mpi")]
mod world;

pub use launcher::Launch;
pub use place::{Number, Silence, Traffic};
pub use ranks::{Ranks, own};
