//! The order of an epoch made into batches: window by window, from the cache or from the mapped shards.
//!
//! Streaming holds two windows: the one that batches are drawn from, and the next, whose chunks are decoded a few with
//! each batch, so that no batch waits for a whole window.

use std::collections::VecDeque;
use std::ops::Range;

use rayon::prelude::*;

use super::EpochOrder;
use super::batch::Batch;
use super::cache::HostCache;
use crate::error::Result;
use crate::shard::codec::Decoder;
use crate::shard::order::{Order, WINDOW_SAMPLES, Window};
use crate::shard::{Chunk, ShardSet};

/// An epoch in windows, and how far it has come.
pub(super) struct Windows<'a> {
    set: &'a ShardSet,
    cache: Option<&'a HostCache>,
    plan: Plan,
    batch_size: usize,
    /// Positions of the epoch that are still to come.
    positions: Range<u64>,
    window: Option<Loaded>,
    next: Option<Loaded>,
    next_number: u32,
    decoders: Vec<Decoder>,
}

/// Which samples are where in the epoch.
enum Plan {
    Sequential { samples: u64, chunk_samples: u64 },
    Shuffled(Order),
}

/// One window of the plan.
enum Places {
    Sequential { positions: Range<u64>, chunks: Vec<u32>, chunk_samples: u64 },
    Shuffled(Window),
}

/// A window and its chunks; with a cache, none are decoded.
struct Loaded {
    places: Places,
    waiting: VecDeque<u32>,
    decoded: Vec<Chunk>,
}

impl Plan {
    fn window(&self, number: u32) -> Option<Places> {
        match self {
            Plan::Shuffled(order) if number < order.windows() => Some(Places::Shuffled(order.window(number))),
            Plan::Shuffled(_) => None,
            Plan::Sequential { samples, chunk_samples } => {
                let chunks_each = (u64::from(WINDOW_SAMPLES) / chunk_samples).max(1);
                let first = u64::from(number) * chunks_each;
                let chunks = first..(first + chunks_each).min(samples.div_ceil(*chunk_samples));
                let positions = first * chunk_samples..(chunks.end * chunk_samples).min(*samples);
                let chunk_samples = *chunk_samples;
                let chunks: Vec<u32> = chunks.map(|c| c as u32).collect();
                (!positions.is_empty()).then_some(Places::Sequential { positions, chunks, chunk_samples })
            }
        }
    }
}

impl Places {
    fn positions(&self) -> &Range<u64> {
        match self {
            Places::Sequential { positions, .. } => positions,
            Places::Shuffled(window) => &window.positions,
        }
    }

    fn chunks(&self) -> &[u32] {
        match self {
            Places::Sequential { chunks, .. } => chunks,
            Places::Shuffled(window) => &window.chunks,
        }
    }

    /// The slot and the sample inside its chunk at a position.
    fn at(&self, position: u64) -> (usize, usize) {
        match self {
            Places::Sequential { positions, chunk_samples, .. } => {
                let inside = position - positions.start;
                ((inside / chunk_samples) as usize, (inside % chunk_samples) as usize)
            }
            Places::Shuffled(window) => window.at(position),
        }
    }
}

impl<'a> Windows<'a> {
    /// An epoch of `set` from batch `first` on.
    pub(super) fn new(
        set: &'a ShardSet,
        cache: Option<&'a HostCache>,
        order: EpochOrder,
        batch_size: usize,
        first: u64,
    ) -> Windows<'a> {
        let plan = match order {
            EpochOrder::Sequential => {
                Plan::Sequential { samples: set.len(), chunk_samples: set.manifest().description.chunk_samples.into() }
            }
            EpochOrder::Shuffled { seed, epoch } => Plan::Shuffled(set.order(seed, epoch)),
        };
        let positions = first.saturating_mul(batch_size as u64).min(set.len())..set.len();
        let (window, next, decoders) = (None, None, Vec::new());
        Windows { set, cache, plan, batch_size, positions, window, next, next_number: 0, decoders }
    }

    /// The next batch, or `None` at the epoch's end.
    pub(super) fn next_batch(&mut self) -> Result<Option<Batch>> {
        let mut batch = Batch::new(self.set.manifest().description.widths);
        while batch.len() < self.batch_size && !self.positions.is_empty() {
            let position = self.positions.start;
            self.enter_window_of(position)?;
            if let Some(window) = &self.window {
                let end = window.places.positions().end.min(position + (self.batch_size - batch.len()) as u64);
                for position in position..end {
                    self.push_sample(window, position, &mut batch);
                }
                self.positions.start = end;
            }
        }
        self.decode_ahead()?;
        Ok((!batch.is_empty()).then_some(batch))
    }

    fn push_sample(&self, window: &Loaded, position: u64, batch: &mut Batch) {
        let (slot, inside) = window.places.at(position);
        match self.cache {
            Some(cache) => {
                let first =
                    window.places.chunks()[slot] as usize * self.set.manifest().description.chunk_samples as usize;
                let (sample, label) = cache.sample(first + inside);
                batch.push(sample, label);
            }
            None => {
                let chunk = &window.decoded[slot];
                batch.push(chunk.frames.sample(inside), chunk.table.labels[inside]);
            }
        }
    }

    /// Makes the window of `position` the current one, whole.
    fn enter_window_of(&mut self, position: u64) -> Result<()> {
        while !self.window.as_ref().is_some_and(|w| w.places.positions().contains(&position)) {
            self.window = match self.next.take() {
                Some(next) => Some(next),
                None => self.plan_next(),
            };
            let Some(window) = &mut self.window else { return Ok(()) };
            if window.places.positions().contains(&position) {
                let all = window.waiting.len();
                decode_some(self.set, window, all, &mut self.decoders)?;
            }
        }
        Ok(())
    }

    fn plan_next(&mut self) -> Option<Loaded> {
        let places = self.plan.window(self.next_number)?;
        self.next_number += 1;
        let waiting = if self.cache.is_some() { VecDeque::new() } else { places.chunks().iter().copied().collect() };
        Some(Loaded { places, waiting, decoded: Vec::new() })
    }

    /// Decodes the next window's chunks in step with the batches that leave this one.
    fn decode_ahead(&mut self) -> Result<()> {
        if self.cache.is_some() {
            return Ok(());
        }
        if self.next.is_none() {
            self.next = self.plan_next();
        }
        if let (Some(window), Some(next)) = (&self.window, &mut self.next) {
            let left = window.places.positions().end.saturating_sub(self.positions.start);
            let batches_left = left.div_ceil(self.batch_size as u64).max(1) as usize;
            let some = next.waiting.len().div_ceil(batches_left);
            decode_some(self.set, next, some, &mut self.decoders)?;
        }
        Ok(())
    }
}

/// Checks and decodes the next `n` of a window's chunks, in parallel.
fn decode_some(set: &ShardSet, window: &mut Loaded, n: usize, decoders: &mut Vec<Decoder>) -> Result<()> {
    let numbers: Vec<u32> = window.waiting.drain(..n.min(window.waiting.len())).collect();
    decoders.resize_with(decoders.len().max(numbers.len().min(rayon::current_num_threads())), Decoder::new);
    let share = numbers.len().div_ceil(decoders.len().max(1)).max(1);
    let decoded: Result<Vec<Vec<Chunk>>> = numbers
        .par_chunks(share)
        .zip(decoders.par_iter_mut())
        .map(|(numbers, decoder)| {
            let decode = |&number: &u32| {
                let mut chunk = set.empty_chunk();
                set.decode(number.into(), decoder, &mut chunk).map(|()| chunk)
            };
            numbers.iter().map(decode).collect()
        })
        .collect();
    window.decoded.extend(decoded?.into_iter().flatten());
    Ok(())
}
