//! Prophesee RAW files in EVT 2 and EVT 2.1: little-endian words of 32 and 64 bits, after a text header. Source: "EVT
//! 2.0 Format" and "EVT 2.1 Format" in the documentation of the Metavision SDK.
//!
//! | bits of EVT 2, and of the higher half of EVT 2.1 | CD (kind 0: off, 1: on) | TIME_HIGH (kind 8) |
//! |---|---|---|
//! | 28 to 31 | kind | kind |
//! | 22 to 27 | bits 0 to 5 of the time in microseconds | bits 6 to 33 of the time, in bits 0 to 27 |
//! | 11 to 21 | x | |
//! | 0 to 10 | y | |
//!
//! In EVT 2.1, the lower half of a CD word is a vector: if bit i is 1, there is an event at x + i. If the header has
//! `endianness=legacy`, the two halves of each word are swapped. Kind 0xA is an external trigger. Kinds 0xE and 0xF are
//! messages of the camera.
//!
//! Events before the first TIME_HIGH have no time. They are left out, as in the Metavision SDK, and a note says how
//! many.
//!
//! The clock has 34 bits and wraps after 4.8 hours. A step back of TIME_HIGH is a wrap if it is at most 10 ms shorter
//! than the range of the clock. This is also the rule of the Metavision SDK. After a shorter step back, the times step
//! back too.

use crate::error::Result;
use crate::source::cameras::block::{Block, Decoded, ROOM, Room};
use crate::source::cameras::evt::{NotRead, read_header};
use crate::source::cameras::input::Input;

/// Number of values of TIME_HIGH.
const HIGHS: i64 = 1 << 28;
/// A step back of TIME_HIGH by at least this much is a wrap.
const WRAP: i64 = HIGHS - 1 - 10_000 / 64;

/// Decodes a file in EVT 2.
///
/// # Errors
/// Errors of [`Input::words`] and [`Decoded::settle`].
pub(super) fn decode_2(input: &mut Input<'_>, out: &mut Decoded) -> Result<()> {
    read_header(input, out)?;
    let mut state = State::default();
    let result = input.words::<4>("a word of EVT 2", |mut words, _| {
        while let [first, rest @ ..] = words {
            let events = words.iter().take_while(|word| word[3] >> 4 <= 1).count();
            if events == 0 || state.high.is_none() {
                state.add((u32::from_le_bytes(*first), 1), &mut out.block.room());
                words = rest;
                continue;
            }
            let (run, rest) = words.split_at(events);
            state.add_run(run, &mut out.block);
            words = rest;
        }
        out.settle()
    });
    state.not_read.note("TIME_HIGH", out);
    result
}

/// Decodes a file in EVT 2.1.
///
/// # Errors
/// Errors of [`Input::words`] and [`Decoded::settle`].
pub(super) fn decode_21(input: &mut Input<'_>, out: &mut Decoded) -> Result<()> {
    let what = "a word of EVT 2.1";
    match read_header(input, out)?.is_legacy {
        true => decode::<8>(input, out, what, |word| halves(u64::from_le_bytes(word).rotate_left(32))),
        false => decode::<8>(input, out, what, |word| halves(u64::from_le_bytes(word))),
    }
}

fn halves(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

/// Decodes words of `N` bytes. `split` returns the half with the kind, x and y, and the half with the vector of a CD
/// word.
fn decode<const N: usize>(
    input: &mut Input<'_>,
    out: &mut Decoded,
    what: &str,
    split: impl Fn([u8; N]) -> (u32, u32),
) -> Result<()> {
    let mut state = State::default();
    let result = input.words::<N>(what, |words, _| {
        // A word has at most 32 events.
        for words in words.chunks(ROOM / 32) {
            let (mut now, mut room) = (state.clone(), out.block.room());
            words.iter().for_each(|&word| now.add(split(word), &mut room));
            drop(room);
            state = now;
            out.settle()?;
        }
        Ok(())
    });
    state.not_read.note("TIME_HIGH", out);
    result
}

/// State of the decoder after the words that it has read so far.
#[derive(Clone, Default)]
struct State {
    /// The last value of TIME_HIGH. `None` before the first.
    high: Option<i64>,
    /// Time in microseconds that the wraps and TIME_HIGH give. The lower bits of the time are added to it.
    base: i64,
    wraps: i64,
    not_read: NotRead,
}

impl State {
    /// Adds the events of `run`, which has only CD words of EVT 2. A TIME_HIGH must have come before.
    fn add_run(&self, run: &[[u8; 4]], block: &mut Block) {
        // One loop per column, which the compiler can vectorise.
        let (ts, xs, ys, ps) = block.add(run.len());
        let words = || run.iter().map(|word| u32::from_le_bytes(*word));
        words().zip(ts).for_each(|(word, t)| *t = self.base + i64::from(word >> 22 & 0x3f));
        words().zip(xs).for_each(|(word, x)| *x = (word >> 11 & 0x7ff) as u16);
        words().zip(ys).for_each(|(word, y)| *y = (word & 0x7ff) as u16);
        words().zip(ps).for_each(|(word, p)| *p = (word >> 28) as u8);
    }

    #[inline(always)]
    fn add(&mut self, (word, vector): (u32, u32), room: &mut Room<'_>) {
        match word >> 28 {
            kind @ (0 | 1) if self.high.is_some() => {
                let t = self.base + i64::from(word >> 22 & 0x3f);
                let (x, y) = ((word >> 11 & 0x7ff) as u16, (word & 0x7ff) as u16);
                room.push_vector(t, (x, y, kind as u8), vector);
            }
            0 | 1 => self.not_read.early += u64::from(vector.count_ones()),
            0x8 => {
                let value = i64::from(word & 0xfff_ffff);
                self.wraps += i64::from(self.high.is_some_and(|before| before - value >= WRAP));
                self.high = Some(value);
                self.base = (self.wraps * HIGHS + value) << 6;
            }
            0xa => self.not_read.triggers += 1,
            0xe | 0xf => self.not_read.messages += 1,
            _ => self.not_read.unknown += 1,
        }
    }
}
