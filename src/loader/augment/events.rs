//! The events of a sample during augmentation: a list of occupied cells, with the number of events in each.

use tonic_shard::{Column, FrameShape, SampleFrames, SparseFrames};

use crate::augment::draws::Draws;

/// Events in one cell of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) frame: u32,
    pub(super) cell: u32,
    pub(super) count: u32,
}

/// Frames of one sample, as a list of occupied cells.
#[derive(Clone, Debug)]
pub(super) struct Events {
    pub(super) shape: FrameShape,
    pub(super) frames: u32,
    pub(super) entries: Vec<Entry>,
}

impl Events {
    pub(super) fn of(sample: SampleFrames<'_>, shape: FrameShape) -> Events {
        let entry = |(frame, cell, count): (usize, u32, f64)| Entry { frame: frame as u32, cell, count: count as u32 };
        Events { shape, frames: sample.frames() as u32, entries: sample.iter().map(entry).collect() }
    }

    /// Appends the sample to `out`, whose counts must be u32. Entries of the same cell and frame become one.
    pub(super) fn append_to(mut self, out: &mut SparseFrames) {
        self.merge();
        let mut sizes = vec![0; self.frames as usize];
        self.entries.iter().for_each(|entry| sizes[entry.frame as usize] += 1);
        let cells: Vec<u32> = self.entries.iter().map(|entry| entry.cell).collect();
        let counts: Vec<u32> = self.entries.iter().map(|entry| entry.count).collect();
        // A column of u32 holds every count.
        let _ = out.push(&sizes, &cells, Column::U32(&counts));
    }

    /// Sorts the entries by frame and cell. Joins entries of the same frame and cell, and adds up their counts.
    fn merge(&mut self) {
        if !self.entries.is_sorted() {
            self.entries.sort_unstable();
        }
        self.entries.dedup_by(|next, kept| {
            let is_same = (next.frame, next.cell) == (kept.frame, kept.cell);
            if is_same {
                // No recording has 2^32 events in one cell of one frame.
                kept.count = kept.count.saturating_add(next.count);
            }
            is_same
        });
    }

    /// First and last frame with events. `None` without events.
    pub(super) fn span(&self) -> Option<[u32; 2]> {
        let frames = || self.entries.iter().map(|entry| entry.frame);
        Some([frames().min()?, frames().max()?])
    }

    /// Number of events.
    pub(super) fn total(&self) -> u64 {
        self.entries.iter().map(|entry| u64::from(entry.count)).sum()
    }

    /// Moves every entry to the frame and cell `[p, y, x]` that `to` returns. Drops an entry if `to` returns `None` or
    /// a cell outside the frames.
    pub(super) fn move_entries(&mut self, to: impl Fn(i64, [i64; 3]) -> Option<(i64, [i64; 3])>) {
        let (shape, frames) = (self.shape, self.frames);
        self.entries.retain_mut(|entry| {
            let (frame, at) = (i64::from(entry.frame), shape.coordinates(entry.cell).map(i64::from));
            to(frame, at).and_then(|(frame, at)| place(shape, frames, frame, at)).is_some_and(|(frame, cell)| {
                (entry.frame, entry.cell) = (frame, cell);
                true
            })
        });
    }

    /// Calls `to` for every event, and moves the event to the returned frame and cell `[p, y, x]`. Drops events
    /// outside the frames.
    pub(super) fn move_events(&mut self, draws: &mut Draws, to: impl Fn(&mut Draws, i64, [i64; 3]) -> (i64, [i64; 3])) {
        let (shape, frames) = (self.shape, self.frames);
        let mut moved = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let (frame, at) = (i64::from(entry.frame), shape.coordinates(entry.cell).map(i64::from));
            for _ in 0..entry.count {
                let (frame, at) = to(draws, frame, at);
                let there = place(shape, frames, frame, at);
                moved.extend(there.map(|(frame, cell)| Entry { frame, cell, count: 1 }));
            }
        }
        self.entries = moved;
        self.merge();
    }

    /// Drops `dropped` random events. Every event has the same probability.
    pub(super) fn thin(&mut self, draws: &mut Draws, dropped: u64) {
        let (mut left, mut to_drop) = (self.total(), dropped);
        self.entries.retain_mut(|entry| {
            for _ in 0..entry.count {
                if draws.below(left) < to_drop {
                    (entry.count, to_drop) = (entry.count - 1, to_drop - 1);
                }
                left -= 1;
            }
            entry.count > 0
        });
    }
}

/// Returns the frame and the index of the cell at `[p, y, x]`, or `None` outside the frames.
fn place(shape: FrameShape, frames: u32, frame: i64, at: [i64; 3]) -> Option<(u32, u32)> {
    let sizes = [shape.polarities, shape.height, shape.width];
    let is_inside = at.iter().zip(sizes).all(|(&at, size)| (0..i64::from(size)).contains(&at));
    let [p, y, x] = at;
    let cell = (p * i64::from(shape.height) + y) * i64::from(shape.width) + x;
    (is_inside && (0..i64::from(frames)).contains(&frame)).then_some((frame as u32, cell as u32))
}
