//! Opens the set at a URL.

use tonic_shard::Storage;

use crate::cache::{Cache, CachedSet};
use crate::error::Result;
use crate::location::{Location, Patience};
use crate::remote_set::RemoteSet;

/// Opens the set at a URL, through a cache on disk if there is one.
///
/// # Errors
/// Errors of [`Location::parse`], [`RemoteSet::open`] and [`CachedSet::new`].
pub fn open(url: &str, cache: Option<&Cache>) -> Result<Box<dyn Storage>> {
    let set = RemoteSet::open(&Location::parse(url)?, Patience::default())?;
    Ok(match cache {
        Some(cache) => Box::new(CachedSet::new(set, cache)?),
        None => Box::new(set),
    })
}
