//! Reads objects, whole or by range. After a failure of the network, reading continues where it stopped.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::{
    Error as StoreError, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, UpdateVersion,
};
use tokio::time::timeout;
use tonic_base::Error as BaseError;
use tonic_shard::Error as ShardError;

use crate::download::FileVersion;
use crate::error::{BaseFault, Error, Result};
use crate::store::{Store, Version};
use crate::text::lacks_bucket;

/// If an attempt to read brings fewer bytes than this, it counts as no progress, and the timeout is not restarted.
/// Otherwise, the program would continue for hours with a server that stalls after a few bytes each time.
const LITTLE: u64 = 4 << 10;

impl Store {
    /// Reads a whole object into memory. `None` if there is no such object. After a failure of the network, tries again
    /// until the timeout has passed.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`] if the object has more than `most` bytes; [`tonic_base::Error::Io`].
    pub(crate) fn get(&self, name: &str, most: u64) -> Result<Option<(Bytes, Version)>> {
        self.run(async {
            let mut waits = Waits::new(self.patience.timeout);
            loop {
                match self.get_once(name, most).await {
                    Err(error) if is_passing(&error) && waits.again().await => {}
                    got => return got,
                }
            }
        })
    }

    async fn get_once(&self, name: &str, most: u64) -> Result<Option<(Bytes, Version)>> {
        let found = match self.store.get(&self.path(name)).await {
            Err(e @ StoreError::NotFound { .. }) if !lacks_bucket(&e) => return Ok(None),
            found => found.map_err(self.fault(name, "read"))?,
        };
        let tags = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let (mut stream, mut content) = (found.into_stream(), Vec::new());
        while let Some(piece) = self.next(&mut stream, name).await? {
            content.extend_from_slice(&piece);
            if content.len() as u64 > most {
                let expected = format!("at most {most} bytes");
                return Err(Error::corrupt(&self.url(name), "file length", expected, "more"));
            }
        }
        let content = Bytes::from(content);
        Ok(Some((content.clone(), Version { tags, content })))
    }

    /// Returns the next bytes of the object `name` from `stream`, or `None` at its end. Fails if nothing arrives within
    /// the timeout.
    async fn next(
        &self,
        stream: &mut (impl futures_util::Stream<Item = object_store::Result<Bytes>> + Unpin),
        name: &str,
    ) -> Result<Option<Bytes>> {
        match timeout(self.patience.timeout, stream.next()).await {
            Ok(Some(piece)) => piece.map(Some).map_err(self.fault(name, "read")),
            Ok(None) => Ok(None),
            Err(_) => {
                let waited = format!("nothing arrived for {:.0} s", self.patience.timeout.as_secs_f64());
                Err(Error::io(self.url(name), "read")(std::io::Error::new(std::io::ErrorKind::TimedOut, waited)))
            }
        }
    }

    /// Reads a range of an object. Calls `take` with the offset in the object and the bytes of each piece. Continues
    /// after a broken connection, and fails if nothing arrives within the timeout.
    ///
    /// # Errors
    /// [`tonic_shard::Error::Incomplete`] if there is no such object; [`tonic_base::Error::Io`]; errors of `take`.
    pub(crate) fn read(
        &self,
        name: &str,
        range: Range<u64>,
        take: &mut (dyn FnMut(u64, &[u8]) -> Result<()> + Send),
    ) -> Result<()> {
        self.read_version(name, range, None, take)
    }

    /// Like [`Store::read`], but fails if the object doesn't have the version `version`. `None` accepts every version.
    ///
    /// # Errors
    /// Also [`Error::Replaced`] if the object has another version.
    pub(crate) fn read_version(
        &self,
        name: &str,
        range: Range<u64>,
        version: Option<&FileVersion>,
        take: &mut (dyn FnMut(u64, &[u8]) -> Result<()> + Send),
    ) -> Result<()> {
        self.run(self.read_on(name, range, version, take))
    }

    /// Returns the version of an object. Requests its first byte, because many servers don't support HEAD requests.
    pub(crate) fn version(&self, name: &str) -> Result<FileVersion> {
        self.run(async {
            let mut waits = Waits::new(self.patience.timeout);
            loop {
                match self.get_range(name, 0..1).await {
                    Err(error) if is_passing(&error) && waits.again().await => {}
                    got => return got.map(|got| FileVersion::of(&got.meta)),
                }
            }
        })
    }

    /// Reads a range of an object into memory, like [`Store::read`].
    pub(crate) fn read_bytes(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read(name, range, &mut |_, piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    async fn read_on(
        &self,
        name: &str,
        range: Range<u64>,
        version: Option<&FileVersion>,
        take: &mut (dyn FnMut(u64, &[u8]) -> Result<()> + Send),
    ) -> Result<()> {
        let (mut at, mut waits) = (range.start, Waits::new(self.patience.timeout));
        while at < range.end {
            let before = at;
            let mut count = |offset: u64, piece: &[u8]| {
                at = offset + piece.len() as u64;
                take(offset, piece)
            };
            let tried = self.read_once(name, before..range.end, version, &mut count).await;
            let failure = match tried {
                Ok(()) if at >= range.end => return Ok(()),
                Ok(()) => {
                    let (expected, got) = (format!("{} bytes", range.end), format!("{at}, and then its end"));
                    Error::corrupt(&self.url(name), "file length", expected, got)
                }
                // If an answer breaks off, object_store itself requests the rest. If this request fails, its status
                // can be one after which our own requests are not tried again.
                Err(error) if is_passing(&error) || (at > before && is_of_server(&error)) => error,
                Err(error) => return Err(error),
            };
            if at - before >= LITTLE {
                waits = Waits::new(self.patience.timeout);
            }
            if !waits.again().await {
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Asks for a range of an object. The answer is the whole object if the server sends no ranges.
    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<GetResult> {
        let path = self.path(name);
        let part = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        match self.store.get_opts(&path, part).await {
            Err(StoreError::NotSupported { .. }) => {
                self.whole_only.store(true, Ordering::Relaxed);
                self.store.get(&path).await
            }
            got => {
                if got.is_ok() {
                    self.sends_ranges.store(true, Ordering::Relaxed);
                }
                got
            }
        }
        .map_err(|e| match e {
            StoreError::NotFound { .. } => {
                let missing = format!("{name} is not there: it was removed, by `prune` perhaps, or never sent");
                ShardError::Incomplete { path: self.url(""), missing }.into()
            }
            e => self.fault(name, "read")(e),
        })
    }

    async fn read_once(
        &self,
        name: &str,
        range: Range<u64>,
        version: Option<&FileVersion>,
        take: &mut (dyn FnMut(u64, &[u8]) -> Result<()> + Send),
    ) -> Result<()> {
        let got = self.get_range(name, range.clone()).await?;
        if version.is_some_and(|version| *version != FileVersion::of(&got.meta)) {
            return Err(Error::Replaced { url: self.url(name).display().to_string() });
        }
        if got.meta.size < range.end {
            let (expected, got) = (format!("at least {} bytes", range.end), got.meta.size);
            return Err(Error::corrupt(&self.url(name), "file length", expected, got));
        }
        let (mut at, mut stream) = (got.range.start, got.into_stream());
        while let Some(piece) = self.next(&mut stream, name).await? {
            let (start, end) = (at.max(range.start), (at + piece.len() as u64).min(range.end));
            if start < end {
                take(start, &piece[(start - at) as usize..(end - at) as usize])?;
            }
            at += piece.len() as u64;
            if at >= range.end {
                break;
            }
        }
        Ok(())
    }
}

impl FileVersion {
    fn of(meta: &ObjectMeta) -> FileVersion {
        FileVersion { bytes: meta.size, tag: meta.e_tag.clone(), changed: meta.last_modified.timestamp() }
    }
}

/// Returns whether a failed request can succeed if it is tried again.
fn is_passing(error: &Error) -> bool {
    use std::io::ErrorKind::{AlreadyExists, InvalidInput, NotFound, PermissionDenied, ResourceBusy};
    let Error::Base(BaseError::Io { source, .. }) = error else { return false };
    let is_final = matches!(source.kind(), NotFound | PermissionDenied | AlreadyExists | InvalidInput | ResourceBusy);
    is_of_server(error) && !is_final
}

/// Returns whether an error of reading comes from the server or the network.
fn is_of_server(error: &Error) -> bool {
    matches!(error, Error::Base(BaseError::Io { action: "read", .. }))
}

/// The pauses between the tries of a request: each is twice as long as the one before, up to five seconds.
struct Waits {
    end: Instant,
    next: Duration,
}

impl Waits {
    fn new(timeout: Duration) -> Waits {
        Waits { end: Instant::now() + timeout, next: Duration::from_millis(100) }
    }

    /// Waits before the next try and returns `true`, or returns `false` at once if the timeout has passed.
    async fn again(&mut self) -> bool {
        if Instant::now() >= self.end {
            return false;
        }
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(Duration::from_secs(5));
        true
    }
}
