//! Which cache a loader uses, and whether the set fits into it.

use std::str::FromStr;

use tonic_base::{BaseFault, free_memory, human_bytes};
use tonic_shard::{Error, Result, ShardSet};

use crate::host_cache::host_bytes;

/// Where the samples of a set are kept between epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheChoice {
    /// Chooses the first of these that applies:
    ///
    /// - [`CacheChoice::Device`], if the set takes at most half of the free memory of the training GPU.
    /// - [`CacheChoice::Stream`], if chunks are fetched from a server and kept on disk.
    /// - [`CacheChoice::Host`], if the set takes at most half of the free host memory, or if this memory is unknown.
    /// - [`CacheChoice::Stream`].
    Auto,
    /// No cache: chunks are read, checked and decoded in every epoch.
    Stream,
    /// Host memory. The samples are kept decompressed.
    Host,
    /// GPU memory. The samples are kept decompressed.
    Device,
}

impl FromStr for CacheChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<CacheChoice, String> {
        match text {
            "auto" => Ok(CacheChoice::Auto),
            "stream" => Ok(CacheChoice::Stream),
            "host" => Ok(CacheChoice::Host),
            "device" => Ok(CacheChoice::Device),
            _ => Err("expected auto, stream, host or device".into()),
        }
    }
}

impl CacheChoice {
    /// Chooses the cache of `set` for a program that uses no GPU. Also returns a message that says why.
    ///
    /// [`CacheChoice::Auto`] becomes [`CacheChoice::Stream`] or [`CacheChoice::Host`]. Its documentation has the rules.
    ///
    /// # Errors
    /// [`tonic_base::Error::Unavailable`] for [`CacheChoice::Device`]; [`tonic_base::Error::Usage`] if a
    /// [`CacheChoice::Host`] cache would be larger than the free memory.
    pub fn resolve(self, set: &ShardSet) -> Result<(CacheChoice, String)> {
        let (bytes, free) = (host_bytes(set), free_memory());
        let (size, of_free) = (human_bytes(bytes), free.map_or("an unknown amount".into(), human_bytes));
        match self {
            CacheChoice::Stream => Ok((self, "stream: as asked".into())),
            CacheChoice::Auto if set.is_fetched_ahead() => {
                Ok((CacheChoice::Stream, "stream: training begins before the whole set is here".into()))
            }
            CacheChoice::Auto if free.is_none_or(|free| bytes <= free / 2) => {
                Ok((CacheChoice::Host, format!("host: its {size} fit into half of the {of_free} free")))
            }
            CacheChoice::Auto => {
                Ok((CacheChoice::Stream, format!("stream: its {size} exceed half of the {of_free} free")))
            }
            CacheChoice::Host if free.is_none_or(|free| bytes <= free) => Ok((self, format!("host: {size}, as asked"))),
            CacheChoice::Host => {
                let expected = format!("at most the {of_free} of memory that are free");
                Err(Error::usage("cache host", expected, size))
            }
            CacheChoice::Device => {
                let why = "it is for training on a GPU with tonic-train and its own kernels";
                Err(Error::unavailable("cache device", why))
            }
        }
    }
}
