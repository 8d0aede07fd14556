//! Reads the samples of an epoch in order, from the host cache or from the shards.
//!
//! A window is a group of chunks whose samples are shuffled together. Without a cache, two windows are in memory.
//! Batches are made from the current window. Between two batches, some chunks of the next window are decoded, so that
//! no batch waits for a whole window. A chunk is left out if none of its samples is read.

use std::collections::VecDeque;
use std::ops::Range;

use rayon::prelude::*;

use crate::epoch_order::EpochOrder;
use crate::host_cache::HostCache;
use crate::share::Share;
use tonic_shard::{Decoder, Error, Order, PackedChunk, PackedSample, Result, ShardSet, Widths, Window};

/// Iterates over the batches of an epoch, window by window. A window is a group of chunks whose samples are shuffled
/// together.
pub struct Windows<'a> {
    set: &'a ShardSet,
    cache: Option<&'a HostCache>,
    plan: EpochPlan,
    batch_size: usize,
    /// Positions, in the epoch, of the samples that have not been read yet.
    positions: Range<u64>,
    /// Which samples of each batch are read.
    share: Share,
    window: Option<DecodedWindow>,
    next: Option<DecodedWindow>,
    next_number: u32,
    spare: Spare,
}

/// Decoders and buffers that the next epoch reuses.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    decoders: Vec<Decoder>,
    chunks: Vec<PackedChunk>,
    dense: Vec<f32>,
}

/// A sample at one position of the epoch.
pub struct EpochSample<'a> {
    set: &'a ShardSet,
    number: u32,
    chunk: &'a PackedChunk,
    inside: usize,
}

/// Order of an epoch: which sample is at which position.
enum EpochPlan {
    Sequential { samples: u64, chunk_samples: u32 },
    Shuffled(Order),
}

/// A window: a group of chunks whose samples are shuffled together. `waiting` has the index, in the set, of each chunk
/// that is not decoded yet, or `None` if none of its samples is read.
struct DecodedWindow {
    order: Window,
    waiting: VecDeque<Option<u32>>,
    decoded: Vec<PackedChunk>,
}

impl EpochPlan {
    fn window(&self, number: u32) -> Option<Window> {
        match self {
            EpochPlan::Shuffled(order) => (number < order.windows()).then(|| order.window(number)),
            EpochPlan::Sequential { samples, chunk_samples } => Window::sequential(number, *samples, *chunk_samples),
        }
    }
}

impl EpochSample<'_> {
    /// Class of the sample, or [`NO_LABEL`](tonic_shard::NO_LABEL).
    pub fn label(&self) -> u32 {
        self.chunk.label(self.inside)
    }

    /// Index of the sample in the set.
    pub fn index(&self) -> u64 {
        let chunk_samples = u64::from(self.set.manifest().description.chunk_samples);
        u64::from(self.number) * chunk_samples + self.inside as u64
    }

    /// The sample in packed form. If the chunk doesn't come from a cache, cells of the sample can be outside the
    /// frame: [`EpochSample::unpack`] checks this.
    pub fn packed(&self) -> PackedSample<'_> {
        self.chunk.sample(self.inside)
    }

    /// The number type of each column of the set's frames.
    pub fn widths(&self) -> Widths {
        self.set.manifest().description.widths
    }

    /// Unpacks the sample with `work`, which returns whether all cells of the sample are inside the frame.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`], which names the chunk, if a cell is outside the frame.
    pub fn unpack(&self, work: impl FnOnce(PackedSample<'_>) -> bool) -> Result<()> {
        let inside = work(self.packed());
        if inside { Ok(()) } else { self.set.check_cells(self.number.into(), self.chunk) }
    }
}

impl<'a> Windows<'a> {
    /// Creates an iterator over batches of `batch_size` samples. `positions` are the positions of the samples in the
    /// epoch. Of each batch, only the samples that `share` takes are read.
    pub(crate) fn new(
        set: &'a ShardSet,
        cache: Option<&'a HostCache>,
        order: EpochOrder,
        (batch_size, positions, share): (usize, Range<u64>, Share),
        spare: Spare,
    ) -> Windows<'a> {
        let plan = match order {
            EpochOrder::Sequential => {
                EpochPlan::Sequential { samples: set.len(), chunk_samples: set.manifest().description.chunk_samples }
            }
            EpochOrder::Shuffled { seed, epoch } => EpochPlan::Shuffled(set.order(seed, epoch)),
        };
        let windows =
            Windows { set, cache, plan, batch_size, positions, share, window: None, next: None, next_number: 0, spare };
        if cache.is_none() {
            let Range { start, end } = windows.positions;
            let all = (0..).map_while(|number| windows.plan.window(number));
            let coming = all.skip_while(|window| window.positions.end <= start);
            let coming = coming.take_while(|window| window.positions.start < end);
            set.will_read(coming.flat_map(|window| windows.read_chunks(&window)).flatten().map(u64::from));
        }
        windows
    }

    /// Calls `each` with the samples of the next batch: once, or once per window if the batch spans several windows.
    /// Returns the number of samples in the batch, which is 0 at the end of the epoch.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`], which names the chunk that could not be decoded; [`tonic_base::Error::Io`]; any
    /// error of `each`.
    pub fn next_batch<E: From<Error>>(
        &mut self,
        each: impl FnMut(&[EpochSample<'_>]) -> Result<(), E>,
    ) -> Result<usize, E> {
        self.next_batches(1, each)
    }

    /// Like [`Windows::next_batch`], but takes the next `batches` batches together, as if they were one batch.
    ///
    /// # Errors
    /// Errors of [`Windows::next_batch`].
    pub fn next_batches<E: From<Error>>(
        &mut self,
        batches: usize,
        mut each: impl FnMut(&[EpochSample<'_>]) -> Result<(), E>,
    ) -> Result<usize, E> {
        // Done before the batch and not after it, so that the caller gets a finished batch without this delay.
        self.decode_ahead()?;
        let Range { start, end } = self.positions;
        let samples = (batches.saturating_mul(self.batch_size) as u64).min(end - start);
        let own = self.share.of(samples as usize);
        let own_end = start + own.end as u64;
        self.positions.start = start + own.start as u64;
        while self.positions.start < own_end {
            let position = self.positions.start;
            self.enter_window_of(position)?;
            let Some(window) = &self.window else { break };
            let end = window.order.positions.end.min(own_end);
            let batch: Vec<EpochSample<'_>> = (position..end).map(|position| self.sample(window, position)).collect();
            each(&batch)?;
            self.positions.start = end;
        }
        self.positions.start = start + samples;
        Ok(samples as usize)
    }

    pub(crate) fn dense(&mut self) -> &mut Vec<f32> {
        &mut self.spare.dense
    }

    /// Ends the iteration and returns its decoders and buffers, for the next epoch.
    pub(crate) fn into_spare(mut self) -> Spare {
        let windows = [self.window, self.next];
        self.spare.chunks.extend(windows.into_iter().flatten().flat_map(|window| window.decoded));
        self.spare
    }

    fn sample<'b>(&'b self, window: &'b DecodedWindow, position: u64) -> EpochSample<'b> {
        let (slot, inside) = window.order.at(position);
        let number = window.order.chunks[slot];
        let chunk = match self.cache {
            Some(cache) => cache.chunk(number.into()),
            None => &window.decoded[slot],
        };
        EpochSample { set: self.set, number, chunk, inside }
    }

    /// Moves on to the window with the sample at `position`. Decodes all chunks of that window that are not decoded
    /// yet.
    fn enter_window_of(&mut self, position: u64) -> Result<()> {
        while !self.window.as_ref().is_some_and(|w| w.order.positions.contains(&position)) {
            self.spare.chunks.extend(self.window.take().into_iter().flat_map(|window| window.decoded));
            self.window = match self.next.take() {
                Some(next) => Some(next),
                None => self.plan_next(),
            };
            let Some(window) = &mut self.window else { return Ok(()) };
            if window.order.positions.contains(&position) {
                let all = window.waiting.len();
                decode_some(self.set, window, all, &mut self.spare)?;
            }
        }
        Ok(())
    }

    /// Returns the index in the set of each chunk of a window, or `None` for a chunk from which no sample is read.
    fn read_chunks(&self, window: &Window) -> Vec<Option<u32>> {
        let Range { start, end } = self.positions;
        let read = window.positions.start.max(start)..window.positions.end.min(end);
        let is_whole = self.share.ranks.is_solo() && read == window.positions;
        let mut is_read = vec![is_whole; window.chunks.len()];
        if !is_whole {
            let own = read.filter(|&position| self.share.has(position, self.batch_size, end));
            own.for_each(|position| is_read[window.at(position).0] = true);
        }
        window.chunks.iter().zip(is_read).map(|(&chunk, is_read)| is_read.then_some(chunk)).collect()
    }

    fn plan_next(&mut self) -> Option<DecodedWindow> {
        let order = self.plan.window(self.next_number)?;
        self.next_number += 1;
        let waiting = if self.cache.is_some() { VecDeque::new() } else { self.read_chunks(&order).into() };
        Some(DecodedWindow { order, waiting, decoded: Vec::new() })
    }

    /// Decodes some chunks of the next window. If this function is called before every batch, all chunks of the next
    /// window are decoded when the current window ends.
    fn decode_ahead(&mut self) -> Result<()> {
        if self.cache.is_some() {
            return Ok(());
        }
        if self.next.is_none() {
            self.next = self.plan_next();
        }
        if let (Some(window), Some(next)) = (&self.window, &mut self.next) {
            let Range { start, end } = window.order.positions;
            let left = end.saturating_sub(self.positions.start);
            // The share of the next window's chunks that may wait equals the share of the current window that is left.
            let may_wait = next.order.chunks.len() as u64 * left / (end - start).max(1);
            let due = next.waiting.len().saturating_sub(may_wait as usize);
            decode_some(self.set, next, due.next_multiple_of(rayon::current_num_threads()), &mut self.spare)?;
        }
        Ok(())
    }
}

/// Checks and decodes the next `n` chunks of `window`, on several threads.
fn decode_some(set: &ShardSet, window: &mut DecodedWindow, n: usize, spare: &mut Spare) -> Result<()> {
    let numbers: Vec<Option<u32>> = window.waiting.drain(..n.min(window.waiting.len())).collect();
    if numbers.is_empty() {
        return Ok(());
    }
    let Spare { decoders, chunks, .. } = spare;
    decoders.resize_with(decoders.len().max(numbers.len().min(rayon::current_num_threads())), Decoder::new);
    let share = numbers.len().div_ceil(decoders.len().max(1)).max(1);
    let start = window.decoded.len();
    window.decoded.extend(numbers.iter().map(|_| chunks.pop().unwrap_or_else(|| set.empty_packed())));
    let shares = window.decoded[start..].par_chunks_mut(share).zip(numbers.par_chunks(share));
    shares.zip(decoders.par_iter_mut()).try_for_each(|((chunks, numbers), decoder)| {
        let mut each = numbers.iter().zip(chunks);
        each.try_for_each(|(number, chunk)| {
            number.map_or(Ok(()), |number| set.decode_packed(number.into(), decoder, chunk))
        })
    })
}
