//! Prophesee DAT files. A text header is followed by the kind and the size of the events (1 byte each), and then by the
//! events (8 bytes each, little-endian). Source: "DAT File Format" in the documentation of the Metavision SDK; for
//! versions below 2, the MATLAB scripts that Prophesee distributed with its data sets (load_atis_data.m).
//!
//! | bytes | meaning |
//! |---|---|
//! | 0 to 3 | time in microseconds, which wraps after 2^32 |
//! | 4 to 7, version 2 | bits 0 to 13: x; bits 14 to 27: y; bits 28 to 31: polarity |
//! | 4 to 7, below version 2 | bits 0 to 8: x; bits 9 to 16: y; bit 17: polarity |
//!
//! The kind is 0 (2D) or 12 (CD). Both kinds have the same events. A file without a header is of version 0. It has no
//! kind and no size.

use crate::error::Result;
use crate::source::cameras::block::Decoded;
use crate::source::cameras::input::Input;
use crate::source::marks::PercentHeader;

/// Width and height of the ATIS, the sensor of files below version 2.
const ATIS: (u64, u64) = (304, 240);

/// Decodes a file.
///
/// # Errors
/// Errors of [`Input::words`] and [`Decoded::settle`]; [`crate::Error::DamagedBytes`] for events of another kind or
/// size.
pub(super) fn decode(input: &mut Input<'_>, out: &mut Decoded) -> Result<()> {
    let header = PercentHeader::read(|| input.line("%"))?;
    // Without a version, larger sensors than the ATIS have the addresses of version 2.
    let is_larger = header.sensor().is_some_and(|(width, height)| width > ATIS.0 || height > ATIS.1);
    let is_old = header.version.map_or(!is_larger, |version| version < 2);
    if let Some((width, height)) = header.sensor().or(is_old.then_some(ATIS)) {
        out.set_sensor(width, height);
    }
    if header.lines > 0 {
        let at = input.at();
        let [kind, size] = input.needed("the kind and the size of an event")?;
        if !matches!((kind, size), (0 | 12, 8)) {
            let got = format!("kind {kind} of {size} bytes");
            return Err(input.damaged(at, "events of kind 0 (2D) or 12 (CD), of 8 bytes", got));
        }
    }
    match is_old {
        true => events(input, out, [0x1ff, 9, 0xff, 17, 1]),
        false => events(input, out, [0x3fff, 14, 0x3fff, 28, 0xf]),
    }
}

/// Decodes the events. The array has the mask of x, the shift and mask of y, and the shift and mask of the polarity.
#[inline(always)]
fn events(input: &mut Input<'_>, out: &mut Decoded, [x_mask, y, y_mask, p, p_mask]: [u32; 5]) -> Result<()> {
    let mut clock = Clock32::default();
    input.words::<8>("an event", |words, _| {
        // One loop per column, which the compiler can vectorise.
        let (ts, xs, ys, ps) = out.block.add(words.len());
        let address = |word: &[u8; 8]| (u64::from_le_bytes(*word) >> 32) as u32;
        clock.times(words.iter().map(|word| u64::from_le_bytes(*word) as u32), ts);
        words.iter().zip(xs).for_each(|(word, x)| *x = (address(word) & x_mask) as u16);
        words.iter().zip(ys).for_each(|(word, column)| *column = (address(word) >> y & y_mask) as u16);
        words.iter().zip(ps).for_each(|(word, column)| *column = (address(word) >> p & p_mask) as u8);
        out.settle()
    })
}

/// A clock of 32 bits. It has wrapped if it steps back by half of its range or more.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock32 {
    before: u32,
    wraps: i64,
}

impl Clock32 {
    /// Converts the stamps of the next events to times in microseconds. If no stamp wraps, the loop can be vectorised.
    #[inline(always)]
    fn times(&mut self, stamps: impl ExactSizeIterator<Item = u32> + Clone, out: &mut [i64]) {
        let pairs = stamps.clone().zip(stamps.clone().skip(1));
        let goes_on = pairs.fold(true, |goes_on, (a, b)| goes_on & (a.saturating_sub(b) < 1 << 31));
        let Some(last) = stamps.clone().last().filter(|_| goes_on) else {
            stamps.zip(out).for_each(|(stamp, t)| *t = self.time(stamp));
            return;
        };
        stamps.clone().take(1).for_each(|stamp| _ = self.time(stamp));
        let base = self.wraps << 32;
        stamps.zip(out).for_each(|(stamp, t)| *t = base + i64::from(stamp));
        self.before = last;
    }

    /// Returns the time in microseconds of the next event.
    #[inline(always)]
    pub(super) fn time(&mut self, t: u32) -> i64 {
        self.wraps += i64::from(self.before.saturating_sub(t) >= 1 << 31);
        self.before = t;
        (self.wraps << 32) + i64::from(t)
    }
}
