//! Keeps sets at URLs in a cache on disk, for training. Threads fetch chunks ahead, in the order in which training will
//! read them. A chunk that is not there yet is fetched when training reads it. Fetched chunks stay in the cache for
//! later epochs and later runs.
//!
//! Each set has a folder in the cache, named by the set's id. The folder has one file for each shard. A chunk has the
//! same offset in this file as in the shard. Where no chunk has arrived yet, the file has a hole.
//!
//! The checksum of a chunk is verified when the chunk is taken from the cache. If the checksum is wrong, the chunk is
//! fetched again. This covers three cases:
//!
//! - The file has a hole.
//! - The file is damaged.
//! - Another process has written only a part of the chunk so far.
//!
//! Several processes can therefore share a cache without locks: they write the same bytes at the same offsets.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use tonic_base::{Error as BaseError, interrupt};
use tonic_shard::{
    ChunkRecord, Error as ShardError, Manifest, ShardEntry, ShardFile, ShardHead, Storage, identity_of, refuse_url,
    salvage,
};

use crate::error::{BaseFault, Error, Result};
use crate::partial_shard::{PartialShard, TRIES, bytes_of, is_whole};
use crate::remote_set::{CONNECTIONS, RemoteSet, not_here};

/// Number of threads that fetch chunks before training reads them.
const FETCHERS: usize = 32;
/// How long a fetching thread without work waits before it checks whether the set was closed.
const LOOK: Duration = Duration::from_millis(200);

/// The folder and the maximum size of a cache on disk for sets at URLs.
#[derive(Clone, Debug)]
pub struct Cache {
    /// Folder of the cache.
    pub dir: PathBuf,
    /// Maximum size of the cache in bytes. If a set does not fit when it is opened, other sets are removed, beginning
    /// with the least recently used one. If the space is still too small, the remaining chunks are fetched from the
    /// server each time that they are read.
    pub limit: u64,
}

/// A set at a URL, open for reading. Its chunks are kept in a cache on disk.
#[derive(Debug)]
pub struct CachedSet {
    set: Arc<RemoteSet>,
    dir: PathBuf,
    ahead: Arc<Ahead>,
}

impl CachedSet {
    /// Opens a set through a cache on disk. If the cache has no room for the set, removes other sets from the cache.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`] if the cache cannot be written; [`tonic_base::Error::Usage`] if its folder is a URL.
    pub fn new(set: RemoteSet, cache: &Cache) -> Result<CachedSet> {
        refuse_url("remote_cache", &cache.dir)?;
        let id = set.manifest().set_id.to_string();
        let dir = cache.dir.join(&id);
        make_folder(&dir, || {
            // The modification time of the folder says when the set was last used.
            let used = File::open(&dir).and_then(|folder| folder.set_modified(SystemTime::now()));
            used.map_err(Error::io(&dir, "write the cache"))
        })?;
        let room = make_room(cache, &dir, set.manifest().stored_bytes());
        let ahead = Ahead { queue: Arc::default(), started: Once::new(), room: AtomicU64::new(room) };
        Ok(CachedSet { set: Arc::new(set), dir, ahead: Arc::new(ahead) })
    }
}

impl Storage for CachedSet {
    fn path(&self) -> &Path {
        self.set.path()
    }

    fn manifest(&self) -> Result<Manifest, ShardError> {
        Storage::manifest(&*self.set)
    }

    fn shard(&self, entry: &ShardEntry) -> Result<Box<dyn ShardFile>, ShardError> {
        let manifest = self.set.manifest();
        let number = manifest.shards.iter().position(|other| other == entry).unwrap_or_default();
        let chunks = salvage::shard_chunks(&manifest.description, number as u64);
        let open = || CachedShard::open(&self.set, &self.dir, entry, chunks, &self.ahead);
        Ok(Box::new(Handle(Arc::new(make_folder(&self.dir, open)?))))
    }

    fn connections(&self) -> usize {
        CONNECTIONS
    }
}

/// A shard of a set at a URL, read through the cache on disk.
#[derive(Debug)]
struct CachedShard {
    set: Arc<RemoteSet>,
    name: String,
    url: PathBuf,
    size: u64,
    /// The shard's file in the cache. It has the chunks that have arrived so far.
    part: PartialShard,
    /// The bytes of the shard's header and index.
    head: Vec<u8>,
    chunks: Vec<ChunkRecord>,
    /// For each chunk, whether this process has found it intact in the cache or has written it there.
    arrived: Vec<AtomicBool>,
    /// Indices of the chunks that are being fetched at the moment.
    fetching: Mutex<HashSet<usize>>,
    /// Notified whenever a thread has finished fetching a chunk.
    fetched: Condvar,
    ahead: Arc<Ahead>,
}

impl CachedShard {
    /// Opens a shard that has `chunks` chunks. If its header and index are not in the cache, fetches them.
    fn open(
        set: &Arc<RemoteSet>,
        dir: &Path,
        entry: &ShardEntry,
        chunks: usize,
        ahead: &Arc<Ahead>,
    ) -> Result<CachedShard> {
        let store = set.store();
        let part = PartialShard::open(dir.join(&entry.name), entry.bytes)?;
        let (head, chunks) = part.head(store, entry, chunks, |path, bytes| {
            let head = ShardHead::parse(path, bytes, entry.bytes)?;
            let identity = identity_of(head.chunks.iter().map(|chunk| &chunk.identity));
            match identity == entry.identity {
                true => Ok(head.chunks),
                false => Err(Error::corrupt(path, "identities of the chunks", entry.identity, identity)),
            }
        })?;
        // If this fails, for example on a full disk, each run fetches the head again.
        let _ = part.write(0, &head);
        Ok(CachedShard {
            set: set.clone(),
            name: entry.name.clone(),
            url: store.url(&entry.name),
            size: entry.bytes,
            part,
            head,
            arrived: chunks.iter().map(|_| AtomicBool::new(false)).collect(),
            chunks,
            fetching: Mutex::default(),
            fetched: Condvar::new(),
            ahead: ahead.clone(),
        })
    }

    /// Returns the index of the chunk that contains the byte at `offset` of the shard.
    fn chunk_at(&self, offset: u64) -> usize {
        self.chunks.partition_point(|chunk| chunk.offset <= offset).saturating_sub(1)
    }

    /// Returns the stored bytes of chunk `k` and the padding after them. If the cache does not have these bytes,
    /// fetches them from the server. If another thread is fetching this chunk, waits for that thread.
    fn chunk(&self, k: usize) -> Result<Vec<u8>> {
        let record = self.chunks[k];
        loop {
            if let Some(bytes) = self.part.chunk(&record) {
                self.arrived[k].store(true, Ordering::Relaxed);
                return Ok(bytes);
            }
            let mut fetching = lock(&self.fetching);
            if fetching.insert(k) {
                break;
            }
            while fetching.contains(&k) {
                fetching = self.fetched.wait(fetching).unwrap_or_else(PoisonError::into_inner);
            }
        }
        let fetched = self.fetch(k, &record);
        lock(&self.fetching).remove(&k);
        self.fetched.notify_all();
        fetched
    }

    /// Fetches chunk `k` from the server, and writes it to the cache if there is room. If the chunk arrives damaged
    /// each time, returns the damaged bytes. The caller verifies them and reports the error.
    fn fetch(&self, k: usize, record: &ChunkRecord) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for left in (0..TRIES).rev() {
            bytes = self.set.store().read_bytes(&self.name, bytes_of(record))?;
            if is_whole(&bytes, record) {
                // A full disk is no reason to stop: the chunk is fetched again when it is needed again.
                if self.ahead.take_room(bytes.len() as u64) && self.part.write(record.offset, &bytes).is_ok() {
                    self.arrived[k].store(true, Ordering::Relaxed);
                }
                break;
            }
            if let Some(error) = self.set.replaced() {
                return Err(error);
            }
            if left > 0 {
                eprintln!("{}: chunk {k} of the shard arrived damaged; it is fetched again", self.url.display());
            }
        }
        Ok(bytes)
    }
}

/// A shard that is shared by two kinds of threads: those that read its chunks, and those that fetch chunks ahead.
#[derive(Debug)]
struct Handle(Arc<CachedShard>);

impl ShardFile for Handle {
    fn path(&self) -> &Path {
        &self.0.url
    }

    fn size(&self) -> u64 {
        self.0.size
    }

    fn read(&self, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), ShardError> {
        let shard = &self.0;
        out.clear();
        if range.end <= shard.head.len() as u64 {
            out.extend_from_slice(&shard.head[range.start as usize..range.end as usize]);
            return Ok(());
        }
        let mut at = range.start;
        while at < range.end {
            let k = shard.chunk_at(at);
            let here = bytes_of(&shard.chunks[k]);
            let end = range.end.min(here.end);
            // If a large chunk is read piece by piece, the read of the first piece verifies the whole chunk.
            if at > here.start
                && shard.arrived[k].load(Ordering::Relaxed)
                && let Ok(piece) = shard.part.read(at..end)
            {
                out.extend_from_slice(&piece);
                at = end;
                continue;
            }
            let bytes = shard.chunk(k)?;
            out.extend_from_slice(&bytes[(at - here.start) as usize..(end - here.start) as usize]);
            at = end;
        }
        Ok(())
    }

    fn pin(&self) -> std::io::Result<()> {
        Err(not_here())
    }

    fn read_ahead(&self) {}

    fn will_read(&self, range: Range<u64>) {
        let k = self.0.chunk_at(range.start);
        if !self.0.arrived[k].load(Ordering::Relaxed) {
            self.0.ahead.push(&self.0, k);
        }
    }

    fn is_fetched_ahead(&self) -> bool {
        true
    }
}

/// Fetches chunks before training reads them, as long as the cache has room for them.
#[derive(Debug)]
struct Ahead {
    queue: Arc<Queue>,
    started: Once,
    /// Number of bytes that can still be written to the cache.
    room: AtomicU64,
}

/// Queue of the chunks to fetch. Its references are weak, so a waiting thread doesn't keep the set open.
#[derive(Debug, Default)]
struct Queue {
    chunks: Mutex<VecDeque<(Weak<CachedShard>, usize)>>,
    /// Notified when a chunk is added.
    more: Condvar,
}

impl Ahead {
    fn push(self: &Arc<Ahead>, shard: &Arc<CachedShard>, k: usize) {
        self.started.call_once(|| {
            for _ in 0..FETCHERS {
                let (queue, ahead) = (self.queue.clone(), Arc::downgrade(self));
                // If no thread can be started, chunks are fetched when they are read.
                let _ = std::thread::Builder::new().name("fetch ahead".into()).spawn(move || queue.work(&ahead));
            }
        });
        lock(&self.queue.chunks).push_back((Arc::downgrade(shard), k));
        self.queue.more.notify_one();
    }

    /// Reserves this many bytes of the cache. Returns `false`, and reserves nothing, if the cache has less room.
    fn take_room(&self, bytes: u64) -> bool {
        let take = |room: u64| room.checked_sub(bytes);
        self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

impl Queue {
    /// Fetches the chunks in the queue until the set is closed. Ignores errors, because a thread that needs the chunk
    /// fetches it again and reports the error.
    fn work(&self, ahead: &Weak<Ahead>) {
        // The threads wait without a strong reference. Otherwise, one of them would always hold a strong reference,
        // and the set would never be closed.
        while ahead.strong_count() > 0 {
            let mut chunks = lock(&self.chunks);
            if chunks.is_empty() {
                chunks = self.more.wait_timeout(chunks, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            }
            let next = chunks.pop_front();
            drop(chunks);
            let Some((shard, k)) = next.and_then(|(shard, k)| Some((shard.upgrade()?, k))) else { continue };
            let full = shard.ahead.room.load(Ordering::Relaxed) < shard.chunks[k].stored_bytes;
            if !full && !interrupt::requested() && !shard.arrived[k].load(Ordering::Relaxed) {
                let _ = shard.chunk(k);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the folder of a set in the cache, and calls `open`, which opens files in the folder. Another process that
/// needs room can remove the folder before the files are open. If that happens, makes the folder again.
fn make_folder<T>(dir: &Path, open: impl Fn() -> Result<T>) -> Result<T> {
    let mut again = 1..TRIES;
    loop {
        std::fs::create_dir_all(dir).map_err(Error::io(dir, "create the directory"))?;
        match open() {
            Err(Error::Base(BaseError::Io { source, .. }))
                if source.kind() == ErrorKind::NotFound && again.next().is_some() => {}
            opened => return opened,
        }
    }
}

/// Removes other sets from the cache, the least recently used first, until a set of `needed` bytes fits. The folder of
/// this set is `own`. Returns how many bytes can be added to the cache.
fn make_room(cache: &Cache, own: &Path, needed: u64) -> u64 {
    let is_id = |name: &str| name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
    let folders = std::fs::read_dir(&cache.dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut others: Vec<(SystemTime, PathBuf, u64)> = folders
        .filter(|path| path != own && path.file_name().and_then(|name| name.to_str()).is_some_and(is_id))
        .filter_map(|path| Some((std::fs::metadata(&path).ok()?.modified().ok()?, path.clone(), allocated(&path))))
        .collect();
    others.sort();
    let mut used: u64 = others.iter().map(|(_, _, bytes)| bytes).sum();
    for (_, path, bytes) in others {
        if used.saturating_add(needed) <= cache.limit {
            break;
        }
        // Processes that read this set keep their open files.
        if std::fs::remove_dir_all(path).is_ok() {
            used -= bytes;
        }
    }
    cache.limit.saturating_sub(used).saturating_sub(allocated(own))
}

/// Returns how many bytes the files in a folder take on disk. Holes don't count.
fn allocated(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = |meta: std::fs::Metadata| {
        #[cfg(unix)]
        return std::os::unix::fs::MetadataExt::blocks(&meta) * 512;
        #[cfg(not(unix))]
        meta.len()
    };
    files.filter_map(|file| Some(bytes(file.metadata().ok()?))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_another_process_removes_is_made_again() {
        let dir = std::env::temp_dir().join(format!("tonic-remote-cache-{}", std::process::id()));
        for removals in [0, 1, TRIES] {
            let left = AtomicU64::new(removals as u64);
            let made = make_folder(&dir, || {
                if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    std::fs::remove_dir_all(&dir).unwrap();
                }
                File::create(dir.join("00000.shard")).map_err(Error::io(&dir, "create the file"))
            });
            assert_eq!(made.is_ok(), removals < TRIES);
        }
        std::fs::remove_dir_all(&dir).ok();
    }
}
