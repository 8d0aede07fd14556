//! Fetches a set into a directory. After an interruption, another call fetches only the chunks that are still missing.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tonic_base::{Error as BaseError, Progress, Verbosity, bytes_in, free_space, human_bytes, interrupt};
use tonic_shard::{ChunkRecord, Manifest, SetCopy, ShardHead, aligned, chunk_checksum, salvage};

use crate::error::{BaseFault, Error, Result};
use crate::file_bytes::{read_at, write_at};
use crate::remote_set::RemoteSet;
use crate::store::Store;

/// Chunks that follow one another in a shard are fetched by one request if they have at most this many bytes together.
const PIECE: u64 = 8 << 20;
/// A chunk that arrives damaged is fetched at most this many times.
const ROUNDS: usize = 3;
/// How long a thread waits before it looks again for something to fetch.
const PAUSE: Duration = Duration::from_millis(5);

/// How [`pull`] fetches a set, and into which directory.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Directory of the copy.
    pub dir: PathBuf,
    /// Whether another set in the directory is removed before the new one is fetched.
    pub overwrite: bool,
    /// Number of requests that run at the same time.
    pub connections: usize,
    /// How much is shown on the terminal while the set is fetched.
    pub verbosity: Verbosity,
}

/// A shard that is being fetched.
struct Shard {
    number: usize,
    file: Arc<File>,
    path: PathBuf,
    /// Number of the shard's byte ranges that are still to be fetched.
    left: usize,
    /// Number of times that the shard had arrived as a whole but had damaged chunks.
    rounds: usize,
}

/// A range of bytes that is to be fetched: the index of the shard in [`State::shards`], and the offsets of the bytes in
/// the shard's file.
type Wanted = (usize, Range<u64>);

/// What the fetching threads share.
#[derive(Default)]
struct State {
    wanted: VecDeque<Wanted>,
    shards: Vec<Shard>,
    /// Number of shards that are not complete yet.
    left: usize,
    failure: Option<Error>,
}

/// A set that several threads are fetching.
struct Puller<'a> {
    store: &'a Store,
    copy: SetCopy,
    state: Mutex<State>,
    progress: Progress,
}

/// Fetches a set into a directory. Every chunk is verified before the file of its shard gets its final name. The
/// manifest is written last. Returns the number of bytes that were missing and have been fetched. It is 0 if the
/// directory has the complete set already.
///
/// # Errors
/// [`tonic_base::Error::NoSpace`]; [`tonic_base::Error::Busy`] if another process writes to the directory;
/// [`tonic_base::Error::Exists`] if the directory holds another set; [`tonic_base::Error::Corrupt`] for a chunk that
/// arrives damaged each time; [`tonic_base::Error::Interrupted`]; errors of the server and of the disk. After an error,
/// another call with the same arguments continues where this one stopped.
pub fn pull(set: &RemoteSet, fetch: &Fetch) -> Result<u64> {
    let manifest: &Manifest = set.manifest();
    let Some(copy) = SetCopy::start(&fetch.dir, manifest.clone(), fetch.overwrite)? else { return Ok(0) };
    check_space(&fetch.dir, manifest.stored_bytes())?;
    let mut state = State::default();
    for number in 0..manifest.shards.len() {
        if copy.verify(number)? {
            continue;
        }
        let (shard, ranges) = begin(set.store(), &copy, number)?;
        state.wanted.extend(ranges.into_iter().map(|range| (state.shards.len(), range)));
        state.shards.push(shard);
    }
    state.left = state.shards.len();
    let arrived: Vec<usize> = (0..state.left).filter(|&index| state.shards[index].left == 0).collect();
    let total = state.wanted.iter().map(|(_, range)| range.end - range.start).sum();
    let progress = Progress::start(fetch.verbosity, "pull", total, "B");
    let puller = Puller { store: set.store(), copy, state: Mutex::new(state), progress };
    arrived.into_iter().try_for_each(|index| puller.place(index))?;
    std::thread::scope(|scope| {
        for _ in 0..fetch.connections.max(1) {
            scope.spawn(|| puller.work());
        }
    });
    let Puller { copy, state, progress, .. } = puller;
    if let Some(failure) = state.into_inner().unwrap_or_else(PoisonError::into_inner).failure {
        return Err(failure);
    }
    copy.finish(set.manifest_bytes())?;
    progress.finish();
    Ok(total)
}

impl Puller<'_> {
    /// Fetches ranges until all shards are complete, or until a thread fails.
    fn work(&self) {
        loop {
            let mut state = self.lock();
            if state.failure.is_some() || state.left == 0 {
                return;
            }
            let Some((index, range)) = state.wanted.pop_front() else {
                drop(state);
                // Another thread verifies a shard, and may want damaged chunks again.
                std::thread::sleep(PAUSE);
                continue;
            };
            drop(state);
            if let Err(error) = self.fetch(index, range) {
                self.lock().failure.get_or_insert(error);
            }
        }
    }

    /// Fetches a range of the shard at `index` in [`State::shards`]. If this was the last missing range of the shard,
    /// verifies the shard.
    fn fetch(&self, index: usize, range: Range<u64>) -> Result<()> {
        let (file, path, number) = {
            let shard = &self.lock().shards[index];
            (shard.file.clone(), shard.path.clone(), shard.number)
        };
        self.store.read(&self.copy.manifest().shards[number].name, range, &mut |at, piece| {
            if interrupt::requested() {
                return Err(Error::interrupted("what has arrived is kept"));
            }
            write_at(&file, at, piece).map_err(Error::io(&path, "write the shard"))?;
            self.progress.add(piece.len() as u64);
            Ok(())
        })?;
        let left = {
            let shard = &mut self.lock().shards[index];
            shard.left -= 1;
            shard.left
        };
        if left == 0 { self.place(index) } else { Ok(()) }
    }

    /// Verifies the shard at `index` in [`State::shards`], which has arrived as a whole. If all its chunks are intact,
    /// gives its file the final name. Otherwise, adds the damaged chunks to the ranges that are to be fetched.
    fn place(&self, index: usize) -> Result<()> {
        let number = self.lock().shards[index].number;
        let damaged = self.copy.place(number)?;
        let state = &mut *self.lock();
        if damaged.is_empty() {
            state.left -= 1;
            return Ok(());
        }
        let shard = &mut state.shards[index];
        shard.rounds += 1;
        if shard.rounds == ROUNDS {
            let url = self.store.url(&self.copy.manifest().shards[number].name);
            let place = format!("{} of its chunks", damaged.len());
            let got = format!("others, {ROUNDS} times: the copy on the server is damaged");
            return Err(Error::corrupt(&url, place, "the bytes that the index promises", got));
        }
        let ranges = ranges_of(&damaged);
        shard.left = ranges.len();
        state.wanted.extend(ranges.into_iter().map(|range| (index, range)));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_space(dir: &Path, needed: u64) -> Result<()> {
    let there = bytes_in(dir);
    match free_space(dir) {
        Some(free) if needed > free.saturating_add(there) => {
            let (needed, free) = (human_bytes(needed), human_bytes(free));
            Err(BaseError::NoSpace { path: dir.into(), needed, free }.into())
        }
        _ => Ok(()),
    }
}

/// Opens the file in which a shard is assembled. If the file lacks the shard's header and index, fetches them. Returns
/// the shard and the ranges of bytes that are still missing.
fn begin(store: &Store, copy: &SetCopy, number: usize) -> Result<(Shard, Vec<Range<u64>>)> {
    let path = copy.part(number);
    let entry = &copy.manifest().shards[number];
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let file = open.map_err(Error::io(&path, "create the file"))?;
    let had = file.metadata().map_err(Error::io(&path, "create the file"))?.len();
    let head_bytes = ShardHead::bytes(salvage::shard_chunks(&copy.manifest().description, number as u64));
    let mut bytes = read_at(&file, 0..head_bytes.min(had)).map_err(Error::io(&path, "read the shard"))?;
    let head = match copy.head(number, &path, &bytes) {
        Ok(head) => head,
        Err(_) => {
            bytes.clear();
            let end = head_bytes.min(entry.bytes);
            store.read(&entry.name, 0..end, &mut |_, piece| {
                bytes.extend_from_slice(piece);
                Ok(())
            })?;
            let head = copy.head(number, &store.url(&entry.name), &bytes)?;
            write_at(&file, 0, &bytes).map_err(Error::io(&path, "write the shard"))?;
            head
        }
    };
    file.set_len(entry.bytes).map_err(Error::io(&path, "write the shard"))?;
    let missing = |record: &&ChunkRecord| {
        let end = record.offset + record.stored_bytes;
        record.offset >= had
            || !read_at(&file, record.offset..end).is_ok_and(|bytes| chunk_checksum(&bytes) == record.checksum)
    };
    let lacking: Vec<ChunkRecord> = head.chunks.iter().filter(missing).copied().collect();
    let mut ranges = ranges_of(&lacking);
    if store.sends_whole_only() && !ranges.is_empty() {
        ranges.clear();
        ranges.push(head_bytes..entry.bytes); // one request reads the file from its beginning
    }
    Ok((Shard { number, file: Arc::new(file), path, left: ranges.len(), rounds: 0 }, ranges))
}

/// Returns the ranges of these chunks in the shard, each with the padding after the chunk. The ranges of neighbouring
/// chunks are joined, up to [`PIECE`] bytes.
fn ranges_of(chunks: &[ChunkRecord]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for chunk in chunks {
        let end = aligned(chunk.offset + chunk.stored_bytes);
        match ranges.last_mut().filter(|range| range.end == chunk.offset && end - range.start <= PIECE) {
            Some(range) => range.end = end,
            None => ranges.push(chunk.offset..end),
        }
    }
    ranges
}
