//! A number for each cell of a sensor, and which of them are in use: a frame is read off in order, without a sort and
//! without a look at the empty cells.

use super::super::events::SensorSize;

/// Numbers of a frame's cells, zero where there is nothing.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    numbers: Vec<u32>,
    /// A bit for each number that is in use.
    used: Vec<u64>,
    /// A bit for each word of `used` that has a bit.
    words: Vec<u64>,
}

impl Cells {
    /// All zero, for the frames of `sensor`.
    pub(super) fn new(sensor: SensorSize) -> Cells {
        let cells = sensor.frame_shape().cells() as usize;
        let words = cells.div_ceil(64).max(2);
        Cells { numbers: vec![0; cells], used: vec![0; words], words: vec![0; words.div_ceil(64)] }
    }

    /// The number of a cell, to be made other than zero.
    #[inline(always)]
    pub(super) fn number(&mut self, cell: u32) -> &mut u32 {
        let cell = cell as usize;
        self.used[cell / 64] |= 1 << (cell % 64);
        self.words[cell / 4096] |= 1 << (cell / 64 % 64);
        &mut self.numbers[cell]
    }

    /// Counts events by their cells. Marks of a small sensor are made in registers: in memory, each event would wait for
    /// the one before it that has changed another bit of the same word.
    pub(super) fn count(&mut self, cells: impl Iterator<Item = u32>) {
        if let [low, high] = self.used[..] {
            let mut marks = u128::from(high) << 64 | u128::from(low);
            for cell in cells {
                marks |= 1 << (cell % u128::BITS);
                self.numbers[cell as usize] += 1;
            }
            self.used.copy_from_slice(&[marks as u64, (marks >> 64) as u64]);
            self.words[0] = 0b11;
        } else {
            cells.for_each(|cell| *self.number(cell) += 1);
        }
    }

    /// Hands out all cells in use, ascending, with their numbers, which are zero from then on.
    pub(super) fn drain(&mut self, mut each: impl FnMut(u32, u32)) {
        for (i, words) in self.words.iter_mut().enumerate() {
            for_each_bit(std::mem::take(words), |bit| {
                let word = i * 64 + bit;
                for_each_bit(std::mem::take(&mut self.used[word]), |bit| {
                    let cell = word * 64 + bit;
                    each(cell as u32, std::mem::take(&mut self.numbers[cell]));
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
