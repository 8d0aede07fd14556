//! Converts the x and y of a file to pixels counted from 0. In the file, the first pixel can have the coordinate 1,
//! or rows can be counted from below.

use std::ops::Range;

use crate::source::columns::{FAR_PIXEL, NO_PIXEL};
use crate::source::raw::{Coordinates, RawSamples};

/// How the x and y of a file are converted to pixels. The conversions are applied in the order of the fields.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Placing {
    /// Coordinate of the first pixel, which is subtracted from x and y.
    pub origin: u8,
    /// Height of the sensor, if the rows of the file are counted from below.
    pub flip: Option<u32>,
    /// Whether the lowest x and the lowest y of each sample are subtracted.
    pub to_zero: bool,
}

impl Placing {
    /// Converts the coordinates of whole samples.
    pub(super) fn place(&self, raw: RawSamples) -> RawSamples {
        let mut raw = self.place_all(raw);
        if self.to_zero {
            let RawSamples { x, y, offsets, .. } = &mut raw;
            for column in [Some(x), y.as_mut()].into_iter().flatten() {
                let of_sample = |ends: &[usize]| lowest(column, ends[0]..ends[1]).unwrap_or(0);
                let lowest: Vec<i64> = offsets.windows(2).map(of_sample).collect();
                let mut sample = 0;
                *column = changed(column, |i, n| {
                    while offsets[sample + 1] <= i {
                        sample += 1;
                    }
                    n.saturating_sub(lowest[sample])
                });
            }
        }
        raw
    }

    /// Converts the coordinates of a block of a sample, and then subtracts `lowest` (x, y).
    pub(super) fn place_block(&self, raw: RawSamples, lowest: [i64; 2]) -> RawSamples {
        let raw = self.place_all(raw);
        let minus = |column: Coordinates, lowest: i64| match lowest {
            0 => column,
            lowest => changed(&column, |_, n| n.saturating_sub(lowest)),
        };
        RawSamples { x: minus(raw.x, lowest[0]), y: raw.y.map(|y| minus(y, lowest[1])), ..raw }
    }

    fn place_all(&self, raw: RawSamples) -> RawSamples {
        let RawSamples { times, x, y, p, offsets } = raw;
        let y = y.map(|y| y.minus_origin(self.origin)).map(|y| match self.flip {
            Some(height) => changed(&y, |_, n| (i64::from(height) - 1).saturating_sub(n)),
            None => y,
        });
        RawSamples { times, x: x.minus_origin(self.origin), y, p, offsets }
    }
}

/// Replaces each entry by the result of `change`, which gets the index and the entry. Entries for events without a
/// pixel stay as they are.
fn changed(column: &Coordinates, mut change: impl FnMut(usize, i64) -> i64) -> Coordinates {
    let changed = (0..column.len()).map(|i| match column.get(i) {
        n @ (NO_PIXEL | FAR_PIXEL) => n,
        n => change(i, n),
    });
    let changed: Vec<i64> = changed.collect();
    let short: Option<Vec<u16>> = changed.iter().map(|&n| n.try_into().ok()).collect();
    short.map_or(Coordinates::I64(changed), Coordinates::U16)
}

/// Returns the smallest entry of a range of events. Ignores events without a pixel.
pub(super) fn lowest(column: &Coordinates, range: Range<usize>) -> Option<i64> {
    range.map(|i| column.get(i)).filter(|n| ![NO_PIXEL, FAR_PIXEL].contains(n)).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::raw::Times;

    #[test]
    fn each_sample_is_moved_by_its_own_lowest_pixel() {
        let raw = || RawSamples {
            times: Times::Us(vec![0; 5]),
            x: Coordinates::U8(vec![5, 3, 9, 7, 8]),
            y: Some(Coordinates::U16(vec![1, 2, 3, 4, 10])),
            p: None,
            offsets: vec![0, 2, 2, 5],
        };
        let entries = |column: &Coordinates| (0..column.len()).map(|i| column.get(i)).collect::<Vec<_>>();
        let placing = Placing { to_zero: true, ..Placing::default() };
        let placed = placing.place(raw());
        assert_eq!(entries(&placed.x), [2, 0, 2, 0, 1]);
        assert_eq!(placed.y.as_ref().map(entries), Some(vec![0, 1, 0, 1, 7]));
        let flipped = Placing { origin: 1, flip: Some(10), to_zero: false }.place(raw());
        assert_eq!(entries(&flipped.x), [4, 2, 8, 6, 7]);
        assert_eq!(flipped.y.as_ref().map(entries), Some(vec![9, 8, 7, 6, 0]));
    }
}
