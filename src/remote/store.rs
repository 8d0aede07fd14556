//! Reads and writes the objects below one URL: the files of a folder, a web server or an object store. The calls block;
//! the asynchronous runtime stays inside this crate.

use std::future::Future;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{
    Error as StoreError, GetOptions, GetRange, GetResult, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, PutPayload, UpdateVersion,
};
use tokio::time::timeout;
use tonic_base::{Error as BaseError, interrupt};
use tonic_shard::Error as ShardError;

use crate::error::{BaseFault, Error, Result};
use crate::location::{Location, Patience};
use crate::runtime::runtime;
use crate::swap_file::{remove_if_empty, remove_uploads, swap_file};
use crate::text::{KEPT, kind, lacks_bucket, reason};

/// Files are sent in parts of this many bytes.
const PART: usize = 8 << 20;
/// If an attempt to read brings fewer bytes than this, it counts as an attempt that brought none. Otherwise, a server
/// that stalls after a few bytes each time would be asked for hours.
const LITTLE: u64 = 4 << 10;
/// Time between two checks whether a signal asks the program to stop.
const LOOK: Duration = Duration::from_millis(200);

/// The objects below one URL: the files of a folder, a web server or an object store.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    store: Arc<dyn ObjectStore>,
    root: ObjectPath,
    /// The URL, without credentials.
    shown: String,
    /// The directory that the URL names. `None` if the URL is not a `file://` URL.
    directory: Option<PathBuf>,
    patience: Patience,
    /// Whether the server has answered a request for a range of a file with the whole file.
    whole_only: Arc<AtomicBool>,
}

/// The version that an object had when it was read. A later write uses this version to check that the object was not
/// replaced in the meantime.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    tags: UpdateVersion,
    content: Bytes,
}

impl Store {
    pub(crate) fn open(location: &Location, patience: Patience) -> Result<Store> {
        runtime();
        let (store, root) = location.store(patience)?;
        let (shown, directory) = (location.shown().to_string(), location.directory());
        Ok(Store { store, root, shown, directory, patience, whole_only: Arc::default() })
    }

    /// Returns the objects below the folder `folder` of this URL.
    pub(crate) fn below(&self, folder: &str) -> Store {
        Store {
            root: self.root.clone().join(folder),
            shown: format!("{}/{folder}", self.shown),
            directory: self.directory.as_ref().map(|dir| dir.join(folder)),
            ..self.clone()
        }
    }

    /// Returns how long to wait for the server and for other processes.
    pub(crate) fn patience(&self) -> Patience {
        self.patience
    }

    /// Returns the URL of the object `name`, without credentials. If `name` is empty, returns the URL of the folder.
    pub(crate) fn url(&self, name: &str) -> PathBuf {
        PathBuf::from(if name.is_empty() { self.shown.clone() } else { format!("{}/{name}", self.shown) })
    }

    fn path(&self, name: &str) -> ObjectPath {
        self.root.clone().join(name)
    }

    /// Returns a closure that converts the error of a request for the object `name`.
    fn fault<'a>(&'a self, name: &str, action: &'static str) -> impl FnOnce(StoreError) -> Error + use<'a> {
        let url = self.url(name);
        move |e| Error::io(url, action)(std::io::Error::new(kind(&e), reason(&e)))
    }

    /// Runs a transfer until it ends, or until a signal asks the program to stop.
    fn run<T>(&self, transfer: impl Future<Output = Result<T>>) -> Result<T> {
        runtime().block_on(async {
            tokio::select! {
                result = transfer => result,
                () = asked_to_stop() => Err(Error::interrupted(KEPT)),
            }
        })
    }

    /// Reads a whole object into memory. Returns `None` if there is no such object. After a failure of the network,
    /// tries again until the timeout has passed.
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

    /// Returns the next bytes of the object `name` from `stream`, or `None` at its end. Returns an error if nothing
    /// arrives within the timeout.
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

    /// Returns the size of an object in bytes. `None` if there is no such object.
    pub(crate) fn size(&self, name: &str) -> Result<Option<u64>> {
        self.run(async {
            match self.store.head(&self.path(name)).await {
                Ok(meta) => Ok(Some(meta.size)),
                Err(StoreError::NotFound { .. }) => Ok(None),
                Err(e) => Err(self.fault(name, "ask for")(e)),
            }
        })
    }

    /// Reads a range of an object piece by piece. Calls `take` with the offset of each piece in the object and with its
    /// bytes. If the connection breaks, continues at the offset where it broke. Returns an error if nothing arrives
    /// within the timeout.
    ///
    /// Some web servers cannot send a range. From these servers, the object is read from its beginning, and the bytes
    /// before the range are dropped.
    ///
    /// # Errors
    /// [`tonic_shard::Error::Incomplete`] if there is no such object, because the manifest names every object that is
    /// read in this way; [`tonic_base::Error::Io`]; errors of `take`.
    pub(crate) fn read(
        &self,
        name: &str,
        range: Range<u64>,
        take: &mut (dyn FnMut(u64, &[u8]) -> Result<()> + Send),
    ) -> Result<()> {
        self.run(self.read_on(name, range, take))
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
        take: &mut (dyn FnMut(u64, &[u8]) -> Result<()> + Send),
    ) -> Result<()> {
        let (mut at, mut waits) = (range.start, Waits::new(self.patience.timeout));
        while at < range.end {
            let before = at;
            let mut count = |offset: u64, piece: &[u8]| {
                at = offset + piece.len() as u64;
                take(offset, piece)
            };
            let tried = self.read_once(name, before..range.end, &mut count).await;
            let failure = match tried {
                Ok(()) if at >= range.end => return Ok(()),
                Ok(()) => {
                    let (expected, got) = (format!("{} bytes", range.end), format!("{at}, and then its end"));
                    Error::corrupt(&self.url(name), "file length", expected, got)
                }
                Err(error) if is_passing(&error) => error,
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

    async fn read_once(
        &self,
        name: &str,
        range: Range<u64>,
        take: &mut (dyn FnMut(u64, &[u8]) -> Result<()> + Send),
    ) -> Result<()> {
        let path = self.path(name);
        let part = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let got: GetResult = match self.store.get_opts(&path, part).await {
            Err(StoreError::NotSupported { .. }) => {
                self.whole_only.store(true, Ordering::Relaxed);
                self.store.get(&path).await
            }
            got => got,
        }
        .map_err(|e| match e {
            StoreError::NotFound { .. } => {
                let missing = format!("{name} is not there: it was removed, by `prune` perhaps, or never sent");
                ShardError::Incomplete { path: self.url(""), missing }.into()
            }
            e => self.fault(name, "read")(e),
        })?;
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

    /// Returns whether the server has answered a request for a range of a file with the whole file.
    pub(crate) fn sends_whole_only(&self) -> bool {
        self.whole_only.load(Ordering::Relaxed)
    }

    /// Sends a file in parts and writes it as the object `name`. Other processes see the whole object or none. After
    /// each part, calls `sent` with the number of bytes in the part.
    pub(crate) fn put_file(&self, name: &str, file: &Path, sent: &(dyn Fn(u64) + Sync)) -> Result<()> {
        self.run(async {
            let fault = || self.fault(name, "write");
            let mut upload = self.store.put_multipart(&self.path(name)).await.map_err(fault())?;
            let written = send_parts(&mut *upload, file, sent).await;
            match written {
                Ok(Ok(())) => upload.complete().await.map(|_| ()).map_err(fault()),
                Ok(Err(e)) => {
                    let _ = upload.abort().await;
                    Err(fault()(e))
                }
                Err(e) => {
                    let _ = upload.abort().await;
                    Err(Error::io(file, "read the shard")(e))
                }
            }
        })
    }

    /// Copies the object `name` from the folder `from` to this folder. The server makes the copy, so the bytes do not
    /// pass through this machine. Returns `false` if there is no such object, or if the server cannot copy. In a
    /// directory, the copy is a hard link. If the directory already has a file `name`, the function also returns
    /// `false`: replacing a link to the same file would leave a temporary link.
    pub(crate) fn copy(&self, from: &Store, name: &str) -> Result<bool> {
        use StoreError::{AlreadyExists, NotFound, NotImplemented, NotSupported};
        self.run(async {
            let (from, to) = (from.path(name), self.path(name));
            let copied = match self.directory {
                Some(_) => self.store.copy_if_not_exists(&from, &to).await,
                None => self.store.copy(&from, &to).await,
            };
            match copied {
                Ok(()) => Ok(true),
                Err(NotFound { .. } | NotImplemented { .. } | NotSupported { .. }) => Ok(false),
                Err(AlreadyExists { .. }) if self.directory.is_some() => Ok(false),
                Err(e) => Err(self.fault(name, "write")(e)),
            }
        })
    }

    /// Removes an object. Does nothing if there is no such object.
    pub(crate) fn delete(&self, name: &str) -> Result<()> {
        self.run(async {
            match self.store.delete(&self.path(name)).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
                Err(e) => Err(self.fault(name, "remove")(e)),
            }
        })
    }

    /// Removes the temporary files that killed processes have left in this folder. Does nothing for object stores,
    /// where nobody sees the parts of an upload that was not completed. If a process is still writing such a file, its
    /// upload fails.
    pub(crate) fn remove_temporary_files(&self) {
        if let Some(dir) = &self.directory {
            remove_uploads(dir);
        }
    }

    /// Removes the directory of this folder, if there is one and it is empty. Object stores have no directories.
    pub(crate) fn remove_if_empty(&self) {
        if let Some(dir) = &self.directory {
            remove_if_empty(dir);
        }
    }

    /// Replaces an object with `content`, but only if the object still has the version `before`. If `before` is
    /// `None`, creates the object, but only if it does not exist yet. If another process has changed or created the
    /// object in the meantime, writes nothing and returns `false`.
    pub(crate) fn swap(&self, name: &str, before: Option<&Version>, content: Bytes) -> Result<bool> {
        if let Some(dir) = &self.directory {
            let before = before.map(|version| &version.content[..]);
            return swap_file(dir, name, before, &content, self.patience);
        }
        let mode = before.map_or(PutMode::Create, |version| PutMode::Update(version.tags.clone()));
        self.run(async {
            let payload = PutPayload::from_bytes(content);
            let options = PutOptions { mode, ..PutOptions::default() };
            match self.store.put_opts(&self.path(name), payload, options).await {
                Ok(_) => Ok(true),
                Err(
                    StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } | StoreError::NotFound { .. },
                ) => Ok(false),
                Err(e) => Err(self.fault(name, "replace")(e)),
            }
        })
    }
}

/// Waits until a signal asks the program to stop.
async fn asked_to_stop() {
    while !interrupt::requested() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns whether a failed request can succeed if it is tried again. This is true for most errors of the network,
/// and false for errors of writing the received bytes to disk.
fn is_passing(error: &Error) -> bool {
    use std::io::ErrorKind::{AlreadyExists, InvalidInput, NotFound, PermissionDenied, ResourceBusy};
    let Error::Base(BaseError::Io { source, action: "read", .. }) = error else { return false };
    !matches!(source.kind(), NotFound | PermissionDenied | AlreadyExists | InvalidInput | ResourceBusy)
}

/// The pauses between the tries of a request. Each pause is twice as long as the one before, up to five seconds. The
/// tries end when the timeout has passed.
struct Waits {
    end: Instant,
    next: Duration,
}

impl Waits {
    fn new(timeout: Duration) -> Waits {
        Waits { end: Instant::now() + timeout, next: Duration::from_millis(100) }
    }

    /// Waits before the next try, and returns `true`. Returns `false` at once if the timeout has passed.
    async fn again(&mut self) -> bool {
        if Instant::now() >= self.end {
            return false;
        }
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(Duration::from_secs(5));
        true
    }
}

/// Sends a file in parts. The outer result has an error if the file cannot be read. The inner result has an error if
/// the server fails.
async fn send_parts(
    upload: &mut dyn MultipartUpload,
    file: &Path,
    sent: &(dyn Fn(u64) + Sync),
) -> std::io::Result<object_store::Result<()>> {
    use std::io::Read;
    let mut file = std::fs::File::open(file)?;
    loop {
        let mut part = Vec::with_capacity(PART);
        (&mut file).take(PART as u64).read_to_end(&mut part)?;
        let len = part.len() as u64;
        if len == 0 {
            return Ok(Ok(()));
        }
        if let Err(e) = upload.put_part(part.into()).await {
            return Ok(Err(e));
        }
        sent(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_in_a_directory_leave_no_temporary_links() {
        let dir = std::env::temp_dir().join(format!("tonic-remote-copy-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("a")).unwrap();
        std::fs::write(dir.join("a/x"), "whole").unwrap();
        let location = Location::parse(&format!("file://{}", dir.display())).unwrap();
        let root = Store::open(&location, Patience::default()).unwrap();
        let copied = [(); 2].map(|()| root.below("b").copy(&root.below("a"), "x").unwrap());
        assert_eq!(copied, [true, false], "the second copy finds that of another process");
        let names: Vec<_> = std::fs::read_dir(dir.join("b")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["x"]);
        assert_eq!(std::fs::read(dir.join("b/x")).unwrap(), b"whole");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
