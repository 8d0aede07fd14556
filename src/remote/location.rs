//! URLs of sets: `file://`, `http://`, `https://`, `s3://` and `az://`. A URL can have the id of a set after `#`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use tonic_shard::Id;
use url::Url;

use crate::error::{Error, Result};
use crate::text::{hide, plain, reason};
use crate::web::Web;

/// Text for error messages: the schemes that the URL of a set can have.
const SCHEMES: &str = "file://, http://, https://, s3:// or az://";

/// Maps shortened URLs, without credentials, to the original URLs with credentials.
static WITH_CREDENTIALS: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// Returns a URL without user, password and query, for messages and files. `None` if there is nothing to leave out.
/// [`Location::parse`] accepts the short URL and uses the original URL instead, but only in this process.
pub fn without_credentials(text: &str) -> Option<String> {
    let (url, id) = text.split_at(text.find('#').unwrap_or(text.len()));
    let short = plain(url);
    if !url.contains("://") || short == url {
        return None;
    }
    let short = format!("{short}{id}");
    WITH_CREDENTIALS.lock().unwrap_or_else(PoisonError::into_inner).insert(short.clone(), text.into());
    Some(short)
}

/// Returns the URL of the file `file` below the folder at the URL `folder`. Keeps the credentials and the query of
/// `folder`. `file` is a path with `/` as the separator.
///
/// # Errors
/// [`Error::BadUrl`] for a text that is not a URL.
pub fn below(folder: &str, file: &str) -> Result<String> {
    let mut url = Location::parse(folder)?.url;
    let bad = || Error::BadUrl { url: plain(folder), expected: SCHEMES, got: "a URL without a path".into() };
    url.path_segments_mut().map_err(|()| bad())?.pop_if_empty().extend(file.split('/'));
    Ok(url.into())
}

/// The URL of a folder for sets, on a server or on this machine.
#[derive(Clone, Debug)]
pub struct Location {
    url: Url,
    /// The URL without credentials, query and fragment, and without a slash at its end.
    shown: String,
    /// The id after `#` in the URL. `None` means the latest set.
    pinned: Option<Id>,
}

/// How long to wait for a server.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Maximum time without any progress. A broken transfer is tried again until this time has passed.
    pub timeout: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { timeout: Duration::from_secs(60) }
    }
}

impl Location {
    /// Parses a URL such as `s3://bucket/ssc/train` or `https://host/train#SETID`.
    ///
    /// # Errors
    /// [`Error::BadUrl`] for a text that is not a URL, an unsupported scheme, or a text after `#` that is not an id.
    pub fn parse(text: &str) -> Result<Location> {
        let bad = |expected, got: String| Error::BadUrl { url: plain(text), expected, got };
        let known = WITH_CREDENTIALS.lock().unwrap_or_else(PoisonError::into_inner).get(text).cloned();
        let mut url = Url::parse(known.as_deref().unwrap_or(text)).map_err(|e| bad(SCHEMES, e.to_string()))?;
        [url.password(), url.query()].into_iter().flatten().for_each(hide);
        if !["file", "http", "https", "s3", "az"].contains(&url.scheme()) {
            return Err(bad(SCHEMES, format!("{}://", url.scheme())));
        }
        if url.scheme() == "file" && url.to_file_path().is_err() {
            let got = format!("the host {:?}", url.host_str().unwrap_or_default());
            return Err(bad("file:// and a full path, such as file:///srv/sets with three slashes", got));
        }
        let fragment = url.fragment().filter(|id| !id.is_empty());
        let parse = |id: &str| {
            id.parse().map_err(|_| bad("the id of a set after #, 64 hexadecimal digits", id.to_ascii_lowercase()))
        };
        let pinned = fragment.map(parse).transpose()?;
        url.set_fragment(None);
        if let Some(parent) = url.path().strip_suffix("manifest.json").map(String::from) {
            url.set_path(&parent); // the URL of the manifest means its set
        }
        let shown = plain(url.as_str()).trim_end_matches('/').to_string();
        Ok(Location { url, shown, pinned })
    }

    /// Returns the URL without credentials, query and fragment.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Returns the id of a set after `#` in the URL. `None` means the latest set.
    pub fn pinned(&self) -> Option<Id> {
        self.pinned
    }

    /// Returns the directory that a `file://` URL names. `None` for other URLs.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        (self.url.scheme() == "file").then(|| self.url.to_file_path().ok()).flatten()
    }

    /// Returns [`Error::ReadOnly`] for the URL of a web server, to which no set can be sent.
    pub(crate) fn check_writable(&self) -> Result<()> {
        match self.url.scheme() {
            "http" | "https" => Err(Error::ReadOnly { url: self.shown.clone() }),
            _ => Ok(()),
        }
    }

    /// Returns the object store of the URL, and the path in this store. Credentials and endpoints of `s3://` and
    /// `az://` come from environment variables (`AWS_*`, `AZURE_STORAGE_*`). Credentials for a web server come from the
    /// URL.
    ///
    /// Sets `sends_ranges` to true for a `file://` URL, because a range of a local file can always be read. For other
    /// URLs, the HTTP client sets it when an answer shows that the server can send ranges.
    pub(crate) fn store(
        &self,
        patience: Patience,
        sends_ranges: &Arc<AtomicBool>,
    ) -> Result<(Arc<dyn ObjectStore>, ObjectPath)> {
        let bad = |e: &object_store::Error| Error::BadUrl {
            url: self.shown.clone(),
            expected: "a URL and environment variables that fit it",
            got: reason(e),
        };
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(5),
                base: 2.0,
            },
            max_retries: 8,
            retry_timeout: patience.timeout,
        };
        let client = ClientOptions::new()
            .with_connect_timeout(patience.timeout.min(Duration::from_secs(10)))
            .with_read_timeout(patience.timeout.min(Duration::from_secs(20)))
            .with_timeout_disabled();
        let web = Web::new(&self.url, patience.timeout, sends_ranges.clone());
        let path = |path: &str| ObjectPath::from_url_path(path.trim_end_matches('/')).map_err(|e| bad(&e.into()));
        let built: Arc<dyn ObjectStore> = match self.url.scheme() {
            "file" => {
                sends_ranges.store(true, Ordering::Relaxed);
                Arc::new(LocalFileSystem::new().with_fsync(true))
            }
            "s3" => {
                let builder =
                    AmazonS3Builder::from_env().with_url(self.url.as_str()).with_retry(retry).with_http_connector(web);
                let allow = std::env::var("AWS_ALLOW_HTTP").is_ok_and(|value| value == "true" || value == "1");
                Arc::new(builder.with_client_options(client.with_allow_http(allow)).build().map_err(|e| bad(&e))?)
            }
            "az" => {
                let builder = MicrosoftAzureBuilder::from_env()
                    .with_url(self.url.as_str())
                    .with_retry(retry)
                    .with_http_connector(web);
                let allow = std::env::var("AZURE_ALLOW_HTTP").is_ok_and(|value| value == "true" || value == "1")
                    || std::env::var("AZURE_STORAGE_USE_EMULATOR").is_ok_and(|value| value == "true");
                Arc::new(builder.with_client_options(client.with_allow_http(allow)).build().map_err(|e| bad(&e))?)
            }
            _ => {
                let mut host = self.url.clone();
                host.set_path("");
                host.set_query(None);
                // An http URL has a host, so these succeed.
                let _ = host.set_username("").and_then(|()| host.set_password(None));
                let builder = HttpBuilder::new().with_url(host).with_retry(retry).with_http_connector(web);
                Arc::new(builder.with_client_options(client.with_allow_http(true)).build().map_err(|e| bad(&e))?)
            }
        };
        Ok((built, path(self.url.path())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_queries_are_not_shown() {
        let location = Location::parse("https://me:secret@host/a%20b/?sig=hidden").unwrap();
        assert_eq!(location.shown(), "https://host/a%20b");
        let error = Location::parse("ftp://me:secret@host/x?sig=hidden").unwrap_err().to_string();
        assert!(!error.contains("secret") && !error.contains("hidden"), "{error}");
        assert!(error.contains("s3://"), "{error}");
    }

    #[test]
    fn a_process_remembers_the_credentials_of_a_url() {
        let id = "ab".repeat(32);
        let text = format!("https://me:secret@host2/a?sig=hidden#{id}");
        let short = without_credentials(&text).unwrap();
        assert_eq!(short, format!("https://host2/a#{id}"));
        assert_eq!(Location::parse(&short).unwrap().url, Location::parse(&text).unwrap().url);
        assert!(Location::parse("https://host2/a").unwrap().url.username().is_empty());
        assert_eq!(without_credentials(&short), None);
        assert_eq!(without_credentials("a?b"), None);
    }

    #[test]
    fn a_file_below_a_folder_keeps_the_credentials() {
        for (folder, url) in [
            ("https://me:secret@host/a/?sig=x", "https://me:secret@host/a/b/c%20d.zip?sig=x"),
            ("file:///srv", "file:///srv/b/c%20d.zip"),
            ("s3://bucket", "s3://bucket/b/c%20d.zip"),
        ] {
            assert_eq!(below(folder, "b/c d.zip").unwrap(), url);
        }
        assert!(below("nowhere", "x").is_err());
    }

    #[test]
    fn files_have_full_paths() {
        for (text, path) in [("file:///srv/a%20b/", "/srv/a b/"), ("file://localhost/srv", "/srv")] {
            assert_eq!(Location::parse(text).unwrap().directory(), Some(path.into()));
        }
        for text in ["file://srv/sets", "file://shards"] {
            assert!(Location::parse(text).unwrap_err().to_string().contains("three slashes"), "{text}");
        }
    }

    #[test]
    fn an_id_pins_a_set() {
        let id = "ab".repeat(32);
        let location = Location::parse(&format!("s3://bucket/ssc#{}", id.to_uppercase())).unwrap();
        assert_eq!(location.pinned().unwrap().to_string(), id);
        assert!(Location::parse("s3://bucket/ssc#abc").is_err());
        assert!(Location::parse("s3://bucket/ssc").unwrap().pinned().is_none());
    }
}
