//! Opens sets in directories and at URLs, with a cache on disk if the user wants one. In a forked process, a set at a
//! URL is opened again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use tonic_base::parse_bytes;
use tonic_shard::{Error, Result, ShardSet, Storage, is_url};

use crate::error::{exception, refused};

/// A directory or a URL, as the user gave it. `remote_cache` is for sets at URLs only.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) remote_cache: Option<RemoteCache>,
}

/// A folder in which the chunks of sets at URLs are kept, and its maximum size in bytes.
#[derive(Clone, Debug)]
pub(crate) struct RemoteCache {
    pub(crate) dir: PathBuf,
    pub(crate) limit: u64,
}

/// Default maximum size of a [`RemoteCache`] in bytes. `tonic-train fit --remote-cache-limit` has the same default.
const LIMIT: u64 = 50 << 30;

/// A size as the user gave it: a number of bytes, or a text such as `50G`.
pub(crate) struct SizeText(pub(crate) String);

impl<'py> FromPyObject<'_, 'py> for SizeText {
    type Error = PyErr;

    fn extract(size: Borrowed<'_, 'py, PyAny>) -> PyResult<SizeText> {
        Ok(SizeText(size.str()?.to_string()))
    }
}

impl Place {
    /// Checks the arguments that say where a set is.
    pub(crate) fn new(path: PathBuf, remote_cache: Option<PathBuf>, limit: Option<SizeText>) -> PyResult<Place> {
        let limit = limit.map_or(Ok(LIMIT), |SizeText(text)| {
            parse_bytes(&text)
                .map_err(|_| refused("remote_cache_limit", "bytes, or a size such as 64M, 512k or 1G", text))
        })?;
        Ok(Place { path, remote_cache: remote_cache.map(|dir| RemoteCache { dir, limit }) })
    }

    fn url(&self) -> Option<&str> {
        self.path.to_str().filter(|_| is_url(&self.path))
    }

    /// Opens the set with the GIL released.
    pub(crate) fn open(&self, py: Python<'_>) -> PyResult<ShardSet> {
        let open = || match self.url() {
            Some(url) => ShardSet::open_in(&*storage(url, self.remote_cache.as_ref())?),
            None => ShardSet::open(&self.path),
        };
        py.detach(open).map_err(exception)
    }
}

#[cfg(feature = "remote")]
fn storage(url: &str, cache: Option<&RemoteCache>) -> Result<Box<dyn Storage>> {
    let cache = cache.cloned().map(|RemoteCache { dir, limit }| tonic_remote::Cache { dir, limit });
    Ok(tonic_remote::open(url, cache.as_ref())?)
}

#[cfg(not(feature = "remote"))]
fn storage(_url: &str, _cache: Option<&RemoteCache>) -> Result<Box<dyn Storage>> {
    let why = "this package was built without the feature remote; copy the set to a directory first";
    Err(tonic_base::Error::Unavailable { what: "reading from URLs".into(), why: why.into() }.into())
}

/// A set that is open. A forked process has none of the threads that fetch chunks from a server, so it opens a set at a
/// URL again when it first reads from it.
pub(crate) struct OpenSet {
    pub(crate) place: Place,
    set: Arc<ShardSet>,
    process: u32,
    /// A set at a URL that a forked process has opened again, and the id of that process. The lock is taken only while
    /// the thread holds the GIL: see `threads.rs`.
    in_fork: Mutex<Option<(u32, Arc<ShardSet>)>>,
}

impl OpenSet {
    /// Opens the set. If `id` is given, refuses a set with another id.
    pub(crate) fn open(py: Python<'_>, place: Place, id: Option<&str>) -> PyResult<OpenSet> {
        let set = Arc::new(place.open(py)?);
        id.map_or(Ok(()), |id| check_id(&set, id))?;
        Ok(OpenSet { place, set, process: std::process::id(), in_fork: Mutex::default() })
    }

    /// The set, for reading its manifest. In a forked process, this is the set of the parent, and chunks must be read
    /// through [`OpenSet::readable`].
    pub(crate) fn described(&self) -> &ShardSet {
        &self.set
    }

    /// The set, for reading chunks in this process.
    ///
    /// # Errors
    /// IncompatibleError if this is a forked process, and the URL now has another set; errors of [`Place::open`].
    pub(crate) fn readable(&self, py: Python<'_>) -> PyResult<Arc<ShardSet>> {
        let process = std::process::id();
        if process == self.process || self.place.url().is_none() {
            return Ok(self.set.clone());
        }
        let lock = || self.in_fork.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, set)) = &*lock()
            && *of == process
        {
            return Ok(set.clone());
        }
        let set = Arc::new(self.place.open(py)?);
        check_id(&set, &self.set.manifest().set_id.to_string())?;
        // The set of a parent process is never dropped here. Its drop would tell threads to end that don't exist here.
        std::mem::forget(lock().replace((process, set.clone())).filter(|(of, _)| *of != process));
        Ok(set)
    }
}

impl Drop for OpenSet {
    fn drop(&mut self) {
        if self.process != std::process::id() && self.place.url().is_some() {
            std::mem::forget(self.set.clone());
        }
    }
}

/// Checks that a set has the id `id`.
pub(crate) fn check_id(set: &ShardSet, id: &str) -> PyResult<()> {
    let (dir, found) = (set.dir(), set.manifest().set_id.to_string());
    let fields = [("set_id", id.to_string(), found)];
    Error::refuse_difference(dir, Path::new("the set as it was before"), fields).map_err(exception)
}
