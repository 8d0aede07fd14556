//! Reads and writes the objects below one URL: the files of a folder, a web server or an object store. The calls block;
//! the asynchronous runtime stays inside this crate.

use std::future::Future;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{
    Error as StoreError, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use tonic_base::interrupt;

use crate::error::{BaseFault, Error, Result};
use crate::location::{Location, Patience};
use crate::runtime::runtime;
use crate::swap_file::{remove_if_empty, remove_uploads, swap_file};
use crate::text::{KEPT, kind, reason};

mod read;

/// Files are sent in parts of this many bytes.
const PART: usize = 8 << 20;
/// Maximum number of times that a file is sent again to a directory because another process has removed its temporary
/// file.
const REMOVED: u32 = 3;
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
    /// Whether the server has sent a whole file although only a range was requested.
    whole_only: Arc<AtomicBool>,
    /// Whether an answer has shown that the server can send a range of a file.
    sends_ranges: Arc<AtomicBool>,
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
        let sends_ranges = Arc::default();
        let (store, root) = location.store(patience, &sends_ranges)?;
        let (shown, directory) = (location.shown().to_string(), location.directory());
        Ok(Store { store, root, shown, directory, patience, whole_only: Arc::default(), sends_ranges })
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

    /// Returns the path of the object `name`. If `name` is empty, returns the path that the URL of the store names.
    fn path(&self, name: &str) -> ObjectPath {
        if name.is_empty() { self.root.clone() } else { self.root.clone().join(name) }
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

    /// Returns whether the server can send a range of a file. Returns `None` until an answer has shown it.
    pub(crate) fn sends_ranges(&self) -> Option<bool> {
        match self.whole_only.load(Ordering::Relaxed) {
            true => Some(false),
            false => self.sends_ranges.load(Ordering::Relaxed).then_some(true),
        }
    }

    /// Sends a file in parts and writes it as the object `name`. Other processes see the whole object or none. After
    /// each part, calls `sent` with the number of bytes in the part.
    ///
    /// In a directory, sends the file again if another process that prunes has removed its temporary file.
    pub(crate) fn put_file(&self, name: &str, file: &Path, sent: &(dyn Fn(u64) + Sync)) -> Result<()> {
        let mut tries = if self.directory.is_some() { REMOVED } else { 0 };
        loop {
            match self.run(self.put_once(name, file, sent))? {
                Err(e) if tries > 0 && kind(&e) == ErrorKind::NotFound => tries -= 1,
                sent => return sent.map_err(self.fault(name, "write")),
            }
        }
    }

    /// Sends a file once. The outer error is that of the file, the inner one that of the store.
    async fn put_once(
        &self,
        name: &str,
        file: &Path,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<std::result::Result<(), StoreError>> {
        let mut upload = match self.store.put_multipart(&self.path(name)).await {
            Ok(upload) => upload,
            Err(e) => return Ok(Err(e)),
        };
        let written = send_parts(&mut *upload, file, sent).await;
        if let Ok(Ok(())) = written {
            return Ok(upload.complete().await.map(|_| ()));
        }
        let _ = upload.abort().await;
        written.map_err(Error::io(file, "read the shard"))
    }

    /// Copies the object `name` from the folder `from` to this folder. The server makes the copy, so the bytes do not
    /// pass through this machine. In a directory, the copy is a hard link.
    ///
    /// Returns `false` in three cases:
    ///
    /// - There is no such object.
    /// - The server cannot copy.
    /// - This folder is a directory that already has a file `name`, or that another process has removed.
    pub(crate) fn copy(&self, from: &Store, name: &str) -> Result<bool> {
        use StoreError::{AlreadyExists, NotFound, NotImplemented, NotSupported};
        self.run(async {
            let (from, to) = (from.path(name), self.path(name));
            let copied = match self.directory {
                // object_store's `copy` makes a temporary link and renames it to `to`. If `to` is already a link to
                // the same file, the rename does nothing, and the temporary link stays.
                Some(_) => self.store.copy_if_not_exists(&from, &to).await,
                None => self.store.copy(&from, &to).await,
            };
            match copied {
                Ok(()) => Ok(true),
                Err(NotFound { .. } | NotImplemented { .. } | NotSupported { .. }) => Ok(false),
                Err(AlreadyExists { .. }) if self.directory.is_some() => Ok(false),
                Err(e) if self.directory.is_some() && kind(&e) == ErrorKind::NotFound => Ok(false),
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

    /// Removes the temporary files that killed processes have left in this directory. Does nothing for object stores,
    /// because they don't show the parts of an unfinished upload. A running upload fails if its temporary file is
    /// removed.
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
