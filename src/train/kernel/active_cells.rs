//! The input of a layer in sparse form: the active cells (those with a count) of each time step.

use tonic_shard::{Column, FromValue, SampleFrames, each_width, largest};

use crate::error::KernelError;
use crate::kernel::iaf::Neuron;
use crate::kernel::isa::{Isa, for_each_isa};
use crate::kernel::{Aligned, TILE_WIDTH, Tile};

/// The dense kernels are faster if the share of active inputs is above this number. The first number is for layers
/// with up to [`FEW_INPUTS`] inputs, the second for larger layers.
const DENSE: [f64; 2] = [0.6, 0.3];
/// Up to this number of inputs, the weights of 2 * [`TILE_WIDTH`] neurons fit into the L1 cache.
const FEW_INPUTS: usize = 128;

/// The active cells of each time step, and their counts. In layers after the first, the cells are the neurons of the
/// layer before, and the counts are their spikes.
#[derive(Clone, Debug, Default)]
pub(crate) struct ActiveCells {
    /// Index in `entries` of the first active cell of each time step. The last element is the length of `entries`.
    offsets: Vec<usize>,
    /// `(cell, count)` of every active cell, ordered by time step.
    entries: Vec<(u32, f32)>,
    /// Scratch memory: the number of active cells in each frame of a sample.
    sizes: Vec<u32>,
    /// Scratch memory: the index of every active cell of a sample.
    cells: Vec<u32>,
}

/// The counts of all time steps, ordered by cell.
#[derive(Debug)]
pub(crate) struct ByCell {
    /// `(cell, end)` for each cell that has counts. `end` is the index in `entries` after the cell's last entry.
    active: Vec<(u32, u32)>,
    /// `(time step, count)` of every count, ordered by cell and then by time step.
    entries: Vec<(u32, f32)>,
}

impl ByCell {
    /// Returns each cell that has counts, with the list of its `(time step, count)`.
    #[inline(always)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &[(u32, f32)])> {
        let mut begin = 0;
        self.active.iter().map(move |&(cell, end)| {
            let entries = &self.entries[begin..end as usize];
            begin = end as usize;
            (cell, entries)
        })
    }
}

impl ActiveCells {
    pub(crate) fn steps(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Returns `(cell, count)` of every active cell at time step `t`.
    #[inline(always)]
    pub(crate) fn step(&self, t: usize) -> &[(u32, f32)] {
        &self.entries[self.offsets[t]..self.offsets[t + 1]]
    }

    /// Returns `(cell, count)` of every active cell, ordered by time step.
    pub(crate) fn all(&self) -> &[(u32, f32)] {
        &self.entries
    }

    /// Replaces the content with the frames of a sample, padded to `steps` time steps. `index` is for error messages.
    pub(crate) fn set_frames(
        &mut self,
        sample: SampleFrames<'_>,
        inputs: usize,
        steps: usize,
        index: usize,
    ) -> Result<(), KernelError> {
        sample.frame_sizes.widen_into(&mut self.sizes);
        sample.cells.widen_into(&mut self.cells);
        let (sizes, cells, counts) = (sample.frame_sizes.sum(), self.cells.len(), sample.counts.len());
        if sizes != cells as u64 || cells != counts {
            return Err(KernelError::RaggedSample { sample: index, sizes, cells, counts });
        }
        if let Some(cell) = largest(&self.cells).filter(|&cell| cell as usize >= inputs) {
            return Err(KernelError::CellOutsideInputs { sample: index, cell, inputs });
        }
        self.clear();
        each_width!(sample.counts, Column, counts => {
            let values = counts.iter().map(|&count| f32::from_value(f64::from(count)));
            self.entries.extend(self.cells.iter().copied().zip(values));
        });
        let mut end = 0;
        self.offsets.extend(self.sizes.iter().map(|&size| {
            end += size as usize;
            end
        }));
        self.offsets.resize(steps.max(self.sizes.len()) + 1, end);
        Ok(())
    }

    /// Returns the counts ordered by cell. `cells` is the number of cells.
    pub(crate) fn by_cell(&self, cells: usize) -> ByCell {
        let mut ends = vec![0u32; cells];
        self.entries.iter().for_each(|&(cell, _)| ends[cell as usize] += 1);
        let (mut active, mut end) = (Vec::new(), 0);
        for (cell, place) in ends.iter_mut().enumerate().filter(|(_, count)| **count > 0) {
            let begin = end;
            end += *place;
            *place = begin;
            active.push((cell as u32, end));
        }
        let mut entries = vec![(0, 0.0); self.entries.len()];
        for t in 0..self.steps() {
            for &(cell, count) in self.step(t) {
                let place = &mut ends[cell as usize];
                entries[*place as usize] = (t as u32, count);
                *place += 1;
            }
        }
        ByCell { active, entries }
    }

    /// Whether the dense kernels are faster than the sparse kernels, in a layer with `inputs` inputs.
    pub(crate) fn is_dense(&self, inputs: usize) -> bool {
        let share = DENSE[usize::from(inputs > FEW_INPUTS)];
        self.entries.len() as f64 > share * (self.steps() * inputs) as f64
    }

    /// Writes the counts to `dense`: `dense[tile * stride + t][j]` is the count of input `tile * TILE_WIDTH + j` at
    /// time step t.
    pub(crate) fn write_dense(&self, inputs: usize, stride: usize, dense: &mut Aligned<Tile>) {
        dense.clear();
        dense.resize(inputs.div_ceil(TILE_WIDTH) * stride, [0.0; TILE_WIDTH]);
        for t in 0..self.steps() {
            for &(cell, count) in self.step(t) {
                dense[cell as usize / TILE_WIDTH * stride + t][cell as usize % TILE_WIDTH] = count;
            }
        }
    }

    /// Replaces the content with the spikes of a layer, from the outputs of [`iaf::forward`](super::iaf::forward).
    pub(crate) fn set_spikes(
        &mut self,
        isa: Isa,
        fired: &[u32],
        v: &[Tile],
        neurons: usize,
        stride: usize,
        neuron: &Neuron,
    ) {
        self.clear();
        append_spikes(isa, fired, v, neurons, stride, neuron, self);
    }

    /// Replaces the content with the spikes of a layer that has at most one spike per neuron and step. Bit j of
    /// `bits[t * tiles + tile]` is 1 if neuron `tile * TILE_WIDTH + j` spikes at time step t. Every spike gets the
    /// count `value`.
    pub(crate) fn set_bits(&mut self, bits: &[u32], tiles: usize, value: f32) {
        self.clear();
        let spikes: usize = bits.iter().map(|bits| bits.count_ones() as usize).sum();
        self.entries.resize(spikes + ANYWAY, (0, 0.0));
        let mut end = 0;
        for bits in bits.chunks_exact(tiles.max(1)) {
            for (tile, &bits) in bits.iter().enumerate() {
                end += write_spikes(&mut self.entries[end..], tile, bits, |_| value);
            }
            self.offsets.push(end);
        }
        self.entries.truncate(end);
    }

    /// Appends a time step. Bit j of `bits[tile]` is 1 if neuron `tile * TILE_WIDTH + j` spikes. Every spike gets the
    /// count `value`.
    pub(crate) fn push_bits(&mut self, bits: &[u32], value: f32) {
        for (tile, &bits) in bits.iter().enumerate() {
            let mut left = bits;
            while left != 0 {
                self.entries.push(((tile * TILE_WIDTH) as u32 + left.trailing_zeros(), value));
                left &= left - 1;
            }
        }
        self.offsets.push(self.entries.len());
    }

    /// Appends a time step. `values` has the value of every cell.
    pub(crate) fn push_values(&mut self, values: impl Iterator<Item = f32>) {
        self.entries.extend((0..).zip(values).filter(|&(_, value)| value != 0.0));
        self.offsets.push(self.entries.len());
    }

    /// Removes the cells whose bit in `masks[t * tiles + tile]` is 0, and multiplies the remaining counts by `scale`.
    pub(crate) fn keep(&mut self, masks: &[u32], tiles: usize, scale: f32) {
        let (mut kept, mut start) = (0, 0);
        for (masks, end) in masks.chunks_exact(tiles.max(1)).zip(&mut self.offsets[1..]) {
            for i in start..*end {
                let (cell, count) = self.entries[i];
                if masks[cell as usize / TILE_WIDTH] >> (cell as usize % TILE_WIDTH) & 1 == 1 {
                    self.entries[kept] = (cell, scale * count);
                    kept += 1;
                }
            }
            (start, *end) = (*end, kept);
        }
        self.entries.truncate(kept);
    }

    /// Adds each cell's counts, summed over time, to `totals`, (cells,).
    pub(crate) fn add_totals(&self, totals: &mut [f64]) {
        self.entries.iter().for_each(|&(cell, count)| totals[cell as usize] += f64::from(count));
    }

    /// Replaces the content with one time step: the counts of `other`, summed over time. `totals` is scratch memory.
    pub(crate) fn set_totals(&mut self, other: &ActiveCells, totals: &mut Vec<f32>, cells: usize) {
        totals.clear();
        totals.resize(cells, 0.0);
        for &(cell, count) in &other.entries {
            totals[cell as usize] += count;
        }
        self.clear();
        let active = totals.iter().enumerate().filter(|&(_, &total)| total != 0.0);
        self.entries.extend(active.map(|(cell, &total)| (cell as u32, total)));
        self.offsets.push(self.entries.len());
    }

    /// Removes all time steps.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.offsets.clear();
        self.offsets.push(0);
    }
}

/// This number of entries is written for every tile, which avoids a branch. The next tile overwrites surplus entries.
const ANYWAY: usize = 2;

/// Writes an entry for each 1 bit of `mask`. The count of neuron j is `count(j)`. Returns the number of entries.
#[inline(always)]
fn write_spikes(entries: &mut [(u32, f32)], tile: usize, mask: u32, count: impl Fn(usize) -> f32) -> usize {
    let (mut left, spikes) = (mask, mask.count_ones() as usize);
    let mut next = || {
        let j = left.trailing_zeros() as usize % TILE_WIDTH;
        left &= left.wrapping_sub(1);
        ((tile * TILE_WIDTH + j) as u32, count(j))
    };
    let (anyway, more) = entries.split_at_mut(ANYWAY);
    anyway.iter_mut().for_each(|entry| *entry = next());
    more.iter_mut().take(spikes.saturating_sub(ANYWAY)).for_each(|entry| *entry = next());
    spikes
}

for_each_isa! {
    fn append_spikes<V>(
        fired: &[u32],
        v: &[Tile],
        neurons: usize,
        stride: usize,
        neuron: &Neuron,
        active: &mut ActiveCells,
    ) {
        let ActiveCells { offsets, entries, .. } = active;
        let tiles = neurons.div_ceil(TILE_WIDTH).max(1);
        // A padded neuron can spike only if a count is not finite: 0 times infinity is NaN.
        let last = u32::MAX.checked_shr((tiles * TILE_WIDTH - neurons) as u32).unwrap_or(0);
        let spikes: usize = fired.iter().map(|mask| mask.count_ones() as usize).sum();
        entries.resize(spikes + ANYWAY, (0, 0.0));
        let mut end = 0;
        for (t, masks) in fired.chunks_exact(tiles).enumerate() {
            for (tile, &mask) in masks.iter().enumerate() {
                let v = &v[tile * stride + t];
                let mask = if tile + 1 == tiles { mask & last } else { mask };
                end += write_spikes(&mut entries[end..], tile, mask, |j| neuron.spikes(v[j]));
            }
            offsets.push(end);
        }
        entries.truncate(end);
    }
}
