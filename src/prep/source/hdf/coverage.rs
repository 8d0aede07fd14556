//! Finds the rows of a dataset that are outside all of the given selections. These rows have no data.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

/// Maximum number of ranges of rows that one check merges. This limits the time for a file that claims absurd sizes.
const MOST_RANGES: u64 = 1 << 28;
/// Maximum number of columns that one check of a virtual dataset looks at.
const MOST_COLUMNS: usize = 4096;
/// Value of `Strided::count` and `Strided::block` that means unlimited.
const UNLIMITED: u64 = u64::MAX;

/// A selection on one axis: `count` blocks of `block` entries. The first block starts at `start`. The starts of
/// neighbouring blocks are `stride` entries apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Strided {
    pub(super) start: u64,
    pub(super) stride: u64,
    /// Number of blocks. `u64::MAX` means unlimited.
    pub(super) count: u64,
    /// Number of entries of a block. `u64::MAX` means unlimited.
    pub(super) block: u64,
}

/// The entries of a dataset that an HDF5 dataspace selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// All entries of the dataset.
    All,
    /// The entries in a list of boxes. A box has a [`Strided`] for each axis.
    Boxes(Vec<Vec<Strided>>),
}

/// A part of a dataset: a range of rows (the first axis), and a range of columns (the second).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) rows: Range<u64>,
    pub(super) columns: Range<u64>,
}

/// Summary of the rows of a dataset that have no data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Gaps {
    /// The first range of missing rows.
    pub(super) first: Range<u64>,
    /// Index of the last missing row, plus 1.
    end: u64,
    /// Number of ranges of missing rows.
    pub(super) ranges: u64,
    /// Number of missing rows.
    pub(super) rows: u64,
}

impl Strided {
    pub(super) fn range(range: Range<u64>) -> Strided {
        let block = range.end.saturating_sub(range.start);
        Strided { start: range.start, stride: block.max(1), count: 1, block }
    }

    pub(super) fn is_unlimited(&self) -> bool {
        self.count == UNLIMITED || self.block == UNLIMITED
    }

    /// Returns whether the selected entries are one range, without gaps between the blocks.
    pub(super) fn is_range(&self) -> bool {
        self.stride <= self.block || self.count <= 1
    }

    pub(super) fn len(&self) -> u64 {
        self.count.saturating_mul(self.block)
    }

    /// Returns the index after the last selected entry.
    pub(super) fn end(&self) -> u64 {
        match self.count.checked_sub(1) {
            None => self.start,
            Some(before) => self.start.saturating_add(self.stride.saturating_mul(before)).saturating_add(self.block),
        }
    }

    /// Returns the range of entries of block number `k`, counted from 0.
    pub(super) fn block_range(&self, k: u64) -> Range<u64> {
        let start = self.start.saturating_add(self.stride.saturating_mul(k));
        start..start.saturating_add(self.block)
    }

    /// Returns the number of blocks that start below index `extent`. The last of these may end beyond `extent`.
    pub(super) fn blocks_below(&self, extent: u64) -> u64 {
        extent.saturating_sub(self.start).div_ceil(self.stride.max(1)).min(self.count)
    }

    /// Returns the number of selected entries below index `extent`.
    pub(super) fn len_below(&self, extent: u64) -> u64 {
        match self.blocks_below(extent) {
            0 => 0,
            blocks => {
                let last = self.block_range(blocks - 1);
                (blocks - 1).saturating_mul(self.block).saturating_add(last.end.min(extent) - last.start)
            }
        }
    }

    /// Selects the first `entries` entries of this selection: the whole blocks, and the beginning of the next block.
    pub(super) fn first(&self, entries: u64) -> [Strided; 2] {
        let (blocks, rest) = (entries / self.block.max(1), entries % self.block.max(1));
        let last = self.block_range(blocks).start;
        [Strided { count: blocks, ..*self }, Strided::range(last..last.saturating_add(rest))]
    }

    /// Iterates over the selected ranges, in order. Blocks without gaps between them are one range.
    fn ranges(self) -> impl Iterator<Item = Range<u64>> {
        let whole = self.is_range();
        let blocks = if self.len() == 0 {
            0
        } else if whole {
            1
        } else {
            self.count
        };
        (0..blocks).map(move |k| if whole { self.start..self.end() } else { self.block_range(k) })
    }
}

impl Selection {
    /// Returns the selected boxes. A box has a [`Strided`] for each axis. `All` becomes one box that covers `shape`.
    pub(super) fn boxes(&self, shape: &[u64]) -> Vec<Vec<Strided>> {
        match self {
            Selection::All => vec![shape.iter().map(|&length| Strided::range(0..length)).collect()],
            Selection::Boxes(boxes) => boxes.clone(),
        }
    }

    /// Returns the selected box if there is exactly one. `None` for no box, for several boxes, and for `All`.
    pub(super) fn only(&self) -> Option<&[Strided]> {
        match self {
            Selection::Boxes(boxes) if boxes.len() == 1 => Some(&boxes[0]),
            _ => None,
        }
    }
}

/// Returns the number of entries in all boxes together. Entries that are in several boxes count several times.
pub(super) fn entries(boxes: &[Vec<Strided>]) -> u64 {
    let one = |axes: &Vec<Strided>| axes.iter().fold(1_u64, |product, axis| product.saturating_mul(axis.len()));
    boxes.iter().map(one).fold(0, u64::saturating_add)
}

/// Returns the smallest range on axis `axis` that contains all boxes.
pub(super) fn bounds(boxes: &[Vec<Strided>], axis: usize) -> Range<u64> {
    let axes = || boxes.iter().filter_map(|axes| axes.get(axis)).filter(|axis| axis.len() > 0);
    axes().map(|axis| axis.start).min().unwrap_or(0)..axes().map(Strided::end).max().unwrap_or(0)
}

impl Region {
    /// Returns the region that covers a whole dataset of this shape.
    pub(super) fn whole(shape: &[u64]) -> Region {
        let all = |axis: usize| 0..shape.get(axis).copied().unwrap_or(1);
        Region { rows: all(0), columns: all(1) }
    }

    /// Returns whether the box `axes` overlaps the region. Ignores gaps between the rows of the box.
    pub(super) fn meets(&self, axes: &[Strided]) -> bool {
        let overlaps = |axis: &Strided, range: &Range<u64>| {
            axis.ranges().take(MOST_COLUMNS).any(|own| own.start < range.end && range.start < own.end)
        };
        axes.first().is_none_or(|rows| rows.len() > 0 && rows.start < self.rows.end && self.rows.start < rows.end())
            && axes.get(1).is_none_or(|columns| overlaps(columns, &self.columns))
    }

    /// Finds the first column of the region that the boxes don't fill completely, and returns the missing rows of this
    /// column. Returns no rows if the boxes fill the region, and `None` if there are too many ranges to check.
    pub(super) fn gaps(&self, boxes: &[Vec<Strided>]) -> Option<Gaps> {
        let mut cuts = vec![self.columns.start];
        for columns in boxes.iter().filter_map(|axes| axes.get(1)) {
            let ranges = columns.ranges().take(MOST_COLUMNS).flat_map(|range| [range.start, range.end]);
            cuts.extend(ranges.filter(|cut| self.columns.contains(cut)));
        }
        cuts.sort_unstable();
        cuts.dedup();
        if cuts.len() > MOST_COLUMNS {
            return None;
        }
        let mut budget = MOST_RANGES;
        for column in cuts {
            let there = |columns: Strided| columns.ranges().any(|range| range.contains(&column));
            let rows = boxes.iter().filter(|axes| axes.get(1).is_none_or(|&columns| there(columns)));
            let gaps = row_gaps(rows.filter_map(|axes| axes.first().copied()), &self.rows, &mut budget)?;
            if gaps.ranges > 0 {
                return Some(gaps);
            }
        }
        Some(Gaps::default())
    }
}

/// Returns the rows in `needed` that no selection in `rows` contains. Each merged range reduces `budget` by one.
/// Returns `None` when `budget` is used up.
fn row_gaps(rows: impl Iterator<Item = Strided>, needed: &Range<u64>, budget: &mut u64) -> Option<Gaps> {
    let mut ranges: Vec<_> = rows.map(Strided::ranges).collect();
    let first = ranges.iter_mut().enumerate().filter_map(|(i, own)| own.next().map(|r| Reverse((r.start, r.end, i))));
    let mut next: BinaryHeap<_> = first.collect();
    let (mut gaps, mut reached) = (Gaps::default(), needed.start);
    while let Some(Reverse((start, end, i))) = next.pop().filter(|_| reached < needed.end) {
        *budget = budget.checked_sub(1)?;
        gaps.add(reached..start.min(needed.end));
        reached = reached.max(end);
        next.extend(ranges[i].next().map(|range| Reverse((range.start, range.end, i))));
    }
    gaps.add(reached..needed.end);
    Some(gaps)
}

impl Gaps {
    /// Adds a range of missing rows. The range must not start before the range that was added last.
    pub(super) fn add(&mut self, range: Range<u64>) {
        let range = range.start.max(self.end)..range.end;
        if range.is_empty() {
            return;
        }
        self.rows += range.end - range.start;
        if self.ranges > 0 && self.end == range.start {
            if self.ranges == 1 {
                self.first.end = range.end;
            }
        } else {
            if self.ranges == 0 {
                self.first = range.clone();
            }
            self.ranges += 1;
        }
        self.end = range.end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(start: u64, stride: u64, count: u64, block: u64) -> Strided {
        Strided { start, stride, count, block }
    }

    fn gaps(rows: &[Strided], needed: Range<u64>) -> Option<Gaps> {
        let boxes: Vec<Vec<Strided>> = rows.iter().map(|&rows| vec![rows]).collect();
        Region { rows: needed, columns: 0..1 }.gaps(&boxes)
    }

    #[test]
    fn gaps_are_what_no_selection_has() {
        assert_eq!(gaps(&[every(0, 1, 5, 1), every(5, 10, 1, 5)], 0..10), Some(Gaps::default()));
        let found = gaps(&[every(2, 4, 3, 2)], 0..14).unwrap();
        assert_eq!((found.first, found.ranges, found.rows), (0..2, 4, 8));
        assert_eq!(gaps(&[every(2, 4, 3, 2)], 6..8), Some(Gaps::default()));
        assert_eq!(gaps(&[], 3..4).unwrap().rows, 1);
        assert_eq!(gaps(&[every(0, 3, 0, 2), every(1, 1, 1, 0)], 0..4).unwrap().first, 0..4);
    }

    #[test]
    fn gaps_agree_with_a_list_of_all_entries() {
        let mut state = 1_u64;
        let mut next = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        for _ in 0..2_000 {
            let boxes: Vec<Vec<Strided>> = (0..next(5))
                .map(|_| {
                    let mut axis = || {
                        let block = next(4);
                        every(next(12), block + next(4), next(5), block)
                    };
                    vec![axis(), axis()]
                })
                .collect();
            let has = |axis: &Strided, at: u64| (0..axis.count).any(|k| axis.block_range(k).contains(&at));
            let region = Region { rows: next(6)..6 + next(12), columns: next(3)..3 + next(6) };
            let there = |row: u64, column: u64| boxes.iter().any(|axes| has(&axes[0], row) && has(&axes[1], column));
            let full = region.rows.clone().all(|row| region.columns.clone().all(|column| there(row, column)));
            let found = region.gaps(&boxes).unwrap();
            assert_eq!(found.ranges == 0, full, "{boxes:?} {region:?}");
            if !full {
                assert!(region.columns.clone().any(|column| !there(found.first.start, column)), "{boxes:?} {region:?}");
            }
        }
    }

    #[test]
    fn absurd_selections_end() {
        assert_eq!(row_gaps([every(0, 2, 1 << 60, 1)].into_iter(), &(0..u64::MAX), &mut 1_000), None);
        assert_eq!(every(5, u64::MAX, u64::MAX, u64::MAX).end(), u64::MAX);
        assert_eq!(gaps(&[every(0, 1, u64::MAX, 1)], 0..u64::MAX), Some(Gaps::default()));
    }

    #[test]
    fn a_part_of_an_unlimited_selection_is_counted() {
        let axis = every(10, 5, u64::MAX, 2);
        let below = [10, 11, 12, 13, 15, 16, 21].map(|extent| axis.len_below(extent));
        assert_eq!(below, [0, 1, 2, 2, 2, 3, 5]);
        assert_eq!(axis.first(5), [every(10, 5, 2, 2), Strided::range(20..21)]);
    }
}
