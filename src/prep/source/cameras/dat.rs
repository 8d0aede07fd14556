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

use std::path::Path;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::source::cameras::block::Decoded;
use crate::source::cameras::input::Input;
use crate::source::marks::PercentHeader;
use crate::source::packed::is_packed;

/// Width and height of the ATIS, the sensor of files below version 2.
const ATIS: (u64, u64) = (304, 240);

/// Size of an event in bytes.
const EVENT: u64 = 8;
/// Number of events of a part of a file. A thread decodes one part at a time.
const PART: usize = 1 << 19;

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

/// Where an event has its address: the mask of x, the shift and mask of y, and the shift and mask of the polarity.
type Address = [u32; 5];

/// The parts of the columns t, x, y and p that belong to some events.
type Slices<'c> = (&'c mut [i64], &'c mut [u16], &'c mut [u16], &'c mut [u8]);

#[inline(always)]
fn events(input: &mut Input<'_>, out: &mut Decoded, address: Address) -> Result<()> {
    let mut clock = decode_in_parts(input, out, address)?;
    input.words::<8>("an event", |words, _| {
        decode_words(words, &mut clock, address, out.block.add(words.len()));
        out.settle()
    })
}

/// Decodes all whole events of a large file on all cores, straight into their columns, since the size of the file says
/// how many there are. Does nothing if the events don't belong into memory, or the file is small or compressed. Returns
/// the clock after the last event.
fn decode_in_parts(input: &mut Input<'_>, out: &mut Decoded, address: Address) -> Result<Clock32> {
    let none = Clock32::default();
    let (path, begin) = (input.path(), input.at());
    let all = out.all_columns(|| input.bytes_left() / EVENT).filter(|_| !is_packed(path));
    let Some(mut all) = all else { return Ok(none) };
    let (ts, xs, ys, ps) = (
        all.t.par_chunks_mut(PART),
        all.x.par_chunks_mut(PART),
        all.y.par_chunks_mut(PART),
        all.p.par_chunks_mut(PART),
    );
    let at = |part: usize| begin + (part * PART) as u64 * EVENT;
    let decode = |(part, slices)| decode_part(path, at(part), part == 0, address, slices);
    let clocks = match (ts, xs, ys, ps).into_par_iter().enumerate().map(decode).collect::<Result<Vec<Clock32>>>() {
        Ok(clocks) => clocks,
        // The file became shorter meanwhile. Reading it in one piece finds its last whole event.
        Err(Error::DamagedBytes { .. }) => return Ok(none),
        Err(error) => return Err(error),
    };
    let mut clock = none;
    for (part, ts) in clocks.into_iter().zip(all.t.chunks_mut(PART)) {
        if clock.wraps > 0 {
            ts.iter_mut().for_each(|t| *t += clock.wraps << 32);
        }
        clock = Clock32 { before: part.before, wraps: clock.wraps + part.wraps };
    }
    *input = Input::open_at(path, begin + all.t.len() as u64 * EVENT)?;
    out.set_columns(all);
    Ok(clock)
}

/// Decodes a part of a file, which begins at byte `at`. The clock begins with the event before the part and without
/// wraps. Returns the clock after the part.
fn decode_part(
    path: &Path,
    at: u64,
    is_first: bool,
    address: Address,
    (ts, xs, ys, ps): Slices<'_>,
) -> Result<Clock32> {
    let mut clock = Clock32::default();
    let mut input = Input::open_at(path, if is_first { at } else { at - EVENT })?;
    if !is_first {
        let [t0, t1, t2, t3, ..] = input.needed::<{ EVENT as usize }>("an event")?;
        clock.before = u32::from_le_bytes([t0, t1, t2, t3]);
    }
    let mut done = 0;
    input.some_words(ts.len() as u64, "an event", |words, _| {
        let new = done..done + words.len();
        done = new.end;
        let slices = (&mut ts[new.clone()], &mut xs[new.clone()], &mut ys[new.clone()], &mut ps[new]);
        decode_words(words, &mut clock, address, slices);
        Ok(())
    })?;
    Ok(clock)
}

#[inline(always)]
fn decode_words(words: &[[u8; 8]], clock: &mut Clock32, [x_mask, y, y_mask, p, p_mask]: Address, slices: Slices<'_>) {
    // One loop per column, which the compiler can vectorise.
    let (ts, xs, ys, ps) = slices;
    let address = |word: &[u8; 8]| (u64::from_le_bytes(*word) >> 32) as u32;
    clock.times(words.iter().map(|word| u64::from_le_bytes(*word) as u32), ts);
    words.iter().zip(xs).for_each(|(word, x)| *x = (address(word) & x_mask) as u16);
    words.iter().zip(ys).for_each(|(word, column)| *column = (address(word) >> y & y_mask) as u16);
    words.iter().zip(ps).for_each(|(word, column)| *column = (address(word) >> p & p_mask) as u8);
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
