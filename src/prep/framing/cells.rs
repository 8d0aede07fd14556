//! Counters for the cells of one frame. The nonzero counters can be read in ascending order of cells without a sort.

use crate::events::SensorSize;

/// One counter for each cell of a frame. The counter of an empty cell is 0.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    counters: Vec<u32>,
    /// One bit per counter: whether it is in use.
    used: Vec<u64>,
    /// One bit per item of `used`. If the bit is 0, the item is 0.
    words: Vec<u64>,
}

impl Cells {
    pub(super) fn new(sensor: SensorSize) -> Cells {
        let cells = sensor.frame_shape().cells() as usize;
        let words = cells.div_ceil(64).max(2);
        Cells { counters: vec![0; cells], used: vec![0; words], words: vec![0; words.div_ceil(64)] }
    }

    /// Marks a cell as in use and returns its counter. The caller must set the counter to a nonzero value.
    #[inline(always)]
    pub(super) fn counter(&mut self, cell: u32) -> &mut u32 {
        let cell = cell as usize;
        self.used[cell / 64] |= 1 << (cell % 64);
        self.words[cell / 4096] |= 1 << (cell / 64 % 64);
        &mut self.counters[cell]
    }

    /// Adds 1 to the counter of each cell in `cells`.
    pub(super) fn count(&mut self, cells: impl Iterator<Item = u32>) {
        let Cells { counters, used, words } = self;
        // Marks that stay in registers are faster: all of them with at most 128 cells, those of `words` with 4,096.
        if let [low, high] = used[..] {
            let mut marks = u128::from(high) << 64 | u128::from(low);
            for cell in cells {
                marks |= 1 << (cell % u128::BITS);
                counters[cell as usize] += 1;
            }
            used.copy_from_slice(&[marks as u64, (marks >> 64) as u64]);
            words[0] = 0b11;
        } else if let [word] = &mut words[..] {
            let mut marks = *word;
            for cell in cells.map(|cell| cell as usize) {
                used[cell / 64] |= 1 << (cell % 64);
                marks |= 1 << (cell / 64);
                counters[cell] += 1;
            }
            *word = marks;
        } else {
            cells.for_each(|cell| *self.counter(cell) += 1);
        }
    }

    /// Calls `each` with the index and the counter of every cell in use, in ascending order. Resets all counters to 0.
    pub(super) fn drain(&mut self, mut each: impl FnMut(u32, u32)) {
        for (i, words) in self.words.iter_mut().enumerate() {
            for_each_bit(std::mem::take(words), |bit| {
                let word = i * 64 + bit;
                for_each_bit(std::mem::take(&mut self.used[word]), |bit| {
                    let cell = word * 64 + bit;
                    each(cell as u32, std::mem::take(&mut self.counters[cell]));
                });
            });
        }
    }
}

fn for_each_bit(mut bits: u64, mut each: impl FnMut(usize)) {
    while bits != 0 {
        each(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}
