#![doc = include_str!("README.md")]

mod error;
mod latest;
mod location;
mod pull;
mod push;
mod remote_set;
mod store;
mod text;

pub use error::{Error, Result};
pub use location::{Location, Patience};
pub use pull::{Fetch, pull};
pub use push::{Pruned, Pushed, prune, push};
pub use remote_set::RemoteSet;
