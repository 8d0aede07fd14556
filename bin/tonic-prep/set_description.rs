//! Reads the description of a finished set. A new conversion can use its recipe and its classes again.

use std::path::Path;

use tonic_shard::{Manifest, Result, SetDescription};

use crate::set_place::{storage, url_of};

/// Reads the description of a set. `place` is the path of a directory, or a URL if the program was built with the
/// feature `remote`.
///
/// # Errors
/// Errors of [`Manifest::read`]; [`tonic_base::Error::Io`] if the server cannot be read.
pub fn description_of(place: &Path) -> Result<SetDescription> {
    let manifest = match url_of(place) {
        Some(url) => storage(url)?.manifest()?,
        None => Manifest::read(place)?,
    };
    Ok(manifest.description)
}
