//! Fetches a set into a directory. After an interruption, another call fetches only the missing chunks.

use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tonic_base::{Progress, Verbosity, bytes_in, check_space, in_order, interrupt};
use tonic_shard::{ChunkRecord, Manifest, SetCopy};

use crate::card::{read_card, write_card};
use crate::error::{BaseFault, Error, Result};
use crate::partial_shard::{PartialShard, TRIES, bytes_of, head_of};
use crate::remote_set::RemoteSet;
use crate::store::Store;
use crate::text::KEPT;

/// A request fetches about this many bytes of a shard, and at most 1.5 times as many.
const PIECE: u64 = 16 << 20;
/// Number of threads that verify shards. While one of them waits for the disk, another continues.
const VERIFIERS: usize = 4;

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
    /// Number of times that all bytes of the shard had arrived, but some chunks were damaged.
    rounds: usize,
}

/// A range of bytes to fetch: the index of the shard in [`State::shards`], and the byte range in the shard's file.
type Wanted = (usize, Range<u64>);

/// What the threads share.
#[derive(Default)]
struct State {
    wanted: VecDeque<Wanted>,
    /// Indices in [`State::shards`] of shards that have arrived as a whole and are to be verified.
    arrived: VecDeque<usize>,
    shards: Vec<Shard>,
    /// Whether a thread has begun to fetch a range.
    has_asked: bool,
    /// Number of shards that are not complete yet.
    left: usize,
    failure: Option<Error>,
}

/// A set that several threads are fetching.
struct Puller<'a> {
    store: &'a Store,
    copy: SetCopy,
    state: Mutex<State>,
    /// Notified when a thread has changed the state.
    changed: Condvar,
    progress: Progress,
}

/// Fetches a set into a directory, with its card. Returns the number of bytes fetched: 0 if the directory has the
/// complete set already. After an error, another call with the same arguments continues where this one stopped.
///
/// # Errors
/// - [`tonic_base::Error::NoSpace`].
/// - [`tonic_base::Error::Busy`] if another process writes to the directory.
/// - [`tonic_base::Error::Exists`] if the directory holds another set.
/// - [`tonic_base::Error::Corrupt`] for a chunk that arrives damaged each time.
/// - [`Error::OtherSet`] if somebody has replaced the set on the server meanwhile.
/// - [`tonic_base::Error::Interrupted`].
/// - Errors of the server and of the disk.
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
    state.arrived = (0..state.left).filter(|&index| state.shards[index].left == 0).collect();
    let total = state.wanted.iter().map(|(_, range)| range.end - range.start).sum();
    let progress = Progress::start(fetch.verbosity, "pull", total, "B");
    let puller = Puller { store: set.store(), copy, state: Mutex::new(state), changed: Condvar::new(), progress };
    let card = std::thread::scope(|scope| {
        let fetch_all = || puller.work(|state| puller.take(state), |(index, range)| puller.fetch(index, range));
        let verify_all = || puller.work(|state| state.arrived.pop_front(), |index| puller.place(index));
        for number in 0..connections + VERIFIERS {
            let thread = std::thread::Builder::new();
            let begun = match number < VERIFIERS {
                true => thread.spawn_scoped(scope, verify_all),
                false => thread.spawn_scoped(scope, fetch_all),
            };
            if let Err(e) = begun {
                puller.lock().failure = Some(Error::io(&fetch.dir, "start a thread for the files of")(e));
                puller.changed.notify_all();
                break;
            }
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
    /// Gets tasks from `take` and calls `run` with each, until all shards are complete or a thread fails. If `take`
    /// returns `None`, waits until the state changes.
    fn work<T>(&self, take: impl Fn(&mut State) -> Option<T>, run: impl Fn(T) -> Result<()>) {
        let mut state = self.lock();
        while state.failure.is_none() && state.left > 0 {
            let Some(task) = take(&mut state) else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            let done = catch_unwind(AssertUnwindSafe(|| run(task)));
            state = self.lock();
            match done {
                Ok(Ok(())) => {}
                Ok(Err(error)) => _ = state.failure.get_or_insert(error),
                Err(panic) => {
                    // Ends the other threads, which would wait for ever.
                    state.left = 0;
                    self.changed.notify_all();
                    resume_unwind(panic);
                }
            }
            self.changed.notify_all();
        }
    }

    /// Takes the next range to fetch. `None` if there is no range to fetch at the moment.
    ///
    /// - If the server can send ranges, takes one item of `wanted`.
    /// - If the server sends only whole files, joins all ranges of a shard, because each request reads the file from
    ///   its beginning.
    /// - Until an answer shows what the server can send, the first call also joins all ranges of a shard. Further calls
    ///   return `None`.
    fn take(&self, state: &mut State) -> Option<Wanted> {
        let sends_ranges = self.store.sends_ranges();
        if sends_ranges.is_none() && state.has_asked {
            return None;
        }
        let (index, mut range) = state.wanted.pop_front()?;
        state.has_asked = true;
        while sends_ranges != Some(true)
            && let Some((_, more)) = state.wanted.front().filter(|(other, _)| *other == index)
        {
            range.end = more.end;
            state.wanted.pop_front();
            state.shards[index].left -= 1;
        }
        Some((index, range))
    }

    /// Fetches a range of the shard at `index` in [`State::shards`]. A damaged header or index is fetched again.
    fn fetch(&self, index: usize, range: Range<u64>) -> Result<()> {
        let (part, number) = {
            let shard = &self.lock().shards[index];
            (shard.part.clone(), shard.number)
        };
        let name = &self.copy.manifest().shards[number].name;
        let mut tries = 1..TRIES;
        loop {
            self.store.read(name, range.clone(), &mut |at, piece| {
                interrupt::check(KEPT)?;
                if self.lock().failure.is_some() {
                    return Err(Error::interrupted(KEPT)); // `pull` returns the other thread's error, not this one
                }
                if at == range.start {
                    self.changed.notify_all(); // `take` knows now what the server can send
                }
                part.write(at, piece)?;
                self.progress.add(piece.len() as u64);
                Ok(())
            })?;
            match self.check_head(&part, number, &range) {
                Err(_) if tries.next().is_some() => {}
                checked => break checked?,
            }
        }
        let mut state = self.lock();
        state.shards[index].left -= 1;
        if state.shards[index].left == 0 {
            state.arrived.push_back(index);
            drop(state);
            self.changed.notify_all();
            // Another thread verifies the shard meanwhile.
            part.write_to_disk()?;
        }
        Ok(())
    }

    /// Checks the header and the index of a shard, if they are in the range that has arrived.
    fn check_head(&self, part: &PartialShard, number: usize, range: &Range<u64>) -> Result<()> {
        if range.start > 0 {
            return Ok(());
        }
        let entry = &self.copy.manifest().shards[number];
        let url = self.store.url(&entry.name);
        let head = part.read(head_of(entry, self.copy.chunks(number))).map_err(Error::io(&url, "read"))?;
        self.copy.head(number, &url, &head)?;
        Ok(())
    }

    /// Verifies the shard at `index` in [`State::shards`], which has arrived as a whole, and gives its file the final
    /// name. Damaged chunks are fetched again.
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

/// Opens the file in which a shard is assembled. Returns the shard and the byte ranges that are still missing. `None`
/// if the shard is complete.
fn begin(store: &Store, copy: &SetCopy, number: usize) -> Result<Option<(Shard, Vec<Range<u64>>)>> {
    if copy.verify(number)? {
        return Ok(None);
    }
    let entry = &copy.manifest().shards[number];
    let part = PartialShard::open(copy.part(number), entry.bytes)?;
    let chunks = copy.chunks(number);
    let ranges = if part.is_new {
        // The first range contains the header and the index. Fetching them first would take another round trip.
        cut(entry.bytes, head_of(entry, chunks).end)
    } else {
        let (bytes, head) = part.head(store, entry, chunks, |path, bytes| Ok(copy.head(number, path, bytes)?))?;
        part.write(0, &bytes)?;
        ranges_of(head.chunks.iter().filter(|record| part.chunk(record).is_none()))
    };
    Ok(Some((Shard { number, part: Arc::new(part), left: ranges.len(), rounds: 0 }, ranges)))
}

/// Cuts a shard of `bytes` bytes into ranges of similar length. The first range contains the header and the index,
/// which end at the offset `head`.
fn cut(bytes: u64, head: u64) -> Vec<Range<u64>> {
    let count = (bytes / PIECE + u64::from(bytes % PIECE > PIECE / 2)).max(1);
    let end = |n: u64| if n == count { bytes } else { (bytes / count * n).max(head) };
    (0..count).map(|n| if n == 0 { 0..end(1) } else { end(n)..end(n + 1) }).filter(|range| !range.is_empty()).collect()
}

/// Returns the byte ranges of these chunks in the shard, with the padding. Neighbouring ranges are joined, up to
/// [`PIECE`] bytes.
fn ranges_of<'a>(chunks: impl IntoIterator<Item = &'a ChunkRecord>) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for here in chunks.into_iter().map(bytes_of) {
        match ranges.last_mut().filter(|range| range.end == here.start && here.end - range.start <= PIECE) {
            Some(range) => range.end = here.end,
            None => ranges.push(here),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_cut_without_gaps_and_its_head_is_in_the_first_range() {
        for bytes in [0, 1, 100, PIECE, PIECE + 1, PIECE * 3 / 2, PIECE * 3 / 2 + 1, 9 * PIECE - 7, 1 << 36] {
            for head in [0, 1, 4096, PIECE, 3 * PIECE].map(|head| head.min(bytes)) {
                let ranges = cut(bytes, head);
                assert_eq!(ranges.first().map_or(0, |range| range.start), 0);
                assert_eq!(ranges.last().map_or(0, |range| range.end), bytes);
                assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start), "{bytes} {head}");
                assert!(ranges.first().is_none_or(|range| range.end >= head), "{bytes} {head}");
                let longest = ranges.iter().map(|range| range.end - range.start).max().unwrap_or(0);
                assert!(longest <= head.max(PIECE * 3 / 2), "{bytes} {head}: {longest}");
            }
        }
    }
}
