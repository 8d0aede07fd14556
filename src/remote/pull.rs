//! Fetches a set into a directory. After an interruption, another call fetches only the chunks that are still missing.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tonic_base::{Progress, Verbosity, bytes_in, check_space, in_order, interrupt};
use tonic_shard::{ChunkRecord, Manifest, SetCopy, salvage};

use crate::card::{read_card, write_card};
use crate::error::{BaseFault, Error, Result};
use crate::partial_shard::{PartialShard, TRIES, bytes_of};
use crate::remote_set::RemoteSet;
use crate::store::Store;
use crate::text::KEPT;

/// Chunks that follow one another in a shard are fetched by one request if they have at most this many bytes together.
const PIECE: u64 = 8 << 20;
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
    part: Arc<PartialShard>,
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
/// manifest is written after the shards, and the card of the set, if it has one, last. Returns the number of bytes that
/// were missing and have been fetched. It is 0 if the directory has the complete set already.
///
/// # Errors
/// [`tonic_base::Error::NoSpace`]; [`tonic_base::Error::Busy`] if another process writes to the directory;
/// [`tonic_base::Error::Exists`] if the directory holds another set; [`tonic_base::Error::Corrupt`] for a chunk that
/// arrives damaged each time; [`Error::OtherSet`] if somebody has replaced the set on the server meanwhile;
/// [`tonic_base::Error::Interrupted`]; errors of the server and of the disk. After an error,
/// another call with the same arguments continues where this one stopped.
pub fn pull(set: &RemoteSet, fetch: &Fetch) -> Result<u64> {
    let manifest: &Manifest = set.manifest();
    let Some(copy) = SetCopy::start(&fetch.dir, manifest.clone(), fetch.overwrite)? else {
        write_card(&read_card(set.store(), &fetch.dir, fetch.overwrite)?)?;
        return Ok(0);
    };
    check_space(&fetch.dir, manifest.stored_bytes(), bytes_in(&fetch.dir))?;
    let mut state = State::default();
    let connections = fetch.connections.max(1);
    in_order(
        0..manifest.shards.len() as u64,
        connections.min(manifest.shards.len()),
        KEPT,
        || Ok(()),
        |(), number| begin(set.store(), &copy, number as usize),
        |begun: Option<(Shard, Vec<Range<u64>>)>| {
            let Some((shard, ranges)) = begun else { return Ok(()) };
            state.wanted.extend(ranges.into_iter().map(|range| (state.shards.len(), range)));
            state.shards.push(shard);
            Ok::<(), Error>(())
        },
    )?;
    state.left = state.shards.len();
    let arrived: Vec<usize> = (0..state.left).filter(|&index| state.shards[index].left == 0).collect();
    let total = state.wanted.iter().map(|(_, range)| range.end - range.start).sum();
    let progress = Progress::start(fetch.verbosity, "pull", total, "B");
    let puller = Puller { store: set.store(), copy, state: Mutex::new(state), progress };
    arrived.into_iter().try_for_each(|index| puller.place(index))?;
    let card = std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| puller.work());
        }
        read_card(set.store(), &fetch.dir, fetch.overwrite)
    });
    let Puller { copy, state, progress, .. } = puller;
    if let Some(failure) = state.into_inner().unwrap_or_else(PoisonError::into_inner).failure {
        return Err(set.replaced().unwrap_or(failure));
    }
    copy.finish(set.manifest_bytes())?;
    write_card(&card?)?;
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
                // Another thread is still verifying a shard, and may add damaged chunks to the queue.
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
        let (part, number) = {
            let shard = &self.lock().shards[index];
            (shard.part.clone(), shard.number)
        };
        self.store.read(&self.copy.manifest().shards[number].name, range, &mut |at, piece| {
            interrupt::check(KEPT)?;
            part.write(at, piece)?;
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
        if shard.rounds == TRIES {
            let url = self.store.url(&self.copy.manifest().shards[number].name);
            let place = format!("{} of its chunks", damaged.len());
            let got = format!("others, {TRIES} times: the copy on the server is damaged");
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

/// Opens the file in which a shard is assembled. If the file lacks the shard's header and index, fetches them. Returns
/// the shard and the ranges of bytes that are still missing. `None` if the shard is complete.
fn begin(store: &Store, copy: &SetCopy, number: usize) -> Result<Option<(Shard, Vec<Range<u64>>)>> {
    if copy.verify(number)? {
        return Ok(None);
    }
    let entry = &copy.manifest().shards[number];
    let chunks = salvage::shard_chunks(&copy.manifest().description, number as u64);
    let (part, head) =
        PartialShard::open(store, copy.part(number), entry, chunks, |path, bytes| Ok(copy.head(number, path, bytes)?))?;
    let missing = |record: &&ChunkRecord| record.offset >= part.had || part.chunk(record).is_none();
    let lacking: Vec<ChunkRecord> = head.chunks.iter().filter(missing).copied().collect();
    let mut ranges = ranges_of(&lacking);
    if store.sends_whole_only() && !ranges.is_empty() {
        ranges.clear();
        ranges.push(part.head.len() as u64..entry.bytes); // one request reads the file from its beginning
    }
    Ok(Some((Shard { number, part: Arc::new(part), left: ranges.len(), rounds: 0 }, ranges)))
}

/// Returns the ranges of these chunks in the shard, each with the padding after the chunk. The ranges of neighbouring
/// chunks are joined, up to [`PIECE`] bytes.
fn ranges_of(chunks: &[ChunkRecord]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for chunk in chunks {
        let here = bytes_of(chunk);
        match ranges.last_mut().filter(|range| range.end == here.start && here.end - range.start <= PIECE) {
            Some(range) => range.end = here.end,
            None => ranges.push(here),
        }
    }
    ranges
}
