//! Opens sets in directories and, with the feature `remote`, at URLs.

use std::path::Path;

use tonic_shard::{Result, ShardSet, Storage, is_url};

/// Opens a set. `place` is the path of a directory, or a URL.
pub(crate) fn open_set(place: &Path) -> Result<ShardSet> {
    match url_of(place) {
        Some(url) => ShardSet::open_in(&*storage(url)?),
        None => ShardSet::open(place),
    }
}

/// Returns `place` as text if it is a URL, else `None`.
pub(crate) fn url_of(place: &Path) -> Option<&str> {
    place.to_str().filter(|_| is_url(place))
}

/// The cache on disk for sets at URLs, if the user has chosen one.
#[cfg(feature = "remote")]
pub(crate) static CACHE: std::sync::OnceLock<tonic_remote::Cache> = std::sync::OnceLock::new();

/// Opens the set at a URL, through the cache if the user has chosen one.
#[cfg(feature = "remote")]
pub(crate) fn storage(url: &str) -> Result<Box<dyn Storage>> {
    Ok(tonic_remote::open(url, CACHE.get())?)
}

#[cfg(not(feature = "remote"))]
pub(crate) fn storage(_url: &str) -> Result<Box<dyn Storage>> {
    Err(without_remote("reading from URLs").into())
}

/// Returns the error for a request that needs the feature `remote`. `what` names the request.
#[cfg(not(feature = "remote"))]
pub(crate) fn without_remote(what: &str) -> tonic_base::Error {
    let why = "this program was built without the feature remote; releases have it, and so has cargo install --path . \
               --features train,remote";
    tonic_base::Error::Unavailable { what: what.into(), why: why.into() }
}
