//! Opens sets for `tonic-prep` and `tonic-train`. A set is in a directory or, if the program was built with the
//! feature `remote`, at a URL.

use std::ffi::OsString;
use std::path::Path;
use std::sync::OnceLock;

use tonic_shard::{Result, ShardSet, Storage, is_url};

/// Opens a set. `place` is the path of a directory, or a URL.
pub(crate) fn open_set(place: &Path) -> Result<ShardSet> {
    match url_of(place) {
        Some(url) => ShardSet::open_in(&*storage(url)?),
        None => ShardSet::open(place),
    }
}

/// Returns `place` as a text if it is a URL. `None` if it is the path of a directory.
pub(crate) fn url_of(place: &Path) -> Option<&str> {
    place.to_str().filter(|_| is_url(place))
}

/// The command line as words, if the caller of `main` passes one. If this is empty, the command line of the process is
/// used.
pub(crate) static WORDS: OnceLock<Vec<OsString>> = OnceLock::new();

/// Returns the words of the command line, as they were typed.
pub(crate) fn words() -> Vec<OsString> {
    WORDS.get().cloned().unwrap_or_else(|| std::env::args_os().collect())
}

/// Returns the words of the command line. Removes the credentials from URLs, so that credentials appear in no message
/// and in no file.
pub(crate) fn typed_words() -> impl Iterator<Item = OsString> {
    words().into_iter().map(without_credentials)
}

/// Returns a word of a command line. If the word is a URL or an option with a URL, such as `--train=URL`, the URL is
/// returned without credentials.
pub(crate) fn without_credentials(word: OsString) -> OsString {
    #[cfg(feature = "remote")]
    if let Some(text) = word.to_str()
        && let Some(scheme_end) = text.find("://")
    {
        let start = text[..scheme_end].rfind('=').map_or(0, |at| at + 1);
        return tonic_remote::without_credentials(&text[start..])
            .map_or(word.clone(), |url| format!("{}{url}", &text[..start]).into());
    }
    word
}

/// The cache on disk through which this process reads sets at URLs. Empty if the user has not chosen a cache.
#[cfg(feature = "remote")]
pub(crate) static CACHE: OnceLock<tonic_remote::Cache> = OnceLock::new();

/// Opens the set at a URL, through the cache if the user has chosen one.
#[cfg(feature = "remote")]
pub(crate) fn storage(url: &str) -> Result<Box<dyn Storage>> {
    Ok(tonic_remote::open(url, CACHE.get())?)
}

#[cfg(not(feature = "remote"))]
pub(crate) fn storage(_url: &str) -> Result<Box<dyn Storage>> {
    Err(without_remote("reading from URLs").into())
}

/// Returns the error for a request that only a program with the feature `remote` can carry out. `what` names the
/// request.
#[cfg(not(feature = "remote"))]
pub(crate) fn without_remote(what: &str) -> tonic_base::Error {
    let why = "this program was built without the feature remote; releases have it, and so has cargo install --path . \
               --features train,remote";
    tonic_base::Error::Unavailable { what: what.into(), why: why.into() }
}
