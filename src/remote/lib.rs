#![doc = include_str!("README.md")]

// location, text                URLs; texts without credentials
// store                         the objects below a URL, read and written by calls that block
// latest                        which set at a URL is the latest one
// remote_set, cache             a set at a URL, open for reading; the same through a cache on disk
// push, pull                    sends and fetches sets
// file_bytes                    reads and writes files at an offset

mod cache;
mod error;
mod file_bytes;
mod latest;
mod location;
mod pull;
mod push;
mod remote_set;
mod store;
mod text;

pub use cache::{Cache, CachedSet};
pub use error::{Error, Result};
pub use location::{Location, Patience};
pub use pull::{Fetch, pull};
pub use push::{Pruned, Pushed, prune, push};
pub use remote_set::RemoteSet;
