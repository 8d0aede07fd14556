//! Opens sets for both programs: in a directory, or at an URL if the program was built with the feature `remote`.

use std::path::Path;

use tonic_shard::{ShardSet, Storage};

/// Opens a set. `place` is a directory or an URL.
pub(crate) fn open_set(place: &Path) -> anyhow::Result<ShardSet> {
    match place.to_str().filter(|text| is_url(text)) {
        Some(url) => Ok(ShardSet::open_in(&*storage(url)?)?),
        None => Ok(ShardSet::open(place)?),
    }
}

/// Whether a place is an URL.
pub(crate) fn is_url(text: &str) -> bool {
    text.split_once("://")
        .is_some_and(|(scheme, _)| scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Finds the set at an URL.
#[cfg(feature = "remote")]
pub(crate) fn storage(url: &str) -> anyhow::Result<Box<dyn Storage>> {
    let location = tonic_remote::Location::parse(url)?;
    Ok(Box::new(tonic_remote::RemoteSet::open(&location, tonic_remote::Patience::default())?))
}

#[cfg(not(feature = "remote"))]
pub(crate) fn storage(_url: &str) -> anyhow::Result<Box<dyn Storage>> {
    let why = "this program was built without the feature `remote`: `cargo install --features remote` builds one with it, \
               or copy the set to a directory first";
    Err(tonic_base::Error::Unavailable { what: "reading from URLs".into(), why: why.into() }.into())
}
