#![doc = include_str!("README.md")]

// location, text                URLs; texts without credentials
// web                           the HTTP client: credentials of URLs, pauses that servers ask for
// runtime                       the threads of transfers, in each process
// store                         the objects below a URL, read and written by calls that block
// swap_file                     replaces a file in a directory, unless another process has replaced it
// latest                        which set at a URL is the latest one
// remote_set, cache             a set at a URL, open for reading; such a set, read through a cache on disk
// open                          opens a set at a URL, with or without the cache
// push, pull, prune             sends, fetches and removes sets
// card                          sends and fetches the card of a set: README.md and a picture
// download                      single files, such as those of a data set
// partial_shard                 a shard's file that `pull` or the cache fills from a server
// error                         the errors of this crate

mod cache;
mod card;
mod download;
mod error;
mod latest;
mod location;
mod open;
mod partial_shard;
mod prune;
mod pull;
mod push;
mod remote_set;
mod runtime;
mod store;
mod swap_file;
mod text;
mod web;

pub use cache::{Cache, CachedSet};
pub use download::{RemoteFile, md5_of};
pub use error::{Error, Result};
pub use location::{Location, Patience, below, without_credentials};
pub use open::open;
pub use prune::{Pruned, prune};
pub use pull::{Fetch, pull};
pub use push::{Pushed, push};
pub use remote_set::RemoteSet;
pub use text::KEPT;
